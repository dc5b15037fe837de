"""What delivery sees: projects, one project with what it is in each system, and its health."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import msgspec

from contracts.canonical.deal import BillingModel
from contracts.canonical.identity import Ref
from contracts.canonical.moment import Moment
from contracts.canonical.money import Money
from contracts.canonical.project import Budget, Milestone, ProjectState, Task


class ProjectRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What the project is in one system."""

    system: str
    external_id: str
    url: str | None = None


class ProjectSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A project in a list."""

    id: str
    key: str | None = None
    number: str | None = None
    name: str
    state: ProjectState
    entity: str | None = None
    customer: Ref | None = None
    billing_model: BillingModel | None = None
    budget: Money | None = None
    project_manager: str | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    activated_at: Moment


class ProjectPage(msgspec.Struct, frozen=True, kw_only=True):
    """Projects, the last activated first."""

    items: tuple[ProjectSummary, ...] = ()
    next: str | None = None


class ProjectDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A project with its work breakdown, its milestones and what it is in each system."""

    id: str
    key: str | None = None
    number: str | None = None
    name: str
    state: ProjectState
    entity: str | None = None
    customer: Ref | None = None
    billing_model: BillingModel | None = None
    project_manager: str | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    activated_at: Moment
    budget: Budget | None = None
    deal: Ref | None = None
    contract: Ref | None = None
    region: str | None = None
    service_line: str | None = None
    purchase_order: str | None = None
    tasks: tuple[Task, ...] = ()
    milestones: tuple[Milestone, ...] = ()
    dimensions: dict[str, str] = {}
    records: tuple[ProjectRecord, ...] = ()
    run_id: str | None = None
    as_of: Moment


class Burn(msgspec.Struct, frozen=True, kw_only=True):
    """What was used of the budget, from so many time entries; without any it is zero."""

    amount: Money | None = None
    hours: Decimal
    entries: int
    as_of: Moment


class OpenItem(msgspec.Struct, frozen=True, kw_only=True):
    """What a person must set right or decide before the project can go on."""

    id: str
    code: str
    title: str
    owner: str
    assignee: str | None = None
    since: Moment
    amount: Money | None = None


class OnHold(msgspec.Struct, frozen=True, kw_only=True):
    """Why nobody works on a project, and who decides what becomes of it."""

    why: str
    owner: str | None = None
    assignee: str | None = None
    remedy: str | None = None
    work_item_id: str | None = None
    since: Moment


class ProjectHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Budget, burn and open work items of a project; why it is on hold, if it is."""

    id: str
    state: ProjectState
    on_hold: OnHold | None = None
    budget: Budget | None = None
    burn: Burn
    open_work_items: tuple[OpenItem, ...] = ()
    as_of: Moment
