"""Runs as people see them: their steps, and between them every wait for a person.

A wait is no second record of anything: what is shown comes from its work item.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from apis.runtime.context import Rows
from apis.runtime.runs import RUNS, STEPS, WAITS, moment
from apis.runtime.store import find, page_end
from apis.runtime.whose import deals_of, is_of
from apis.runtime.work_items import APPROVAL, WORK_ITEMS
from contracts.canonical.identity import Source
from contracts.runs import Run, RunPage, RunStep, Waiting, WorkItem

STEPS_OF = (
    sa.select(STEPS.c.body).where(STEPS.c.run_id == sa.bindparam("run_id")).order_by(STEPS.c.seq)
)
ASKED_OF = (
    sa.select(WORK_ITEMS.c.body)
    .where(WORK_ITEMS.c.run_id == sa.bindparam("run_id"), WORK_ITEMS.c.wait_id.is_not(None))
    .order_by(WORK_ITEMS.c.since, WORK_ITEMS.c.id)
)
WAIT_OF = (
    sa.select(WAITS)
    .where(WAITS.c.run_id == sa.bindparam("run_id"), WAITS.c.state == "open")
    .order_by(WAITS.c.since.desc())
)
EARLIEST = datetime.min.replace(tzinfo=UTC)
PAGE = 50
NOWHERE = Source("", "")
"""Nobody's deal: looked for where there is no run, so that an answer takes as long."""


def view(connection: Connection, run_id: str, rows: Rows | None = None) -> Run | None:
    """A run as people see it, or None if there is none that this client may see."""
    row = find(connection, RUNS, id=run_id)
    if not is_of(connection, Source(row.connection, row.record) if row else NOWHERE, rows):
        return None
    if row is None:
        return None
    return Run(
        id=row.id,
        flow=row.flow,
        state=row.state,
        deal=Source(row.connection, row.record),
        started_at=moment(row.started_at),
        ended_at=moment(row.ended_at),
        requester=row.requester,
        waiting=waiting(connection, run_id) if row.state == "waiting" else None,
        steps=steps(connection, run_id),
        result=msgspec.json.decode(row.result) if row.result else None,
        kept=tuple(msgspec.json.decode(row.kept)) if row.kept else (),
    )


def waiting(connection: Connection, run_id: str) -> Waiting | None:
    """What a run waits for now."""
    wait = connection.execute(WAIT_OF, {"run_id": run_id}).first()
    if wait is None:
        return None
    return Waiting(
        since=datetime.fromisoformat(wait.since),
        due_at=moment(wait.due_at),
        owner=wait.owner,
        work_item_id=wait.work_item_id,
    )


def steps(connection: Connection, run_id: str) -> tuple[RunStep, ...]:
    """The run's own steps in their order, and each wait for a person where it began."""
    own, asked = (
        connection.execute(query, {"run_id": run_id}).scalars() for query in (STEPS_OF, ASKED_OF)
    )
    done = [msgspec.json.decode(body, type=RunStep) for body in own]
    waits = [wait_for_person(msgspec.json.decode(body, type=WorkItem)) for body in asked]
    return tuple(heapq.merge(done, waits, key=lambda step: step.started_at or EARLIEST))


def wait_for_person(item: WorkItem) -> RunStep:
    """A work item as the step of its run that the item's owner takes."""
    decision = item.decision
    return RunStep(
        name=APPROVAL if item.step == APPROVAL else f"{item.step or 'run'}.decision",
        owner=item.owner,
        state="done" if decision else "waiting",
        started_at=item.since,
        ended_at=decision.at if decision else None,
        attempts=1,
        work_item_id=item.id,
        decision=decision,
    )


def listed(
    connection: Connection,
    flow: str,
    records: Collection[str],
    cursor: str | None,
    rows: Rows | None = None,
) -> RunPage:
    """Runs of a flow, the newest first, of `records` if any; `cursor` is the last page's `next`."""
    wanted: list[Any] = [RUNS.c.flow == flow, *deals_of(RUNS.c.connection, RUNS.c.record, rows)]
    if records:
        wanted.append(RUNS.c.record.in_(records))
    if cursor is not None:
        wanted.append(sa.tuple_(RUNS.c.queued_at, RUNS.c.id) < sa.tuple_(*page_end(cursor)))
    asked = sa.select(RUNS.c.id, RUNS.c.queued_at).where(*wanted)
    newest = asked.order_by(RUNS.c.queued_at.desc(), RUNS.c.id.desc()).limit(PAGE + 1)
    page = connection.execute(newest).all()
    found = [view(connection, row.id) for row in page[:PAGE]]
    after = f"{page[PAGE - 1].queued_at}~{page[PAGE - 1].id}" if len(page) > PAGE else None
    return RunPage(items=tuple(run for run in found if run is not None), next=after)


def open_of(connection: Connection, flow: str, source: Source) -> Any:
    """The row of a record's open run of a flow, or None."""
    return find(connection, RUNS, open_key=f"{flow}|{source.connection}|{source.external_id}")


def latest_of(connection: Connection, flow: str, source: Source) -> Any:
    """The row of a record's last run of a flow, or None."""
    mine = sa.and_(
        RUNS.c.flow == flow,
        RUNS.c.connection == source.connection,
        RUNS.c.record == source.external_id,
    )
    asked = sa.select(RUNS).where(mine).order_by(RUNS.c.queued_at.desc(), RUNS.c.id.desc())
    return connection.execute(asked.limit(1)).first()


def count_of(connection: Connection, flow: str, source: Source) -> int:
    """How many runs of a flow a record has had."""
    mine = sa.and_(
        RUNS.c.flow == flow,
        RUNS.c.connection == source.connection,
        RUNS.c.record == source.external_id,
    )
    counted = sa.select(sa.func.count()).select_from(RUNS).where(mine)
    return int(connection.execute(counted).scalar_one())


def ended_before(connection: Connection, source: Source, run_id: str) -> list[str]:
    """Runs of the record that ended before this one, which may be planned, the oldest first."""
    mine = find(connection, RUNS, id=run_id)
    same = sa.and_(
        RUNS.c.connection == source.connection,
        RUNS.c.record == source.external_id,
        RUNS.c.state.in_(("done", "abandoned")),
        RUNS.c.queued_at <= mine.queued_at if mine else sa.true(),
        RUNS.c.id != run_id,
    )
    asked = sa.select(RUNS.c.id).where(same).order_by(RUNS.c.queued_at, RUNS.c.id)
    return list(connection.execute(asked).scalars())
