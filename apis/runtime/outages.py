"""Connections that are away: one work item per connection, however many runs wait for it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Connection, String

from apis.runtime.clock import Clock
from apis.runtime.context import Context
from apis.runtime.store import Store, insert_new, table
from apis.runtime.work_items import Deciding, decide, get_item, open_item
from contracts.events import event_id
from contracts.runs import WorkItem, WorkRecord

OUTAGES = table(
    "process",
    "outages",
    Column("connection", String(80), primary_key=True),
    Column("since", String(40), nullable=False),
    Column("work_item_id", String(64)),
)
PATIENCE = timedelta(minutes=30)
OWNER = "integration"


def away(connection: Connection, system: str, at: datetime) -> None:
    """A call found the connection unavailable; the first one says since when."""
    insert_new(connection, OUTAGES, connection=system, since=at.isoformat())


def is_away(connection: Connection, system: str) -> bool:
    """Whether the connection is known to be away: read before `back` takes the write lock."""
    mine = sa.select(OUTAGES.c.since).where(OUTAGES.c.connection == system)
    return connection.execute(mine).first() is not None


def back(connection: Connection, system: str, at: datetime) -> None:
    """A call worked again: the outage is over and its work item closes itself."""
    mine = OUTAGES.c.connection == system
    row = connection.execute(sa.select(OUTAGES).where(mine)).first()
    if row is None:
        return
    connection.execute(sa.delete(OUTAGES).where(mine))
    if row.work_item_id and get_item(connection, row.work_item_id).state == "open":
        by = Context(actor="svc:process", client="svc:process", roles=(OWNER,))
        told = Deciding(decision="retry", comment="the connection works again", by=by, at=at)
        decide(connection, row.work_item_id, told)


async def report(store: Store, clock: Clock) -> None:
    """Open the work item of every connection that has been away for 30 minutes."""
    long_ago = clock.now() - PATIENCE
    if await store.read(unreported, long_ago):
        await store.write(reported, long_ago, clock.now())


def unreported(connection: Connection, long_ago: datetime) -> list[Any]:
    """Outages that began before a moment and nobody has been told of."""
    asked = sa.select(OUTAGES.c.connection, OUTAGES.c.since)
    mine = sa.and_(OUTAGES.c.work_item_id.is_(None), OUTAGES.c.since <= long_ago.isoformat())
    return list(connection.execute(asked.where(mine)).all())


def reported(connection: Connection, long_ago: datetime, at: datetime) -> None:
    """One item each, in one transaction with the note that it was opened."""
    for row in unreported(connection, long_ago):
        item = away_item(row.connection, datetime.fromisoformat(row.since), at)
        open_item(connection, item)
        mine = OUTAGES.c.connection == row.connection
        connection.execute(sa.update(OUTAGES).where(mine).values(work_item_id=item.id))


def away_item(system: str, since: datetime, at: datetime) -> WorkItem:
    """What the owner of connections reads."""
    return WorkItem(
        id=f"wi-{event_id(system, 'unavailable', since.isoformat())[:20]}",
        code="connection.unavailable",
        title="A system has not been available for half an hour",
        detail=f"{system} has not been available since {since:%Y-%m-%d %H:%M} UTC",
        owner=OWNER,
        remedy=f"find out when {system} is back; what waits for it goes on by itself",
        record=WorkRecord(system=system, object="connection", external_id=system),
        since=at,
    )


def system_of(problem: dict[str, object]) -> str | None:
    """The connection that a recorded refusal found unavailable, if it was one."""
    kind, source = problem.get("kind"), problem.get("source")
    return str(source) if kind == "Unavailable" and source else None
