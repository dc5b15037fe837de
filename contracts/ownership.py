"""System of record per object and attribute, by entity and date; who else writes is refused.

What is written here holds everywhere and always; metadata overrides it per entity, attribute and
date. A mirror, the owner's value in a system that follows, is no change: `may_write`. The class of
a row says how the object is synchronised.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date
from typing import Literal, Protocol

import msgspec

from contracts.errors import FieldError, Rejected

System = Literal["crm", "psa", "erp", "hcm", "billing", "tax", "signature", "throughline"]
Latency = Literal["seconds", "minutes", "daily"]
Consistency = Literal["strict", "eventual"]
Compliance = Literal["financial", "personal", "commercial", "none"]
Recovery = Literal["replay", "reread", "restore"]
ALL = "*"
THROUGHLINE = "throughline"
OURS = frozenset({"id", "key"})
"""Identity that Throughline gives, on every object."""
NOBODYS = frozenset({"external_id", "changed_at"})
"""What a connection says about its own record: nobody writes it, so nobody is refused."""


class Override(Protocol):
    """A row of the `ownership` section of metadata; None for attribute or entity means all."""

    @property
    def object(self) -> str: ...  # noqa: D102 - a field
    @property
    def attribute(self) -> str | None: ...  # noqa: D102 - a field
    @property
    def entity(self) -> str | None: ...  # noqa: D102 - a field
    @property
    def system(self) -> str: ...  # noqa: D102 - a field
    @property
    def valid_from(self) -> date | None: ...  # noqa: D102 - a field


class Ownership(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds the truth, who looks after it, and how the object is classed."""

    object: str
    attributes: tuple[str, ...] = (ALL,)
    system: System
    steward: str
    latency: Latency = "minutes"
    consistency: Consistency = "eventual"
    compliance: Compliance = "commercial"
    recovery: Recovery = "reread"


def _row(
    objects: str,
    system: System,
    steward: str,
    *,
    attributes: str = ALL,
    latency: Latency = "minutes",
    consistency: Consistency = "eventual",
    compliance: Compliance = "commercial",
    recovery: Recovery = "reread",
) -> list[Ownership]:
    return [
        Ownership(
            object=name,
            attributes=tuple(attributes.split()),
            system=system,
            steward=steward,
            latency=latency,
            consistency=consistency,
            compliance=compliance,
            recovery=recovery,
        )
        for name in objects.split()
    ]


SALES, FINANCE, DELIVERY = "sales-operations", "finance-master-data", "delivery-director"
STAFFING, PEOPLE, INTEGRATION = "resource-management", "people-operations", "integration"

OWNERSHIP: tuple[Ownership, ...] = (
    *_row("deal", "crm", SALES, latency="seconds"),
    *_row("deal", "throughline", INTEGRATION, attributes="project_key project_status"),
    *_row("contact", "crm", SALES, compliance="personal"),
    *_row("customer", "erp", FINANCE, consistency="strict", compliance="financial"),
    *_row(
        "customer",
        "crm",
        SALES,
        attributes="name parent account_manager website phone registration_number",
    ),
    *_row("legal-entity", "erp", FINANCE, latency="daily", compliance="financial"),
    *_row("contract", "throughline", DELIVERY, consistency="strict", recovery="restore"),
    *_row("service-package rate-card", "throughline", FINANCE, recovery="restore"),
    *_row("project-template", "throughline", DELIVERY, recovery="restore"),
    *_row("project", "psa", DELIVERY),
    *_row("project", "erp", FINANCE, attributes="dimensions", compliance="financial"),
    *_row("staffing-request assignment", "psa", STAFFING),
    *_row("time-entry expense", "psa", DELIVERY, latency="daily", compliance="financial"),
    *_row("resource", "hcm", PEOPLE, latency="daily", compliance="personal"),
    *_row("billing-schedule", "psa", DELIVERY, consistency="strict", compliance="financial"),
    *_row(
        "invoice credit-note payment revenue-schedule",
        "erp",
        FINANCE,
        consistency="strict",
        compliance="financial",
    ),
)


def row_of(object: str, attribute: str) -> Ownership:  # noqa: A002 - the word of the design
    """The default row; LookupError if the object is in no row."""
    rows = [row for row in OWNERSHIP if row.object == object]
    named = [row for row in rows if attribute in row.attributes]
    for row in named or [row for row in rows if ALL in row.attributes]:
        return row
    msg = f"no system of record is declared for {object!r}"
    raise LookupError(msg)


def owner_of(
    object: str,  # noqa: A002 - the word of the design
    attribute: str,
    entity: str | None,
    on: date,
    overrides: Iterable[Override] = (),
) -> str:
    """The kind of system that holds the truth that day.

    Of the overrides that fit, one for the attribute beats one for the object, then one for the
    entity beats one for all, then the one that began last.
    """
    if attribute in OURS:
        return THROUGHLINE
    fitting = [
        row
        for row in overrides
        if row.object == object
        and row.attribute in (None, attribute)
        and row.entity in (None, entity)
        and (row.valid_from is None or row.valid_from <= on)
    ]
    if not fitting:
        return row_of(object, attribute).system
    return max(fitting, key=_weight).system


def _weight(row: Override) -> tuple[bool, bool, date]:
    return row.attribute is not None, row.entity is not None, row.valid_from or date.min


def steward_of(
    object: str,  # noqa: A002 - the word of the design
    attribute: str,
    owner: str,
    stewards: Mapping[str, str] | None = None,
) -> str:
    """The role that looks after the value; `stewards` are by object or by kind of system."""
    named = stewards or {}
    if role := named.get(object) or named.get(owner):
        return role
    row = row_of(object, attribute)
    if row.system == owner:
        return row.steward
    by_system = {"crm": SALES, "psa": DELIVERY, "hcm": PEOPLE, "throughline": INTEGRATION}
    return by_system.get(owner, FINANCE)


def may_write(owner: str, target: AbstractSet[str], origin: AbstractSet[str] | None) -> bool:
    """Whether a value of this owner may be written: by the owner to itself, or a mirror of it.

    `target` and `origin` are the parts that the system written to, and the one the value was read
    from, play. A value that was read somewhere is its owner's, or it goes nowhere.
    """
    return owner == THROUGHLINE or owner in (target if origin is None else origin)


def check_write(
    object: str,  # noqa: A002 - the word of the design
    attributes: Iterable[str],
    writer: str,
    *,
    on: date,
    entity: str | None = None,
    overrides: Iterable[Override] = (),
    stewards: Mapping[str, str] | None = None,
) -> None:
    """Refuse a write of what `writer` (a kind of system) does not own: `ownership.not-owner`."""
    rows = list(overrides)
    refused = []
    for attribute in sorted(set(attributes) - NOBODYS):
        owner = owner_of(object, attribute, entity, on, rows)
        if owner != writer:
            refused.append((attribute, owner, steward_of(object, attribute, owner, stewards)))
    if not refused:
        return
    raise Rejected(
        "ownership.not-owner",
        f"{writer} may not change this of a {object}: "
        + ", ".join(f"{name} belongs to {owner} ({steward})" for name, owner, steward in refused),
        errors=tuple(
            FieldError(
                pointer=f"/{name}",
                code="ownership.not-owner",
                message=f"the system of record is {owner}; ask {steward}",
            )
            for name, owner, steward in refused
        ),
        owner=refused[0][2],
        remedy=f"Change it in {refused[0][1]}; it is brought here from there.",
        source=refused[0][1],
    )
