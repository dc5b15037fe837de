"""What flow tests stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.runtime.flow_bench import DONE, REFUSALS, Bench


@pytest.fixture
async def bench(store_url: str) -> AsyncIterator[Bench]:
    """A worker at work; nothing is planned and nothing is done."""
    DONE.clear()
    REFUSALS.clear()
    bench = Bench(store_url)
    await bench.begin()
    yield bench
    await bench.end()
