"""The people who do the work, and the projects they are assigned to."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from contracts.canonical.identity import Ref
from contracts.canonical.moment import Moment
from contracts.canonical.money import Money
from contracts.canonical.visibility import COMMERCIAL, STAFFING_AND_FINANCE


class CostRate(msgspec.Struct, frozen=True, kw_only=True):
    """What an hour of a person costs the firm, from one day until before another."""

    rate: Money
    from_on: date
    to_on: date | None = None


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """A person who can be assigned. Owner: HCM; the PSA where an entity has none."""

    id: str | None = None
    external_id: str | None = None
    key: str | None = None
    name: str
    email: str | None = None
    entity: str | None = None
    role: str | None = None
    grade: str | None = None
    region: str | None = None
    skills: tuple[str, ...] = ()
    kind: Literal["employee", "contractor"] = "employee"
    billable: bool = True
    weekly_hours: Decimal | None = None
    manager: Ref | None = None
    supplier: str | None = None
    cost_rates: Annotated[tuple[CostRate, ...], STAFFING_AND_FINANCE] = ()
    joined_on: date | None = None
    left_on: date | None = None
    changed_at: Moment | None = None
    extensions: dict[str, str] = {}


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """A person planned on a project, at the rate that was sold."""

    id: str | None = None
    external_id: str | None = None
    key: str | None = None
    project: Ref
    resource: Ref
    task: str | None = None
    role: str | None = None
    hours: Decimal
    bill_rate: Annotated[Money | None, COMMERCIAL] = None
    booking: Literal["tentative", "confirmed", "cancelled"] = "confirmed"
    starts_on: date
    ends_on: date | None = None
    changed_at: Moment | None = None
    extensions: dict[str, str] = {}


def cost_rate_on(resource: Resource, on: date) -> Money | None:
    """The cost rate that holds on a day; of two that overlap, the one that began later."""
    holding = [
        rate
        for rate in resource.cost_rates
        if rate.from_on <= on and (rate.to_on is None or on < rate.to_on)
    ]
    last = max(holding, key=lambda rate: rate.from_on, default=None)
    return last.rate if last else None
