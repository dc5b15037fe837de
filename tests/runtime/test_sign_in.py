"""Tokens: one request however many ask, one re-authentication, credentials read each time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pytest_httpx import HTTPXMock

from apis.runtime.clock import Clock
from apis.runtime.sign_in import Account, SignIn, Token, Tokens, fetcher
from apis.runtime.store import Store
from contracts.errors import Misconfigured, ThroughlineError, Transient, Unavailable
from tests.runtime.acme import (
    ACME,
    HOST,
    THINGS,
    TOKEN_URL,
    acme,
    asks,
    hands_out_tokens,
    made,
    read_token,
)

EXPIRED = {"code": "EXPIRED", "message": "session expired"}
FOR_EVER: dict[str, Any] = {"is_reusable": True, "is_optional": True}


@pytest.fixture
def store(store_url: str):
    with made(store_url) as store:
        yield store


def asked_for_tokens(mock: HTTPXMock) -> int:
    return len(mock.get_requests(url=TOKEN_URL))


async def test_twenty_calls_at_once_ask_for_one_token(store: Store, httpx_mock: HTTPXMock) -> None:
    asks()

    async def grant(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.05)
        return httpx.Response(200, json={"access_token": "only"})

    httpx_mock.add_callback(grant, url=TOKEN_URL, is_reusable=True)
    httpx_mock.add_response(url=THINGS, json={}, **FOR_EVER)

    async with acme(store, budgets={"concurrency": 20}) as vendor:
        await asyncio.gather(*(vendor.http.get("/things") for _ in range(20)))

    assert asked_for_tokens(httpx_mock) == 1


async def test_twenty_expired_tokens_are_one_refresh(store: Store, httpx_mock: HTTPXMock) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    order = iter(range(100))

    async def guard(request: httpx.Request) -> httpx.Response:
        if request.headers["Authorization"] == "Bearer token-1":
            await asyncio.sleep(0.003 * next(order))  # refusals come in one by one
            return httpx.Response(401, json=EXPIRED)
        return httpx.Response(200, json={})

    httpx_mock.add_callback(guard, url=THINGS, is_reusable=True)

    async with acme(store, budgets={"concurrency": 20}) as vendor:
        await asyncio.gather(*(vendor.http.get("/things") for _ in range(20)))

    assert asked_for_tokens(httpx_mock) == 2


async def test_a_call_signs_in_again_once(store: Store, httpx_mock: HTTPXMock) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=THINGS, status_code=401, json=EXPIRED, is_reusable=True)

    async with acme(store) as vendor:
        with pytest.raises(Misconfigured, match=r"acme\.EXPIRED"):
            await vendor.http.get("/things")

    assert asked_for_tokens(httpx_mock) == 2
    assert len(httpx_mock.get_requests(url=THINGS)) == 2


async def test_a_new_token_that_another_session_ended_is_no_wrong_login(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=THINGS, json={})
    httpx_mock.add_response(url=THINGS, status_code=401, json=EXPIRED)
    httpx_mock.add_response(url=THINGS, status_code=401, json=EXPIRED)
    httpx_mock.add_response(url=THINGS, json={"ok": True})

    async with acme(store) as vendor:
        await vendor.http.get("/things")
        with pytest.raises(Transient, match=r"acme\.EXPIRED.*a moment ago"):
            await vendor.http.get("/things")

        assert await vendor.http.get("/things") == {"ok": True}


async def test_another_refusal_is_no_reason_to_sign_in_again(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=THINGS, status_code=401, json={"code": "NO_RIGHTS"})

    async with acme(store) as vendor:
        with pytest.raises(Misconfigured, match=r"acme\.NO_RIGHTS"):
            await vendor.http.get("/things")

    assert asked_for_tokens(httpx_mock) == 1


async def test_an_old_token_is_not_used(store: Store, httpx_mock: HTTPXMock) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=THINGS, json={}, is_reusable=True)
    clock = Clock()

    async with acme(store, clock) as vendor:
        await vendor.http.get("/things")
        clock.advance(899)
        await vendor.http.get("/things")
        clock.advance(2)
        await vendor.http.get("/things")

    used = [each.headers["Authorization"] for each in httpx_mock.get_requests(url=THINGS)]
    assert used == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]


REFUSALS = [
    ({"status_code": 400, "json": {"error": "invalid_grant"}}, Misconfigured, "acme.invalid_grant"),
    ({"status_code": 401, "json": {"error": "invalid_client"}}, Misconfigured, "acme.invalid_clie"),
    ({"status_code": 503, "json": {"error": "busy"}}, Unavailable, "acme.busy"),
    ({"status_code": 502, "html": "<h1>Bad Gateway</h1>"}, Transient, "acme.502"),
    ({"status_code": 200, "json": {"scope": "api"}}, Misconfigured, "acme.NO_TOKEN"),
    ({"status_code": 200, "json": ["?"]}, Misconfigured, "acme.NO_TOKEN"),
]


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: row[2])
async def test_a_refused_sign_in_says_who_acts(
    store: Store, httpx_mock: HTTPXMock, row: tuple[dict[str, Any], type[ThroughlineError], str]
) -> None:
    answer, kind, code = row
    asks()
    httpx_mock.add_response(url=TOKEN_URL, **answer)

    async with acme(store) as vendor:
        with pytest.raises(kind) as raised:
            await vendor.http.get("/things")

    assert raised.value.code.startswith(code)


async def test_a_sign_in_that_hangs_ends_at_the_deadline(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    asks()

    async def hang(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(30)
        return httpx.Response(200, json={})

    httpx_mock.add_callback(hang, url=TOKEN_URL)

    async with acme(store, deadline_s=0.2) as vendor:
        with pytest.raises(Transient, match=r"acme\.NO_TOKEN"):
            await vendor.http.get("/things")


async def test_who_gives_up_waiting_stops_nobody_else(store: Store, httpx_mock: HTTPXMock) -> None:
    asks()

    async def grant(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.1)
        return httpx.Response(200, json={"access_token": "one"})

    httpx_mock.add_callback(grant, url=TOKEN_URL)

    async with acme(store) as vendor:
        hasty = asyncio.create_task(vendor.tokens.get())
        patient = asyncio.create_task(vendor.tokens.get())
        await asyncio.sleep(0.02)
        hasty.cancel()
        token = await patient

    assert token.headers == {"Authorization": "Bearer one"}


def test_a_token_is_not_printed() -> None:
    assert "s3cret" not in repr(Token("https://acme.test", {"Authorization": "Bearer s3cret"}))


def signing(account: Account, _now: float) -> Token:
    """Nothing is asked for: each request is signed."""
    secret = account.credentials["secret"]
    return Token("", sign=lambda method, url, now: {"X-Signed": f"{secret} {method} {url} {now}"})


async def test_what_signs_each_request_signs_its_method_whole_url_and_time(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    asks()
    httpx_mock.add_response(url=f"{THINGS}?q=a+b", json={})
    clock = Clock()
    clock.set(datetime(2026, 3, 1, tzinfo=UTC))
    account = Account(HOST, HOST, "oauth1", None, {"secret": "s3cret"})

    async with acme(store, clock) as vendor:
        made = SignIn(signing, read_token, ACME.sign_in.errors)
        fetch = fetcher(
            "acme", "acme", made, lambda: account, http=vendor.http._http, clock=clock, deadline_s=1
        )
        vendor.http._tokens = Tokens(fetch, clock, age_s=900)
        await vendor.http.get("/things", params={"q": "a b"})

    [request] = httpx_mock.get_requests()
    secret, method, url, now = request.headers["X-Signed"].split(" ")
    assert (secret, method, url) == ("s3cret", "GET", str(request.url))
    assert float(now) == pytest.approx(1772323200, abs=5)


async def test_a_token_without_a_host_is_good_for_the_connection(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    asks()
    httpx_mock.add_response(url=TOKEN_URL, json={"access_token": "t", "host": ""})
    httpx_mock.add_response(url=THINGS, json={"ok": True})

    async with acme(store) as vendor:
        assert await vendor.http.get("/things") == {"ok": True}
