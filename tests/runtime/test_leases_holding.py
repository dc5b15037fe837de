"""Leases: one holder at a time, by the database's clock; who has lost one writes nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import sqlalchemy as sa

from apis.runtime.leases import LEASES, Leases, claim, holder, live_workers, renew
from apis.runtime.store import Store
from tests.runtime.acme import made

LONG, OVER = 60.0, -1.0
NAME = "feed/salesforce/deal"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with made(store_url) as store:
        yield store


@pytest.fixture
async def leases(store: Store) -> AsyncIterator[Leases]:
    leases = Leases(store, "test", ttl=LONG)
    yield leases
    await asyncio.to_thread(leases.stop)


async def test_of_many_who_ask_at_once_one_holds_it(store: Store) -> None:
    asked = [store.write(claim, NAME, f"worker-{n}", LONG) for n in range(8)]

    got = await asyncio.gather(*asked)

    assert sum(got) == 1
    assert await store.read(holder, NAME) == f"worker-{got.index(True)}"


async def test_an_expired_lease_is_the_next_ones_and_never_comes_back(store: Store) -> None:
    assert await store.write(claim, NAME, "first", OVER)
    assert await store.read(holder, NAME) is None

    assert await store.write(renew, "first", LONG) == set()
    assert await store.write(claim, NAME, "second", LONG)
    assert not await store.write(claim, NAME, "first", LONG)

    assert await store.read(holder, NAME) == "second"
    token = await store.read(lambda c: c.execute(sa.select(LEASES.c.token)).scalar_one())
    assert token == 2


async def test_one_renewal_prolongs_all_leases_of_an_owner(store: Store) -> None:
    for name in ("a", "b"):
        await store.write(claim, name, "mine", 5.0)
    await store.write(claim, "c", "theirs", 5.0)

    assert await store.write(renew, "mine", LONG) == {"a", "b"}

    rows = await store.read(lambda c: c.execute(sa.select(LEASES).order_by("name")).all())
    assert rows[0].until == rows[1].until > rows[2].until + LONG / 2


async def test_a_process_knows_what_it_holds_and_gives_it_back(store: Store) -> None:
    leases = Leases(store, "test", ttl=LONG)

    assert await leases.hold(leases.worker)
    assert leases.held()
    assert not leases.held(NAME)
    assert leases.missing() == []
    assert await store.read(live_workers) == {leases.owner}
    await asyncio.to_thread(leases.stop)

    assert not leases.held()
    assert leases.missing() == [leases.worker]
    assert await store.read(live_workers) == set()


async def test_a_lease_somebody_else_keeps_is_not_waited_for_for_ever(store: Store) -> None:
    await store.write(claim, "system/salesforce", "another", LONG)
    impatient = Leases(store, "test", ttl=0.1)

    assert not await impatient.hold("system/salesforce")

    assert impatient.missing() == []
    await asyncio.to_thread(impatient.stop)


async def test_two_starts_of_one_part_are_two_owners(store: Store, leases: Leases) -> None:
    again = Leases(store, "test", ttl=LONG)

    assert await leases.claim(NAME)
    assert not await again.claim(NAME)
    assert await leases.claim(NAME)
