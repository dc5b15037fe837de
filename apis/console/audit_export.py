"""`throughline audit export`: the rows of a period with their proof.

One JSON object a line. First `export`: the tiers, the days and the moment, signed. Then for each
tier `begin`, the heads, the rows in the order of their chain as far as the first head signed after
them, and `end`: what the part holds, signed. `audit_reading.py` looks at such a file.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import ExitStack
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from apis.console.auditing import present
from apis.runtime.audit import AUDIT, COVERED
from apis.runtime.audit_heads import (
    Signer,
    fingerprint,
    heads_of,
    newest_of,
    read_heads,
)
from apis.runtime.audit_marks import Origins
from apis.runtime.audit_proof import AT, HASH, MARK, begun, copied, moment, pages, verify
from apis.runtime.migrations import has_table
from apis.runtime.settings import Settings
from apis.runtime.store import Store, digest_key
from contracts.errors import NotFound, Rejected

_line = msgspec.json.Encoder().encode_into
ROW = (*COVERED, "hash")


class Period(NamedTuple):
    """Days of a tier, both included, in UTC."""

    tier: str
    since: date
    until: date


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds: these tiers, whole, as they were at a moment."""

    tiers: list[str]
    since: str
    until: str
    at: str
    public_key: str
    key: str = ""
    signature: str = ""


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """Where a tier's part begins: its first place, and the hash before it."""

    tier: str
    first: int
    previous: str


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What a tier's part holds, and which of its rows no process of ours wrote.

    `export` is the signature of the file's first line: a part belongs to one file. `found` is how
    much of the tier was not as it was sealed, anywhere: rows that are gone are in no part.
    """

    export: str
    tier: str
    first: int
    previous: str
    position: int
    hash: str
    unmarked: int | None
    forged: list[int]
    found: int
    key: str = ""
    signature: str = ""


def exported(
    settings: Settings, since: date, until: date, tier: str | None, out: Path | None
) -> list[str]:
    """Write the period to the file or the terminal; answers what was written, a line a tier."""
    if not settings.audit_key.exists():
        raise NotFound("audit.key-missing", f"{settings.audit_key} is not there: nothing is signed")
    now = asyncio.run(present())
    if until > (today := now.astimezone(UTC).date()):
        raise Rejected("audit.not-yet", f"{until} has not been yet: today is {today}, in UTC")
    signer = Signer(settings.audit_key, settings.audit_heads)
    store = Store(settings.database_url, digest_key=settings.digest_key)
    try:
        tiers = store.read_now(_there, AUDIT if tier is None else (tier,))
        contents = signer.signed(
            Contents(
                tiers=tiers,
                since=since.isoformat(),
                until=until.isoformat(),
                at=moment(now),
                public_key=signer.public.public_bytes_raw().hex(),
            )
        )
        with ExitStack() as stack:
            file = stack.enter_context(_private(out)) if out else sys.stdout.buffer
            _write(file, bytearray(), {"export": contents})
            return [
                store.read_now(_export, file, signer, contents, Period(each, since, until))
                for each in tiers
            ]
    except OSError as error:
        raise Rejected("audit.not-written", f"{out}: {error.strerror}") from error
    finally:
        store.close()


def _there(connection: Connection, asked: Any) -> list[str]:
    """Those of the tiers that have an audit."""
    tiers = [each for each in asked if has_table(connection, each, AUDIT[each].name)]
    if not tiers:
        told = "there is nothing to export: the database has no such audit"
        remedy = "THROUGHLINE_DATABASE_URL and _HOME name it"
        raise NotFound("audit.nothing", told, remedy=remedy)
    return tiers


def _private(out: Path) -> BinaryIO:
    """A file that only its owner reads, made anew."""
    return os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _export(
    connection: Connection, file: BinaryIO, signer: Signer, contents: Contents, period: Period
) -> str:
    """One tier's part of the file."""
    tier, folder = period.tier, signer.folder
    first, last, previous = _bounds(connection, period)
    told = read_heads(heads_of(folder, tier)) + read_heads(newest_of(folder, tier))
    heads = [head for head in told if head.position >= first]
    reach = min((head.position for head in heads if head.position >= last), default=last)
    buffer = bytearray()
    _write(file, buffer, {"begin": Extent(tier=tier, first=first, previous=previous)})
    for head in heads:
        if head.position <= reach:
            _write(file, buffer, {"head": head})
    unmarked = begun(folder, tier, signer.public)[0]
    origins = Origins(tier, digest_key(connection), unmarked)
    forged = {other for other, *_ in copied(connection, tier) if other and first <= other <= reach}
    count, place, found = 0, first - 1 if first else 0, previous
    for row in pages(connection, tier, place) if first else ():
        if row[0] > reach:
            break
        count, place, found = count + 1, row[0], row[HASH]
        _write(file, buffer, dict(zip(ROW, row[:MARK], strict=True)))
        if not origins.ours(place, row[MARK], row[AT:HASH]):
            forged.add(place)
    ended = Ended(
        export=contents.signature,
        tier=tier,
        first=first,
        previous=previous,
        position=place,
        hash=found,
        unmarked=unmarked,
        forged=sorted(forged),
        found=_found(connection, signer, contents, tier),
    )
    _write(file, buffer, {"end": signer.signed(ended)})
    file.flush()
    return _told(contents, ended, count, fingerprint(signer.public))


def _told(contents: Contents, ended: Ended, count: int, key: str) -> str:
    """The line of a tier: what was written, and whether the audit it is of is whole."""
    ill = f", {len(ended.forged)} of them not ours" if ended.forged else ""
    if ended.found:
        ill += f"; the audit is not whole, see `audit verify`: {ended.found} found"
    if not count:
        return f"{ended.tier}: no rows from {contents.since} to {contents.until}{ill}"
    return f"{ended.tier}: {count} rows, {ended.first} to {ended.position}{ill}, key {key}"


def _found(connection: Connection, signer: Signer, contents: Contents, tier: str) -> int:
    """How much of the whole tier is not as it was sealed; what only waits for a seal is not."""
    now = datetime.fromisoformat(contents.at)
    told = verify(connection, tier, signer.folder, signer.public, now)
    return sum(each.code not in {"audit.unsealed", "audit.heads-missing"} for each in told)


def _write(file: BinaryIO, buffer: bytearray, line: Any) -> None:
    _line(line, buffer)
    file.write(buffer + b"\n")


def _bounds(connection: Connection, period: Period) -> tuple[int, int, str]:
    """The first and last place of a period, and the hash before it; zeros where it is empty."""
    rows = AUDIT[period.tier]
    days = (period.since, period.until + timedelta(days=1))
    begins, ends = (moment(datetime.combine(day, time(), UTC)) for day in days)
    place = rows.c.position
    within = sa.and_(rows.c.at >= begins, rows.c.at < ends, place.is_not(None))
    asked = sa.select(sa.func.min(place), sa.func.max(place)).where(within)
    first, last = connection.execute(asked).one()
    if first is None:
        return 0, 0, ""
    link = sa.select(rows.c.previous).where(place == first).order_by(rows.c.seq).limit(1)
    return first, last, connection.execute(link).scalar_one()
