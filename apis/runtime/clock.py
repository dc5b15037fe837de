"""The only source of now and of waiting.

With `THROUGHLINE_CLOCK=<url>` every process follows one simulated clock (tests and demo only):
the url is read every 100 ms into an offset, never per call, and the clock runs on at real speed.
A server that says how often its clock was `moved` is asked to answer when it is moved again: a
dozen processes that ask ten times a second keep half a core busy.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import httpx

TICK_S = 0.1
LATE = timedelta(seconds=1)
"""An answer that is this much behind was long under way: time does not go back for it."""
LOOPBACK = {"127.0.0.1", "localhost", "::1"}


class Clock:
    """Now in UTC, and waiting that a simulated clock can shorten."""

    def __init__(self) -> None:
        self.offset = timedelta(0)

    @property
    def offset(self) -> timedelta:
        """How far a simulated clock is from the real one."""
        return self._offset

    @offset.setter
    def offset(self, offset: timedelta) -> None:
        self._offset, self._ahead_s = offset, offset.total_seconds()

    def now(self) -> datetime:
        """The present moment, with a zone (UTC)."""
        return datetime.now(UTC) + self.offset

    def timestamp(self) -> float:
        """Seconds since 1970 of `now()`."""
        return time.time() + self._ahead_s

    def set(self, moment: datetime) -> None:
        """Make `moment` now; time runs on from there."""
        self.offset = moment - datetime.now(UTC)

    def advance(self, seconds: float) -> None:
        """Jump forward (or, below zero, back)."""
        self.offset += timedelta(seconds=seconds)

    def drift_s(self, allowed: float) -> float:
        """How far clocks may be apart: as allowed, and as far as a simulated one was moved.

        A jump reaches each process at a moment of its own.
        """
        return allowed + abs(self._ahead_s)

    async def sleep(self, seconds: float) -> None:
        """Wait until this much clock time has passed; a jump of the clock ends the wait."""
        due = self.timestamp() + seconds
        while (left := due - self.timestamp()) > 0:  # noqa: ASYNC110 - the clock may jump
            await asyncio.sleep(min(left, TICK_S))

    async def look(self, url: str) -> None:
        """Take over the time served at `url`; without an answer nothing changes."""
        async with httpx.AsyncClient(trust_env=False, timeout=2) as http:
            await self._taken(http, url)

    async def _taken(
        self, http: httpx.AsyncClient, url: str, moved: int | None = None
    ) -> int | None:
        """Take over the time, and how often it was moved if the server counts that."""
        with contextlib.suppress(httpx.HTTPError, ValueError, KeyError):  # it may be restarting
            params = {} if moved is None else {"moved": moved}
            answer = (await http.get(url, params=params)).json()
            moment = datetime.fromisoformat(answer["now"])
            if not timedelta(0) <= self.now() - moment < LATE:
                self.set(moment)
            count = answer.get("moved")
            return count if isinstance(count, int) else None
        return None

    async def follow(self, url: str) -> None:
        """Follow the clock served at `url` for ever."""
        async with httpx.AsyncClient(trust_env=False, timeout=2) as http:
            moved = None
            while True:
                moved = await self._taken(http, url, moved)
                await asyncio.sleep(TICK_S if moved is None else 0)


def simulated_clock_url(env: dict[str, str]) -> str | None:
    """The clock to follow, or None; ValueError unless it is loopback and a test or a demo."""
    url = env.get("THROUGHLINE_CLOCK")
    if not url:
        return None
    if env.get("THROUGHLINE_ENV") not in {"test", "demo"}:
        msg = "THROUGHLINE_CLOCK is refused unless THROUGHLINE_ENV is test or demo"
        raise ValueError(msg)
    if urlsplit(url).hostname not in LOOPBACK:
        msg = f"THROUGHLINE_CLOCK must be a loopback address, not {url}"
        raise ValueError(msg)
    return url
