"""That a row was written by a process of ours: it bears a mark that only the digest key makes.

A chain shows what became of rows since they were sealed, and takes in whatever it finds. Who can
write to the database can add a row; without the key nobody can mark it.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

WRITTEN = (
    *("at", "actor", "cause", "action", "object", "key"),
    *("connection", "before_hash", "after_hash", "detail"),
)
_encode = msgspec.json.Encoder(order="sorted").encode


class Marker:
    """Makes and knows the marks of one digest key: `<key's name>.<chance>.<HMAC-SHA-256>`.

    By chance no two rows have one mark: who copies a row copies its mark with it.
    """

    def __init__(self, digest_key: bytes) -> None:
        made = hmac.digest(digest_key, b"mark of an audit row", "sha256")
        self._hmac = hmac.new(made, digestmod="sha256")
        self.key = hmac.digest(made, b"name", "sha256").hex()[:8]

    def mark(self, tier: str, cells: Sequence[Any]) -> str:
        """A new mark for the cells of `WRITTEN`."""
        return self._of(secrets.token_hex(8), tier, cells)

    def made(self, mark: str, tier: str, cells: Sequence[Any]) -> bool:
        """Whether this is a mark of ours, for these cells."""
        chance = mark.split(".")[1:2]
        return bool(chance) and hmac.compare_digest(
            mark.encode(), self._of(chance[0], tier, cells).encode()
        )

    def _of(self, chance: str, tier: str, cells: Sequence[Any]) -> str:
        made = self._hmac.copy()
        made.update(_encode((tier, chance, *cells)))
        return f"{self.key}.{chance}.{made.hexdigest()}"


@lru_cache(maxsize=8)
def marker(digest_key: bytes) -> Marker:
    """What marks with this key."""
    return Marker(digest_key)


class Origins:
    """Where rows of a tier come from, as they are followed; `unmarked` is the last without a mark.

    None for `unmarked` where no sealer of a release that marks has been: no row needs one yet.
    """

    def __init__(self, tier: str, digest_key: bytes, unmarked: int | None) -> None:
        self._tier, self._marker, self._unmarked = tier, marker(digest_key), unmarked
        self._others: set[str] = set()

    def ours(self, place: int, mark: Any, cells: Sequence[Any]) -> bool:
        """Whether a process of ours wrote the row, or nobody marked rows when it was written."""
        if mark is None:
            return self._unmarked is None or place <= self._unmarked
        return self._marker.made(str(mark), self._tier, cells)

    def doubt(self, place: int, mark: Any, cells: Sequence[Any]) -> tuple[str, str] | None:
        """The code and the words for a row that is not ours; of another key's, for the first."""
        if self.ours(place, mark, cells):
            return None
        if mark is None:
            return "audit.forged", f"row {place} bears no mark: no process of ours wrote it"
        name = str(mark).partition(".")[0]
        if name == self._marker.key:
            return "audit.forged", f"row {place} is not what a process of ours wrote"
        if name in self._others:
            return None
        self._others.add(name)
        told = f"row {place}, and perhaps others, were marked with another digest key or by no one"
        return "audit.mark-other", told
