"""Who looks again and again goes on, whatever is found."""

from __future__ import annotations

import asyncio

from structlog.testing import capture_logs

from apis.runtime.watching import watch


async def test_a_failure_is_told_once_and_that_it_is_over() -> None:
    found: list[BaseException | None] = [TypeError(), TypeError(), KeyError(), None, None]
    over = asyncio.Event()

    async def look() -> None:
        if not found:
            over.set()
        elif (error := found.pop(0)) is not None:
            raise error

    with capture_logs() as told:
        watching = asyncio.create_task(watch("files", look, 0))
        await over.wait()
    watching.cancel()

    assert [(line["event"], line.get("error")) for line in told] == [
        ("watch.failed", "TypeError"),
        ("watch.failed", "KeyError"),
        ("watch.recovered", None),
    ]
