"""Limits that several worker processes share, and what holds when Redis is stopped or flushed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path
from typing import Literal

import pytest
import redis as sync
from redis.asyncio import Redis

from apis.runtime.limits import RETRY_S, Limit, RedisLimiter, parse_limit
from apis.runtime.permits import RedisPermits
from tests.servers import flush, free_port, redis_program

ROOT = Path(__file__).parents[2]
DAILY = "1000/day"


class Server:
    """A Redis that is started, stopped and flushed for good."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program, environment = redis_program()
        command = [program, "--port", str(self.port), "--dir", str(self._folder), "--save", ""]
        self._process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, env=os.environ | environment
        )
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                sync.Redis(port=self.port).ping()
            except sync.ConnectionError:
                time.sleep(0.02)
            else:
                return
        pytest.fail("this Redis does not answer")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def sleep(self, *, on: bool) -> None:
        assert self._process
        self._process.send_signal(signal.SIGSTOP if on else signal.SIGCONT)

    def forget(self) -> None:
        flush(f"redis://127.0.0.1:{self.port}/0")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def redis(server: Server) -> AsyncIterator[Redis]:
    client = Redis(port=server.port)
    yield client
    await client.aclose()


@contextmanager
def worker(server: Server, workers: int) -> Iterator[Callable[[int], int]]:
    """A worker process; it tries so many calls and says how many were let through."""
    command = [sys.executable, "-m", "tests.runtime.limit_worker", str(server.port), DAILY]
    with subprocess.Popen(
        [*command, str(workers)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        assert process.stdin
        assert process.stdout
        told, said = process.stdin, process.stdout
        assert said.readline() == "ready\n"

        def tries(calls: int) -> int:
            told.write(f"{calls}\n")
            told.flush()
            return int(said.readline())

        yield tries
        told.close()


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_worker_processes_are_never_over_and_strand_two_percent_at_most(
    server: Server, workers: int
) -> None:
    with ExitStack() as stack:
        tries = [stack.enter_context(worker(server, workers)) for _ in range(workers)]
        idle = sum(each(1) for each in tries[1:])

        busy = tries[0](1100)
        rest = sum(each(300) for each in tries[1:])

    assert idle == workers - 1
    assert 980 <= idle + busy <= 1000
    assert idle + busy + rest == 1000


async def passed(limiter: RedisLimiter, limit: Limit, calls: int) -> int:
    return sum([(await limiter.take("k", limit, time.time())).allowed for _ in range(calls)])


async def test_while_redis_is_stopped_each_worker_has_its_share_and_says_so(
    server: Server, redis: Redis
) -> None:
    limiter, limit = RedisLimiter(redis, workers=4), parse_limit(DAILY, quota=True)
    held = await passed(limiter, limit, 3)
    server.stop()

    assert await passed(limiter, limit, 600) == 250 + limit.block - held
    assert (await limiter.take("k", limit, time.time())).reduced

    server.start()
    assert await come_back(limiter, limit)


async def come_back(limiter: RedisLimiter, limit: Limit) -> bool:
    """Whether Redis is asked again: within its pause, a second."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if not (await limiter.take("k", limit, time.time())).reduced:
            return True
        await asyncio.sleep(0.05)
    return False


@pytest.mark.parametrize("on_loss", ["open", "closed"])
async def test_after_the_first_minute_the_plan_says_what_holds(
    server: Server, redis: Redis, on_loss: Literal["open", "closed"]
) -> None:
    limit = parse_limit("2/day", quota=True, on_store_loss=on_loss)
    limiter = RedisLimiter(redis, workers=1, grace_s=0)
    assert await passed(limiter, limit, 3) == 2
    server.stop()

    verdict = await limiter.take("other", limit, time.time())

    assert verdict.reduced
    assert verdict.allowed is (on_loss == "open")
    assert verdict.retry_after == (0 if on_loss == "open" else 1)


async def test_a_redis_that_was_flushed_counts_anew_from_there(
    server: Server, redis: Redis
) -> None:
    limiter, limit = RedisLimiter(redis), parse_limit("100/day", quota=True)
    assert await passed(limiter, limit, 40) == 40
    server.forget()

    assert await passed(limiter, limit, 300) == 100


async def test_permits_are_refused_at_once_and_shared_out_while_redis_is_away(
    server: Server, redis: Redis
) -> None:
    permits = RedisPermits(4, redis, workers=2)
    async with AsyncExitStack() as held:
        for _ in range(4):
            await held.enter_async_context(permits.hold("a", 9, 0))
        with pytest.raises(TimeoutError):
            await held.enter_async_context(permits.hold("a", 9, 0))
    server.stop()

    async with permits.hold("b", 9, 0), permits.hold("b", 9, 0):
        with pytest.raises(TimeoutError):
            async with permits.hold("b", 9, 0):
                pass


async def test_permits_that_redis_gave_or_took_back_too_late_are_held_by_nobody(
    server: Server, redis: Redis
) -> None:
    one, other = RedisPermits(2, redis), RedisPermits(2, redis)
    async with one.hold("k", 300, 0):
        server.sleep(on=True)
        async with one.hold("k", 300, 0):  # of its own share: the answer comes too late
            pass
    server.sleep(on=False)
    await asyncio.sleep(RETRY_S)
    assert await redis.zcard("throughline:permits:{k}") == 2

    async with one.hold("k", 300, 0):
        pass

    async with other.hold("k", 300, 0), other.hold("k", 300, 0):
        pass
