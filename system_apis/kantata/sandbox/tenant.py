"""What a fresh tenant has: statuses, roles, rate cards, custom fields; and records made by hand.

Ids are fixed, as sample metadata names them. Of the statuses, 310 is known from a real answer;
the others are this sandbox's own: which there are is for each tenant to say.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Status(NamedTuple):
    """A project status of the tenant."""

    color: str
    message: str


STATUSES = {
    100: Status("gray", "Not Started"),
    310: Status("green", "In Progress"),
    400: Status("yellow", "On Hold"),
    500: Status("red", "Cancelled"),
    600: Status("blue", "Completed"),
}
FIRST_STATUS = 100
ME = 11
ROLES = {
    501: "Principal Consultant",
    502: "Senior Consultant",
    503: "Consultant",
    504: "Project Manager",
    505: "Trainer",
}
CARDS = {31: "USD", 32: "GBP", 33: "EUR"}

FURNITURE: tuple[tuple[str, int, dict[str, Any]], ...] = (
    ("users", ME, {"full_name": "Integration User", "email_address": "psa@throughline.example"}),
    *(("roles", id_, {"name": name}) for id_, name in ROLES.items()),
    ("rate_card_sets", 21, {"title": "Standard rates", "account_default": True}),
    *(
        ("rate_cards", id_, {"currency": currency, "uses": 0, "rate_card_set_id": 21})
        for id_, currency in CARDS.items()
    ),
    ("custom_fields", 9001, {"name": "Legal Entity", "value_type": "string"}),
    (
        "custom_fields",
        9002,
        {"name": "SOW Number", "value_type": "string", "unique_constraint": True},
    ),
)


def example(name: str, options: dict[str, str]) -> list[dict[str, Any]] | None:
    """A record that somebody made by hand: `customer` or `project`, with a `name`."""
    called = options.get("name", "Elbtal 1 GmbH")
    made: dict[str, tuple[str, dict[str, Any]]] = {
        "customer": ("workspace_groups", {"workspace_group": {"name": called, "company": True}}),
        "project": ("workspaces", {"workspace": {"title": called, "creator_role": "maven"}}),
    }
    if name not in made:
        return None
    kind, body = made[name]
    return [{"method": "POST", "path": f"/api/v1/{kind}", "body": body}]
