"""`throughline audit verify --export`: a look at an exported file alone, no database."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from apis.console.audit_export import ROW, Contents, Ended, Extent
from apis.runtime.audit_heads import Head, fingerprint, genuine
from apis.runtime.audit_proof import MOST, Finding, Link, Told, followed, forged

NAMES = set(ROW)
UNKNOWN = (None,) * len(ROW)


def checked(file: Path, key: str | None) -> tuple[list[str], list[Finding]]:
    """What an exported file holds, a line a tier, and what is wrong with it; it alone is asked."""
    with file.open("rb") as lines:
        parts = _Parts(lines)
        if parts.next is None:
            return [], [_wrong("export.empty", f"{file} holds no export")]
        try:
            contents = msgspec.convert(parts.take().get("export"), Contents)
            public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(contents.public_key))
        except (msgspec.ValidationError, ValueError):
            return [], [_wrong("export.unreadable", "the file does not begin as an export does")]
        told = [f"exported at {contents.at}, {contents.since} to {contents.until}"]
        wrong: list[Finding] = []
        if not genuine(contents, public):
            wrong.append(_wrong("export.forged", "its first line is not of this key"))
        if key is not None and fingerprint(public) != key:
            wrong.append(_wrong("audit.key-other", f"it is signed by {fingerprint(public)}"))
        for tier in contents.tiers:
            line, found = _checked(parts, tier, contents, public)
            told += line
            wrong += [Finding(tier=tier, code=c, position=at, detail=text) for at, c, text in found]
        if parts.next is not None:
            wrong.append(_wrong("export.unreadable", "what follows is not of this export"))
    return told, wrong


def _wrong(code: str, detail: str) -> Finding:
    return Finding(tier="export", code=code, detail=detail)


class _Parts:
    """The lines of a file, one ahead; what is no JSON object is an empty one."""

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

    def begins(self, tier: str) -> Extent | None:
        """Where the tier's part begins, if that is what is due."""
        try:
            extent = msgspec.convert((self.next or {}).get("begin"), Extent)
        except msgspec.ValidationError:
            return None
        if extent.tier != tier:
            return None
        self.take()
        return extent

    def rows(self) -> Iterator[Sequence[Any]]:
        """The cells of rows, as far as they go."""
        while self.next and "hash" in self.next:
            row = self.take()
            yield tuple(row.get(name) for name in ROW) if row.keys() == NAMES else UNKNOWN

    def heads(self) -> Iterator[Head]:
        """Heads, as far as they go; one that cannot be read is one that nobody signed."""
        while self.next and "head" in self.next:
            try:
                yield msgspec.convert(self.take()["head"], Head)
            except msgspec.ValidationError:
                yield Head(tier="", position=0, hash="", at="", key="")

    def end(self) -> Ended | None:
        """What a part says of itself, if that is what is due."""
        if not self.next or "end" not in self.next:
            return None
        try:
            return msgspec.convert(self.take()["end"], Ended)
        except msgspec.ValidationError:
            return None


def _checked(
    parts: _Parts, tier: str, contents: Contents, public: Ed25519PublicKey
) -> tuple[list[str], list[Told]]:
    """One tier's part of the file; whatever is out of order ends the part."""
    extent = parts.begins(tier)
    if extent is None:
        return [], [(None, "export.cut", "the part of this tier is not there")]
    link = Link(place=max(extent.first - 1, 0), hash=extent.previous)
    heads = [*parts.heads()]
    ours = [head for head in heads if head.tier == tier and genuine(head, public)]
    signed = {head.position: head.hash for head in reversed(ours)}
    found = [*islice(followed(parts.rows(), link, signed), MOST), *forged(heads, ours)]
    deque(parts.rows(), maxlen=0)  # what follows the places told
    ended = parts.end()
    if ended is None:
        found.append((link.place + 1, "export.cut", "the end of the part is not there"))
    else:
        found += _ended(ended, extent, link)
        if ended.export != contents.signature or not genuine(ended, public):
            found.append((None, "export.forged", "the end of the part is not of this export"))
    if not extent.first:
        rows = "no rows"
    else:
        proved = max(signed, default=0)
        later = "" if proved >= link.place else f", those after {proved} by the export's end alone"
        rows = f"rows {extent.first} to {link.place}, heads signed by {fingerprint(public)}{later}"
        rows += _unmarked(ended, extent)
    return [f"{tier} from {contents.since} to {contents.until}: {rows}"], found


def _ended(said: Ended, extent: Extent, link: Link) -> Iterator[Told]:
    """Where a part does not hold what its end says, no more and no less; and what was not ours."""
    if (said.tier, said.first, said.previous) != (extent.tier, extent.first, extent.previous):
        yield None, "export.forged", "the part does not begin where its end says"
    if (said.position, said.hash) != (link.place, link.hash):
        told = f"it ends at row {link.place} and was signed to row {said.position}"
        yield link.place + 1, "export.cut", told
    if said.found:
        told = f"at the export {said.found} findings were told of this tier's whole audit"
        yield None, "audit.not-whole", told
    for place in said.forged[:MOST]:
        yield place, "audit.forged", f"row {place} was found not to be ours at the export"


def _unmarked(ended: Ended | None, extent: Extent) -> str:
    """Which rows are of a time when rows were not marked."""
    if ended is None or ended.unmarked == 0:
        return ""
    if ended.unmarked is None:
        return ", marks not asked for"
    return f", without marks up to row {ended.unmarked}" if ended.unmarked >= extent.first else ""
