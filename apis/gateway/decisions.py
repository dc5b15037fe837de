"""What was decided for each request: remembered in memory, written in batches beside the calls.

Nothing personal and no body is in it. What does not fit into memory is dropped, the oldest first,
and counted as `recording`.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Column, Connection

from apis.gateway.exchange import Decision, Exchange
from apis.gateway.policy import Recording
from apis.runtime.clock import Clock
from apis.runtime.log import get_logger
from apis.runtime.store import Store, add_all, table

MOST_HELD = 20_000
MOST_UNKNOWN = 100
"""Refusals of callers nobody knows that one batch keeps singly: they must not push out the rest."""
MOST_FOUND = 100
"""Requests of one id that are told: a caller may give all of theirs the same."""
MOST_RULE = 200
MOST_CODE = 100
EVERY_S = 1.0
TRIM_S = 600.0
DAY_S = 86_400.0
_FAILED = 400
log = get_logger(__name__)

DECISIONS = table(
    "gateway",
    "decisions",
    Column(
        "seq",
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    Column("request_id", sa.String(128), nullable=False, index=True),
    Column("at", sa.Float(53), nullable=False, index=True),
    Column("ms", sa.Float, nullable=False),
    Column("client", sa.String(200)),
    Column("target", sa.String(200)),
    Column("operation", sa.String(200)),
    Column("status", sa.Integer, nullable=False),
    Column("code", sa.String(MOST_CODE)),
    Column("decided", sa.Text, nullable=False),
    Column("limits", sa.Text, nullable=False),
)
sa.Index("ix_gateway_decisions_client_at", DECISIONS.c.client, DECISIONS.c.at)
"""For the calls of one client, which their owner looks at."""
COUNTS = table(
    "gateway",
    "decision_counts",
    Column("day", sa.Integer, primary_key=True),
    Column("client", sa.String(200), primary_key=True),
    Column("target", sa.String(200), primary_key=True),
    Column("operation", sa.String(200), primary_key=True),
    Column("policy", sa.String(40), primary_key=True),
    Column("rule", sa.String(MOST_RULE), primary_key=True),
    Column("outcome", sa.String(10), primary_key=True),
    Column("count", sa.BigInteger, nullable=False),
)
_KEY = tuple(column.name for column in COUNTS.primary_key)
_NAMES = tuple(column.name for column in DECISIONS.columns if column.name != "seq")


class Decided(msgspec.Struct, frozen=True):
    """One request and what was decided for it."""

    request_id: str
    at: float
    ms: float
    client: str | None
    target: str | None
    operation: str | None
    status: int
    code: str | None
    decisions: tuple[Decision, ...]
    limits: str

    @property
    def refused(self) -> bool:
        """Whether a policy stopped it."""
        return any(outcome == "refused" for _, _, outcome in self.decisions)


Held = tuple[
    str, float, float, str | None, str | None, str | None, int, str | None, list[Decision], bytes
]


class Decisions:
    """The requests of one gateway, on their way into the table."""

    def __init__(self, store: Store, clock: Clock, recording: Recording) -> None:
        self._store = store
        self._clock = clock
        self.recording = recording
        self._held: deque[Held] = deque(maxlen=MOST_HELD)
        self._noted = 0
        self._trimmed = 0.0

    def note(self, exchange: Exchange) -> None:
        """Remember a request; health checks and public pages are none."""
        if exchange.client is None and exchange.status < _FAILED:
            return
        self._noted += 1
        took = time.perf_counter() - exchange.began
        self._held.append(
            (
                exchange.request_id, exchange.at or self._clock.timestamp(), took * 1000,
                exchange.client, exchange.target,
                exchange.operation, exchange.status, exchange.code, exchange.decisions,
                exchange.limits,
            )
        )  # fmt: skip

    async def go(self) -> None:
        """Write what is remembered, every second, for as long as the process lives."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.close()

    async def close(self) -> None:
        """Write what is remembered if that can be; a database that is away ends nothing."""
        try:
            await self.flush()
        except Exception as error:  # it is logged, and tried again
            log.exception("decisions.failed", error=type(error).__name__)

    async def flush(self) -> None:
        """Write what is remembered; what was dropped meanwhile is told."""
        held = list(self._held)
        self._held.clear()
        dropped, self._noted = self._noted - len(held), 0
        now = self._clock.timestamp()
        if dropped:
            log.warning("decisions.dropped", count=dropped)
        try:
            if held or dropped:
                await self._store.write(_written, held, dropped, now)
        except Exception:  # with the next batch that can be written, as far as there is room
            room = max(0, MOST_HELD - len(self._held))
            self._held.extendleft(reversed(held[len(held) - min(room, len(held)) :]))
            self._noted += len(held) + dropped
            raise
        if abs(now - self._trimmed) >= TRIM_S:
            self._trimmed = now
            await self._store.write(trim, self.recording, now)

    async def found(self, request_id: str) -> list[Decided]:
        """The latest requests of this id, the last one first: a caller may have given it twice."""
        await self.flush()
        return await self._store.read(_found, request_id)

    async def counted(self) -> list[dict[str, Any]]:
        """How many decisions there were, by day, client, operation, policy, rule and outcome."""
        await self.flush()
        return await self._store.read(counts)


def _written(connection: Connection, held: Sequence[Held], dropped: int, now: float) -> None:
    counted = _counted(held)
    known = [each for each in held if each[3] is not None]
    unknown = [each for each in held if each[3] is None]
    dropped += max(0, len(unknown) - MOST_UNKNOWN)
    if dropped:
        counted[int(now // DAY_S), "", "", "", "recording", "queue-full", "dropped"] += dropped
    kept = [*known, *unknown[-MOST_UNKNOWN:]]
    if kept:
        connection.execute(sa.insert(DECISIONS).inline(), [_row(each) for each in kept])
    # several gateways count at once: one order for all of them
    add_all(connection, COUNTS, [_count(*each) for each in sorted(counted.items())])


def _counted(held: Sequence[Held]) -> Counter[tuple[Any, ...]]:
    """How many decisions of each kind there were; most calls are of a few kinds."""
    kinds = Counter((int(each[1] // DAY_S), *each[3:6], tuple(each[8])) for each in held)
    counted: Counter[tuple[Any, ...]] = Counter()
    for (day, client, target, operation, decisions), count in kinds.items():
        for policy, rule, outcome in {(one[0], one[1][:MOST_RULE], one[2]) for one in decisions}:
            who = client or "", target or "", operation or ""
            counted[day, *who, policy, rule, outcome] += count
    return counted


def _count(key: tuple[Any, ...], count: int) -> dict[str, Any]:
    return dict(zip(_KEY, key, strict=True)) | {"count": count}


def _row(held: Held) -> dict[str, Any]:
    row = dict(zip(_NAMES, held, strict=True))
    row["decided"], row["limits"] = _told(tuple(held[8])), held[9].decode()
    if held[7]:  # a target's may be anything
        row["code"] = held[7][:MOST_CODE].replace("\0", "")
    return row


@lru_cache(1024)
def _told(decisions: tuple[Decision, ...]) -> str:
    rules = [(policy, rule[:MOST_RULE], outcome) for policy, rule, outcome in decisions]
    return msgspec.json.encode(rules).decode()


def trim(connection: Connection, recording: Recording, now: float) -> None:
    """Forget what is older, or more, than is kept."""
    last = sa.select(sa.func.max(DECISIONS.c.seq) - recording.most).scalar_subquery()
    old = sa.or_(DECISIONS.c.at < now - recording.days * DAY_S, DECISIONS.c.seq <= last)
    connection.execute(sa.delete(DECISIONS).where(old))
    first = int(now // DAY_S) - recording.counts_days
    connection.execute(sa.delete(COUNTS).where(COUNTS.c.day < first))


def _found(connection: Connection, request_id: str) -> list[Decided]:
    mine = DECISIONS.c.request_id == request_id
    latest = sa.select(DECISIONS).where(mine).order_by(DECISIONS.c.seq.desc()).limit(MOST_FOUND)
    return [_read(row) for row in connection.execute(latest).mappings()]


Mark = tuple[float, int]


def recorded(connection: Connection, after: Mark, most: int) -> tuple[list[Decided], Mark]:
    """The next requests in the order they came in, and where to go on."""
    place = sa.tuple_(DECISIONS.c.at, DECISIONS.c.seq)
    later = place > sa.tuple_(sa.literal(after[0], sa.Float(53)), sa.literal(after[1]))
    page = sa.select(DECISIONS).where(later).order_by(DECISIONS.c.at, DECISIONS.c.seq)
    rows = connection.execute(page.limit(most)).mappings().all()
    return [_read(row) for row in rows], (rows[-1]["at"], rows[-1]["seq"]) if rows else after


def _read(row: Any) -> Decided:
    values = {name: row[name] for name in Decided.__struct_fields__ if name != "decisions"}
    told = msgspec.json.decode(row["decided"], type=tuple[Decision, ...])
    return Decided(**values, decisions=told)


def counts(connection: Connection) -> list[dict[str, Any]]:
    """Every count that is kept, the latest day first."""
    every = sa.select(COUNTS).order_by(COUNTS.c.day.desc(), *(COUNTS.c[name] for name in _KEY[1:]))
    return [dict(row) for row in connection.execute(every).mappings()]
