"""The read model of journeys: each event says where something is, what exists and what happened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, get_args

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from apis.runtime.store import change, find, insert_new
from apis.runtime.whose import By, told_anew
from contracts.canonical.contract import Contract
from contracts.canonical.deal import Deal
from contracts.canonical.identity import Ref, Source
from contracts.events import (
    ContractActivated,
    ContractChanged,
    CustomerValidated,
    DealWon,
    Event,
    ExceptionRaised,
    ProjectActivated,
    ProjectChanged,
    RunEnded,
    RunProgressed,
    RunStarted,
    VendorCalled,
    WorkItemOpened,
    payload_of,
)
from experience_apis.journey_rows import Facts, Record, Rows
from experience_apis.tables import (
    JOURNEYS,
    RUNS,
    WORK_ITEMS,
    put,
)

OURS = "throughline"
SHOWN = {"active": "exists", "held": "on_hold"}
"""States of ours that a record is shown in by another word."""
MINE = JOURNEYS.c.subject == sa.bindparam("_subject")
ITEMS_OF_JOURNEY = (
    sa.update(WORK_ITEMS)
    .where(
        WORK_ITEMS.c.run_id.in_(
            sa.select(RUNS.c.id).where(RUNS.c.subject == sa.bindparam("_subject"))
        )
    )
    .values(
        entity=sa.func.coalesce(
            sa.select(JOURNEYS.c.entity).where(MINE).scalar_subquery(), WORK_ITEMS.c.entity
        ),
        customer=sa.select(JOURNEYS.c.customer).where(MINE).scalar_subquery(),
    )
)
PLACED = {
    by: sa.update(JOURNEYS).where(MINE).values(**told_anew(JOURNEYS, by)) for by in get_args(By)
}


def follow(connection: Connection, events: Sequence[Event]) -> None:
    """Take in events: the journeys they are of, what they change, and that they happened."""
    rows = Rows(connection)
    for event in events:
        subject, facts = FOLLOWED[event.type](rows, payload_of(event), event.time)
        if subject is not None:  # else of no journey, such as a call that a person made
            rows.happened(event, subject, facts)
    rows.write()


def subject_of(source: Source) -> str:
    """The name of a journey: the record that it is the journey of."""
    return f"{source.connection}:{source.external_id}"


Taken = tuple[str | None, Facts]


def deal_seen(rows: Rows, payload: DealWon, at: datetime) -> Taken:
    """A deal turned or changed; only one that was won, or has runs, is on its way."""
    deal, source = payload.deal, Source(payload.connection, payload.deal.external_id or "")
    subject = subject_of(source)
    if deal.state != "won" and find(rows.connection, JOURNEYS, subject=subject) is None:
        return None, {}
    journey(rows.connection, source, at, deal)
    customer = deal.customer or Ref()
    rows.names(subject, deal.id, deal.external_id, customer.id, customer.external_id)
    state = "exists" if deal.state == "won" else deal.state
    record = Record(source, "deal", deal.id, deal.project_key or None, deal.value, state)
    rows.exists(subject, record, at)
    placed(rows.connection, subject, deal.entity, customer.id, "feed")
    return subject, {"state": deal.state, "turn": payload.turn}


def run_started(rows: Rows, payload: RunStarted, at: datetime) -> Taken:
    """A run began: its record is on its way."""
    subject = journey(rows.connection, payload.source, at)
    rows.names(subject, payload.run_id, payload.source.external_id)
    insert_new(
        rows.connection,
        RUNS,
        id=payload.run_id,
        subject=subject,
        flow=payload.flow,
        state="queued",
        since=at.isoformat(),
        began_at=at.isoformat(),
        requester=payload.requester,
    )
    return payload.run_id, {"requester": payload.requester, "turn": payload.turn}


def run_progressed(rows: Rows, payload: RunProgressed, at: datetime) -> Taken:
    """A run went on or waits; one that is over stays as it ended."""
    rows.steps(payload.run_id, payload.steps)
    rows.progressed(payload, at)
    steps = ", ".join(f"{step.name} {step.state}" for step in payload.steps.values())
    return payload.run_id, {"state": payload.state, "steps": steps}


def run_ended(rows: Rows, payload: RunEnded, at: datetime) -> Taken:
    """A run is over."""
    rows.steps(payload.run_id, payload.steps)
    values = {
        "state": payload.state,
        "since": at.isoformat(),
        "ended_at": at.isoformat(),
        "waiting": None,
        "kept": msgspec.json.encode(payload.kept).decode(),
    }
    change(rows.connection, RUNS, {"id": payload.run_id}, **values)
    return payload.run_id, {"state": payload.state}


def customer_validated(rows: Rows, payload: CustomerValidated, at: datetime) -> Taken:
    """A golden customer, and the account that it is in the system the deal came from."""
    customer, subject = payload.customer, payload.run_id or subject_of(payload.source)
    account = Source(payload.source.connection, customer.external_id or "")
    rows.names(subject, customer.id, customer.external_id, customer.number)
    rows.exists(subject, Record(account, "customer", id=customer.id, key=customer.key), at)
    placed(rows.connection, subject, None, customer.id)
    return subject, {"customer": customer.id, "system": account.connection}


def contract_activated(rows: Rows, payload: ContractActivated, at: datetime) -> Taken:
    """A contract of ours, worth its last version."""
    contract = payload.contract
    subject = payload.run_id or subject_of(contract.deal)
    rows.names(subject, contract.id, contract.customer.id)
    rows.exists(subject, agreed(contract), at)
    placed(rows.connection, subject, contract.entity, contract.customer.id)
    return subject, {"contract": contract.id, "version": len(contract.versions)}


def contract_changed(rows: Rows, payload: ContractChanged, at: datetime) -> Taken:
    """A contract of ours is on hold or cancelled."""
    rows.exists(payload.run_id, agreed(payload.contract), at)
    return payload.run_id, {"contract": payload.contract.id, "state": payload.contract.state}


def agreed(contract: Contract) -> Record:
    """A contract as a record, worth its last version."""
    worth = contract.versions[-1].value if contract.versions else None
    state = SHOWN.get(contract.state, contract.state)
    return Record(Source(OURS, contract.id), "contract", contract.id, amount=worth, state=state)


def project_activated(rows: Rows, payload: ProjectActivated, at: datetime) -> Taken:
    """A project, its customer, and the records that they are in each system."""
    project, source = payload.project, payload.source
    subject = payload.run_id or (subject_of(source) if source else None)
    if subject is None:
        return None, {}
    worth = project.budget.total if project.budget else None
    rows.names(subject, project.id, project.key, project.number, project.external_id)
    for record in payload.records:
        told = Record(record, "project", project.id, project.key, worth, "exists")
        rows.names(subject, record.external_id)
        rows.exists(subject, told, at)
    for record in payload.customers:  # which the run may have found as they were
        rows.names(subject, record.external_id)
        rows.exists(subject, Record(record, "customer", id=(project.customer or Ref()).id), at)
    placed(rows.connection, subject, project.entity, (project.customer or Ref()).id)
    return subject, {"project": project.id, "key": project.key, "state": project.state}


def project_changed(_rows: Rows, payload: ProjectChanged, _at: datetime) -> Taken:
    """A project is on hold, cancelled or agreed anew: what it is in a system its writes tell."""
    return payload.run_id, {"project": payload.id, "state": payload.state}


def vendor_called(rows: Rows, payload: VendorCalled, at: datetime) -> Taken:
    """A write of a run: its record exists from now on, or no more."""
    run_id, slash, step = (payload.cause or "").rpartition("/")
    if not slash:
        return None, {}
    rows.names(run_id, payload.external_id, payload.key)
    if payload.external_id:
        set_to = SHOWN.get(payload.state or "", payload.state)
        made = "exists" if payload.operation == "create" else set_to
        state = "deleted" if payload.operation == "delete" else made
        record = Record(
            Source(payload.system, payload.external_id),
            payload.object,
            key=payload.key,
            amount=payload.amount,
            state="withdrawn" if payload.undoes and payload.operation != "delete" else state,
        )
        rows.exists(run_id, record, at)
    return run_id, {
        "system": payload.system,
        "operation": f"{payload.operation} {payload.object}",
        "external_id": payload.external_id,
        "step": step,
    }


def item_changed(rows: Rows, payload: WorkItemOpened, at: datetime) -> Taken:
    """A work item as it is now; one without a run is of the record it is about, if of any."""
    del at
    item = payload.item
    run = find(rows.connection, RUNS, id=item.run_id) if item.run_id else None
    way = find(rows.connection, JOURNEYS, subject=run.subject) if run else None
    put(
        rows.connection,
        WORK_ITEMS,
        {"id": item.id},
        run_id=item.run_id,
        entity=item.entity or (way.entity if way else None),
        customer=way.customer if way else None,
        state=item.state,
        body=msgspec.json.encode(item).decode(),
    )
    subject = item.run_id
    if subject:
        about = item.record.external_id if item.record else None
        rows.names(subject, item.id, about, *(each.external_id for each in item.named))
    elif item.record and item.record.system and item.record.external_id:
        subject = f"{item.record.system}:{item.record.external_id}"
    decision = item.decision.decision if item.decision else None
    told: Facts = {"id": item.id, "code": item.code, "owner": item.owner, "state": item.state}
    return subject, told | {"decision": decision, "assignee": item.assignee, "step": item.step}


def exception_raised(rows: Rows, payload: ExceptionRaised, at: datetime) -> Taken:
    """Something outside a flow needs a person."""
    del rows, at
    record = payload.record
    told: Facts = {"code": payload.code, "owner": payload.owner}
    return f"{record.system}:{record.external_id}", told


Follow = Callable[[Rows, Any, datetime], Taken]
FOLLOWED: dict[str, Follow] = {
    "deal.won": deal_seen,
    "deal.lost": deal_seen,
    "deal.changed": deal_seen,
    "run.started": run_started,
    "run.progressed": run_progressed,
    "run.ended": run_ended,
    "customer.validated": customer_validated,
    "contract.activated": contract_activated,
    "contract.changed": contract_changed,
    "project.activated": project_activated,
    "project.changed": project_changed,
    "vendor.called": vendor_called,
    "work-item.opened": item_changed,
    "work-item.changed": item_changed,
    "work-item.decided": item_changed,
    "exception.raised": exception_raised,
}


def journey(connection: Connection, source: Source, at: datetime, deal: Deal | None = None) -> str:
    """The journey of a record, begun if it is new."""
    subject, worth = subject_of(source), deal.value if deal else None
    place = {"system": source.connection, "record": source.external_id}
    insert_new(connection, JOURNEYS, subject=subject, began_at=at.isoformat(), **place)
    if deal is not None:
        told = {"name": deal.name}
        if worth:
            told |= {"amount": str(worth.amount), "currency": worth.currency}
        change(connection, JOURNEYS, {"subject": subject}, **told)
    return subject


def placed(
    connection: Connection,
    subject: str,
    entity: str | None,
    customer: str | None,
    by: By = "us",
) -> None:
    """Remember whose the journey is; its work items are the same client's to see."""
    own = find(connection, RUNS, id=subject)
    whole = own.subject if own else subject
    if entity or customer:
        told = {"_entity": entity or None, "_customer": customer or None}
        connection.execute(PLACED[by], {"_subject": whole} | told)
        connection.execute(ITEMS_OF_JOURNEY, {"_subject": whole})
