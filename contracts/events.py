"""The event catalog: what is announced, by whom, in which order, and its CloudEvents envelope."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import Any, Literal

import msgspec

from contracts.canonical.contract import Contract
from contracts.canonical.deal import Deal
from contracts.canonical.identity import Source
from contracts.canonical.moment import Moment
from contracts.canonical.money import Money
from contracts.canonical.party import Customer
from contracts.canonical.project import Project, ProjectState
from contracts.runs import RunState, RunStep, Waiting, WorkItem, WorkRecord
from contracts.versions import current


class DealWon(msgspec.Struct, frozen=True, kw_only=True):
    """A deal turned to won, for the `turn`th time; `deal` carries our id and the CRM's."""

    connection: str
    deal: Deal
    turn: int = 1


class DealLost(msgspec.Struct, frozen=True, kw_only=True):
    """A deal turned to lost; one that was won before must be held or taken back."""

    connection: str
    deal: Deal
    turn: int = 1


class DealChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A deal changed without turning to won or lost; `reopened`: it was closed before.

    `terms`: what is agreed (value, lines, days, order, billing, entity, customer) is another.
    """

    connection: str
    deal: Deal
    turn: int = 1
    reopened: bool = False
    terms: bool = False


class CustomerValidated(msgspec.Struct, frozen=True, kw_only=True):
    """A golden customer exists, its tax identity is checked and its key is in the CRM."""

    customer: Customer
    source: Source
    run_id: str | None = None


class ContractActivated(msgspec.Struct, frozen=True, kw_only=True):
    """A contract, or its next version, holds."""

    contract: Contract
    run_id: str | None = None


class ContractChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A contract is on hold or cancelled, with all its versions."""

    contract: Contract
    run_id: str


class ProjectActivated(msgspec.Struct, frozen=True, kw_only=True):
    """A project is ready; `records` and `customers` are what it and who pays are in each system."""

    project: Project
    source: Source | None = None
    run_id: str | None = None
    records: tuple[Source, ...] = ()
    customers: tuple[Source, ...] = ()


class ProjectChanged(msgspec.Struct, frozen=True, kw_only=True):
    """A project is on hold, cancelled or agreed anew: only then `project` is told, as it is now."""

    id: str
    state: ProjectState
    project: Project | None = None
    source: Source
    run_id: str


class RunStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A flow began for a record."""

    run_id: str
    flow: str
    source: Source
    turn: int = 1
    requester: str | None = None


class RunProgressed(msgspec.Struct, frozen=True, kw_only=True):
    """A flow went on or began to wait; `steps` are those that changed, by their numbers."""

    run_id: str
    state: RunState
    waiting: Waiting | None = None
    steps: dict[str, RunStep] = {}


class RunEnded(msgspec.Struct, frozen=True, kw_only=True):
    """A flow is over; `kept` names what an abandoned run leaves behind."""

    run_id: str
    flow: str
    source: Source
    state: RunState
    kept: tuple[str, ...] = ()
    steps: dict[str, RunStep] = {}


class ExceptionRaised(msgspec.Struct, frozen=True, kw_only=True):
    """Something outside a flow needs a person; the process tier makes a work item of it."""

    code: str
    title: str
    detail: str = ""
    owner: str
    remedy: str | None = None
    amount: Money | None = None
    record: WorkRecord
    entity: str | None = None


class VendorCalled(msgspec.Struct, frozen=True, kw_only=True):
    """A write to a system, as its ledger knows it; bodies never travel.

    `amount` is what the written record is worth, `undoes` says that it takes back an earlier write,
    `state` is the one the record is in from now on, where the write was about that.
    """

    system: str
    operation: str
    object: str
    key: str | None = None
    external_id: str | None = None
    status: int | None = None
    ms: float | None = None
    actor: str | None = None
    cause: str | None = None
    amount: Money | None = None
    undoes: bool = False
    state: str | None = None


class WorkItemOpened(msgspec.Struct, frozen=True, kw_only=True):
    """Someone has something to set right or decide."""

    item: WorkItem


class WorkItemChanged(msgspec.Struct, frozen=True, kw_only=True):
    """Someone took an item on, or noted something on it."""

    item: WorkItem


class WorkItemDecided(msgspec.Struct, frozen=True, kw_only=True):
    """Someone decided."""

    item: WorkItem


Payload = type[msgspec.Struct]
Category = Literal["step", "change"]
"""A step of the business that was taken, or data that is another."""
Mode = Literal["backward", "forward", "full"]
"""What the next version keeps: new readers take old events, old readers new ones, or both."""


class EventType(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the catalog: events with the same value at `key` are read in order."""

    type: str
    version: str
    key: str
    owner: str
    payload: Payload
    title: str
    category: Category
    mode: Mode = "backward"


def _row(
    name: str, key: str, owner: str, payload: Payload, category: Category = "step"
) -> EventType:
    return EventType(
        type=name,
        version=current(name),
        key=key,
        owner=owner,
        payload=payload,
        title=(payload.__doc__ or "").splitlines()[0],
        category=category,
    )


CATALOG: dict[str, EventType] = {
    row.type: row
    for row in (
        _row("deal.won", "deal.external_id", "system", DealWon),
        _row("deal.lost", "deal.external_id", "system", DealLost),
        _row("deal.changed", "deal.external_id", "system", DealChanged, "change"),
        _row("customer.validated", "customer.id", "process", CustomerValidated),
        _row("contract.activated", "contract.id", "process", ContractActivated),
        _row("contract.changed", "contract.id", "process", ContractChanged, "change"),
        _row("project.activated", "project.id", "process", ProjectActivated),
        _row("project.changed", "id", "process", ProjectChanged, "change"),
        _row("run.started", "run_id", "process", RunStarted),
        _row("run.progressed", "run_id", "process", RunProgressed),
        _row("run.ended", "run_id", "process", RunEnded),
        _row("exception.raised", "record.external_id", "system", ExceptionRaised),
        _row("vendor.called", "key", "system", VendorCalled, "change"),
        _row("work-item.opened", "item.id", "process", WorkItemOpened),
        _row("work-item.changed", "item.id", "process", WorkItemChanged, "change"),
        _row("work-item.decided", "item.id", "process", WorkItemDecided),
    )
}


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A CloudEvents 1.0 envelope; `sequence` orders a partition, `correlationid` joins a story.

    Constants have factories because they must be on the wire, where plain defaults are left out.
    """

    id: str
    source: str
    type: str
    specversion: str = msgspec.field(default_factory=lambda: "1.0")
    time: Moment
    subject: str | None = None
    datacontenttype: str = msgspec.field(default_factory=lambda: "application/json")
    dataschema: str | None = None
    sequence: str | None = None
    partitionkey: str | None = None
    correlationid: str | None = None
    entity: str | None = None
    traceparent: str | None = None
    data: dict[str, Any]


def event_id(*parts: object) -> str:
    """The same name for the same fact: a repeated step announces nothing new."""
    told = json.dumps([str(part) for part in parts], ensure_ascii=False)
    return hashlib.sha256(told.encode()).hexdigest()[:32]


def event_of(
    name: str,
    payload: msgspec.Struct,
    *,
    id: str,  # noqa: A002 - the envelope's own word
    source: str,
    time: datetime,
    subject: str | None = None,
    correlation_id: str | None = None,
    entity: str | None = None,
    traceparent: str | None = None,
) -> Event:
    """The envelope of a payload; TypeError if the catalog says another struct for this type."""
    row = CATALOG[name]
    if not isinstance(payload, row.payload):
        msg = f"{name} carries {row.payload.__name__}, not {type(payload).__name__}"
        raise TypeError(msg)
    key = key_of(name, payload)
    return Event(
        id=id,
        source=source,
        type=name,
        time=time,
        subject=subject or key,
        dataschema=f"/contracts/{name}/{row.version}",
        partitionkey=key,
        correlationid=correlation_id,
        entity=entity,
        traceparent=traceparent,
        data=msgspec.json.decode(msgspec.json.encode(payload)),
    )


def key_of(name: str, payload: msgspec.Struct) -> str | None:
    """The payload's value of the type's ordering key."""
    value: Any = payload
    for part in CATALOG[name].key.split("."):
        value = getattr(value, part, None)
    return None if value is None else str(value)


def payload_of(event: Event) -> Any:
    """The event's data as the struct the catalog names."""
    return msgspec.convert(event.data, CATALOG[event.type].payload)
