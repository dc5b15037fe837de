"""One call to a vendor: limits in time and size, what its answers mean, and the list of calls."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest
from pytest_httpx import HTTPXMock

from apis.runtime.store import Store
from apis.runtime.wire import Unanswered
from contracts.errors import (
    Conflict,
    Misconfigured,
    Rejected,
    Throttled,
    ThroughlineError,
    Transient,
    Unavailable,
)
from tests.runtime.acme import THINGS, TOKEN_URL, acme, asks, hands_out_tokens, made


@pytest.fixture
def store(store_url: str):
    with made(store_url) as store:
        yield store


class Stream(httpx.AsyncByteStream):
    """An answer that comes in parts, with a pause before each."""

    def __init__(self, parts: list[bytes], pause_s: float = 0.0) -> None:
        self.parts, self.pause_s, self.read = parts, pause_s, 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            await asyncio.sleep(self.pause_s)
            self.read += 1
            yield part


async def test_numbers_with_a_point_are_exact(store: Store, httpx_mock: HTTPXMock) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=f"{THINGS}/1", content=b'{"amount": 0.1, "count": 3}')

    async with acme(store) as vendor:
        answer = await vendor.http.get("/things/{}", "1")

    assert answer == {"amount": Decimal("0.1"), "count": 3}


async def test_an_id_never_becomes_a_part_of_the_path(store: Store, httpx_mock: HTTPXMock) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=f"{THINGS}/..%2Fsecrets%3Fa%3D%7B1%7D", json={})

    async with acme(store) as vendor:
        await vendor.http.get("/things/{}", "../secrets?a={1}")

    assert (
        httpx_mock.get_requests()[-1].url.raw_path == b"/api/v1/things/..%2Fsecrets%3Fa%3D%7B1%7D"
    )


async def test_a_page_names_the_next(store: Store, httpx_mock: HTTPXMock) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(json={"items": [1, 2], "links": {"next": "/more/2"}})
    httpx_mock.add_response(json={"items": [3], "links": {}})
    httpx_mock.add_response(json={"things": []})

    async with acme(store) as vendor:
        first = await vendor.http.page("/things", params={"q": "a b"})
        last = await vendor.http.page("/things/{}", "2")
        with pytest.raises(Misconfigured, match=r"acme\.UNEXPECTED"):
            await vendor.http.page("/things")

    assert first == ([1, 2], "/more/2")
    assert last == ([3], None)


TABLE = [
    (400, {"code": "LOCKED", "message": "row lock"}, Transient, "acme.LOCKED"),
    (403, {"code": "SLOW_DOWN"}, Throttled, "acme.SLOW_DOWN"),
    (503, {"code": "CLOSED"}, Unavailable, "acme.CLOSED"),
    (400, {"code": "TAKEN"}, Conflict, "acme.TAKEN"),
    (300, ["/things/1", "/things/2"], Conflict, "acme.MANY"),
    (400, {"code": "TRIGGER", "message": "my rule"}, Rejected, "acme.TRIGGER"),
    (400, {"code": "TRIGGER", "message": "caused by LOCKED: wait"}, Transient, "acme.TRIGGER"),
    (418, {"code": "TEAPOT"}, Rejected, "acme.TEAPOT"),
    (401, {}, Misconfigured, "acme.401"),
    (403, None, Misconfigured, "acme.403"),
    (429, None, Throttled, "acme.429"),
    (500, {"code": "NEW"}, Unanswered, "acme.NEW"),
    (504, None, Unanswered, "acme.504"),
    (302, None, Misconfigured, "acme.302"),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]} {row[3]}")
async def test_the_code_decides_first_and_the_status_second(
    store: Store, httpx_mock: HTTPXMock, row: tuple[int, Any, type, str]
) -> None:
    status, body, kind, code = row
    asks()
    hands_out_tokens(httpx_mock)
    headers = {"Location": "https://elsewhere.test/"} if status == 302 else {}
    httpx_mock.add_response(url=THINGS, status_code=status, json=body, headers=headers)

    async with acme(store) as vendor:
        with pytest.raises(ThroughlineError, match="acme") as raised:
            await vendor.http.get("/things")

    assert (type(raised.value), raised.value.code) == (kind, code)
    assert [request.url.host for request in httpx_mock.get_requests()] == ["acme.test"] * 2


async def test_refused_fields_are_the_evidence(store: Store, httpx_mock: HTTPXMock) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    body = {"code": "TAKEN", "message": "taken", "fields": ["Name"]}
    httpx_mock.add_response(url=THINGS, status_code=400, json=body)

    async with acme(store) as vendor:
        with pytest.raises(Conflict) as raised:
            await vendor.http.get("/things")

    assert [(each.pointer, each.code) for each in raised.value.errors] == [("/Name", "TAKEN")]


async def test_a_vendor_says_how_long_to_wait_or_it_is_a_moment_at_first(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=THINGS, status_code=429, headers={"Retry-After": "7"})
    httpx_mock.add_response(url=THINGS, status_code=429)

    waits = []
    async with acme(store) as vendor:
        for _ in range(2):
            with pytest.raises(Throttled) as raised:
                await vendor.http.get("/things")
            waits.append(raised.value.retry_after)

    assert waits == [7.0, pytest.approx(1, abs=0.1)]


async def test_what_cannot_be_read_is_no_success(store: Store, httpx_mock: HTTPXMock) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=THINGS, html="<p>please sign in</p>")
    httpx_mock.add_response(url=THINGS, content=b'{"cut')

    async with acme(store) as vendor:
        for _ in range(2):
            with pytest.raises(Unanswered, match=r"acme\.UNREADABLE"):
                await vendor.http.get("/things")


@pytest.mark.parametrize(
    ("body", "code"), [(b"", "acme.UNREADABLE"), (b'{"code": "DOWN"}', "acme.UNCLEAR")]
)
async def test_a_success_that_says_nothing_or_an_error_is_none(
    store: Store, httpx_mock: HTTPXMock, body: bytes, code: str
) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=THINGS, content=body)

    async with acme(store) as vendor:
        with pytest.raises(Unanswered, match=code):
            await vendor.http.get("/things")


async def test_a_sign_in_that_fails_leaves_no_doubt_about_the_call(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    asks()
    httpx_mock.add_response(method="POST", content=b'{"cut')

    async with acme(store) as vendor:
        with pytest.raises(Transient, match=r"acme\.UNREADABLE") as raised:
            await vendor.http.get("/things")

    assert not isinstance(raised.value, Unanswered)


async def test_a_vendor_that_cannot_be_reached_is_unavailable(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    httpx_mock.add_exception(httpx.ConnectError("refused"), url=THINGS)

    async with acme(store) as vendor:
        with pytest.raises(Unavailable, match=r"acme\.NOT_REACHED") as raised:
            await vendor.http.get("/things")

    assert 1 <= raised.value.retry_after <= 2


async def test_an_answer_in_drips_ends_at_the_deadline(store: Store, httpx_mock: HTTPXMock) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    stream = Stream([b" "] * 1000, pause_s=0.02)
    httpx_mock.add_callback(lambda _: httpx.Response(200, stream=stream), url=THINGS)

    began = time.monotonic()
    async with acme(store, deadline_s=0.3) as vendor:
        with pytest.raises(Unanswered, match=r"acme\.NO_ANSWER"):
            await vendor.http.get("/things")

    assert time.monotonic() - began < 2


async def test_a_small_answer_that_unpacks_to_a_large_one_is_refused(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    packed = gzip.compress(b'"' + b"0" * 50_000_000 + b'"')
    parts = [packed[at : at + 1000] for at in range(0, len(packed), 1000)]
    stream = Stream(parts)
    answer = httpx.Response(200, stream=stream, headers={"Content-Encoding": "gzip"})
    httpx_mock.add_callback(lambda _: answer, url=THINGS)

    async with acme(store, max_answer_bytes=2_000_000) as vendor:
        with pytest.raises(Unanswered, match="larger than 2000000 bytes"):
            await vendor.http.get("/things")

    assert stream.read < len(parts) / 2


async def test_nothing_is_sent_after_the_deadline(store: Store, httpx_mock: HTTPXMock) -> None:
    asks(deadline=time.time() - 1)

    async with acme(store) as vendor:
        with pytest.raises(Transient, match=r"acme\.TOO_LATE"):
            await vendor.http.get("/things")

    assert httpx_mock.get_requests() == []


async def test_waiting_for_a_slot_counts_towards_the_deadline(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    hands_out_tokens(httpx_mock)

    async def slow(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0.5)
        return httpx.Response(200, json={})

    httpx_mock.add_callback(slow, url=THINGS)

    async with acme(store, budgets={"concurrency": 1}) as vendor:
        asks()
        first = asyncio.create_task(vendor.http.get("/things"))
        await asyncio.sleep(0.1)
        asks(deadline=time.time() + 0.1)
        with pytest.raises(Throttled, match=r"acme\.NO_SLOT"):
            await vendor.http.get("/things")
        await first

    assert [str(request.url) for request in httpx_mock.get_requests()] == [TOKEN_URL, THINGS]


async def test_the_work_lists_its_calls_without_ids(store: Store, httpx_mock: HTTPXMock) -> None:
    call = asks()
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=f"{THINGS}/42", status_code=404)

    async with acme(store) as vendor:
        with pytest.raises(Rejected):
            await vendor.http.get("/things/{}", "42")

    told = [(each["system"], each["operation"], each["status"]) for each in call.calls]
    assert told == [("acme", "sign in", 200), ("acme", "GET /things/{}", 404)]
    assert all(each["ms"] >= 0 and each["at"].endswith("+00:00") for each in call.calls)
