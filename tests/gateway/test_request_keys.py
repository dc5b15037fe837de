"""The records of request keys, on either store: one of many gets the right to ask."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from apis.gateway.request_keys import (
    REQUEST_KEYS,
    Asked,
    Met,
    Running,
    claim,
    let_go,
    renew,
    settle,
    slot_of,
    sweep,
)
from apis.runtime.migrations import lift
from apis.runtime.store import Store

NOW = 1_790_000_000
ASKED = Asked(slot_of("clerk", "clerk", "k"), "order A-1", NOW, NOW + 100, 30.0)
LAPSED = ASKED._replace(lease_s=-1.0)
AT_ONCE = 20


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = Store(store_url)
    lift(store)
    yield store
    store.close()


async def running(store: Store, asked: Asked) -> Running:
    found = await claim(store, asked)
    assert isinstance(found, Running)
    return found


def kept(connection: Connection) -> int:
    return connection.scalar(sa.select(sa.func.count()).select_from(REQUEST_KEYS)) or 0


@pytest.mark.parametrize("asked", [ASKED, ASKED._replace(now=NOW + 100, ends_at=NOW + 200)])
async def test_of_twenty_claims_at_once_one_may_go_on(store: Store, asked: Asked) -> None:
    if asked is not ASKED:  # of a record whose time is over, too
        await store.write(settle, await running(store, LAPSED), 200, b"answer")

    found = await asyncio.gather(*(claim(store, asked) for _ in range(AT_ONCE)))

    assert [type(each) for each in found].count(Running) == 1
    assert [each for each in found if isinstance(each, Met)] == [Met("running")] * (AT_ONCE - 1)


async def test_of_twenty_claims_after_a_lapsed_lease_one_may_go_on(store: Store) -> None:
    lost = await running(store, LAPSED)

    found = await asyncio.gather(*(claim(store, ASKED) for _ in range(AT_ONCE)))

    [taken] = [each for each in found if isinstance(each, Running)]
    assert taken.attempt != lost.attempt
    assert taken.request_key == lost.request_key


async def test_an_answer_is_that_of_who_holds_the_key(store: Store) -> None:
    lost = await running(store, LAPSED)
    holder = await running(store, ASKED)

    await store.write(settle, lost, 500, b"late")
    before = await claim(store, ASKED)
    await store.write(settle, holder, 201, b"made")
    await store.write(let_go, holder)

    assert before == Met("running")
    assert await claim(store, ASKED) == Met("done", 201, b"made")
    assert await claim(store, ASKED._replace(fingerprint="order A-2")) == Met("reused")


async def test_what_is_let_go_may_be_asked_again_at_once(store: Store) -> None:
    first = await running(store, ASKED)
    await store.write(let_go, first)

    assert (await running(store, ASKED)).request_key == first.request_key


async def test_a_lease_is_renewed_by_its_holder_alone(store: Store) -> None:
    lost = await running(store, LAPSED)
    await store.write(renew, [lost], 30.0)
    assert await claim(store, ASKED) == Met("running")

    await store.write(renew, [lost._replace(attempt="another")], -1.0)
    assert await claim(store, ASKED) == Met("running")


async def test_a_key_of_a_later_record_is_another_request(store: Store) -> None:
    first = await running(store, ASKED)
    await store.write(settle, first, 201, b"made")

    later = await running(store, ASKED._replace(now=NOW + 100, ends_at=NOW + 200))

    assert later.request_key != first.request_key


async def test_only_what_has_ended_is_swept(store: Store) -> None:
    for n in range(3):
        await running(store, ASKED._replace(slot=slot_of(str(n)), ends_at=NOW + n))

    swept = [await store.write(sweep, NOW + 1), await store.write(sweep, NOW + 1)]

    assert swept == [2, 0]
    assert await store.read(kept) == 1
