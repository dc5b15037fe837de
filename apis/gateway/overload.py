"""More to do than can be done: how many calls are in work at once, and who is refused instead."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from apis.gateway.guard import Scope
from contracts.errors import Unavailable

AGAIN_S = 1.0
MOST_IN_WORK, LEAST_IN_WORK = 512, 128
LOOK_S = 0.05
LATE_S = 0.1
MANY = 64
CAME = "throughline.came"
"""Where the server notes in the ASGI scope when a call came, if `MANY` are under way."""


class Load:
    """How many calls this process works on at once, and whether it can take one more.

    Calls that wait for a database or a vendor cost a place each and no CPU, so there are many
    places. What the CPU cannot keep up with shows in two ways. A call that came while `MANY` were
    under way has waited `LATE_S` for its turn: it is refused. And the event loop is late: then a
    tenth of the places goes at every look, and comes back by twentieths.
    """

    def __init__(self, log: Callable[[dict[str, Any]], None], most: int = MOST_IN_WORK) -> None:
        self._log = log
        self._most, self._least = most, min(most, LEAST_IN_WORK)
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._told = 0
        self.bound = most
        self.in_work = 0
        self.refused = 0

    def admits(self, scope: Scope) -> bool:
        """Whether this call is taken."""
        if self.in_work >= self.bound:
            return False
        came: float | None = scope.get(CAME)
        return came is None or time.monotonic() - came <= LATE_S

    def enter(self) -> None:
        """Begin a call."""
        self.in_work += 1
        if self._timer is None:
            self._look_later(asyncio.get_running_loop())

    def leave(self) -> None:
        """End a call."""
        self.in_work -= 1

    def felt(self, late_s: float) -> None:
        """Draw the bound closer after a late loop, and wider after a punctual one."""
        if late_s > LATE_S:
            self.bound = max(self._least, min(self.bound, self.in_work) * 9 // 10)
        else:
            self.bound = min(self._most, self.bound + self.bound // 20 + 1)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self.felt(loop.time() - self._due)
        if self.refused > self._told:
            told = {"count": self.refused - self._told, "in_work": self.in_work}
            self._log({"event": "requests.refused", **told, "bound": self.bound})
            self._told = self.refused
        if self.in_work or self.bound < self._most:
            self._look_later(loop)
        else:
            self._timer = None

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + LOOK_S
        self._timer = loop.call_at(self._due, self._look, loop)


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
