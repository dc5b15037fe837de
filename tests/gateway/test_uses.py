"""When a credential was last used is known to everybody, and costs hardly a write."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from apis.gateway.uses import AGAIN_S, USES, Uses, last_uses
from apis.runtime.clock import Clock
from apis.runtime.migrations import lift
from apis.runtime.store import Store
from tests.gateway import forgery
from tests.gateway.bench import Bench
from tests.gateway.test_oauth import TOKEN, form

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = Store(store_url)
    lift(store)
    yield store
    store.close()


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.set(NOON)
    return clock


async def test_uses_within_a_minute_are_one_write(store: Store, clock: Clock) -> None:
    uses = Uses(store, clock)
    uses.note("clerk", "home:old")
    await uses.close()
    store.write_now(lambda connection: connection.execute(sa.delete(USES)))

    clock.advance(AGAIN_S / 2)
    uses.note("clerk", "home:old")
    await uses.close()
    assert store.read_now(last_uses) == {}

    clock.advance(AGAIN_S / 2)
    uses.note("clerk", "home:old")
    await uses.close()
    assert store.read_now(last_uses).keys() == {("clerk", "home:old")}


async def test_all_gateways_write_to_one_place(store: Store, clock: Clock) -> None:
    gateways = [Uses(store, clock) for _ in range(2)]
    for each in gateways:
        for name in ("home:new", "home:old"):
            each.note("clerk", name)

    await asyncio.gather(*(each.close() for each in gateways))

    noon = pytest.approx(NOON.timestamp(), abs=30)
    assert store.read_now(last_uses) == {("clerk", "home:new"): noon, ("clerk", "home:old"): noon}


async def test_what_cannot_be_written_is_written_with_the_next(store: Store, clock: Clock) -> None:
    uses = Uses(store, clock)
    uses.note("clerk", "home:old")
    store.write_now(USES.drop)
    await uses.close()
    store.write_now(USES.create)

    await uses.close()

    assert store.read_now(last_uses).keys() == {("clerk", "home:old")}


async def test_a_signed_assertion_is_a_use_of_its_key_and_a_forged_one_is_none(
    bench: Bench,
) -> None:
    refused = await bench.http.post(TOKEN, data=form(forgery.assertion(bench, "stranger")))
    await bench.uses.close()
    assert (refused.status_code, bench.store.read_now(last_uses)) == (401, {})

    await bench.http.post(TOKEN, data=form(forgery.assertion(bench, "right")))
    await bench.uses.close()

    assert bench.store.read_now(last_uses).keys() == {("robot", bench.robot.kid)}


async def test_a_wrong_secret_is_no_use(bench: Bench) -> None:
    asked = {"grant_type": "client_credentials"}
    await bench.http.post(TOKEN, data=asked, auth=("clerk", "wrong"))
    await bench.uses.close()
    assert bench.store.read_now(last_uses) == {}

    await bench.http.post(TOKEN, data=asked, auth=("clerk", bench.secrets["clerk"]))
    await bench.uses.close()

    assert bench.store.read_now(last_uses).keys() == {("clerk", "home:clients.json")}
