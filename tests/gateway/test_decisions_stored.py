"""Decisions of several gateways in one database, on either store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from apis.gateway.decisions import MOST_FOUND, Decisions, recorded
from apis.gateway.exchange import Exchange, Outside
from apis.gateway.guard import Message
from apis.gateway.policy import Recording
from apis.runtime.clock import Clock
from apis.runtime.migrations import lift
from apis.runtime.store import Store


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = Store(store_url)
    lift(store)
    yield store
    store.close()


async def nowhere(message: Message) -> None:
    """Take what is sent."""


def call(client: str) -> Exchange:
    """A call that was let through."""
    exchange = Exchange({"method": "GET"}, {}, nowhere, Outside("", ()))
    exchange.client, exchange.target, exchange.operation = client, "process/orders/v1", "listOrders"
    exchange.status = 200
    exchange.decide("authorization", "orders.read", "allowed")
    return exchange


async def test_two_gateways_count_together(store: Store) -> None:
    gateways = [Decisions(store, Clock(), Recording()) for _ in range(2)]
    for gateway in gateways:
        for client in ("a", "b", "a"):
            gateway.note(call(client))

    await asyncio.gather(*(gateway.flush() for gateway in gateways))
    for gateway in gateways:
        gateway.note(call("a"))
        await gateway.flush()

    counted: dict[Any, Any] = {row["client"]: row["count"] for row in await gateways[0].counted()}
    assert counted == {"a": 6, "b": 2}


async def test_recorded_calls_are_read_in_their_order_page_by_page(store: Store) -> None:
    clock = Clock()
    gateway = Decisions(store, clock, Recording())
    calls = [call(name) for name in "abcde"]
    for n, each in enumerate(calls):
        each.at = clock.timestamp() - n
        gateway.note(each)
    await gateway.flush()

    mark, seen = (0.0, 0), []
    while True:
        rows, mark = store.read_now(recorded, mark, 2)
        seen += [row.client for row in rows]
        if not rows:
            break

    assert seen == ["e", "d", "c", "b", "a"]


async def test_what_is_too_old_or_too_much_is_forgotten(store: Store) -> None:
    clock = Clock()
    gateway = Decisions(store, clock, Recording(days=1, most=2))
    for name in "abc":
        gateway.note(call(name))
    await gateway.flush()

    assert [len(await gateway.found(each)) for each in await ids(store)] == [1, 1]
    clock.advance(2 * 86_400)
    await gateway.flush()
    assert await ids(store) == []


async def ids(store: Store) -> list[str]:
    rows, _ = await store.read(recorded, (0.0, 0), 10)
    return [row.request_id for row in rows]


async def test_of_an_id_that_a_caller_gives_to_every_request_the_latest_are_told(
    store: Store,
) -> None:
    gateway = Decisions(store, Clock(), Recording())
    calls = [call(str(n)) for n in range(MOST_FOUND + 2)]
    for each in calls:
        each.request_id = "always"
        gateway.note(each)

    found = await gateway.found("always")

    assert [each.client for each in found] == [each.client for each in calls[:1:-1]]
