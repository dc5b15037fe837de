"""A request that comes again is not done again, on either store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from apis.runtime.context import CURRENT, Call, Context
from apis.runtime.migrations import lift
from apis.runtime.once import REQUESTS, once
from apis.runtime.store import Store

NOW = datetime(2026, 11, 22, tzinfo=UTC)
AT_ONCE = 8


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = Store(store_url)
    lift(store)
    yield store
    store.close()


def kept(connection: Connection) -> int:
    return connection.scalar(sa.select(sa.func.count()).select_from(REQUESTS)) or 0


class Ledger:
    """Counts what is entered into it."""

    def __init__(self) -> None:
        self.entries = 0

    def enter(self, _connection: Connection, amount: int) -> list[int]:
        self.entries += 1
        return [self.entries, amount]

    def refuse(self, _connection: Connection) -> list[int]:
        raise ValueError


def under(key: str | None) -> None:
    CURRENT.set(Call(Context(actor="ann", client="portal", request_key=key)))


async def test_the_same_request_is_answered_from_what_came_of_it(store: Store) -> None:
    ledger = Ledger()
    under("k-1")

    first = await store.write(once, list[int], NOW, ledger.enter, 7)
    again = await store.write(once, list[int], NOW, ledger.enter, 7)
    under("k-2")
    other = await store.write(once, list[int], NOW, ledger.enter, 7)

    assert (first, again, other) == ([1, 7], [1, 7], [2, 7])


async def test_without_a_key_each_is_a_request_of_its_own(store: Store) -> None:
    ledger = Ledger()
    under(None)

    for _ in range(2):
        await store.write(once, list[int], NOW, ledger.enter, 7)

    assert ledger.entries == 2
    assert await store.read(kept) == 0


async def test_of_several_at_once_one_is_done(store: Store) -> None:
    ledger = Ledger()
    under("k-1")

    many = [store.write(once, list[int], NOW, ledger.enter, 7) for _ in range(AT_ONCE)]

    assert await asyncio.gather(*many) == [[1, 7]] * AT_ONCE


async def test_what_failed_may_be_tried_again(store: Store) -> None:
    ledger = Ledger()
    under("k-1")

    with pytest.raises(ValueError, match=r"^$"):
        await store.write(once, list[int], NOW, ledger.refuse)

    assert await store.write(once, list[int], NOW, ledger.enter, 7) == [1, 7]


async def test_what_nobody_asks_for_any_more_goes(store: Store) -> None:
    ledger = Ledger()
    for n in range(3):
        under(f"k-{n}")
        await store.write(once, list[int], NOW + timedelta(days=16 * n), ledger.enter, n)
    under("k-9")
    await store.write(once, list[int], NOW + timedelta(days=49), ledger.enter, 9)

    assert await store.read(kept) == 2
