"""A vendor that knew us a moment ago and now does not may be overloaded: that is tried anew."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from pytest_httpx import HTTPXMock

from apis.runtime.clock import Clock
from apis.runtime.store import Store
from contracts.errors import Misconfigured, Unavailable
from tests.runtime.acme import ACME, THINGS, Acme, acme, asks, hands_out_tokens, made

REFUSED = {"code": "EXPIRED", "message": "who are you"}


@pytest.fixture
def store(store_url: str):
    with made(store_url) as store:
        yield store


@asynccontextmanager
async def doubting(store: Store, clock: Clock) -> AsyncIterator[Acme]:
    async with acme(store, clock) as vendor:
        vendor.http.vendor = msgspec.structs.replace(ACME, doubted=frozenset({"EXPIRED"}))
        yield vendor


async def test_after_a_success_a_refused_login_opens_the_breaker(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=THINGS, json={})
    httpx_mock.add_response(url=THINGS, status_code=401, json=REFUSED)
    httpx_mock.add_response(url=THINGS, status_code=401, json=REFUSED)
    httpx_mock.add_response(url=THINGS, json={"ok": True})
    clock = Clock()

    async with doubting(store, clock) as vendor:
        await vendor.http.get("/things")
        with pytest.raises(Unavailable, match=r"acme\.EXPIRED.*overloaded"):
            await vendor.http.get("/things")
        with pytest.raises(Unavailable, match="BREAKER_OPEN"):
            await vendor.http.get("/things")
        clock.advance(31)

        assert await vendor.http.get("/things") == {"ok": True}


async def test_without_a_success_or_long_after_it_the_login_is_wrong(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=THINGS, status_code=401, json=REFUSED)
    httpx_mock.add_response(url=THINGS, status_code=401, json=REFUSED)
    httpx_mock.add_response(url=THINGS, json={})
    httpx_mock.add_response(url=THINGS, status_code=401, json=REFUSED)
    httpx_mock.add_response(url=THINGS, status_code=401, json=REFUSED)
    clock = Clock()

    async with doubting(store, clock) as vendor:
        with pytest.raises(Misconfigured):
            await vendor.http.get("/things")
        await vendor.http.get("/things")
        clock.advance(601)
        with pytest.raises(Misconfigured):
            await vendor.http.get("/things")
