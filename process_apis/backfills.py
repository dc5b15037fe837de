"""Deals won before their feed began: found in the CRM, and started beside those won now.

All that is known is in two tables, so that whoever leads goes on where the last leader was.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Column, Connection, Integer, String, Text

from apis.runtime import audit, runs
from apis.runtime.budget import limits_of
from apis.runtime.context import CURRENT, Call, Context, traceparent
from apis.runtime.flow import Runtime
from apis.runtime.log import get_logger
from apis.runtime.metadata import Metadata
from apis.runtime.store import change, find, insert_new, table
from contracts.canonical.deal import Deal, DealPage, Gap
from contracts.canonical.identity import Source
from contracts.errors import Conflict, NotFound, ThroughlineError, Transient
from contracts.events import DealWon
from contracts.ports import Crm
from process_apis.feeds import pause_after, sighted, standing

BACKFILLS = table(
    "process",
    "backfills",
    Column("id", String(40), primary_key=True),
    Column("open_key", String(200), unique=True),
    Column("state", String(20), nullable=False, index=True),
    Column("connection", String(80), nullable=False),
    Column("won_since", String(10), nullable=False),
    Column("entity", String(40)),
    Column("context", Text, nullable=False),
    Column("requester", String(200), nullable=False),
    Column("watermark", String(40), nullable=False),
    Column("detail", Text),
    Column("asked_at", String(40), nullable=False, index=True),
    Column("ended_at", String(40)),
)
DEALS = table(
    "process",
    "backfill_deals",
    Column("backfill_id", String(40), primary_key=True),
    Column("external_id", String(120), primary_key=True),
    Column("n", Integer, nullable=False, index=True),
    Column("outcome", String(20), nullable=False, index=True),
    Column("body", Text, nullable=False),
    Column("run_id", String(200), index=True),
    Column("reason", Text),
    Column("started_at", String(40), index=True),
)
OPEN = ("reading", "starting")
EVER = datetime(1970, 1, 1, tzinfo=UTC)
SHARE = 2
"""A backfill takes every second slot and call of a system at most: deals won now have the rest."""
CALLS = 8
"""Calls that a deal makes to one system at most."""
TIRED_S = 5.0
log = get_logger(__name__)
Begin = Callable[[Connection, DealWon, Context], runs.Begun]
on_time = sa.exists().where(
    runs.WAITS.c.run_id == runs.RUNS.c.id,
    runs.WAITS.c.state == "open",
    runs.WAITS.c.due_at.is_not(None),
)
AT_WORK = sa.or_(
    runs.RUNS.c.state.in_(("queued", "running")), sa.and_(runs.RUNS.c.state == "waiting", on_time)
)
"""Runs that go on by themselves; those that wait for a person hold nothing up."""
BUSY = (
    sa.select(DEALS.c.backfill_id, sa.func.count())
    .join(runs.RUNS, runs.RUNS.c.id == DEALS.c.run_id)
    .where(DEALS.c.outcome == "started", AT_WORK)
    .group_by(DEALS.c.backfill_id)
)


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Since which day deals were won, in which CRM, and for one legal entity or all."""

    connection: str = msgspec.field(name="system")
    won_since: date
    entity: str | None = None

    @property
    def key(self) -> str:
        """The same question has one answer while it is being worked on."""
        return f"{self.connection}|{self.won_since}|{self.entity or ''}"

    def means(self, deal: Deal) -> bool:
        """Whether the deal is one of those asked for."""
        return self.entity is None or deal.entity == self.entity


class Backfilling:
    """Every backfill of this deployment, carried out by one leader; `due` says when, in SQL."""

    due = sa.exists().where(BACKFILLS.c.state.in_(OPEN))

    def __init__(self, runtime: Runtime, begin: Begin) -> None:
        self._runtime = runtime
        self._begin = begin
        self._next_at = 0.0
        self._failures = 0

    async def tick(self) -> None:
        """Let each open backfill go on; after a failure when the system says, or later."""
        store, clock = self._runtime.store, self._runtime.clock
        if clock.timestamp() < self._next_at:
            return
        for one in await store.read(unfinished):
            try:
                if one.state == "reading":
                    await self.read(one)
                elif await store.read(may_go_on, self._runtime.metadata, one.id, clock.now()):
                    await store.write(go_on, self._runtime, one.id, self._begin)
            except ThroughlineError as error:
                self._failures += 1
                pause = pause_after(self._failures, error, TIRED_S)
                self._next_at = clock.timestamp() + pause
                await store.write(hindered, one.id, error.detail or error.code)
                if not isinstance(error, Transient):
                    raise  # whoever leads says so in the log
                return
        self._failures = 0

    async def read(self, one: Any) -> None:
        """Find the deals, page by page, from where the last leader was."""
        asked, cursor = asked_of(one), None
        since = datetime.fromisoformat(one.watermark)
        context = msgspec.json.decode(one.context, type=Context)
        CURRENT.set(Call(calling(context, f"backfill/{one.id}")))
        crm: Crm = self._runtime.connect(Crm, f"system/{asked.connection}")
        while True:
            page = await crm.list_deals(since, cursor, "won", asked.won_since)
            if not await self._runtime.store.write(take_in, one.id, page):
                return  # it was cancelled
            cursor = page.next
            if cursor is None:
                return


def calling(asker: Context, cause: str) -> Context:
    """The context of what the process tier asks a system for somebody."""
    return Context(
        actor=f"svc:process for {asker.actor}",
        client="svc:process",
        traceparent=asker.traceparent or traceparent(),
        request_id=asker.request_id,
        cause=cause,
    )


def asked_of(row: Any) -> Ask:
    """What a backfill was asked for."""
    won_since = date.fromisoformat(row.won_since)
    return Ask(connection=row.connection, won_since=won_since, entity=row.entity)


def unfinished(connection: Connection) -> list[Any]:
    """Backfills that have something to do, the oldest first."""
    mine = sa.select(BACKFILLS).where(BACKFILLS.c.state.in_(OPEN))
    return list(connection.execute(mine.order_by(BACKFILLS.c.asked_at, BACKFILLS.c.id)).all())


def begin(connection: Connection, ask: Ask, by: Context, at: datetime) -> str:
    """Ask for a backfill, or answer the one that does the same already."""
    id_ = f"bf-{secrets.token_hex(10)}"
    context = msgspec.structs.replace(by, request_key=None, deadline=None, plan=False)
    new = insert_new(
        connection,
        BACKFILLS,
        id=id_,
        open_key=ask.key,
        state="reading",
        connection=ask.connection,
        won_since=ask.won_since.isoformat(),
        entity=ask.entity,
        context=msgspec.json.encode(context).decode(),
        requester=by.person or by.actor,
        watermark=EVER.isoformat(),
        asked_at=at.isoformat(),
    )
    if not new:
        return str(find(connection, BACKFILLS, open_key=ask.key).id)
    told(connection, "backfill.asked", id_, by, at)
    return id_


def cancel(connection: Connection, id_: str, by: Context, at: datetime) -> None:
    """Start no more; runs that have begun go on."""
    row = locked(connection, id_)
    if row is None:
        raise NotFound("backfill.unknown", f"there is no backfill {id_}")
    if row.state not in OPEN:
        raise Conflict("backfill.ended", f"{id_} is {row.state} already")
    end(connection, id_, "cancelled", at)
    told(connection, "backfill.cancelled", id_, by, at)


def told(connection: Connection, action: str, id_: str, by: Context, at: datetime) -> None:
    """Record who asked for it."""
    cause = by.request_id or None
    audit.record(
        connection, "process", at=at, actor=by.actor, action=action, cause=cause,
        object="backfill", key=id_,
    )  # fmt: skip


def locked(connection: Connection, id_: str) -> Any:
    """The row of a backfill, which nobody else changes now."""
    mine = sa.select(BACKFILLS).where(BACKFILLS.c.id == id_)
    return connection.execute(mine.with_for_update()).first()


def end(connection: Connection, id_: str, state: str, at: datetime) -> None:
    """Close a backfill: the same may be asked for again."""
    ended = {"state": state, "ended_at": at.isoformat(), "detail": None, "open_key": None}
    change(connection, BACKFILLS, {"id": id_}, **ended)


def hindered(connection: Connection, id_: str, detail: str) -> None:
    """Say what keeps a backfill from going on."""
    change(connection, BACKFILLS, {"id": id_}, detail=detail)


def take_in(connection: Connection, id_: str, page: DealPage) -> bool:
    """One page of what was found, and how far that is; False if nobody wants it any more."""
    row = locked(connection, id_)
    if row.state != "reading":
        return False
    ask = asked_of(row)
    last = connection.execute(sa.select(sa.func.max(DEALS.c.n)).where(mine(id_))).scalar() or 0
    found: list[Deal | Gap] = [*filter(ask.means, page.items), *page.gaps]
    for n, each in enumerate(found, start=last + 1):
        keep(connection, id_, n, each)
    values: dict[str, Any] = {"detail": None}
    if page.until is not None:
        values["watermark"] = page.until.isoformat()
    if page.next is None:
        values["state"] = "starting"
    change(connection, BACKFILLS, {"id": id_}, **values)
    return True


def mine(id_: str) -> sa.ColumnElement[bool]:
    """The deals of a backfill."""
    return DEALS.c.backfill_id == id_


def keep(connection: Connection, id_: str, n: int, found: Deal | Gap) -> None:
    """A deal that was found; one that could not be read is refused with the reason."""
    gap = isinstance(found, Gap)
    insert_new(
        connection,
        DEALS,
        backfill_id=id_,
        external_id=found.external_id,
        n=n,
        outcome="refused" if gap else "found",
        reason=found.detail if isinstance(found, Gap) else None,
        body="{}" if gap else msgspec.json.encode(found).decode(),
    )


def may_go_on(connection: Connection, metadata: Metadata, id_: str, now: datetime) -> bool:
    """Whether a deal may start, or all have ended; read before the write lock is taken."""
    if next_of(connection, id_, 1):
        return room(connection, metadata, now) > 0
    return not dict(busy(connection)).get(id_)


def busy(connection: Connection) -> list[tuple[str, int]]:
    """How many runs of each backfill are at work."""
    return [(row[0], row[1]) for row in connection.execute(BUSY)]


def next_of(connection: Connection, id_: str, most: int) -> list[Any]:
    """The deals whose turn it is."""
    waiting = sa.select(DEALS).where(mine(id_), DEALS.c.outcome == "found")
    return list(connection.execute(waiting.order_by(DEALS.c.n).limit(most)).all())


def room(connection: Connection, metadata: Metadata, now: datetime) -> int:
    """How many deals may start now: all backfills together leave the systems to deals won now."""
    left = [at_once(metadata) - sum(count for _, count in busy(connection))]
    for window, most in paces(metadata):
        begun = DEALS.c.started_at > (now - timedelta(seconds=window)).isoformat()
        count = sa.select(sa.func.count()).where(begun)
        left.append(most - connection.execute(count).scalar_one())
    return min(left)


def at_once(metadata: Metadata) -> int:
    """How many runs of backfills may be at work: a share of the smallest system's slots."""
    slots = [each.budgets.concurrency for each in metadata.connections.values()]
    return max(1, min(slots, default=1) // SHARE)


def paces(metadata: Metadata) -> list[tuple[float, int]]:
    """So many deals may start in so many seconds: a share of each system's rate and quota."""
    limits = [limit for each in metadata.connections.values() for limit in limits_of(each)]
    dear = SHARE * CALLS
    return [
        (each.window * max(1.0, dear / each.tokens), max(1, each.tokens // dear)) for each in limits
    ]


def go_on(connection: Connection, runtime: Runtime, id_: str, start: Begin) -> None:
    """Start the next deals, or end the backfill when nothing is left to do."""
    row, now = locked(connection, id_), runtime.clock.now()
    if row.state != "starting":
        return
    asker = msgspec.json.decode(row.context, type=Context)
    for each in next_of(connection, id_, max(0, room(connection, runtime.metadata, now))):
        deal = msgspec.json.decode(each.body, type=Deal)
        source = Source(row.connection, each.external_id)
        became = begun(connection, source, deal, (start, asker, now))
        place = {"backfill_id": id_, "external_id": each.external_id}
        change(connection, DEALS, place, **became)
    if not next_of(connection, id_, 1) and not dict(busy(connection)).get(id_):
        end(connection, id_, "done", now)


def begun(
    connection: Connection, source: Source, deal: Deal, how: tuple[Begin, Context, datetime]
) -> dict[str, Any]:
    """What becomes of a deal: first seen here, it is announced as won like any other."""
    start, asker, now = how
    sighted(connection, source.connection, deal, now)
    state, turn = standing(connection, "deal", source)
    if state != "won":
        return {"outcome": "refused", "reason": f"it is {state} by now"}
    context = msgspec.structs.replace(asker, person=deal.owner or asker.person)
    run = start(connection, DealWon(connection=source.connection, deal=deal, turn=turn), context)
    if not run.new:
        return {"outcome": "already", "run_id": run.run_id, "reason": already(run.state)}
    return {"outcome": "started", "run_id": run.run_id, "started_at": now.isoformat()}


def already(state: str) -> str:
    """Why a deal that has a run gets no other."""
    return f"it has a run, which is {state}"
