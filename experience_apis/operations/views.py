"""What operations sees: where something is, what exists of it, what was called and happened."""

from __future__ import annotations

import msgspec

from contracts.canonical.identity import Source
from contracts.canonical.moment import Moment
from contracts.canonical.money import Money
from contracts.runs import Overwritten, RunState


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """How far it is, and since when it is there; before its first run it is nowhere."""

    run_id: str
    flow: str
    state: RunState
    step: str | None = None
    since: Moment


class WaitingFor(msgspec.Struct, frozen=True, kw_only=True):
    """What has to happen before it goes on: a moment to come, or a decision and whose it is."""

    since: Moment
    due_at: Moment | None = None
    owner: str | None = None
    assignee: str | None = None
    work_item_id: str | None = None
    title: str | None = None
    remedy: str | None = None


class JourneyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What exists in a system, or no more; `id` and `key` are ours.

    `state` is exists, on_hold, cancelled, withdrawn or deleted; of a deal also open or lost.
    """

    system: str
    object: str
    external_id: str
    id: str | None = None
    key: str | None = None
    amount: Money | None = None
    state: str
    url: str | None = None
    at: Moment


class JourneyCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call to a system, and the step that made it."""

    system: str
    operation: str
    status: int | None = None
    ms: float | None = None
    at: Moment | None = None
    step: str
    run_id: str


class JourneyChange(msgspec.Struct, frozen=True, kw_only=True):
    """A value that a step overwrote in a record which was there before."""

    what: Overwritten
    step: str
    run_id: str
    at: Moment | None = None


class JourneyEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened; `facts` are the few that tell it from others of its type."""

    id: str
    type: str
    at: Moment
    facts: dict[str, str] = {}


class JourneyRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run on the way; `kept` is what an abandoned one left behind."""

    id: str
    flow: str
    state: RunState
    began_at: Moment
    ended_at: Moment | None = None
    requester: str | None = None
    kept: tuple[str, ...] = ()


class Journey(msgspec.Struct, frozen=True, kw_only=True):
    """The whole way of one record, found by any id that anything of it has anywhere.

    `others` are further journeys that the id is part of, as those of a customer's other deals, the
    newest first; `as_of` is the newest event that is told here.
    """

    source: Source
    name: str | None = None
    entity: str | None = None
    customer_id: str | None = None
    value: Money | None = None
    where: Where | None = None
    waiting: WaitingFor | None = None
    records: tuple[JourneyRecord, ...] = ()
    calls: tuple[JourneyCall, ...] = ()
    overwritten: tuple[JourneyChange, ...] = ()
    events: tuple[JourneyEvent, ...] = ()
    runs: tuple[JourneyRun, ...] = ()
    others: tuple[Source, ...] = ()
    as_of: Moment | None = None
