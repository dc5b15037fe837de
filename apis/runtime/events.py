"""Events: an outbox per tier, one log, readers with a cursor and an inbox.

A tier writes its event in the transaction of its state. A leased relay copies outboxes to the log,
which is the source of replay. The same event id is one event, however often a step is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Integer,
    String,
    Table,
    Text,
)

from apis.runtime.event_schemas import refuse_unregistered
from apis.runtime.store import Store, find, insert_all_new, insert_new, new_row, table
from contracts.events import Event

SEQUENCE = BigInteger().with_variant(Integer, "sqlite")
BATCH = 200
RELAY_LOCK = 7_401_001


def _outbox(tier: str) -> Table:
    return table(
        tier,
        "outbox",
        Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
        Column("id", String(64), nullable=False, unique=True),
        Column("body", Text, nullable=False),
    )


OUTBOXES = {tier: _outbox(tier) for tier in ("gateway", "system", "process", "experience")}
LOG = table(
    "runtime",
    "event_log",
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("tier", String(20), nullable=False),
    Column("type", String(80), nullable=False, index=True),
    Column("key", String(200), index=True),
    Column("body", Text, nullable=False),
)
CURSORS = table(
    "runtime",
    "cursors",
    Column("reader", String(80), primary_key=True),
    Column("seq", SEQUENCE, nullable=False),
)
INBOX = table(
    "runtime",
    "inbox",
    Column("reader", String(80), primary_key=True),
    Column("id", String(64), primary_key=True),
)


OLDEST = {
    tier: sa.select(outbox).order_by(outbox.c.seq).limit(BATCH) for tier, outbox in OUTBOXES.items()
}
MOVED = {
    tier: sa.delete(outbox).where(outbox.c.seq.in_(sa.bindparam("moved", expanding=True)))
    for tier, outbox in OUTBOXES.items()
}
UNREAD = (
    sa.select(LOG.c.seq, LOG.c.body)
    .where(
        LOG.c.seq > sa.bindparam("after"),
        LOG.c.type.in_(sa.bindparam("types", expanding=True)),
    )
    .order_by(LOG.c.seq)
    .limit(sa.bindparam("most"))
)


class Head(msgspec.Struct, frozen=True):
    """What the log knows an event by."""

    id: str
    type: str
    partitionkey: str | None = None


class Logged(msgspec.Struct, frozen=True):
    """An event and its place in the log."""

    seq: int
    event: Event


def publish(connection: Connection, tier: str, event: Event) -> bool:
    """Announce in the caller's transaction; False if this event was announced before.

    ThroughlineError for one that is not what its type is registered as.
    """
    refuse_unregistered(event)
    given = {"id": event.id, "body": msgspec.json.encode(event).decode()}
    return connection.execute(announcing(tier, connection.dialect.name), given).rowcount == 1


def publish_all(connection: Connection, tier: str, events: Sequence[Event]) -> None:
    """`publish` of each, in order."""
    for each in events:
        refuse_unregistered(each)
    given = [{"id": each.id, "body": msgspec.json.encode(each).decode()} for each in events]
    if given:
        connection.execute(announcing(tier, connection.dialect.name), given)


@cache
def announcing(tier: str, dialect: str) -> Any:
    """The insert into an outbox of what is neither there nor in the log."""
    outbox = OUTBOXES[tier]
    told = sa.exists().where(LOG.c.id == sa.bindparam("id", type_=String))
    row = (sa.bindparam(name, type_=outbox.c[name].type) for name in ("id", "body"))
    new = sa.select(*row).where(~told)
    return new_row(outbox, dialect).from_select(["id", "body"], new)


def relay(connection: Connection, tier: str) -> int:
    """Move the oldest events of a tier's outbox to the log; answers how many."""
    rows = connection.execute(OLDEST[tier]).all()
    if not rows:
        return 0
    if connection.dialect.name == "postgresql":
        # readers go by sequence: no lower number may become visible after a higher one
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(RELAY_LOCK)))
    insert_all_new(connection, LOG, [logged(tier, row.body) for row in rows])
    # by name: a lower number may have become visible since the look
    connection.execute(MOVED[tier], {"moved": [row.seq for row in rows]})
    return len(rows)


def logged(tier: str, body: str) -> dict[str, Any]:
    """The row of an event in the log."""
    head = msgspec.json.decode(body, type=Head)
    return {
        "id": head.id,
        "tier": tier,
        "type": head.type,
        "key": head.partitionkey,
        "body": body,
    }


def outbox_holds(tier: str) -> ColumnElement[bool]:
    """In SQL whether a tier's outbox holds anything: `relay` would take the write lock."""
    return sa.exists().select_from(OUTBOXES[tier])


def unread(
    connection: Connection, reader: str, types: Collection[str], limit: int = BATCH
) -> list[Logged]:
    """The next events of these types that a reader has not passed."""
    cursor = find(connection, CURSORS, reader=reader)
    given = {"after": cursor.seq if cursor else 0, "types": list(types), "most": limit}
    rows = connection.execute(UNREAD, given).all()
    return [Logged(row.seq, msgspec.json.decode(row.body, type=Event)) for row in rows]


def first_met(connection: Connection, reader: str, found: list[Logged]) -> list[Event]:
    """Remember that a reader met these events; answers those that it had not met before."""
    rows = [{"reader": reader, "id": each.event.id} for each in found]
    new = set(connection.execute(meeting(connection.dialect.name), rows).scalars())
    return [each.event for each in found if each.event.id in new]


@cache
def meeting(dialect: str) -> Any:
    """The insert into the inbox that answers what is new in it."""
    return new_row(INBOX, dialect, inline=False).returning(INBOX.c.id)


def move(connection: Connection, reader: str, logged: Logged) -> None:
    """Move the reader's cursor past an event; never back."""
    if not insert_new(connection, CURSORS, reader=reader, seq=logged.seq):
        mine = sa.and_(CURSORS.c.reader == reader, CURSORS.c.seq < logged.seq)
        connection.execute(sa.update(CURSORS).where(mine).values(seq=logged.seq))


Apply = Callable[[Connection, Sequence[Event]], object]


class Projection(msgspec.Struct, frozen=True):
    """A reader by name: which events it takes and what they do, in the cursor's transaction.

    `together` is how many events may share a transaction: more for a read model, which is cheap
    and waits for nobody, one where an event's effect is a decision.
    """

    reader: str
    types: tuple[str, ...]
    apply: Apply
    together: int = 1


def behind(projection: Projection) -> ColumnElement[bool]:
    """In SQL whether the log holds anything that a projection has not passed."""
    mine = sa.select(CURSORS.c.seq).where(CURSORS.c.reader == projection.reader)
    passed = sa.func.coalesce(mine.scalar_subquery(), 0)
    return sa.exists().where(LOG.c.seq > passed, LOG.c.type.in_(projection.types))


async def consume(store: Store, projection: Projection) -> int:
    """Apply the next events of a projection, each once; answers how many were read."""
    found = await store.read(unread, projection.reader, projection.types)
    for start in range(0, len(found), projection.together):
        await store.write(applied, projection, found[start : start + projection.together])
    return len(found)


def applied(connection: Connection, projection: Projection, found: list[Logged]) -> None:
    """Apply events unless they were before, and move the cursor."""
    projection.apply(connection, first_met(connection, projection.reader, found))
    move(connection, projection.reader, found[-1])
