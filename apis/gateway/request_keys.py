"""What became of each request key: running under a lease, or done with the answer that was given.

Leases use the database's clock and real time, the end of a record the clock of the product. The key
itself is not kept, only its digest together with who sent it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from typing import Any, Literal, NamedTuple
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Connection, Float, Integer, LargeBinary, String

from apis.runtime.store import Store, database_now, new_row, seconds_now, table

MOST_SWEPT = 1_000
ENDED = 0.0
"""The lease of a call that is over without an answer to keep."""

REQUEST_KEYS = table(
    "gateway",
    "request_keys",
    Column("slot", String(64), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("attempt", String(32), nullable=False),
    Column("lease", Float(53), nullable=False),
    Column("ends_at", BigInteger, nullable=False, index=True),
    Column("status", Integer),
    Column("answer", LargeBinary),
)


class Asked(NamedTuple):
    """One request with a key: whose it is, what it asks for, and when its record ends."""

    slot: str
    fingerprint: str
    now: int
    ends_at: int
    lease_s: float


class Running(NamedTuple):
    """The right to ask the target, for as long as the lease is renewed."""

    slot: str
    attempt: str
    ends_at: int

    @property
    def request_key(self) -> str:
        """The key of every attempt at this request, and of no other: a later record has its own."""
        said = f"{self.slot}/{self.ends_at}".encode()
        return str(UUID(bytes=sha256(said).digest()[:16], version=5))


class Met(NamedTuple):
    """What a record says to a request that may not go on; `answer` is None where none is kept."""

    what: Literal["running", "reused", "done"]
    status: int = 0
    answer: bytes | None = None


async def claim(store: Store, asked: Asked) -> Running | Met:
    """Record that this request is on its way, before it is; or say what became of it before."""
    attempt = secrets.token_hex(16)
    if await store.insert(_claiming, _row(asked, attempt)):
        return Running(asked.slot, attempt, asked.ends_at)
    return await store.write(_earlier, asked, attempt)


def _row(asked: Asked, attempt: str) -> dict[str, Any]:
    return {
        "slot": asked.slot,
        "fingerprint": asked.fingerprint,
        "attempt": attempt,
        "ends_at": asked.ends_at,
        "lease_s": asked.lease_s,
    }


@cache
def _claiming(dialect: str) -> Any:
    lease = seconds_now(dialect) + sa.bindparam("lease_s")
    return new_row(REQUEST_KEYS, dialect).values(lease=lease)


@cache
def _looking(dialect: str) -> Any:
    now = seconds_now(dialect).label("now")
    mine = REQUEST_KEYS.c.slot == sa.bindparam("of")
    return sa.select(REQUEST_KEYS, now).where(mine).with_for_update()


def _earlier(connection: Connection, asked: Asked, attempt: str) -> Running | Met:
    """What the record says, or the right to ask again where nobody is at it any more."""
    dialect = connection.dialect.name
    row = connection.execute(_looking(dialect), {"of": asked.slot}).first()
    if row is None:  # swept since
        made = connection.execute(_claiming(dialect), _row(asked, attempt))
        new = made.rowcount == 1
        return Running(asked.slot, attempt, asked.ends_at) if new else Met("running")
    if row.ends_at <= asked.now:
        ends_at = asked.ends_at
    elif row.fingerprint != asked.fingerprint:
        return Met("reused")
    elif row.status is not None:
        return Met("done", row.status, row.answer)
    elif row.lease > row.now:
        return Met("running")
    else:
        ends_at = row.ends_at
    begun = {
        "of": asked.slot,
        "asks": asked.fingerprint,
        "by": attempt,
        "until": row.now + asked.lease_s,
        "ends": ends_at,
    }
    connection.execute(_BEGUN, begun)
    return Running(asked.slot, attempt, ends_at)


_MINE = (
    REQUEST_KEYS.c.slot == sa.bindparam("of"),
    REQUEST_KEYS.c.attempt == sa.bindparam("by"),
    REQUEST_KEYS.c.status.is_(None),
)
_SETTLED = (
    sa.update(REQUEST_KEYS)
    .where(*_MINE)
    .values(status=sa.bindparam("told"), answer=sa.bindparam("kept"))
)
_BEGUN = (
    sa.update(REQUEST_KEYS)
    .where(REQUEST_KEYS.c.slot == sa.bindparam("of"))
    .values(
        fingerprint=sa.bindparam("asks"),
        attempt=sa.bindparam("by"),
        lease=sa.bindparam("until"),
        ends_at=sa.bindparam("ends"),
        status=None,
        answer=None,
    )
)
_RENEWED = sa.update(REQUEST_KEYS).where(*_MINE).values(lease=sa.bindparam("until"))


def settle(connection: Connection, running: Running, status: int, answer: bytes | None) -> None:
    """Keep what was answered, unless another attempt has taken over."""
    given = {"of": running.slot, "by": running.attempt, "told": status, "kept": answer}
    connection.execute(_SETTLED, given)


def let_go(connection: Connection, running: Running) -> None:
    """Nothing was answered that is kept: the same request may be sent again at once."""
    connection.execute(_RENEWED, {"of": running.slot, "by": running.attempt, "until": ENDED})


def renew(connection: Connection, held: Sequence[Running], lease_s: float) -> None:
    """Prolong the leases of what is under way; in one order, for all gateways."""
    until = database_now(connection) + lease_s
    rows = [{"of": each.slot, "by": each.attempt, "until": until} for each in sorted(held)]
    connection.execute(_RENEWED, rows)


def sweep(connection: Connection, now: int) -> int:
    """Forget records whose time is over, some at once; answers how many."""
    ended = (
        sa.select(REQUEST_KEYS.c.slot)
        .where(REQUEST_KEYS.c.ends_at <= now)
        .order_by(REQUEST_KEYS.c.ends_at)
        .limit(MOST_SWEPT)
        .with_for_update(skip_locked=True)
    )
    gone = sa.delete(REQUEST_KEYS).where(REQUEST_KEYS.c.slot.in_(ended))
    return connection.execute(gone).rowcount


def slot_of(*who: str) -> str:
    """The place of a record: nobody else's key leads there."""
    return sha256(msgspec.json.encode(who)).hexdigest()
