"""What a connection allows: slots, rate, quota, breaker, maintenance window."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest
from pytest_httpx import HTTPXMock

from apis.runtime.clock import Clock
from apis.runtime.store import Store
from contracts.errors import Rejected, Throttled, ThroughlineError, Transient, Unavailable
from tests.runtime.acme import THINGS, acme, asks, hands_out_tokens, made

FOR_EVER: dict[str, Any] = {"is_reusable": True, "is_optional": True}


@pytest.fixture
def store(store_url: str):
    with made(store_url) as store:
        yield store


async def test_two_hundred_calls_at_once_never_exceed_the_slots(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    now, most = 0, 0

    async def answer(_request: httpx.Request) -> httpx.Response:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.005)
        now -= 1
        return httpx.Response(200, json={})

    httpx_mock.add_callback(answer, url=THINGS, **FOR_EVER)

    async with acme(store, budgets={"concurrency": 7}) as vendor:
        await asyncio.gather(*(vendor.http.get("/things") for _ in range(200)))

    assert most == 7


async def test_a_spent_rate_is_throttling_and_nothing_is_sent(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=THINGS, json={}, **FOR_EVER)

    async with acme(store, budgets={"rate": "2/min"}) as vendor:
        for _ in range(2):
            await vendor.http.get("/things")
        with pytest.raises(Throttled, match=r"acme\.BUDGET_SPENT") as raised:
            await vendor.http.get("/things")

    assert raised.value.retry_after == pytest.approx(30, abs=1)
    assert len(httpx_mock.get_requests(url=THINGS)) == 2


async def test_a_spent_daily_quota_waits_for_the_next_day(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=THINGS, json={}, **FOR_EVER)
    clock = Clock()
    clock.set(datetime(2026, 3, 1, 23, 0, tzinfo=UTC))

    async with acme(store, clock, budgets={"rate": "1000/day", "daily": 3}) as vendor:
        for _ in range(3):
            await vendor.http.get("/things")
        with pytest.raises(Throttled) as raised:
            await vendor.http.get("/things")
        clock.advance(3601)
        await vendor.http.get("/things")

    assert raised.value.retry_after == pytest.approx(3600, abs=5)


async def tries(vendor, times: int = 1) -> list[ThroughlineError | None]:
    errors: list[ThroughlineError | None] = []
    for _ in range(times):
        try:
            await vendor.http.get("/things")
            errors.append(None)
        except ThroughlineError as error:
            errors.append(error)
    return errors


async def test_five_failures_in_a_row_open_the_breaker_and_one_probe_closes_it(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    for _ in range(6):
        httpx_mock.add_response(url=THINGS, status_code=500)
    httpx_mock.add_response(url=THINGS, json={}, is_reusable=True)
    clock = Clock()

    async with acme(store, clock) as vendor:
        first = await tries(vendor, 5)
        refused = await tries(vendor, 3)
        clock.advance(31)
        probes = await asyncio.gather(*(tries(vendor) for _ in range(10)))
        clock.advance(31)
        after = await tries(vendor, 3)

    assert all(isinstance(error, Transient) for error in first)
    assert {error.code for error in refused} == {"acme.BREAKER_OPEN"}
    assert all(0 < error.retry_after <= 60 for error in refused)
    assert sorted(error.code for [error] in probes) == ["acme.500"] + ["acme.BREAKER_OPEN"] * 9
    assert after == [None] * 3
    assert len(httpx_mock.get_requests(url=THINGS)) == 5 + 1 + 3


async def test_a_refusal_of_one_record_is_no_failure_of_the_connection(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    for status in [500] * 4 + [400] + [500] * 4 + [429] + [500] * 4:
        httpx_mock.add_response(url=THINGS, status_code=status)
    httpx_mock.add_response(url=THINGS, json={})

    async with acme(store) as vendor:
        errors = await tries(vendor, 15)

    assert errors[-1] is None
    assert isinstance(errors[4], Rejected)


async def test_a_vendor_that_says_it_is_away_is_left_alone(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=THINGS, status_code=503, json={"code": "CLOSED"})

    async with acme(store) as vendor:
        first, second = await tries(vendor, 2)

    assert (first.code, second.code) == ("acme.CLOSED", "acme.BREAKER_OPEN")
    assert 1 <= first.retry_after <= 2


async def test_a_vendor_that_stays_away_is_tried_ever_less_often_and_at_least_each_half_minute(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=THINGS, status_code=503, json={"code": "CLOSED"}, is_reusable=True)
    clock, tried = Clock(), []

    async with acme(store, clock) as vendor:
        began = clock.now()
        while clock.now() - began < timedelta(minutes=3):
            [error] = await tries(vendor)
            if error.code == "acme.CLOSED":
                tried.append(round((clock.now() - began).total_seconds()))
            clock.advance(0.5)

    pauses = [later - earlier for earlier, later in pairwise(tried)]
    assert pauses[:5] == pytest.approx([1, 2, 4, 8, 16], abs=1)
    assert all(30 <= pause <= 31 for pause in pauses[5:])


async def test_throttling_that_does_not_say_how_long_waits_longer_each_time(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    for _ in range(8):
        httpx_mock.add_response(url=THINGS, status_code=429)
    httpx_mock.add_response(url=THINGS, json={})
    httpx_mock.add_response(url=THINGS, status_code=429)
    clock, waits = Clock(), []

    async with acme(store, clock) as vendor:
        for _ in range(10):
            [error] = await tries(vendor)
            waits.append(error and error.retry_after)
            clock.advance(waits[-1] or 0)

    assert waits[:8] == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60], abs=0.1)
    assert waits[8:] == [None, pytest.approx(1, abs=0.1)]


async def test_calls_that_are_throttled_together_count_as_one(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=THINGS, status_code=429, is_reusable=True)

    async with acme(store) as vendor:
        errors = await asyncio.gather(*(tries(vendor) for _ in range(10)))

    assert all(0 < error.retry_after <= 1 for [error] in errors)


async def test_nothing_is_sent_in_a_maintenance_window(store: Store, httpx_mock: HTTPXMock) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=THINGS, json={})
    clock = Clock()
    start = clock.now() - timedelta(minutes=1)
    window = {"from": start.isoformat(), "until": (start + timedelta(minutes=10)).isoformat()}

    async with acme(store, clock, windows={"once": [window]}) as vendor:
        with pytest.raises(Unavailable, match=r"acme\.MAINTENANCE_WINDOW") as raised:
            await vendor.http.get("/things")
        clock.advance(600)
        await vendor.http.get("/things")

    assert 535 <= raised.value.retry_after <= 575
