"""What a process looks at for as long as it lives: nothing it finds there may end the looking."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from apis.runtime.log import get_logger

log = get_logger(__name__)


async def watch(
    name: str,
    look: Callable[[], Awaitable[object]],
    every: float,
    *,
    wait: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> None:
    """Look every so many seconds; what goes wrong is logged once, and when it is over."""
    failing = ""
    while True:
        try:
            await look()
        except Exception as error:  # it outlives what it meets
            met = type(error).__name__
            if met != failing:
                log.exception("watch.failed", of=name, error=met)
            failing = met
        else:
            if failing:
                log.info("watch.recovered", of=name)
            failing = ""
        await wait(every)
