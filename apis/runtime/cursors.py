"""Cursors as clients hold them: sealed for one list, one client and the rows it sees."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec

from apis.runtime.context import CURRENT
from apis.runtime.store import no_cursor

Page = TypeVar("Page", bound=msgspec.Struct)
SEAL = 16


class Cursors:
    """Seals where a page ends, so that nobody reads it, alters it or asks with another's."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = hashlib.sha256(b"cursors" + (key or secrets.token_bytes(32))).digest()

    async def page(
        self, of: str, cursor: str | None, read: Callable[[str | None], Awaitable[Page]]
    ) -> Page:
        """What `read` answers for the page that a cursor begins; its `next` is sealed."""
        found: Any = await read(None if cursor is None else self.unsealed(of, cursor))
        if found.next is None:
            return found  # type: ignore[no-any-return]  # as `read` made it
        return msgspec.structs.replace(found, next=self.sealed(of, found.next))  # type: ignore[no-any-return]  # as above

    def sealed(self, of: str, end: str) -> str:
        """The end of a page as its `next`."""
        return urlsafe_b64encode(self._seal(of, end) + end.encode()).decode().rstrip("=")

    def unsealed(self, of: str, cursor: str) -> str:
        """Where the page before ended; Rejected for what this client was not given here."""
        try:
            data = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            end = data[SEAL:].decode()
        except ValueError:
            raise no_cursor() from None
        if not hmac.compare_digest(data[:SEAL], self._seal(of, end)):
            raise no_cursor()
        return end

    def _seal(self, of: str, end: str) -> bytes:
        context = CURRENT.get().context
        told = msgspec.json.encode((of, context.client, context.rows, end))
        return hmac.digest(self._key, told, "sha256")[:SEAL]
