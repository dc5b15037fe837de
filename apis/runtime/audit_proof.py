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

from apis.runtime.audit import AUDIT, COVERED, GENESIS, KEEP_EVERY, sealed
from apis.runtime.audit_heads import (
    Head,
    genuine,
    heads_of,
    newest_of,
    read_heads,
    since_of,
    told_since,
)
from apis.runtime.audit_marks import Origins
from apis.runtime.migrations import has_column
from apis.runtime.store import digest_key

UNSEALED_AFTER = timedelta(seconds=5)
UNSIGNED_AFTER = 2 * KEEP_EVERY
PART = 5_000
MOST = 20
AT = COVERED.index("at")
SEQ = COVERED.index("seq")
HASH = len(COVERED)
MARK = HASH + 1
Told = tuple[int | None, str, str]
Trouble = Iterator[Told]


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
    connection: Connection, tier: str, folder: Path, key: Ed25519PublicKey, now: datetime
) -> list[Finding]:
    """What is wrong with a tier's chain, the first place first; an empty list is good news.

    Of what breaks a chain the first 20 places are told: a chain made anew breaks everywhere.
    """
    told = read_heads(heads_of(folder, tier)) + read_heads(newest_of(folder, tier))
    ours = [head for head in told if head.tier == tier and genuine(head, key)]
    since, unread = begun(folder, tier, key)
    origins = Origins(tier, digest_key(connection), since)
    trouble = [
        *islice(broken(pages(connection, tier), Link(), ours, now, origins), MOST),
        *islice(copied(connection, tier), MOST),
        *islice(forged(told, ours), MOST),
        *unread,
        *late(connection, tier, now),
    ]
    found = [Finding(tier=tier, code=c, position=at, detail=detail) for at, c, detail in trouble]
    return sorted(found, key=lambda finding: finding.position or 0)


def begun(folder: Path, tier: str, key: Ed25519PublicKey) -> tuple[int | None, list[Told]]:
    """The last row that needs no mark (None: none needs one yet), and what is wrong with that."""
    path = since_of(folder, tier)
    if since := told_since(folder, tier, key):
        return since.position, []
    if path.exists():
        return 0, [(None, "audit.head-forged", f"{path} is not ours: every row needs a mark")]
    if newest_of(folder, tier).exists():
        return None, [(None, "audit.heads-missing", f"{path} is not there: no row needs a mark")]
    return None, []


def broken(
    rows: Iterable[Sequence[Any]],
    link: Link,
    heads: Sequence[Head],
    now: datetime,
    origins: Origins | None = None,
) -> Trouble:
    """Where rows (the cells of `COVERED`, hash and mark) are not the chain that was signed."""
    signed = {head.position: head.hash for head in reversed(heads)}
    yield from followed(rows, link, signed, origins)
    if (last := max(signed, default=0)) > link.place:
        first = link.place + 1
        yield first, "audit.cut", f"rows {first} to {last} were signed and are not there"
    elif link.unsigned_since and link.unsigned_since < moment(now - UNSIGNED_AFTER):
        told = f"rows {last + 1} to {link.place} are sealed and no head of them was signed"
        yield last + 1, "audit.heads-missing", told


def followed(
    rows: Iterable[Sequence[Any]],
    link: Link,
    signed: dict[int, str],
    origins: Origins | None = None,
) -> Trouble:
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
        else:
            if origins is not None and (doubt := origins.doubt(place, row[MARK], row[AT:HASH])):
                yield place, *doubt
            link.unsigned_since = "" if place in signed else link.unsigned_since or row[AT]
        if signed.get(place, row[HASH]) != row[HASH]:
            yield place, "audit.rewritten", f"row {place} is not the one whose head was signed"
        link.place, link.hash = place, row[HASH]


def pages(connection: Connection, tier: str, after: int | None = None) -> Iterator[Sequence[Any]]:
    """All sealed rows after a place in their order, fetched in parts, each by where it begins."""
    rows = AUDIT[tier]
    place = sa.tuple_(rows.c.position, rows.c.seq)
    mark = rows.c.mark if has_column(connection, rows.c.mark) else sa.null()
    cells = sa.select(*(rows.c[name] for name in (*COVERED, "hash")), mark)
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


def copied(connection: Connection, tier: str) -> Trouble:
    """Rows with a mark that stood on a row before them."""
    rows = AUDIT[tier]
    if not has_column(connection, rows.c.mark):
        return
    first, last = sa.func.min(rows.c.position), sa.func.max(rows.c.position)
    sealed_ones = sa.and_(rows.c.mark.is_not(None), rows.c.position.is_not(None))
    twice = sa.select(first, last).where(sealed_ones).group_by(rows.c.mark)
    for one, other in connection.execute(twice.having(sa.func.count() > 1).order_by(last)):
        yield other, "audit.copied", f"row {other} bears the mark of row {one}: one is a copy"


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
