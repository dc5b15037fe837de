"""What operations reads: one journey, whole, from the read model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from apis.runtime.context import Rows
from apis.runtime.store import Store, find
from apis.runtime.whose import opened
from contracts.canonical.identity import Source
from contracts.canonical.money import Money
from contracts.errors import NotFound
from contracts.runs import RunStep, Waiting, WorkItem
from experience_apis.operations.views import (
    Journey,
    JourneyCall,
    JourneyChange,
    JourneyEvent,
    JourneyRecord,
    JourneyRun,
    WaitingFor,
    Where,
)
from experience_apis.tables import (
    HAPPENINGS,
    JOURNEYS,
    NAMES,
    RECORDS,
    RUNS,
    STEPS,
    WORK_ITEMS,
)

LINKED = {"deal", "project"}
"""The objects that a connection's `record_url` opens."""
Steps = list[tuple[str, RunStep]]


class Reads:
    """What one client may read; `links` say where people open a record of each connection."""

    def __init__(self, store: Store, rows: Rows | None, links: dict[str, str]) -> None:
        self._store = store
        self._rows = rows
        self._links = links

    async def journey(self, name: str) -> Journey:
        """The journey an id is part of, the newest if there are several; else NotFound."""
        found: Journey = await self._store.read(journey_of, name, self._rows, self._links)
        return found


def journey_of(connection: Connection, name: str, rows: Rows | None, links: Any) -> Journey:
    """All that is known of the journey an id is part of."""
    ways = ways_of(connection, name, rows)
    if not ways:
        raise NotFound("journey.unknown", f"nothing that goes on its way has the id {name}")
    way, others = ways[0], ways[1:]
    mine = sa.select(RUNS).where(RUNS.c.subject == way.subject).order_by(RUNS.c.began_at, RUNS.c.id)
    runs = connection.execute(mine).all()
    subjects = [way.subject, *(run.id for run in runs)]
    events = events_of(connection, subjects)
    steps = steps_of(connection, [run.id for run in runs])
    first = foremost(runs) if runs else None
    return Journey(
        source=Source(way.system, way.record),
        name=way.name,
        entity=way.entity,
        customer_id=way.customer,
        value=money(way),
        where=where(connection, first, steps) if first else None,
        waiting=waiting_for(connection, first) if first else None,
        records=tuple(records_of(connection, subjects, links)),
        calls=tuple(calls_of(steps)),
        overwritten=tuple(overwritten_of(steps)),
        events=events,
        runs=tuple(run_of(run) for run in runs),
        others=tuple(Source(each.system, each.record) for each in others),
        as_of=max((event.at for event in events), default=None),
    )


def ways_of(connection: Connection, name: str, rows: Rows | None) -> list[Any]:
    """The journeys that an id is part of, the newest first, as far as the client may see them."""
    named = sa.select(NAMES.c.subject).where(NAMES.c.name == name)
    of_runs = sa.select(RUNS.c.subject).where(RUNS.c.id.in_(named))
    known = sa.or_(
        JOURNEYS.c.subject.in_(named), JOURNEYS.c.subject.in_(of_runs), JOURNEYS.c.subject == name
    )
    asked = opened(JOURNEYS, rows).where(known)
    newest = asked.order_by(JOURNEYS.c.began_at.desc(), JOURNEYS.c.subject)
    return list(connection.execute(newest).all())


def steps_of(connection: Connection, run_ids: list[str]) -> Steps:
    """The steps of all runs, run by run, in their order."""
    asked = sa.select(STEPS).where(STEPS.c.run_id.in_(run_ids)).order_by(STEPS.c.seq)
    rows = connection.execute(asked).all()
    return [
        (row.run_id, msgspec.json.decode(row.body, type=RunStep))
        for run_id in run_ids
        for row in rows
        if row.run_id == run_id
    ]


def foremost(runs: Sequence[Any]) -> Any:
    """The run that people have to know of first: the newest that waits for one, else the newest."""
    asking = [run for run in runs if (wait := wait_of(run)) and wait.work_item_id]
    return (asking or runs)[-1]


def wait_of(run: Any) -> Waiting | None:
    """What a run waits for, if it does."""
    return msgspec.json.decode(run.waiting, type=Waiting) if run.waiting else None


def where(connection: Connection, run: Any, steps: Steps) -> Where:
    """Where a run is: at its last step, or at the one a person has to look at."""
    mine = [step for run_id, step in steps if run_id == run.id]
    last = mine[-1] if mine else None
    since = datetime.fromisoformat(run.since)
    if run.state == "running" and last and last.started_at:
        since = last.started_at
    item = item_of(connection, run)
    asked = item.step if item else None
    step = asked or (last.name if last else None)
    return Where(run_id=run.id, flow=run.flow, state=run.state, step=step, since=since)


def waiting_for(connection: Connection, run: Any) -> WaitingFor | None:
    """What the run waits for, and who has to act."""
    if (wait := wait_of(run)) is None:
        return None
    item = item_of(connection, run)
    return WaitingFor(
        since=wait.since,
        due_at=wait.due_at,
        owner=wait.owner,
        work_item_id=wait.work_item_id,
        assignee=item.assignee if item else None,
        title=item.title if item else None,
        remedy=item.remedy if item else None,
    )


def item_of(connection: Connection, run: Any) -> WorkItem | None:
    """The work item a run waits for."""
    wait = wait_of(run)
    row = find(connection, WORK_ITEMS, id=wait.work_item_id) if wait and wait.work_item_id else None
    return msgspec.json.decode(row.body, type=WorkItem) if row else None


def records_of(
    connection: Connection, subjects: list[str], links: dict[str, str]
) -> Iterable[JourneyRecord]:
    """What exists where, each record once with all that was told of it, the oldest first."""
    asked = sa.select(RECORDS).where(RECORDS.c.subject.in_(subjects)).order_by(RECORDS.c.at)
    found: dict[tuple[str, str, str], JourneyRecord] = {}
    for row in connection.execute(asked):
        place = (row.system, row.object, row.external_id)
        earlier = found.get(place)
        link = links.get(row.system) if row.object in LINKED else None
        found[place] = JourneyRecord(
            system=row.system,
            object=row.object,
            external_id=row.external_id,
            id=row.id or (earlier.id if earlier else None),
            key=row.key or (earlier.key if earlier else None),
            amount=money(row) or (earlier.amount if earlier else None),
            state=row.state or (earlier.state if earlier else "exists"),
            url=link.replace("{external_id}", row.external_id) if link else None,
            at=earlier.at if earlier else datetime.fromisoformat(row.at),
        )
    return found.values()


def calls_of(steps: Steps) -> list[JourneyCall]:
    """Every call that a step made, in the order they were made."""
    calls = [
        JourneyCall(
            system=call.system,
            operation=call.operation,
            status=call.status,
            ms=call.ms,
            at=call.at,
            step=step.name,
            run_id=run_id,
        )
        for run_id, step in steps
        for call in step.calls
    ]
    return sorted(calls, key=lambda call: call.at.timestamp() if call.at else 0.0)


def overwritten_of(steps: Steps) -> Iterable[JourneyChange]:
    """Every value that a step overwrote, in the order of the steps."""
    for run_id, step in steps:
        for change in step.overwrote:
            yield JourneyChange(what=change, step=step.name, run_id=run_id, at=step.ended_at)


def events_of(connection: Connection, subjects: list[str]) -> tuple[JourneyEvent, ...]:
    """What happened, in its order; within one moment in the order it was announced."""
    mine = sa.select(HAPPENINGS).where(HAPPENINGS.c.subject.in_(subjects))
    rows = connection.execute(mine.order_by(HAPPENINGS.c.at, HAPPENINGS.c.seq)).all()
    return tuple(
        JourneyEvent(
            id=row.id,
            type=row.type,
            at=datetime.fromisoformat(row.at),
            facts=msgspec.json.decode(row.facts),
        )
        for row in rows
    )


def run_of(row: Any) -> JourneyRun:
    """A run as part of its journey."""
    return JourneyRun(
        id=row.id,
        flow=row.flow,
        state=row.state,
        began_at=datetime.fromisoformat(row.began_at),
        ended_at=datetime.fromisoformat(row.ended_at) if row.ended_at else None,
        requester=row.requester,
        kept=tuple(msgspec.json.decode(row.kept)) if row.kept else (),
    )


def money(row: Any) -> Money | None:
    """The amount of a row."""
    return Money(Decimal(row.amount), row.currency) if row.amount else None
