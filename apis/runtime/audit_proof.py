"""Whether an audit is what was sealed: every row, its chain, and the heads that were signed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from apis.runtime.audit import AUDIT, COVERED, GENESIS, SIGN_EVERY, sealed
from apis.runtime.audit_heads import Head, genuine, read_heads

UNSEALED_AFTER = timedelta(seconds=5)
UNSIGNED_AFTER = 2 * SIGN_EVERY
PART = 5_000
MOST = 20
AT = COVERED.index("at")
SEQ = COVERED.index("seq")
HASH = len(COVERED)
Trouble = Iterator[tuple[int | None, str, str]]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something wrong with a chain, and where it shows first."""

    tier: str
    code: str
    position: int | None = None
    detail: str


class Link(msgspec.Struct):
    """How far a chain has been looked at: the last place, its hash, the last moment it tells."""

    place: int = 0
    hash: str = GENESIS
    unsigned_since: str = ""


def verify(
    connection: Connection, tier: str, heads: Path, key: Ed25519PublicKey, now: datetime
) -> list[Finding]:
    """What is wrong with a tier's chain, the first place first; an empty list is good news.

    Of what breaks a chain the first 20 places are told: a chain made anew breaks everywhere.
    """
    told = read_heads(heads)
    ours = [head for head in told if head.tier == tier and genuine(head, key)]
    trouble = [
        *islice(broken(pages(connection, tier), Link(), ours, now), MOST),
        *islice(forged(told, ours), MOST),
        *late(connection, tier, now),
    ]
    found = [Finding(tier=tier, code=c, position=at, detail=detail) for at, c, detail in trouble]
    return sorted(found, key=lambda finding: finding.position or 0)


def broken(
    rows: Iterable[Sequence[Any]], link: Link, heads: Sequence[Head], now: datetime
) -> Trouble:
    """Where rows (the cells of `COVERED` and their hash) are not the chain that was signed."""
    signed = {head.position: head.hash for head in heads}
    yield from followed(rows, link, signed)
    if (last := max(signed, default=0)) > link.place:
        first = link.place + 1
        yield first, "audit.cut", f"rows {first} to {last} were signed and are not there"
    elif link.unsigned_since and link.unsigned_since < moment(now - UNSIGNED_AFTER):
        told = f"rows {last + 1} to {link.place} are sealed and no head of them was signed"
        yield last + 1, "audit.heads-missing", told


def followed(rows: Iterable[Sequence[Any]], link: Link, signed: dict[int, str]) -> Trouble:
    """Where a chain breaks, row by row; `link` tells how far it was followed."""
    for row in rows:
        place = link.place + 1
        if row[0] != place:
            if not isinstance(row[0], int) or row[0] < place:
                yield place, "audit.inserted", f"a row stands at {row[0]} where {place} was due"
                continue
            yield place, "audit.missing", f"rows {place} to {row[0] - 1} are not there"
            place = row[0]
        elif row[1] != link.hash:
            yield place, "audit.broken", f"row {place} does not follow the row before it"
        if row[HASH] != sealed(row[:HASH]):
            yield place, "audit.changed", f"row {place} is not what was sealed"
        elif place in signed:
            link.unsigned_since = ""
        elif not link.unsigned_since:
            link.unsigned_since = row[AT]
        if signed.get(place, row[HASH]) != row[HASH]:
            yield place, "audit.rewritten", f"row {place} is not the one whose head was signed"
        link.place, link.hash = place, row[HASH]


def pages(connection: Connection, tier: str, after: int | None = None) -> Iterator[Sequence[Any]]:
    """All sealed rows after a place in their order, fetched in parts, each by where it begins."""
    rows = AUDIT[tier]
    place = sa.tuple_(rows.c.position, rows.c.seq)
    cells = sa.select(*(rows.c[name] for name in (*COVERED, "hash")))
    part = cells.order_by(*place.clauses).limit(PART)
    bind = sa.tuple_(sa.bindparam("p"), sa.bindparam("s"))
    next_part = part.where(place > bind)
    begun = rows.c.position.is_not(None) if after is None else rows.c.position > after
    found = _fetched(connection, part.where(begun), {})
    while found:
        yield from found
        last = {"p": found[-1][0], "s": found[-1][SEQ]}
        found = _fetched(connection, next_part, last) if len(found) == PART else []


def _fetched(connection: Connection, part: Any, given: dict[str, Any]) -> Sequence[Any]:
    """A part of the rows; on SQLite one with bytes that are no text is read all the same."""
    try:
        return connection.execute(part, given).all()
    except OperationalError:
        if connection.dialect.name != "sqlite":
            raise
        raw: Any = connection.connection.driver_connection
        raw.text_factory = lambda cell: cell.decode("utf-8", "replace")
        try:
            return connection.execute(part, given).all()
        finally:
            raw.text_factory = str


def forged(heads: Iterable[Head], ours: Sequence[Head]) -> Trouble:
    """The heads that are not of those that our key signed for this tier."""
    known = set(map(id, ours))
    for head in heads:
        if id(head) not in known:
            yield head.position, "audit.head-forged", f"the head of row {head.position} is not ours"


def late(connection: Connection, tier: str, now: datetime) -> Trouble:
    """Rows that wait for their seal too long."""
    rows, before = AUDIT[tier], moment(now - UNSEALED_AFTER)
    waiting = sa.select(sa.func.count()).where(rows.c.position.is_(None), rows.c.at < before)
    if count := connection.execute(waiting).scalar_one():
        yield None, "audit.unsealed", f"{count} rows wait for their seal for over 5 s"


def moment(at: datetime) -> str:
    """A moment as rows tell it."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")
