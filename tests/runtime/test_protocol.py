"""HTTP that cannot be read, or does not come: one answer with a problem document, then the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from apis.runtime.caps import Caps
from apis.runtime.server import Door, Server, server_of
from apis.runtime.sockets import opened

UNREADABLE = {
    "length and chunks": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nabc",
    "a length below zero": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nHost: a\r\nfoo\r\n\r\n",
}
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n"
CHUNKS = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
SHORT = Caps(header_s=0.2, body_s=0.2, keep_alive_s=0.2, unread_s=0.2)
Problem = dict[str, Any]


async def never(_scope: Any, _receive: Any, _send: Any) -> None:
    pytest.fail("the app was asked")


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer how many headers and bytes came; nobody is there for an answer to half a body."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        more = message["more_body"]
    told = json.dumps({"headers": len(scope["headers"]), "size": size}).encode()
    headers = [(b"content-length", b"%d" % len(told))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": told})


@asynccontextmanager
async def listening(app: Any, caps: Caps | None = None) -> AsyncIterator[tuple[int, Server]]:
    """A server of our kind on a port of its own."""
    with opened("127.0.0.1", 0) as door:
        issuer = "https://api.firm.example"
        server = server_of(app, [Door(door)], issuer=issuer, caps=caps or Caps())
        serving = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - the server offers no event
            await asyncio.sleep(0.01)
        yield door.getsockname()[1], server
        server.should_exit = True
        await serving


async def told(port: int, *parts: bytes, pause: float = 0) -> tuple[bytes, bytes]:
    """All that comes back on one connection until the server ends it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await asyncio.sleep(pause)
    head, _, body = (await asyncio.wait_for(reader.read(), 10)).partition(b"\r\n\r\n")
    writer.close()
    return head, body


@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE)
async def test_unreadable_http_gets_one_problem_document(raw: bytes) -> None:
    async with listening(never) as (port, _):
        head, body = await told(port, raw)

    assert head.count(b"HTTP/1.1 ") == 1
    assert b"application/problem+json" in head
    assert b"traceparent: 00-" in head
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (400, "bad-request")
    assert problem["type"] == "https://api.firm.example/problems/bad-request"
    assert (problem["owner"], problem["title"]) == ("caller", "The request is not valid HTTP")
    assert b"cache-control: no-store" in head
    assert problem["request_id"].encode() in head


async def test_a_method_that_is_none_is_told_those_there_are() -> None:
    async with listening(never) as (port, _):
        head, body = await told(port, b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 405 ")
    assert b"allow: DELETE, GET, HEAD, PATCH, POST, PUT" in head
    assert json.loads(body)["code"] == "method-not-allowed"


@pytest.mark.parametrize("begun", [b"GET / HTTP/1.1\r\nHo", POST, POST + b"half", b"\r\nGET"])
async def test_a_request_that_does_not_go_on_is_timed_out(begun: bytes) -> None:
    async with listening(echo, SHORT) as (port, _):
        head, body = await told(port, begun)

    assert head.startswith(b"HTTP/1.1 408 ")
    assert json.loads(body)["code"] == "request-timeout"


@pytest.mark.parametrize(("sent", "answers"), [(b"", 0), (GET, 1), (GET + GET, 2)])
async def test_an_idle_connection_is_closed_without_a_word(sent: bytes, answers: int) -> None:
    async with listening(echo, SHORT) as (port, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        heard = await asyncio.wait_for(reader.read(), 10)
        writer.close()

    assert (heard.count(b"HTTP/1.1 200"), heard.count(b"HTTP/1.1 ")) == (answers, answers)


async def test_a_slow_body_that_keeps_coming_is_taken() -> None:
    caps = Caps(header_s=5, body_s=5, keep_alive_s=0.2)
    async with listening(echo, caps) as (port, _):
        head, body = await told(port, POST, *[b"x"] * 8, pause=0.05)

    assert head.startswith(b"HTTP/1.1 200")
    assert json.loads(body)["size"] == 8


async def test_a_body_below_the_slowest_rate_is_not() -> None:
    caps = Caps(body_s=0.3, body_rate=1_000_000)
    async with listening(echo, caps) as (port, _):
        head, _ = await told(port, POST, *[b"x"] * 5, pause=0.2)

    assert head.startswith(b"HTTP/1.1 408 ")


async def test_a_client_that_takes_no_answer_is_cut_off() -> None:
    async def floods(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(200):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async with listening(floods, SHORT) as (port, server):
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(GET)
        async with asyncio.timeout(10):
            while not server.server_state.total_requests and not server.connections:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
            while server.connections:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
        writer.transport.abort()


async def test_connections_above_the_cap_are_told_to_come_back() -> None:
    async with listening(echo, Caps(connections=1)) as (port, _):
        _, first = await asyncio.open_connection("127.0.0.1", port)
        head, body = await told(port, GET)
        first.close()

    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1" in head
    assert json.loads(body)["retryable"]


@pytest.mark.parametrize(
    ("endless", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: " + b"a" * 900_000, 431),
        (b"GET /" + b"a" * 900_000, 414),
        (CHUNKS + b"x: " + b"a" * 900_000, 431),
        (CHUNKS + b"x: a\r\n" * 200, 431),
    ],
    ids=["a header", "an address", "a trailer", "trailers"],
)
async def test_what_does_not_end_is_not_kept(endless: bytes, status: int) -> None:
    async with listening(echo) as (port, _):
        head, _ = await told(port, endless)

    assert head.startswith(b"HTTP/1.1 %d " % status)


async def test_a_trailer_is_no_header() -> None:
    async with listening(echo, SHORT) as (port, _):
        _, body = await told(port, CHUNKS + b"Authorization: Bearer x\r\n\r\n")

    assert json.loads(body) == {"headers": 2, "size": 1}
