"""`throughline audit export`: the rows of a period with their proof, and a look at such a file.

One JSON object a line. For each tier: `begin`, the heads, the rows in the order of their chain as
far as the first head signed after them, and `end`: what the file holds, signed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import Connection

from apis.console.auditing import present
from apis.runtime.audit import AUDIT, COVERED
from apis.runtime.audit_heads import Head, Signer, fingerprint, genuine, heads_of, read_heads
from apis.runtime.audit_proof import MOST, Finding, Link, followed, forged, moment, pages
from apis.runtime.migrations import versions
from apis.runtime.settings import Settings
from apis.runtime.store import Store
from contracts.errors import NotFound, Rejected

_line = msgspec.json.Encoder().encode_into
ROW = (*COVERED, "hash")
NAMES = set(ROW)
UNKNOWN = (None,) * len(ROW)


class Period(NamedTuple):
    """Days of a tier, both included, in UTC."""

    tier: str
    since: date
    until: date


class Extent(msgspec.Struct, frozen=True, kw_only=True):
    """What an export holds of a tier; the place and hash of its last row are signed as a head."""

    tier: str
    since: str
    until: str
    first: int
    previous: str
    public_key: str


def exported(
    settings: Settings, since: date, until: date, tier: str | None, out: Path | None
) -> list[str]:
    """Write the period to the file or the terminal; answers what was written, a line a tier."""
    if not settings.audit_key.exists():
        raise NotFound("audit.key-missing", f"{settings.audit_key} is not there: nothing is signed")
    signer = Signer(settings.audit_key, settings.audit_heads)
    store, now = Store(settings.database_url), asyncio.run(present())
    try:
        with ExitStack() as stack:
            file = stack.enter_context(_private(out)) if out else sys.stdout.buffer
            made = store.read_now(versions)
            return [
                store.read_now(_export, file, signer, Period(each, since, until), now)
                for each in (AUDIT if tier is None else (tier,))
                if made[each]
            ]
    except OSError as error:
        raise Rejected("audit.not-written", f"{out}: {error.strerror}") from error
    finally:
        store.close()


def _private(out: Path) -> BinaryIO:
    """A file that only its owner reads, made anew."""
    return os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _export(
    connection: Connection, file: BinaryIO, signer: Signer, period: Period, now: datetime
) -> str:
    """One tier's part of the file."""
    tier = period.tier
    first, last, previous = _bounds(connection, period)
    heads = [head for head in read_heads(heads_of(signer.folder, tier)) if head.position >= first]
    reach = min((head.position for head in heads if head.position >= last), default=last)
    extent = Extent(
        tier=tier,
        since=period.since.isoformat(),
        until=period.until.isoformat(),
        first=first,
        previous=previous,
        public_key=signer.public.public_bytes_raw().hex(),
    )
    buffer = bytearray()
    _write(file, buffer, {"begin": extent})
    for head in heads:
        if head.position <= reach:
            _write(file, buffer, {"head": head})
    count, place, found = 0, first - 1 if first else 0, previous
    for row in pages(connection, tier, place) if first else ():
        if row[0] > reach:
            break
        count, place, found = count + 1, row[0], row[-1]
        _write(file, buffer, dict(zip(ROW, row, strict=True)))
    end = Head(tier=_named(extent), position=place, hash=found, at=moment(now), key="")
    _write(file, buffer, {"end": signer.signed(end)})
    file.flush()
    if not count:
        return f"{tier}: no rows from {extent.since} to {extent.until}"
    return f"{tier}: {count} rows, {first} to {place}, key {fingerprint(signer.public)}"


def _named(extent: Extent) -> str:
    """What the signature at the end is about: the tier, and where the file begins."""
    parts = (extent.tier, extent.since, extent.until, str(extent.first), extent.previous)
    return " ".join(parts)


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


def checked(file: Path, key: str | None) -> tuple[list[str], list[Finding]]:
    """What an exported file holds, a line a tier, and what is wrong with it; it alone is asked."""
    told: list[str] = []
    wrong: list[Finding] = []
    with file.open("rb") as lines:
        parts = _Parts(lines)
        while parts.next is not None:
            line, found = _checked(parts, key)
            told += line
            wrong += found
    if not told and not wrong:
        wrong.append(Finding(tier="export", code="export.empty", detail=f"{file} holds no export"))
    return told, wrong


class _Parts:
    """The lines of a file, one ahead; what is no JSON object is the end of everything."""

    def __init__(self, lines: BinaryIO) -> None:
        self._lines = lines
        self.next: dict[str, Any] | None = {}
        self.take()

    def take(self) -> dict[str, Any]:
        """The line that is due; the one after it is read."""
        taken, text = self.next or {}, self._lines.readline()
        try:
            self.next = msgspec.json.decode(text, type=dict[str, Any]) if text.strip() else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.next = {}
        return taken

    def rows(self) -> Iterator[Sequence[Any]]:
        """The cells of rows, as far as they go."""
        while self.next and "hash" in self.next:
            row = self.take()
            yield tuple(row.get(name) for name in ROW) if row.keys() == NAMES else UNKNOWN


def _checked(parts: _Parts, key: str | None) -> tuple[list[str], list[Finding]]:
    """One tier's part of the file; whatever is out of order ends the part."""
    try:
        extent = msgspec.convert(parts.take().get("begin"), Extent)
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(extent.public_key))
    except (msgspec.ValidationError, ValueError):
        parts.next = None
        told = "a part of the file does not begin as an export does"
        return [], [Finding(tier="export", code="export.unreadable", detail=told)]
    link = Link(place=max(extent.first - 1, 0), hash=extent.previous)
    heads = [*_heads(parts, "head")]
    ours = [head for head in heads if head.tier == extent.tier and genuine(head, public)]
    signed = {head.position: head.hash for head in ours}
    found = [*islice(followed(parts.rows(), link, signed), MOST), *forged(heads, ours)]
    deque(parts.rows(), maxlen=0)  # what follows the places told
    found += _ended([*_heads(parts, "end")], extent, link, public)
    if key is not None and fingerprint(public) != key:
        found.append((None, "audit.key-other", f"it is signed by {fingerprint(public)}"))
    if not extent.first:
        rows = "no rows"
    else:
        proved = max(signed, default=0)
        later = "" if proved >= link.place else f", those after {proved} by the export's end alone"
        rows = f"rows {extent.first} to {link.place}, heads signed by {fingerprint(public)}{later}"
    wrong = [Finding(tier=extent.tier, code=c, position=at, detail=text) for at, c, text in found]
    return [f"{extent.tier} from {extent.since} to {extent.until}: {rows}"], wrong


def _heads(parts: _Parts, name: str) -> Iterator[Head]:
    while parts.next and name in parts.next:
        try:
            yield msgspec.convert(parts.take()[name], Head)
        except msgspec.ValidationError:
            yield Head(tier="", position=0, hash="", at="", key="")


def _ended(
    ends: list[Head], extent: Extent, link: Link, public: Ed25519PublicKey
) -> list[tuple[int | None, str, str]]:
    """Whether the file holds what its signed end says, no more and no less."""
    if not ends:
        return [(link.place + 1, "export.cut", "the end of the export is not there")]
    said = ends[-1]
    if said.tier != _named(extent) or not genuine(said, public):
        return [(None, "export.forged", "the end of the export is not of this key")]
    if (said.position, said.hash) != (link.place, link.hash):
        told = f"it ends at row {link.place} and was signed to row {said.position}"
        return [(link.place + 1, "export.cut", told)]
    return []
