"""Who did what to which record: rows written with their effect, then chained and signed.

A row is marked as it is written (`audit_marks.py`) and sealed afterwards, by one leased sealer: its
hash covers the row, its place and the hash before it. The head is signed into a file outside the
database, since a chain alone shows neither a tail that was cut off nor a chain that was made anew.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Column, Connection, Table

from apis.runtime.audit_heads import Head, Signer
from apis.runtime.audit_marks import WRITTEN, marker
from apis.runtime.store import digest_key, table

GENESIS = "0" * 64
KEEP_EVERY = timedelta(minutes=1)
BATCH = 2_000
COVERED = ("position", "previous", "seq", *WRITTEN)
_encode = msgspec.json.Encoder(order="sorted").encode


def _audit(tier: str) -> Table:
    return table(
        tier,
        "audit",
        Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        Column("at", sa.String(32), nullable=False),
        Column("actor", sa.String(200), nullable=False),
        Column("cause", sa.String(400)),
        Column("action", sa.String(100), nullable=False),
        Column("object", sa.String(100)),
        Column("key", sa.String(400)),
        Column("connection", sa.String(100)),
        Column("before_hash", sa.String(64)),
        Column("after_hash", sa.String(64)),
        Column("detail", sa.Text, nullable=False),
        Column("position", sa.BigInteger, unique=True),
        Column("previous", sa.String(64), unique=True),
        Column("hash", sa.String(64)),
        Column("mark", sa.String(100)),
    )


AUDIT = {tier: _audit(tier) for tier in ("gateway", "system", "process", "experience")}
INSERT = {tier: sa.insert(rows).inline() for tier, rows in AUDIT.items()}


def digest(value: Any, key: bytes) -> str | None:
    """What stands for a value in the audit: keyed, so that nobody finds it out by trying.

    A plain hash of a bank account is the bank account to whoever tries them all. None for none.
    """
    return None if value is None else hmac.digest(key, _encode(value), "sha256").hex()


def record(
    connection: Connection,
    tier: str,
    *,
    at: datetime,
    actor: str,
    action: str,
    cause: str | None = None,
    object: str | None = None,  # noqa: A002 - the column
    key: str | None = None,
    system: str | None = None,
    before: Any = None,
    after: Any = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """Write one row in the transaction of its effect; of `before` and `after` only hashes."""
    _refuse_floats(detail)
    secret = digest_key(connection)
    row = {
        "at": at.astimezone(UTC).isoformat(timespec="microseconds"),
        "actor": actor,
        "cause": cause,
        "action": action,
        "object": object,
        "key": key,
        "connection": system,
        "before_hash": digest(before, secret),
        "after_hash": digest(after, secret),
        "detail": _encode(detail or {}).decode(),
    }
    row["mark"] = marker(secret).mark(tier, [row[name] for name in WRITTEN])
    connection.execute(INSERT[tier], row)


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        msg = "an audit row holds no float: it has no one way of writing"
        raise TypeError(msg)
    for item in (
        value.values()
        if isinstance(value, dict)
        else value
        if isinstance(value, list | tuple)
        else ()
    ):
        _refuse_floats(item)


def seal(connection: Connection, tier: str) -> int:
    """Chain rows not chained yet, whoever wrote them: verifying tells which are not ours."""
    position, previous = end(connection, tier)
    changes = []
    for row in connection.execute(WAITING[tier]):
        position += 1
        link = {"of": row[0], "p": position, "prev": previous}
        previous = link["h"] = sealed((position, previous, *row))
        changes.append(link)
    if changes:
        connection.execute(LINK[tier], changes)
    return len(changes)


def sign(
    connection: Connection, tier: str, signer: Signer, now: datetime, *, keep: bool = False
) -> None:
    """Sign where the chain ends, each time it has grown; once a minute the head is one to keep.

    Only what is committed is signed: a head that never was would look like a tail cut off. A head
    whose row is not there any more is kept too, before another takes its place.
    """
    if signer.since(tier) is None:
        last = connection.execute(UNMARKED[tier]).scalar_one_or_none() or 0
        signer.begin(_head(tier, (last, ""), now))
    newest, (position, found) = signer.newest(tier), end(connection, tier)
    if newest is None:
        newest = signer.sign(_head(tier, (position, found), now)) if position else None
    elif (position, found) != (newest.position, newest.hash):
        gone = connection.execute(HASH[tier], {"p": newest.position}).scalar() != newest.hash
        if gone:
            signer.keep(newest)
        if position and (gone or position > newest.position):
            newest = signer.sign(_head(tier, (position, found), now))
    if newest is not None and (keep or _aged(signer.kept(tier), now)):
        signer.keep(newest)


def _head(tier: str, place: tuple[int, str], now: datetime) -> Head:
    at = now.astimezone(UTC).isoformat(timespec="microseconds")
    return Head(tier=tier, position=place[0], hash=place[1], at=at, key="")


def _aged(kept: Head | None, now: datetime) -> bool:
    if kept is None or not kept.at:
        return True
    return now - datetime.fromisoformat(kept.at) >= KEEP_EVERY


def end(connection: Connection, tier: str) -> tuple[int, str]:
    """The place and the hash of the last row that is chained."""
    row = connection.execute(END[tier]).first()
    return (row.position, row.hash) if row else (0, GENESIS)


def waits(connection: Connection, tier: str) -> bool:
    """Whether there is a row to chain."""
    return connection.execute(UNSEALED[tier]).first() is not None


def sealed(cells: Sequence[Any]) -> str:
    """The hash of a row's cells, in the order of `COVERED`: SHA-256 of them as a JSON list."""
    return hashlib.sha256(_encode(cells)).hexdigest()


def _waiting(rows: Table) -> Any:
    cells = [rows.c[name] for name in COVERED[2:]]
    return sa.select(*cells).where(rows.c.position.is_(None)).order_by(rows.c.seq).limit(BATCH)


def _link(rows: Table) -> Any:
    """A row that is chained is never chained again, whoever else seals."""
    mine = sa.and_(rows.c.seq == sa.bindparam("of"), rows.c.position.is_(None))
    link = {"position": "p", "previous": "prev", "hash": "h"}
    return sa.update(rows).where(mine).values({k: sa.bindparam(v) for k, v in link.items()})


def _hash(rows: Table) -> Any:
    return sa.select(rows.c.hash).where(rows.c.position == sa.bindparam("p"))


def _unmarked(rows: Table) -> Any:
    """The last row of a release that did not mark what it wrote."""
    return sa.select(sa.func.max(rows.c.position)).where(rows.c.mark.is_(None))


def _end(rows: Table) -> Any:
    last = sa.select(rows.c.position, rows.c.hash).where(rows.c.position.is_not(None))
    return last.order_by(rows.c.position.desc()).limit(1)


HASH = {tier: _hash(rows) for tier, rows in AUDIT.items()}
UNMARKED = {tier: _unmarked(rows) for tier, rows in AUDIT.items()}
END = {tier: _end(rows) for tier, rows in AUDIT.items()}
WAITING = {tier: _waiting(rows) for tier, rows in AUDIT.items()}
UNSEALED = {tier: waiting.limit(1) for tier, waiting in WAITING.items()}
LINK = {tier: _link(rows) for tier, rows in AUDIT.items()}
