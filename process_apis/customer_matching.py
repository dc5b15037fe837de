"""Which customer of another system is ours: a score with reasons, and what follows from it."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator

import msgspec

from apis.runtime.metadata import Matching
from contracts.canonical.party import Address, Customer
from contracts.errors import Conflict
from process_apis.customer_master import plain_name
from process_apis.deal_rules import FINANCE, Finding

SAME_TAX_NUMBER = 90
OUR_KEY = re.compile(r"customer-([0-9A-HJKMNP-TV-Z]{26})")
OTHER_ENTITY, OTHER_CURRENCY = "customer.other-entity", "customer.other-currency"


class Match(msgspec.Struct, frozen=True):
    """A customer it may be, how likely out of a hundred, and why; `doubts` are for a person."""

    customer: Customer
    score: int
    reasons: tuple[str, ...]
    doubts: tuple[str, ...] = ()


def scored(wanted: Customer, found: Customer, ours: Container[str] = ()) -> Match:
    """How alike two customers are: our key, the tax number, then name and address.

    `ours` are the golden ids of living customers: any other key is the word of somebody else.
    """
    if found.key and found.key == wanted.key:
        return Match(found, 100, ("it carries our key",))
    reasons: dict[str, int] = {}
    if wanted.tax_id and found.tax_id:
        if bare(wanted.tax_id) == bare(found.tax_id):
            reasons["the tax number is the same"] = SAME_TAX_NUMBER
        else:
            reasons["the tax numbers differ"] = -50
    if plain_name(wanted.name) == plain_name(found.name):
        reasons["the name is the same"] = 60
    elif plain_name(wanted.name).split()[:1] == plain_name(found.name).split()[:1]:
        reasons["the name begins alike"] = 30
    reasons |= placed(wanted, found)
    if golden_in(found) in ours:
        reasons["it carries the key of another customer of ours"] = -60
    score = max(0, min(99, sum(reasons.values())))
    return Match(found, score, tuple(reasons), tuple(doubts(wanted, found, ours)))


def doubts(wanted: Customer, found: Customer, ours: Container[str]) -> Iterator[str]:
    """Why a person has to say that it is the customer, however alike the two are."""
    mine, theirs = (set(plain_name(each.name).split()) for each in (wanted, found))
    if mine and theirs and not mine & theirs:
        yield "the names have nothing in common"
    if found.key and golden_in(found) not in ours:
        yield f"it carries the id {found.key} of somebody else, which our key would replace"


def golden_in(found: Customer) -> str | None:
    """The golden id that a key of ours is made of; None for the word of somebody else."""
    key = OUR_KEY.fullmatch(found.key or "")
    return key[1] if key else None


def placed(wanted: Customer, found: Customer) -> dict[str, int]:
    """What the addresses say."""
    reasons: dict[str, int] = {}
    mine, theirs = billing(wanted), billing(found)
    if wanted.country and found.country:
        same = wanted.country == found.country
        reasons["the country is the same" if same else "the countries differ"] = 5 if same else -30
    if mine.postal_code and bare(mine.postal_code) == bare(theirs.postal_code or ""):
        reasons["the postal code is the same"] = 15
    if mine.city and mine.city.casefold() == (theirs.city or "").casefold():
        reasons["the city is the same"] = 5
    return reasons


def chosen(
    wanted: Customer,
    found: Iterable[Customer],
    system: str,
    *,
    limits: Matching = Matching(),  # noqa: B008 - immutable
    ours: Container[str] = (),
    decided: bool = False,
) -> Match | None:
    """The one it is, or None where there is none; Conflict where only a person can tell.

    `decided`: a person was asked and adopted none of those that were merely likely.
    """
    matches = sorted((scored(wanted, each, ours) for each in found), key=lambda each: -each.score)
    likely = [each for each in matches if each.score >= limits.likely]
    certain = [each for each in likely if each.score >= limits.certain and not each.doubts]
    if not likely:
        return None
    if len(certain) == 1 or (certain and certain[0].score > certain[1].score):
        if certain[0].customer.state == "active":
            return certain[0]
        raise unusable(certain[0].customer, system)
    if decided:
        return None
    told = "; ".join(
        f"{each.customer.name!r} ({each.customer.external_id}, {each.score} of 100:"
        f" {', '.join(each.reasons + each.doubts)})"
        for each in likely
    )
    raise Conflict(
        "customer.match-unclear",
        f"customer {wanted.name!r} may be one that {system} has already: {told}",
        owner=FINANCE,
        remedy="adopt the one it is, or retry to make a new customer",
        source=system,
    )


def unusable(found: Customer, system: str) -> Conflict:
    """The customer is there, but nothing may be booked on it."""
    return Conflict(
        "customer.inactive",
        f"customer {found.name!r} ({found.external_id}) is {found.state} in {system}",
        owner=FINANCE,
        remedy=f"activate the customer in {system} and retry, or adopt the one that took its place",
        source=system,
    )


def unbilled(
    wanted: Customer, found: Customer, system: str, *, taxed: bool, addressed: bool = True
) -> Iterator[Finding]:
    """What the books lack of a customer that they know to bill this deal.

    `taxed`, `addressed`: tax code and address are needed, and nobody else brings them. Whoever
    retries after the last two says that the books take both now: they refuse if not.
    """
    place = f"customer {found.name!r} ({found.external_id}) in {system}"
    if taxed and not found.tax_code:
        yield Finding(
            "/customer/tax_code",
            "customer.tax-code-missing",
            f"{place} has no tax code, so no invoice can be taxed",
            FINANCE,
            f"enter the tax code on the customer in {system}, then retry",
        )
    if addressed and not found.country:
        yield Finding(
            "/customer/addresses",
            "customer.billing-address-missing",
            f"{place} has no billing address, so no invoice can be sent",
            FINANCE,
            f"enter the billing address on the customer in {system}, then retry",
        )
    if found.entity and wanted.entity not in {None, found.entity}:
        yield Finding(
            "/customer/entity",
            OTHER_ENTITY,
            f"{place} is billed by {found.entity}, and the deal is sold by {wanted.entity}",
            FINANCE,
            f"let {wanted.entity} bill the customer in {system} as well, then retry; or abandon,"
            " and sell the deal by the other entity",
        )
    if found.currency and wanted.currency not in {None, found.currency}:
        yield Finding(
            "/customer/currency",
            OTHER_CURRENCY,
            f"{place} is billed in {found.currency}, and the deal is in {wanted.currency}",
            FINANCE,
            f"let the customer be billed in {wanted.currency} in {system} as well, then retry;"
            " or abandon, and price the deal in the other currency",
        )


def on_hold(found: Customer, system: str) -> Conflict:
    """Finance has stopped work for this customer."""
    return Conflict(
        "customer.credit-hold",
        f"customer {found.name!r} ({found.external_id}) is on credit hold in {system}",
        owner=FINANCE,
        remedy=f"release the hold in {system}, then retry, or abandon the run",
        source=system,
    )


def billing(customer: Customer) -> Address:
    """The address bills go to."""
    return next((each for each in customer.addresses if each.kind == "billing"), Address())


def bare(text: str) -> str:
    """Letters and digits alone, as numbers are compared."""
    return re.sub(r"[\W_]", "", text).upper()
