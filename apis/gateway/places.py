"""How many calls may be in work at once, how many wait for that, and who is refused instead."""

from __future__ import annotations

import asyncio
from collections import deque

from contracts.errors import Unavailable

AGAIN_S = 1.0


class Places:
    """So many places and a short line before them: who finds it full is refused at once.

    Who has waited `wait_s` in it is refused as well: by then the caller has asked again.
    """

    def __init__(self, name: str, most: int, *, waiting: int, wait_s: float) -> None:
        self._name = name
        self._most = most
        self._longest = waiting
        self._wait_s = wait_s
        self._line: deque[asyncio.Future[None]] = deque()
        self.taken = 0

    async def take(self) -> None:
        """Take a place, or wait for one; Unavailable `overloaded` when that takes too long."""
        if self.taken < self._most:
            self.taken += 1
            return
        if len(self._line) >= self._longest:
            raise self._full()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            async with asyncio.timeout(self._wait_s):
                await self._turn(turn)
        except TimeoutError:
            raise self._full() from None

    async def _turn(self, turn: asyncio.Future[None]) -> None:
        try:
            await turn
        except asyncio.CancelledError:
            if turn in self._line:
                self._line.remove(turn)
            elif not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Give the place to who waits longest."""
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.taken -= 1

    def _full(self) -> Unavailable:
        told = f"{self._name} has {self.taken} calls in work and {len(self._line)} waiting."
        return Unavailable("overloaded", told, retry_after=AGAIN_S)
