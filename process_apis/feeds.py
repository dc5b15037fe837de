"""What is read from where: each feed turns what a system shows into events, and loses nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa
from sqlalchemy import Column, Connection, Integer, String

from apis.runtime.context import CURRENT, Call, Context, traceparent
from apis.runtime.events import publish
from apis.runtime.flow import Runtime
from apis.runtime.metadata import Feed
from apis.runtime.outages import away, back, is_away
from apis.runtime.run_views import latest_of
from apis.runtime.store import find, insert_new, table
from apis.runtime.whose import belongs
from apis.runtime.work_items import open_item
from contracts.canonical.deal import Deal, DealPage, Gap
from contracts.canonical.identity import Ref, Source
from contracts.errors import ThroughlineError, Transient, Unavailable
from contracts.events import DealChanged, DealLost, DealWon, event_id, event_of
from contracts.ports import Crm
from contracts.runs import WorkItem, WorkRecord
from process_apis.customer_master import golden

FLOW = "deal_to_project"
"""What a won deal starts."""
FEED_STATE = table(
    "process",
    "feed_state",
    Column("connection", String(80), primary_key=True),
    Column("object", String(40), primary_key=True),
    Column("external_id", String(120), primary_key=True),
    Column("state", String(20), nullable=False),
    Column("turn", Integer, nullable=False),
    Column("changed_at", String(40)),
    Column("terms", String(64)),
)
FEEDS = table(
    "process",
    "feeds",
    Column("connection", String(80), primary_key=True),
    Column("object", String(40), primary_key=True),
    Column("begins_at", String(40), nullable=False),
    Column("watermark", String(40), nullable=False),
    Column("swept_at", String(40), nullable=False),
)
STAMP = timedelta(seconds=2)
"""Systems stamp changes with whole seconds, some by a clock that is a little behind ours."""
LONGEST_S = 60.0
"""A feed that fails again and again is tried at least this often."""
Told = DealWon | DealLost | DealChanged


class Place(msgspec.Struct, frozen=True):
    """How far a feed has read."""

    begins_at: datetime
    watermark: datetime
    swept_at: datetime


class Reader:
    """One feed of this deployment, run by one leader."""

    def __init__(self, runtime: Runtime, feed: Feed) -> None:
        self._runtime = runtime
        self._feed = feed
        self._next_at = 0.0
        self._failures = 0

    async def begin(self) -> None:
        """Take the feed's place before this process says it is ready: what comes after is read."""
        earlier = self._runtime.clock.now() - STAMP
        await self._runtime.store.write(place_of, self._feed, earlier)

    async def tick(self) -> None:
        """Read when it is time (by the clock); after a failure when the system says, or later."""
        now = self._runtime.clock.timestamp()
        if now < self._next_at:
            return
        try:
            await self.read()
        except ThroughlineError as error:
            self._failures += 1
            failed_at = self._runtime.clock.timestamp()
            self._next_at = failed_at + pause_after(self._failures, error, self._feed.every_s)
            if isinstance(error, Unavailable):
                await self._tell(away, away_now=False)
            if not isinstance(error, Transient):
                raise  # whoever leads says so in the log
            return
        self._failures = 0
        self._next_at = now + self._feed.every_s
        await self._tell(back, away_now=True)

    async def _tell(self, news: Callable[..., None], *, away_now: bool) -> None:
        """Note that the connection went away or came back, where that is new."""
        store, system = self._runtime.store, self._feed.connection
        if await store.read(is_away, system) is away_now:
            await store.write(news, system, self._runtime.clock.now())

    async def read(self) -> None:
        """All since the watermark less the overlap; once a day all since the start."""
        now = self._runtime.clock.now()
        place = await self._runtime.store.write(place_of, self._feed, now)
        sweep = self._feed.sweep_at is not None and sweep_due(
            place.swept_at, now, self._feed.sweep_at
        )
        since = (
            place.begins_at
            if sweep
            else max(place.begins_at, place.watermark - overlap(self._feed))
        )
        CURRENT.set(
            Call(
                Context(
                    actor="svc:feed",
                    client="svc:process",
                    traceparent=traceparent(),
                    cause=f"feed/{self._feed.connection}",
                )
            )
        )
        crm: Crm = self._runtime.connect(Crm, f"system/{self._feed.connection}")
        cursor = None
        while True:
            page = await crm.list_deals(since, cursor)
            await self._runtime.store.write(take_in, self._feed, page, self._runtime.clock.now())
            cursor = page.next
            if cursor is None:
                break
        if sweep:
            await self._runtime.store.write(swept, self._feed, now)


def pause_after(failures: int, error: ThroughlineError, every_s: float) -> float:
    """What the system asks for, else the feed's own period, doubled with each failure more."""
    grown = every_s * 2.0 ** min(failures - 1, 10)
    return error.retry_after or max(every_s, min(LONGEST_S, grown))


def overlap(feed: Feed) -> timedelta:
    """How far back each reading goes: what became visible late is still seen."""
    return timedelta(seconds=feed.overlap_s)


def sweep_due(swept_at: datetime, now: datetime, at: str) -> bool:
    """Whether the nightly moment lies between the last sweep and now."""
    hour, minute = (int(part) for part in at.split(":"))
    today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    latest = today if today <= now else today - timedelta(days=1)
    return swept_at < latest


def place_of(connection: Connection, feed: Feed, now: datetime) -> Place:
    """Where the feed stands; at its first start it begins at `from` in metadata, else now."""
    begins_at = feed.begins_at or now
    insert_new(
        connection,
        FEEDS,
        connection=feed.connection,
        object=feed.object,
        begins_at=begins_at.isoformat(),
        watermark=begins_at.isoformat(),
        swept_at=now.isoformat(),
    )
    row = connection.execute(sa.select(FEEDS).where(mine(feed))).one()
    return Place(
        *(datetime.fromisoformat(text) for text in (row.begins_at, row.watermark, row.swept_at))
    )


def mine(feed: Feed) -> sa.ColumnElement[bool]:
    """The row of a feed."""
    return sa.and_(FEEDS.c.connection == feed.connection, FEEDS.c.object == feed.object)


def swept(connection: Connection, feed: Feed, at: datetime) -> None:
    """Remember a full sweep."""
    connection.execute(sa.update(FEEDS).where(mine(feed)).values(swept_at=at.isoformat()))


def take_in(connection: Connection, feed: Feed, page: DealPage, now: datetime) -> None:
    """One page: states, events, gaps and watermark in one transaction."""
    for deal in page.items:
        sighted(connection, feed.connection, deal, now)
    for gap in page.gaps:
        open_gap(connection, feed.connection, gap, now)
    if page.until is not None:
        ahead = sa.and_(mine(feed), FEEDS.c.watermark < page.until.isoformat())
        connection.execute(sa.update(FEEDS).where(ahead).values(watermark=page.until.isoformat()))


def sighted(connection: Connection, system: str, deal: Deal, now: datetime) -> None:
    """Announce what a sighting means: won or lost when the state turns; old news is dropped."""
    external_id = deal.external_id or ""
    changed_at = deal.changed_at.isoformat() if deal.changed_at else None
    this = sa.and_(
        FEED_STATE.c.connection == system,
        FEED_STATE.c.object == "deal",
        FEED_STATE.c.external_id == external_id,
    )
    row = connection.execute(sa.select(FEED_STATE).where(this)).first()
    if row is not None and changed_at and row.changed_at and changed_at < row.changed_at:
        return
    state, turn = (row.state, row.turn) if row else ("", 0)
    turned = deal.state != state
    if deal.state == "won" and turned:
        turn += 1
    elif turned:
        turn = max(turn, unseen(connection, Source(system, external_id), deal))
    terms = terms_of(deal)
    values = {"state": deal.state, "turn": turn, "changed_at": changed_at, "terms": terms}
    if row is None:
        insert_new(
            connection,
            FEED_STATE,
            connection=system,
            object="deal",
            external_id=external_id,
            **values,
        )
    else:
        connection.execute(sa.update(FEED_STATE).where(this).values(**values))
    if turned and deal.state in ("won", "lost"):
        news = DealWon if deal.state == "won" else DealLost
        told = news(connection=system, deal=deal, turn=turn)
        announce(connection, f"deal.{deal.state}", told, now)
        return
    anew = row is not None and row.terms is not None and terms != row.terms
    if row is not None and (turned or anew or changed_at != row.changed_at):
        changed = DealChanged(connection=system, deal=deal, turn=turn, reopened=turned, terms=anew)
        announce(connection, "deal.changed", changed, now)


def unseen(connection: Connection, source: Source, deal: Deal) -> int:
    """The turn of a win that was over before anybody read it, told by the run it was given."""
    run = latest_of(connection, FLOW, source)
    over = run is not None and (deal.state == "lost" or run.state == "done")
    return int(run.turn) if over else 0


def terms_of(deal: Deal) -> str:
    """What is agreed, in a word: whatever else changes on a deal needs no new version."""
    lines = [msgspec.structs.replace(each, external_id=None) for each in deal.lines]
    agreed = (
        *(deal.entity, deal.value, deal.billing_model, deal.purchase_order),
        *(deal.sow_number, deal.starts_on, deal.ends_on, lines),
        deal.customer and deal.customer.external_id,
    )
    return hashlib.sha256(msgspec.json.encode(agreed, order="sorted")).hexdigest()


def announce(connection: Connection, name: str, told: Told, now: datetime) -> None:
    """Publish with both ids: ours and the system's."""
    deal, system = told.deal, told.connection
    source = Source(system, deal.external_id or "")
    known = msgspec.structs.replace(deal, id=golden(connection, "deal", source, now))
    if deal.customer and deal.customer.external_id:
        account = Source(system, deal.customer.external_id)
        both = Ref(golden(connection, "customer", account, now), deal.customer.external_id)
        known = msgspec.structs.replace(known, customer=both)
        belongs(connection, source, deal.entity, both.id)
    parts: list[object] = [system, "deal", deal.external_id, name, told.turn]
    if name == "deal.changed":
        # a system's stamp is coarse: two changes may share it
        parts += [deal.changed_at, deal.state, terms_of(deal)]
    publish(
        connection,
        "process",
        event_of(
            name,
            msgspec.structs.replace(told, deal=known),
            id=event_id(*parts),
            source=f"/system/{system}",
            time=now,
            entity=deal.entity,
        ),
    )


def open_gap(connection: Connection, system: str, gap: Gap, now: datetime) -> None:
    """A record that could not be read waits for the integration owner; the feed goes on."""
    item = WorkItem(
        id=f"wi-{event_id(system, gap.object, gap.external_id, gap.code, gap.detail)[:20]}",
        code=gap.code,
        title=f"A {gap.object} cannot be read from {system}",
        detail=gap.detail,
        owner="integration",
        remedy="complete the mapping or correct the record; it is read again every night",
        amount=None,
        record=WorkRecord(system=system, object=gap.object, external_id=gap.external_id),
        since=now,
    )
    open_item(connection, item)


def turn_of(connection: Connection, object: str, source: Source) -> int:  # noqa: A002 - the word
    """For the how many-th time this record was won, as far as its feed has seen; at least 1."""
    return max(1, standing(connection, object, source)[1])


def standing(connection: Connection, object: str, source: Source) -> tuple[str, int]:  # noqa: A002 - the word
    """The state in which a record was seen last, and its turn; nothing if nobody saw it yet."""
    place = {"connection": source.connection, "external_id": source.external_id}
    row = find(connection, FEED_STATE, object=object, **place)
    return (row.state, row.turn) if row else ("", 0)
