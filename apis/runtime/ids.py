"""Ids of ours that no database gives: in Crockford's base32, derived where they have no source."""

from __future__ import annotations

import hashlib

PLANNED = "planned-"
"""How an id begins that a dry run does not make."""


def child_id(kind: str, parent: str, n: int = 1) -> str:
    """The id of something that has no source yet: the first 26 base32 characters of a hash."""
    if parent.startswith(PLANNED):
        return f"{PLANNED}{kind}"
    digest = hashlib.sha256(f"{kind}\x00{parent}\x00{n}".encode()).digest()
    return crockford(int.from_bytes(digest[:17], "big") >> 6)


def crockford(number: int) -> str:
    """130 bits as 26 characters of Crockford's base32."""
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    return "".join(alphabet[(number >> shift) & 31] for shift in range(125, -1, -5))
