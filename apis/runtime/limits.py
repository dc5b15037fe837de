"""Rate limits and quotas: in memory or in Redis, with the same behaviour.

A rate (`600/min`) is GCRA: a bucket of `burst` that refills evenly. A quota (`50000/day`) is a
count per UTC window that starts at zero. `now` is always an argument, in seconds since 1970 by
the injected clock. With Redis a worker takes blocks of at most half a percent of the limit, so that
a call seldom waits for Redis, the sum over all workers is never over and little is stranded.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Literal, NamedTuple, Protocol

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

WINDOWS = {"s": 1, "min": 60, "h": 3600, "day": 86_400}
GRACE_S = 60.0  # how long a worker goes on alone when Redis is away
RETRY_S = 1.0
REDIS_S = 0.5
MOST_KEYS = 50_000
BLOCKS = 200
"""How many blocks make a limit: four workers strand four of them, 2 %."""
EXACT = 1e-4
SKEW_S = 2.0
_WRITTEN = re.compile(r"([1-9][0-9]{0,11})/(s|min|h|day)")


class Limit(msgspec.Struct, frozen=True):
    """So many calls in so many seconds, `burst` of them at once (a quota has no burst)."""

    tokens: int
    window: float
    burst: int
    quota: bool = False
    on_store_loss: Literal["open", "closed"] = "closed"

    @property
    def step(self) -> float:
        """Seconds that one call pays for."""
        return self.window / self.tokens

    @property
    def block(self) -> int:
        """How many calls a worker takes from Redis at once."""
        return max(1, min(self.tokens, self.burst) // BLOCKS)

    def share(self, workers: int) -> Limit:
        """Divide the limit between so many workers."""
        return Limit(
            max(1, self.tokens // workers),
            self.window if self.tokens >= workers else self.window * workers / self.tokens,
            max(1, self.burst // workers),
            self.quota,
            self.on_store_loss,
        )


def parse_limit(
    written: str,
    *,
    burst: int | None = None,
    quota: bool = False,
    on_store_loss: Literal["open", "closed"] = "closed",
) -> Limit:
    """`600/min`, `10/s`, `50000/day` as a limit; ValueError says what is expected."""
    found = _WRITTEN.fullmatch(written)
    if found is None:
        msg = f"a limit is written like 600/min, 10/s or 50000/day, not {written!r}"
        raise ValueError(msg)
    tokens = int(found[1])
    return Limit(tokens, WINDOWS[found[2]], burst or tokens, quota, on_store_loss)


class Verdict(NamedTuple):
    """Whether the call may go, what is left, and in how many seconds to try again or be full.

    `reduced` says that Redis was away, so that less than the limit was there to give.
    """

    allowed: bool
    remaining: int
    retry_after: float
    reset: float
    reduced: bool = False


class Limiter(Protocol):
    """Counts calls per key. `take_now` answers without waiting when it can, else None."""

    def take_now(self, key: str, limit: Limit, now: float, cost: int = 1) -> Verdict | None:
        """Give the verdict if this process can do so alone."""

    async def take(self, key: str, limit: Limit, now: float, cost: int = 1) -> Verdict:
        """Give the verdict."""

    def give_back(self, key: str, limit: Limit, now: float, verdict: Verdict) -> None:
        """Undo one allowed `take`, of which nothing came."""


class MemoryLimiter:
    """Counts in this process alone."""

    def __init__(self) -> None:
        self._base: float | None = None  # small numbers keep a float exact
        self._tat: dict[str, float] = {}  # theoretical arrival time per rate, from the base
        self._used: dict[str, tuple[float, int]] = {}  # per quota: end of its window, used

    def take_now(self, key: str, limit: Limit, now: float, cost: int = 1) -> Verdict:
        """Count `cost` calls unless that is too many."""
        if limit.quota:
            return self._quota(key, limit, now, cost)
        if self._base is None:
            self._base = now
        now -= self._base
        if len(self._tat) > MOST_KEYS:
            self._tat = {each: tat for each, tat in self._tat.items() if tat > now}
        step = limit.window / limit.tokens
        full = step * limit.burst
        tat = self._tat.get(key, now)
        # a clock that was set back must not lock a key for longer than an empty bucket takes
        tat = now if tat < now else min(tat, now + full)
        later = tat + cost * step
        over = later - now - full
        if over > step * EXACT:
            left = int((now + full - tat) / step + EXACT)
            return Verdict(allowed=False, remaining=left, retry_after=over, reset=tat - now)
        self._tat[key] = later
        return Verdict(True, int(-over / step + EXACT), 0.0, later - now)  # noqa: FBT003 - hot path

    def _quota(self, key: str, limit: Limit, now: float, cost: int) -> Verdict:
        ends = (now // limit.window + 1) * limit.window
        if len(self._used) > MOST_KEYS:
            self._used = {each: used for each, used in self._used.items() if used[0] > now}
        since, used = self._used.get(key, (ends, 0))
        left = limit.tokens - (used if since == ends else 0)
        if cost > left:
            return Verdict(allowed=False, remaining=left, retry_after=ends - now, reset=ends - now)
        self._used[key] = (ends, limit.tokens - left + cost)
        return Verdict(allowed=True, remaining=left - cost, retry_after=0.0, reset=ends - now)

    async def take(self, key: str, limit: Limit, now: float, cost: int = 1) -> Verdict:
        """As `take_now`."""
        return self.take_now(key, limit, now, cost)

    def give_back(self, key: str, limit: Limit, now: float, verdict: Verdict) -> None:  # noqa: ARG002 - one shape for both
        """Let one call more pass in its place."""
        if key in self._tat:
            self._tat[key] -= limit.step
        elif (held := self._used.get(key)) and held[0] > now:
            self._used[key] = (held[0], max(0, held[1] - 1))


# Both scripts answer {taken, left, retry_after, reset}; times are text, Redis would cut them.
# ARGV: step or window, burst or tokens, cost, most to take, shift of the injected clock.
_NOW = """
local t = redis.call('TIME')
local now = tonumber(t[1]) + tonumber(t[2]) / 1000000 + tonumber(ARGV[5])
local cost, most = tonumber(ARGV[3]), tonumber(ARGV[4])
local function s(seconds) return string.format('%.9f', seconds) end
"""
RATE = (
    _NOW
    + """
local step, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
now = now - 1700000000
local full = step * burst
local tat = math.min(math.max(tonumber(redis.call('GET', KEYS[1]) or now), now), now + full)
local left = math.floor((now + full - tat) / step + 0.0001)
if left < cost then
  return {0, left, s(tat + cost * step - now - full), s(tat - now)}
end
local taken = math.min(left, math.max(cost, most))
tat = tat + taken * step
redis.call('SET', KEYS[1], string.format('%.9f', tat), 'PX', math.ceil((tat - now) * 1000) + 1000)
return {taken, left - taken, '0', s(tat - now)}
"""
)
QUOTA = (
    _NOW
    + """
local window, tokens = tonumber(ARGV[1]), tonumber(ARGV[2])
local ends = (math.floor(now / window) + 1) * window
local key = KEYS[1] .. ':' .. string.format('%.0f', ends)
local left = tokens - tonumber(redis.call('GET', key) or 0)
if left < cost then
  return {0, left, s(ends - now), s(ends - now)}
end
local taken = math.min(left, math.max(cost, most))
redis.call('INCRBY', key, taken)
redis.call('PEXPIRE', key, math.ceil(window * 1000) + 60000)
return {taken, left - taken, '0', s(ends - now)}
"""
)


class _Block:
    """What this worker holds of one key, and when a refused key is worth asking for again."""

    __slots__ = ("ends", "held", "left", "lock", "refused_until")

    def __init__(self) -> None:
        self.held = 0
        self.left = 0
        self.ends = 0.0
        self.refused_until = 0.0
        self.lock = asyncio.Lock()


class RedisLimiter:
    """Counts for all workers together; alone for a minute when Redis is away."""

    def __init__(
        self,
        redis: Redis,
        *,
        workers: int = 1,
        prefix: str = "throughline",
        grace_s: float = GRACE_S,
    ) -> None:
        self._workers = workers
        self._grace_s = grace_s
        self._prefix = prefix
        self._rate = redis.register_script(RATE)
        self._quota = redis.register_script(QUOTA)
        self._blocks: dict[str, _Block] = {}
        self._alone = MemoryLimiter()
        self._away_since: float | None = None
        self._ask_again = 0.0

    def take_now(self, key: str, limit: Limit, now: float, cost: int = 1) -> Verdict | None:
        """Give a verdict from the block held here; None means that Redis must be asked."""
        block = self._blocks.get(key)
        if block is None:
            return None
        if block.refused_until > now and cost == 1:
            wait = block.refused_until - now
            return Verdict(allowed=False, remaining=0, retry_after=wait, reset=block.ends - now)
        reset = block.ends - now
        if reset <= 0:
            return None
        # What is held lapses as the bucket fills up again: bucket and blocks together stay within
        # the burst. A quota's block is good until its window ends.
        usable = block.held if limit.quota else min(block.held, int(reset / limit.step + EXACT))
        if usable < cost:
            return None
        block.held = usable - cost
        left = block.left + block.held
        return Verdict(allowed=True, remaining=left, retry_after=0.0, reset=reset)

    async def take(self, key: str, limit: Limit, now: float, cost: int = 1) -> Verdict:
        """Give the verdict, from the block held here or from Redis."""
        if len(self._blocks) > MOST_KEYS:
            self._blocks = {k: b for k, b in self._blocks.items() if b.ends > now}
        block = self._blocks.setdefault(key, _Block())
        async with block.lock:
            if (verdict := self.take_now(key, limit, now, cost)) is not None:
                return verdict
            return await self._refill(block, key, limit, now, cost)

    async def _refill(
        self, block: _Block, key: str, limit: Limit, now: float, cost: int
    ) -> Verdict:
        if self._away_since is not None and time.monotonic() < self._ask_again:
            return self._without(key, limit, now, cost)
        shift = round(now - time.time())  # Redis keeps the time; only a simulated clock is added
        script, first, second = (
            (self._quota, limit.window, limit.tokens)
            if limit.quota
            else (self._rate, limit.step, limit.burst)
        )
        arguments = [first, second, cost, limit.block, shift if abs(shift) > SKEW_S else 0]
        name = f"{self._prefix}:{{{key}}}"
        try:
            async with asyncio.timeout(REDIS_S):
                taken, left, retry, reset = await script(keys=[name], args=arguments)
        except (RedisError, OSError, TimeoutError):
            self._away_since = self._away_since or time.monotonic()
            self._ask_again = time.monotonic() + RETRY_S
            return self._without(key, limit, now, cost)
        self._away_since = None
        block.left, block.ends, wait = int(left), now + float(reset), float(retry)
        block.held = max(0, int(taken) - cost)
        block.refused_until = now + wait if cost == 1 and not taken else 0.0
        return Verdict(bool(taken), block.left + block.held, wait, float(reset))

    def give_back(self, key: str, limit: Limit, now: float, verdict: Verdict) -> None:
        """Put one call back where it was taken: into the block held here, never into Redis."""
        if verdict.reduced:
            self._alone.give_back(key, limit.share(self._workers), now, verdict)
        elif block := self._blocks.get(key):
            block.held += 1
            block.refused_until = 0.0

    def _without(self, key: str, limit: Limit, now: float, cost: int) -> Verdict:
        away = time.monotonic() - (self._away_since or time.monotonic())
        if away < self._grace_s:
            verdict = self._alone.take_now(key, limit.share(self._workers), now, cost)
            return verdict._replace(reduced=True)
        is_open = limit.on_store_loss == "open"
        wait = 0.0 if is_open else RETRY_S
        return Verdict(is_open, remaining=0, retry_after=wait, reset=RETRY_S, reduced=True)
