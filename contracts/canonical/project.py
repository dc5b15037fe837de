"""How work is delivered: the project, its work breakdown, and the people it asks for."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Literal

import msgspec

from contracts.canonical.deal import BillingModel
from contracts.canonical.identity import Ref
from contracts.canonical.moment import Moment
from contracts.canonical.money import Money

ProjectState = Literal["planned", "active", "on_hold", "completed", "cancelled"]


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the work breakdown; `parent` is the code of the line it belongs to."""

    code: str
    name: str
    external_id: str | None = None
    parent: str | None = None
    role: str | None = None
    planned_hours: Decimal | None = None
    percent_complete: Decimal | None = None
    billable: bool = True
    starts_on: date | None = None
    ends_on: date | None = None
    state: Literal["open", "done", "cancelled"] = "open"


class Milestone(msgspec.Struct, frozen=True, kw_only=True):
    """A point that is reached and accepted; `amount` is what may be billed then."""

    code: str
    name: str
    external_id: str | None = None
    due_on: date | None = None
    accepted_on: date | None = None
    amount: Money | None = None
    state: Literal["planned", "reached", "accepted", "cancelled"] = "planned"


class BudgetLine(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the budget, for a role or a kind of cost."""

    name: str
    role: str | None = None
    hours: Decimal | None = None
    total: Money


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What the project may use; the lines add up to `total`."""

    total: Money
    hours: Decimal | None = None
    lines: tuple[BudgetLine, ...] = ()


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """Sold work being delivered. Owner: PSA, except the `dimensions` (ERP).

    `key` is our business key; `dimensions` are names and values of the entity's accounting.
    """

    id: str | None = None
    external_id: str | None = None
    key: str | None = None
    number: str | None = None
    name: str
    entity: str | None = None
    delivering_entity: str | None = None
    deal: Ref | None = None
    customer: Ref | None = None
    contract: Ref | None = None
    contract_version: int | None = None
    template: str | None = None
    billing_model: BillingModel | None = None
    state: ProjectState = "planned"
    currency: str | None = None
    budget: Budget | None = None
    tasks: tuple[Task, ...] = ()
    milestones: tuple[Milestone, ...] = ()
    manager: str | None = None
    region: str | None = None
    service_line: str | None = None
    purchase_order: str | None = None
    dimensions: dict[str, str] = {}
    starts_on: date | None = None
    ends_on: date | None = None
    changed_at: Moment | None = None
    extensions: dict[str, str] = {}


class StaffingRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A role that a project asks resource management to fill."""

    id: str | None = None
    external_id: str | None = None
    key: str | None = None
    project: Ref
    role: str
    region: str | None = None
    skills: tuple[str, ...] = ()
    hours: Decimal
    starts_on: date
    ends_on: date | None = None
    state: Literal["requested", "proposed", "filled", "cancelled"] = "requested"
    extensions: dict[str, str] = {}


def missing_parents(tasks: tuple[Task, ...]) -> list[str]:
    """Codes of lines whose parent is not in the work breakdown."""
    codes = {task.code for task in tasks}
    return [task.code for task in tasks if task.parent is not None and task.parent not in codes]
