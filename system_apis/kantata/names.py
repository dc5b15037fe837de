"""What customers are called where every group needs a name of its own."""

from __future__ import annotations

from collections.abc import Iterator

from contracts.canonical.party import Customer


def names_of(customer: Customer, key: str) -> Iterator[str]:
    """What a customer may be called: its name, with its city, its country, or last our key."""
    yield customer.name
    city = next((each.city for each in customer.addresses if each.city), None)
    for more in (city, customer.country, key.rpartition("-")[2]):
        if more:
            yield f"{customer.name} ({more})"


def normal(name: str) -> str:
    """A name as names are compared."""
    return " ".join(name.casefold().split())
