"""What a worker looks after: whatever is due is done, each duty by one, whatever the others do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest
import sqlalchemy as sa

from apis.runtime.clock import Clock
from apis.runtime.leases import Leases
from apis.runtime.rounds import Duty, Rounds
from apis.runtime.store import Store
from tests.runtime.acme import made

DUE, NOT_DUE = sa.true(), sa.false()


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A database with our tables."""
    with made(store_url) as store:
        yield store


@pytest.fixture
async def leases(store: Store) -> AsyncIterator[Leases]:
    """This process's leases."""
    mine = Leases(store, "worker", ttl=30)
    await mine.hold(mine.worker)
    yield mine
    await asyncio.to_thread(mine.stop)


@asynccontextmanager
async def going(store: Store, leases: Leases, *duties: Duty) -> AsyncIterator[None]:
    """Go round until the end of the block."""
    task = asyncio.create_task(Rounds(store, leases, Clock(), duties).go(0.01))
    yield
    task.cancel()
    await asyncio.wait([task])


async def see(look: Callable[[], bool]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(10):
        while not look():  # noqa: ASYNC110 - it is looked at from outside
            await asyncio.sleep(0.01)


def counting(done: Counter[str], name: str, due: sa.ColumnElement[bool]) -> Duty:
    """A duty that counts how often it was done."""

    async def work() -> None:
        done[name] += 1

    return Duty(name, due, work)


async def test_what_is_due_is_done_and_nothing_else(store: Store, leases: Leases) -> None:
    done = Counter[str]()
    duties = counting(done, "mail", DUE), counting(done, "rest", NOT_DUE)

    async with going(store, leases, *duties):
        await see(lambda: done["mail"] > 2)

    assert done["rest"] == 0


async def test_a_duty_that_fails_or_takes_long_holds_nothing_up(
    store: Store, leases: Leases
) -> None:
    done, begun = Counter[str](), Counter[str]()

    def begins(name: str, then: Callable[[], Awaitable[object]]) -> Duty:
        async def work() -> None:
            begun[name] += 1
            await then()

        return Duty(name, DUE, work)

    async def breaks() -> None:
        raise ZeroDivisionError

    for_ever, broken = begins("for ever", asyncio.Event().wait), begins("broken", breaks)

    async with going(store, leases, for_ever, broken, counting(done, "mail", DUE)):
        await see(lambda: done["mail"] > 2)
        await see(lambda: begun["broken"] > 1)

    assert begun["for ever"] == 1


async def test_what_another_process_leads_is_left_to_it(store: Store, leases: Leases) -> None:
    done, theirs = Counter[str](), Leases(store, "other", ttl=30)
    assert await theirs.claim("mail")

    async with going(store, leases, counting(done, "mail", DUE), counting(done, "post", DUE)):
        await see(lambda: done["post"] > 2)

    assert done["mail"] == 0
