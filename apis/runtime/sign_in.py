"""Signing in at a vendor: one refresh at a time, whoever asks, and never a stampede."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from apis.runtime.clock import Clock


class Token(msgspec.Struct, frozen=True):
    """A token as it is used: the host to call and the headers to send. Never printed."""

    host: str
    headers: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Token({self.host})"


class TokenRequest(msgspec.Struct, frozen=True):
    """The form that asks a vendor for a token."""

    url: str
    form: Mapping[str, str]
    headers: Mapping[str, str] = {}


class Account(msgspec.Struct, frozen=True):
    """What signing in needs of a connection: where, which kind, and the resolved credentials."""

    url: str
    login_url: str
    kind: str
    audience: str | None
    credentials: Mapping[str, str]


class SignIn(msgspec.Struct, frozen=True):
    """How a vendor hands out tokens: the request to make and how to read its answer."""

    request: Callable[[Account, float], TokenRequest]
    read: Callable[[Any], Token]


Fetch = Callable[[], Awaitable[Token]]


class Tokens:
    """The token of one connection in this process."""

    def __init__(self, fetch: Fetch, clock: Clock, *, age_s: float) -> None:
        self._fetch = fetch
        self._clock = clock
        self._age_s = age_s
        self._token: Token | None = None
        self._since = 0.0
        self._refreshing = asyncio.Lock()

    async def get(self, *, stale: bool = False) -> Token:
        """The token; `stale` says that the one last given was refused, so a new one is fetched once."""
        refused = self._token if stale else None
        async with self._refreshing:
            fresh = self._clock.timestamp() - self._since < self._age_s
            if self._token is not None and self._token is not refused and fresh:
                return self._token
            self._token = await self._fetch()
            self._since = self._clock.timestamp()
            return self._token
