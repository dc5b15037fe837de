"""The limiter and the permits, in memory and on a real Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from apis.runtime.limits import Limit, Limiter, MemoryLimiter, RedisLimiter, parse_limit
from apis.runtime.permits import MemoryPermits, Permits, RedisPermits
from tests.servers import redis_server

NOW = 1_800_000_000.0


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    with redis_server() as url:
        yield url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client: Redis = Redis.from_url(redis_url)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture(params=["memory", "redis"])
def limiter(request: pytest.FixtureRequest) -> Limiter:
    if request.param == "memory":
        return MemoryLimiter()
    return RedisLimiter(request.getfixturevalue("redis"))


@pytest.fixture(params=["memory", "redis"])
def permits(request: pytest.FixtureRequest) -> Permits:
    if request.param == "memory":
        return MemoryPermits(3)
    return RedisPermits(3, request.getfixturevalue("redis"))


async def passed(limiter: Limiter, limit: Limit, now: float, calls: int, key: str = "k") -> int:
    return sum([(await limiter.take(key, limit, now)).allowed for _ in range(calls)])


@pytest.mark.parametrize(
    ("written", "tokens", "window"),
    [("600/min", 600, 60), ("10/s", 10, 1), ("50000/day", 50_000, 86_400), ("7/h", 7, 3600)],
)
def test_a_limit_is_written_as_people_say_it(written: str, tokens: int, window: int) -> None:
    limit = parse_limit(written)

    assert (limit.tokens, limit.window, limit.burst) == (tokens, window, tokens)


@pytest.mark.parametrize("written", ["", "600", "0/s", "-1/s", "1.5/s", "600/minute", "600/min "])
def test_another_way_of_writing_a_limit_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="written like 600/min"):
        parse_limit(written)


@pytest.mark.parametrize("written", ["1000/h", "99/h", "3/day", "1/h"])
async def test_exactly_the_burst_passes_at_once(limiter: Limiter, written: str) -> None:
    limit = parse_limit(written)

    assert await passed(limiter, limit, time.time(), limit.burst + 50) == limit.burst


@pytest.mark.parametrize("written", ["600/min", "10/s", "100000/s"])
async def test_fast_limits_are_exact_too(written: str) -> None:
    limit = parse_limit(written)

    assert await passed(MemoryLimiter(), limit, NOW + 0.123, limit.burst + 50) == limit.burst


async def test_a_bucket_refills_evenly() -> None:
    limiter, limit = MemoryLimiter(), parse_limit("10/s")
    await passed(limiter, limit, NOW, 10)

    refused = limiter.take_now("k", limit, NOW)

    assert refused.retry_after == pytest.approx(0.1)
    assert not limiter.take_now("k", limit, NOW + 0.09).allowed
    assert limiter.take_now("k", limit, NOW + 0.11).allowed
    assert await passed(limiter, limit, NOW + 0.75, 50) == 6


async def test_a_simulated_clock_moves_the_bucket_in_redis_too(redis: Redis) -> None:
    limiter, limit = RedisLimiter(redis), parse_limit("5/min")
    now = time.time() + 1_000_000
    assert await passed(limiter, limit, now, 9) == 5

    assert await passed(limiter, limit, now + 36, 9) == 3


async def test_a_quota_starts_again_with_its_window(limiter: Limiter) -> None:
    limit = parse_limit("20/day", quota=True)
    midnight = (time.time() // 86_400 + 1) * 86_400

    assert await passed(limiter, limit, midnight - 100, 30) == 20
    refused = await limiter.take("k", limit, midnight - 100)
    assert refused.retry_after == pytest.approx(100, abs=1)
    assert await passed(limiter, limit, midnight + 1, 30) == 20


async def test_remaining_counts_down(limiter: Limiter) -> None:
    limit, now = parse_limit("5/min"), time.time()

    assert [(await limiter.take("k", limit, now)).remaining for _ in range(6)] == [4, 3, 2, 1, 0, 0]


async def test_a_cost_is_taken_whole_or_not_at_all(limiter: Limiter) -> None:
    limit, now = parse_limit("10/min"), time.time()

    assert (await limiter.take("k", limit, now, cost=8)).allowed
    assert not (await limiter.take("k", limit, now, cost=3)).allowed
    assert (await limiter.take("k", limit, now, cost=2)).allowed


async def test_keys_do_not_share(limiter: Limiter) -> None:
    limit, now = parse_limit("3/min"), time.time()

    assert await passed(limiter, limit, now, 5, "a") == 3
    assert await passed(limiter, limit, now, 5, "b") == 3


@given(
    tokens=st.integers(1, 500),
    burst=st.integers(1, 500),
    pauses=st.lists(st.floats(0, 5), max_size=200),
)
def test_never_more_than_burst_and_refill(tokens: int, burst: int, pauses: list[float]) -> None:
    limiter, limit, now, allowed = MemoryLimiter(), Limit(tokens, 60, burst), NOW, 0

    for pause in pauses:
        now += pause
        allowed += limiter.take_now("k", limit, now).allowed

    assert allowed <= burst + (now - NOW) * tokens / 60 + 1e-3


@pytest.mark.parametrize("workers", [1, 2, 4])
async def test_workers_together_pass_exactly_the_limit(redis: Redis, workers: int) -> None:
    limit, now = parse_limit("1000/h"), time.time()
    limiters = [RedisLimiter(redis, workers=workers) for _ in range(workers)]

    passes = await asyncio.gather(*(passed(each, limit, now, 600) for each in limiters))

    total = sum(passes)
    assert total <= 1000
    assert total >= min(1000, 600 * workers) - workers * 10


async def test_a_block_held_from_before_adds_nothing_to_a_later_burst(redis: Redis) -> None:
    limit, now = parse_limit("1000/h"), time.time()
    limiters = [RedisLimiter(redis) for _ in range(4)]
    for each in limiters:
        await each.take("k", limit, now)

    later = now + 7200
    passes = [await passed(each, limit, later, 1000) for each in limiters]

    assert sum(passes) == 1000


async def test_most_calls_do_not_wait_for_redis(redis: Redis) -> None:
    limiter, limit, now = RedisLimiter(redis), parse_limit("10000/h"), time.time()
    asked = 0

    for _ in range(1000):
        if limiter.take_now("k", limit, now) is None:
            asked += 1
            assert (await limiter.take("k", limit, now)).allowed

    assert asked == 20


async def test_a_refused_key_is_not_asked_for_again_in_vain(redis: Redis) -> None:
    limiter, limit, now = RedisLimiter(redis), parse_limit("3/min"), time.time()
    await passed(limiter, limit, now, 4)

    verdict = limiter.take_now("k", limit, now)

    assert verdict is not None
    assert not verdict.allowed


@pytest.mark.parametrize("on_loss", ["open", "closed"])
async def test_without_redis_a_worker_goes_on_with_its_share(
    on_loss: Literal["open", "closed"],
) -> None:
    nobody = Redis(port=1)
    limiter = RedisLimiter(nobody, workers=4, grace_s=0.2)
    limit = parse_limit("100/min", on_store_loss=on_loss)

    assert await passed(limiter, limit, NOW, 60) == 25

    await asyncio.sleep(0.25)
    assert (await limiter.take("k", limit, NOW)).allowed is (on_loss == "open")
    await nobody.aclose()


async def test_no_more_than_the_permits_at_once(permits: Permits) -> None:
    inside = most = 0

    async def call() -> None:
        nonlocal inside, most
        async with permits.hold("salesforce", 5, 5):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.005)
            inside -= 1

    await asyncio.gather(*(call() for _ in range(12)))

    assert most == 3


async def test_a_permit_that_does_not_come_free_is_a_timeout(permits: Permits) -> None:
    async with permits.hold("k", 5, 1), permits.hold("k", 5, 1), permits.hold("k", 5, 1):
        with pytest.raises(TimeoutError):
            async with permits.hold("k", 5, 0.03):
                pass
        async with permits.hold("other", 5, 0.03):
            pass
    async with permits.hold("k", 5, 0.03):
        pass


async def test_two_workers_share_permits_and_a_dead_one_loses_its_own(redis: Redis) -> None:
    one, other = RedisPermits(1, redis), RedisPermits(1, redis)
    held = one.hold("k", 0.1, 1)
    await held.__aenter__()  # never left: the worker died

    with pytest.raises(TimeoutError):
        async with other.hold("k", 5, 0.02):
            pass
    async with other.hold("k", 5, 1):
        pass


async def test_without_redis_permits_are_shared_out() -> None:
    nobody = Redis(port=1)
    permits = RedisPermits(4, nobody, workers=4)

    async with permits.hold("k", 5, 1):
        with pytest.raises(TimeoutError):
            async with permits.hold("k", 5, 0.02):
                pass
    await nobody.aclose()
