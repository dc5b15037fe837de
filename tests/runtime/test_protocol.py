"""HTTP that cannot be parsed: one answer, with a problem document and its ids, then the end."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from apis.runtime.serving import listening
from tests.servers import free_port

UNREADABLE = {
    "length and chunks": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nabc",
    "a length below zero": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    "a header without a colon": b"GET / HTTP/1.1\r\nHost: a\r\nfoo\r\n\r\n",
}


async def never(_scope: Any, _receive: Any, _send: Any) -> None:
    pytest.fail("the app was asked")


@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE)
async def test_unreadable_http_gets_one_problem_document(raw: bytes) -> None:
    port = free_port()
    server = listening(never, port, "https://api.firm.example")
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - the server offers no event
        await asyncio.sleep(0.01)

    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(raw)
    head, _, body = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
    writer.close()
    server.should_exit = True
    await serving

    assert head.count(b"HTTP/1.1 ") == 1
    assert b"application/problem+json" in head
    assert b"traceparent: 00-" in head
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (400, "bad-request")
    assert problem["type"] == "https://api.firm.example/problems/bad-request"
    assert (problem["owner"], problem["title"]) == ("caller", "The request is not valid HTTP")
    assert b"cache-control: no-store" in head
    assert problem["request_id"].encode() in head
