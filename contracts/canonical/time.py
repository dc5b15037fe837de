"""What was worked and spent on a project."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from contracts.canonical.identity import Ref
from contracts.canonical.moment import Moment
from contracts.canonical.money import Money
from contracts.canonical.visibility import COMMERCIAL

Approval = Literal["draft", "submitted", "approved", "rejected"]


class TimeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Hours of a person on a day; a correction reverses an entry and adds another.

    `worked_on` stays the day of the work when the entry is booked in a later period.
    """

    id: str | None = None
    external_id: str | None = None
    key: str | None = None
    entity: str | None = None
    project: Ref
    resource: Ref
    task: str | None = None
    role: str | None = None
    worked_on: date
    hours: Decimal
    billable: bool = True
    bill_rate: Annotated[Money | None, COMMERCIAL] = None
    note: str | None = None
    state: Approval = "draft"
    approved_by: str | None = None
    approved_at: Moment | None = None
    reverses: Ref | None = None
    invoice: Ref | None = None
    changed_at: Moment | None = None
    extensions: dict[str, str] = {}


class Expense(msgspec.Struct, frozen=True, kw_only=True):
    """Money spent for a project: to be paid back, to be billed on, or both."""

    id: str | None = None
    external_id: str | None = None
    key: str | None = None
    entity: str | None = None
    project: Ref
    resource: Ref
    category: str
    spent_on: date
    amount: Money
    tax: Money | None = None
    billable: bool = True
    reimbursable: bool = True
    receipt_url: str | None = None
    state: Approval = "draft"
    approved_by: str | None = None
    approved_at: Moment | None = None
    reverses: Ref | None = None
    invoice: Ref | None = None
    changed_at: Moment | None = None
    extensions: dict[str, str] = {}
