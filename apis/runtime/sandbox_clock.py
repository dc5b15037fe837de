"""The clock a sandbox serves at `/__clock__`: `GET` tells it, `PUT` moves everybody who follows."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime
from typing import Any

from apis.runtime.clock import Clock

HELD_S = 0.5
"""So long an answer waits for the next move; a sandbox that stops waits for it too."""


class ServedClock:
    """A clock that counts how often it was moved from outside."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._count = 0
        self._move = asyncio.Event()

    def shown(self) -> dict[str, Any]:
        """The moment, and how many moves led to it."""
        return {"now": self._clock.now(), "moved": self._count}

    def put(self, body: dict[str, Any]) -> dict[str, Any]:
        """Move it to `now` and on by `advance_s`; ValueError for anything else."""
        if unknown := body.keys() - {"now", "advance_s"}:
            msg = f"the clock takes now and advance_s, not {', '.join(sorted(unknown))}"
            raise ValueError(msg)
        if "now" in body:
            moment = datetime.fromisoformat(body["now"])
            if moment.tzinfo is None:
                msg = "now needs a zone"
                raise ValueError(msg)
            self._clock.set(moment)
        self._clock.advance(float(body.get("advance_s", 0)))
        self._count += 1
        self._move.set()
        self._move = asyncio.Event()
        return self.shown()

    async def moved_since(self, known: str | None) -> None:
        """Wait a moment for the next move, on behalf of who knows all there were."""
        if known == str(self._count):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._move.wait(), HELD_S)
