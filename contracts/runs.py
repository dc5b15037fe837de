"""What people see of a flow at work: runs, steps, vendor calls, and the work items it leaves."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

import msgspec

from contracts.canonical.identity import Source
from contracts.canonical.moment import Moment
from contracts.canonical.money import Money
from contracts.errors import FieldError, Problem

Person = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$",
        max_length=200,
        description="a person's e-mail address",
        examples=["kim@northline.example"],
    ),
]
RunState = Literal["queued", "running", "waiting", "done", "abandoned", "failed"]
BackfillState = Literal["planned", "reading", "starting", "done", "cancelled"]
BackfillOutcome = Literal["found", "already", "started", "waiting", "done", "refused"]
DecisionKind = Literal["retry", "abandon", "approve", "reject", "adopt"]


class VendorCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call a step made to a system."""

    system: str
    operation: str
    status: int | None = None
    ms: float | None = None
    at: Moment | None = None


class Overwritten(msgspec.Struct, frozen=True, kw_only=True):
    """A value of a record that had another one before; `field` is the system's name of it."""

    system: str
    object: str
    external_id: str
    field: str
    before: Any = None
    after: Any = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What a person decided, and why."""

    decision: DecisionKind
    comment: str = ""
    actor: str
    person: str | None = None
    at: Moment


class Comment(msgspec.Struct, frozen=True, kw_only=True):
    """What a person noted on a work item for those who come after."""

    actor: str
    person: str | None = None
    at: Moment
    text: str


class RunStep(msgspec.Struct, frozen=True, kw_only=True):
    """How far one step of a run is, and who looks after it.

    A wait for a person is a step as well: it names its work item and, once decided, the decision.
    """

    name: str
    owner: str | None = None
    state: str
    started_at: Moment | None = None
    ended_at: Moment | None = None
    attempts: int = 0
    calls: tuple[VendorCall, ...] = ()
    overwrote: tuple[Overwritten, ...] = ()
    work_item_id: str | None = None
    decision: Decision | None = None


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """What a run waits for: a moment or a person's decision."""

    since: Moment
    due_at: Moment | None = None
    owner: str | None = None
    work_item_id: str | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One execution of a flow for one record; `kept` lists what an abandoned run leaves behind."""

    id: str
    flow: str
    state: RunState
    deal: Source | None = None
    started_at: Moment | None = None
    ended_at: Moment | None = None
    requester: str | None = None
    waiting: Waiting | None = None
    steps: tuple[RunStep, ...] = ()
    result: Any = None
    kept: tuple[Any, ...] = ()


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """Runs, the newest first."""

    items: tuple[Run, ...] = ()
    next: str | None = None


class PlannedWrite(msgspec.Struct, frozen=True, kw_only=True):
    """A write that a dry run would have sent, and what it would overwrite of a known record."""

    system: str
    operation: str
    body: Any = None
    overwrites: tuple[Overwritten, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a dry run found: what would be written and asked, and what stands in the way.

    `run` is the run that is open already, and where it stands: listed is what is still to come.
    """

    writes: tuple[PlannedWrite, ...] = ()
    records: tuple[Any, ...] = ()
    approvals: tuple[Any, ...] = ()
    problems: tuple[Problem, ...] = ()
    run: Run | None = None


class WorkRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The record a work item is about, with a link into its system."""

    system: str | None = None
    object: str | None = None
    external_id: str | None = None
    id: str | None = None
    url: str | None = None


class WorkItem(msgspec.Struct, frozen=True, kw_only=True):
    """Something a person must set right or decide; `owner` is a role, `assignee` a person.

    `adopts` is the system of which a record may be adopted; without it none may be. `named` are
    further records that it may be about, such as those of which one is to be adopted.
    """

    id: str
    code: str
    title: str
    detail: str = ""
    owner: str
    remedy: str | None = None
    amount: Money | None = None
    record: WorkRecord | None = None
    run_id: str | None = None
    step: str | None = None
    entity: str | None = None
    since: Moment
    state: Literal["open", "decided"] = "open"
    decision: Decision | None = None
    errors: tuple[FieldError, ...] = ()
    assignee: str | None = None
    comments: tuple[Comment, ...] = ()
    adopts: str | None = None
    named: tuple[Source, ...] = ()


class WorkItemPage(msgspec.Struct, frozen=True, kw_only=True):
    """Work items, the longest waiting first."""

    items: tuple[WorkItem, ...] = ()
    next: str | None = None


class BackfillDeal(msgspec.Struct, frozen=True, kw_only=True):
    """A deal of a backfill: `found` until its turn comes, `already` if it had a run before."""

    deal: Source
    name: str | None = None
    value: Money | None = None
    closed_on: date | None = None
    outcome: BackfillOutcome = "found"
    run_id: str | None = None
    reason: str | None = None


class BackfillCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many deals were found, and what became of them; `started` ones are at work."""

    found: int = 0
    to_start: int = 0
    already: int = 0
    started: int = 0
    waiting: int = 0
    done: int = 0
    refused: int = 0


class Backfill(msgspec.Struct, frozen=True, kw_only=True):
    """Deals won since a day that get their runs now; `detail` says what keeps it from going on.

    `items` are in the order in which they are started; a dry run has neither id nor counts.
    """

    id: str | None = None
    state: BackfillState
    connection: str = msgspec.field(name="system")
    won_since: date
    entity: str | None = None
    requester: str | None = None
    asked_at: Moment
    ended_at: Moment | None = None
    detail: str | None = None
    counts: BackfillCounts | None = None
    items: tuple[BackfillDeal, ...] = ()
    next: str | None = None


class BackfillPage(msgspec.Struct, frozen=True, kw_only=True):
    """Backfills without their deals, the newest first."""

    items: tuple[Backfill, ...] = ()
    next: str | None = None
