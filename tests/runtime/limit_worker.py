"""A worker process that takes of one limit as it is told: a line is how many calls to try."""

from __future__ import annotations

import asyncio
import sys
import time

from redis.asyncio import Redis

from apis.runtime.limits import RedisLimiter, parse_limit


async def work(port: int, written: str, workers: int) -> None:
    """Answer each line with how many of the calls were let through."""
    redis = Redis(port=port)
    limiter, limit = RedisLimiter(redis, workers=workers), parse_limit(written, quota=True)
    said("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        verdicts = [await limiter.take("k", limit, time.time()) for _ in range(int(line))]
        said(sum(each.allowed for each in verdicts))
    await redis.aclose()


def said(answer: object) -> None:
    """One line to whoever started this."""
    sys.stdout.write(f"{answer}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(work(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
