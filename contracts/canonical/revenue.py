"""When what was sold counts as revenue."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Literal

import msgspec

from contracts.canonical.identity import Ref
from contracts.canonical.moment import Moment
from contracts.canonical.money import Money, total


class RevenueLine(msgspec.Struct, frozen=True, kw_only=True):
    """The revenue of one obligation in one accounting period."""

    number: int
    obligation: str | None = None
    from_on: date
    to_on: date
    total: Money
    percent_complete: Decimal | None = None
    state: Literal["planned", "recognised", "reversed"] = "planned"
    recognised_on: date | None = None
    journal: Ref | None = None


class RevenueSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """The revenue of a contract spread over periods; the lines add up to `total`. Owner: ERP."""

    id: str | None = None
    external_id: str | None = None
    key: str | None = None
    entity: str | None = None
    contract: Ref
    contract_version: int | None = None
    project: Ref | None = None
    method: Literal["as_billed", "straight_line", "percent_complete", "milestone"]
    total: Money
    lines: tuple[RevenueLine, ...] = ()
    changed_at: Moment | None = None
    extensions: dict[str, str] = {}


def recognised(schedule: RevenueSchedule, on: date) -> Money:
    """Revenue recognised up to and including a day."""
    return total(
        schedule.total.currency,
        (
            line.total
            for line in schedule.lines
            if line.state == "recognised"
            and line.recognised_on is not None
            and line.recognised_on <= on
        ),
    )
