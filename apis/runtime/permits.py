"""Permits: so many at once per key, in memory or leased from Redis, with the same behaviour."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from apis.runtime.limits import REDIS_S, RETRY_S

MOST_LOST = 1_000


class Permits(Protocol):
    """So many at once, per key; TimeoutError when none came free in time."""

    def hold(self, key: str, lease_s: float, timeout: float) -> AbstractAsyncContextManager[None]:
        """Hold one permit inside the `async with`; a holder that died loses it after its lease."""


class MemoryPermits:
    """Permits of this process alone, handed out in the order they were asked for."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used: dict[str, int] = {}
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def hold(self, key: str, lease_s: float, timeout: float) -> AsyncIterator[None]:  # noqa: ASYNC109, ARG002 - one shape for both
        """Hold one permit; the lease is not needed in memory."""
        await self._enter(key, timeout)
        try:
            yield
        finally:
            self._leave(key)

    async def _enter(self, key: str, patience: float) -> None:
        if self._used.get(key, 0) < self._limit:
            self._used[key] = self._used.get(key, 0) + 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(turn)
        try:
            async with asyncio.timeout(patience):
                await turn
        except BaseException:  # timed out or cancelled: give back a permit that came too late
            if turn.done() and not turn.cancelled():
                self._leave(key)
            turn.cancel()
            raise

    def _leave(self, key: str) -> None:
        waiting = self._waiting.get(key, deque())
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)  # the permit passes on
                return
        self._waiting.pop(key, None)
        self._used[key] -= 1
        if not self._used[key]:
            del self._used[key]


ENTER = """
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1000000
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.6f', now))
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], string.format('%.6f', now + tonumber(ARGV[2])), ARGV[3])
redis.call('PEXPIRE', KEYS[1], math.ceil(tonumber(ARGV[2]) * 1000) + 60000)
return 1
"""


class RedisPermits:
    """Leased permits shared by all workers; each has its own share while Redis is away."""

    def __init__(
        self, limit: int, redis: Redis, *, workers: int = 1, prefix: str = "throughline"
    ) -> None:
        self._limit = limit
        self._redis = redis
        self._prefix = prefix
        self._script = redis.register_script(ENTER)
        self._local = MemoryPermits(limit)  # a worker never asks for more than there are
        self._alone = MemoryPermits(max(1, limit // workers))
        self._ask_again = self._sweep_at = 0.0
        self._lost: dict[tuple[str, str], float] = {}
        """What Redis may hold although nobody does: it did not say so in time. Until when."""

    @asynccontextmanager
    async def hold(self, key: str, lease_s: float, timeout: float) -> AsyncIterator[None]:  # noqa: ASYNC109 - part of the promise
        """Hold one permit for at most `lease_s`; the caller's deadline must be shorter."""
        until = time.monotonic() + timeout
        member, name = secrets.token_hex(12), f"{self._prefix}:permits:{{{key}}}"
        async with self._local.hold(key, lease_s, timeout):
            if not await self._entered(name, member, lease_s, until):
                async with self._alone.hold(key, lease_s, max(0.0, until - time.monotonic())):
                    yield
                return
            try:
                yield
            finally:
                await self._left(name, member, lease_s)

    async def _entered(self, name: str, member: str, lease_s: float, until: float) -> bool:
        """Wait for a permit; False when Redis is away."""
        pause = 0.005
        while True:
            arguments: list[Any] = [self._limit, lease_s, member]
            if time.monotonic() < self._ask_again:
                return False
            try:
                async with asyncio.timeout(REDIS_S):
                    entered = await self._script(keys=[name], args=arguments)
            except (RedisError, OSError, TimeoutError):
                self._ask_again = time.monotonic() + RETRY_S
                self._lose(name, member, lease_s)  # it may be done yet
                return False
            except asyncio.CancelledError:
                self._lose(name, member, lease_s)
                raise
            swept = bool(self._lost) and await self._swept()
            if entered:
                return True
            if swept:
                continue
            if time.monotonic() + pause > until:
                raise TimeoutError
            await asyncio.sleep(pause * (0.5 + secrets.randbelow(1000) / 1000))
            pause = min(pause * 2, 0.1)

    async def _left(self, name: str, member: str, lease_s: float) -> None:
        if time.monotonic() < self._ask_again:
            self._lose(name, member, lease_s)
            return
        try:
            async with asyncio.timeout(REDIS_S):
                await self._redis.zrem(name, member)
        except (RedisError, OSError, TimeoutError):
            self._ask_again = time.monotonic() + RETRY_S
            self._lose(name, member, lease_s)

    def _lose(self, name: str, member: str, lease_s: float) -> None:
        if len(self._lost) >= MOST_LOST:
            del self._lost[next(iter(self._lost))]
        self._lost[name, member] = time.monotonic() + lease_s

    async def _swept(self) -> bool:
        """Take out what nobody holds; again each second, as what is late may come later still."""
        if (now := time.monotonic()) < self._sweep_at:
            return False
        self._sweep_at = now + RETRY_S
        lost = dict(self._lost)
        try:
            async with asyncio.timeout(REDIS_S), self._redis.pipeline(transaction=False) as all_of:
                for name, member in lost:
                    all_of.zrem(name, member)
                await all_of.execute()
        except (RedisError, OSError, TimeoutError):
            return False
        for each, until in lost.items():
            if until <= now:
                self._lost.pop(each, None)
        return True
