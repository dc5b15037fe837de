"""An API that runs elsewhere: what passes through, what stays, and what is said when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from apis.gateway.guard import Header, Message
from apis.gateway.upstream import Bounds, Upstream
from apis.runtime.context import SCOPE_KEY, Context
from contracts.errors import Transient, Unavailable
from tests.gateway.byte_server import OK, Answer, Server, says

CONTEXT = Context(actor="clerk", client="clerk", request_id="r-1", traceparent="00-a-b-01")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.connected, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield server
        listening.close()


@pytest.fixture
async def upstream(server: Server) -> AsyncIterator[Upstream]:
    upstream = Upstream(f"http://127.0.0.1:{server.port}/base")
    yield upstream
    upstream.close()


def scope(
    method: str = "GET", headers: list[Header] | None = None, query: bytes = b""
) -> dict[str, Any]:
    return {
        "type": "http", "method": method, "path": "/orders", "raw_path": b"/orders",
        "query_string": query, "headers": headers or [], SCOPE_KEY: CONTEXT,
    }  # fmt: skip


async def asked(
    upstream: Upstream,
    method: str = "GET",
    *,
    headers: list[Header] | None = None,
    parts: list[bytes] | None = None,
    query: bytes = b"",
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers and body of the answer to one call."""
    coming = list(parts or [b""])
    seen: list[Message] = []

    async def receive() -> dict[str, Any]:
        body = coming.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(coming)}

    async def send(message: Message) -> None:
        seen.append(message)

    await upstream(scope(method, headers, query), receive, send)
    assert [each.get("more_body", False) for each in seen[1:]][-1] is False
    body = b"".join(each["body"] for each in seen[1:])
    return seen[0]["status"], dict(seen[0]["headers"]), body


async def test_a_call_goes_to_its_path_and_the_answer_comes_back(
    server: Server, upstream: Upstream
) -> None:
    answer = await asked(upstream, query=b"state=open")

    assert answer == (200, {b"content-length": b"2"}, b"ok")
    assert server.asked[0].startswith(b"GET /base/orders?state=open HTTP/1.1\r\n")
    assert server.head() == {
        "host": f"127.0.0.1:{server.port}",
        "x-request-id": "r-1",
        "traceparent": "00-a-b-01",
        "via": "1.1 throughline",
    }


async def test_what_belongs_to_a_hop_or_to_the_caller_stays_here(
    server: Server, upstream: Upstream
) -> None:
    named = [(b"connection", b"close, X-Mine"), (b"x-mine", b"1"), (b"te", b"trailers")]
    claims = [(b"forwarded", b"for=1.2.3.4"), (b"x-real-ip", b"1.2.3.4")]
    claims += [(b"x-forwarded-" + name, b"x") for name in (b"for", b"host", b"proto", b"prefix")]
    proofs = [(b"authorization", b"Bearer t"), (b"x-api-key", b"k"), (b"cookie", b"throughline=s")]
    ids = [(b"x-request-id", b"other"), (b"host", b"evil.example")]

    await asked(upstream, headers=[*named, *claims, *proofs, *ids, (b"accept", b"text/csv")])

    assert server.head()["accept"] == "text/csv"
    assert server.head()["x-request-id"] == "r-1"
    kept = {"host", "x-request-id", "traceparent", "accept", "via"}
    assert server.head().keys() == kept


async def test_an_answers_own_hop_headers_stay_there(server: Server, upstream: Upstream) -> None:
    server.answer = says(
        b"HTTP/1.1 200 OK\r\nconnection: keep-alive, x-mine\r\nx-mine: 1\r\ndate: now\r\n"
        b"content-encoding: gzip\r\nx-total: 7\r\nset-cookie: throughline=s\r\n"
        b"content-length: 2\r\n\r\nok"
    )

    _, headers, body = await asked(upstream)

    assert headers == {b"content-encoding": b"gzip", b"x-total": b"7", b"content-length": b"2"}
    assert body == b"ok"


async def test_an_upstream_of_ours_is_shown_our_own_credential(server: Server) -> None:
    upstream = Upstream(
        f"http://127.0.0.1:{server.port}",
        credential=lambda context: b"Bearer internal-" + context.client.encode(),
    )

    await asked(upstream, headers=[(b"authorization", b"Bearer theirs")])

    assert server.head()["authorization"] == "Bearer internal-clerk"
    upstream.close()


async def test_calls_share_a_connection(server: Server, upstream: Upstream) -> None:
    for _ in range(3):
        await asked(upstream, "POST", parts=[b'{"a":1}'])

    assert server.connections == 1
    assert server.bodies == [b'{"a":1}'] * 3


async def test_a_read_is_asked_again_when_a_kept_connection_was_hung_up(
    server: Server, upstream: Upstream
) -> None:
    await asked(upstream)
    server.answer = hangs_up_once()

    answer = await asked(upstream)

    assert answer[2] == b"ok"
    assert len(server.asked) == 3


async def test_a_write_is_never_sent_twice(server: Server, upstream: Upstream) -> None:
    await asked(upstream)
    server.answer = hangs_up_once()

    with pytest.raises(Transient, match=r"upstream-failed"):
        await asked(upstream, "PUT", parts=[b"{}"])

    assert len(server.asked) == 2


async def test_a_read_on_a_new_connection_is_not_repeated(
    server: Server, upstream: Upstream
) -> None:
    server.answer = hangs_up_once()

    with pytest.raises(Transient, match="hung up"):
        await asked(upstream)

    assert len(server.asked) == 1


def hangs_up_once() -> Answer:
    async def hang_up(server: Server, *_: Any) -> None:
        server.answer = says(OK)
        raise ConnectionResetError

    return hang_up


CHUNKS = b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + CHUNKS, b"abc"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 304 Not Modified\r\netag: 1\r\ncontent-length: 5\r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
    ids=["in chunks", "after a hint", "not modified", "no content"],
)
async def test_every_form_of_an_answer_ends_where_it_ends(
    server: Server, upstream: Upstream, answer: bytes, body: bytes
) -> None:
    server.answer = says(answer)

    found = [await asked(upstream) for _ in range(2)]

    assert [each[2] for each in found] == [body, body]
    assert b"transfer-encoding" not in found[0][1]
    assert server.connections == 1


async def test_an_answer_may_last_until_the_connection_ends(
    server: Server, upstream: Upstream
) -> None:
    server.answer = says(b"HTTP/1.1 200 OK\r\n\r\nall of it", close=True)

    assert (await asked(upstream))[2] == b"all of it"


async def test_an_answer_to_head_has_no_body(server: Server, upstream: Upstream) -> None:
    server.answer = says(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n")

    found = [await asked(upstream, "HEAD") for _ in range(2)]

    assert found[1] == (200, {b"content-length": b"5000"}, b"")


async def test_a_body_that_comes_in_parts_goes_out_in_parts(
    server: Server, upstream: Upstream
) -> None:
    server.answer = says(OK, after=len(CHUNKS))

    await asked(upstream, "POST", parts=[b"ab", b"", b"c"])

    assert server.head()["transfer-encoding"] == "chunked"
    assert server.bodies == [CHUNKS]


async def test_parts_of_a_known_length_are_not_framed_anew(
    server: Server, upstream: Upstream
) -> None:
    await asked(upstream, "POST", headers=[(b"content-length", b"3")], parts=[b"ab", b"c"])

    assert server.bodies == [b"abc"]
    assert "transfer-encoding" not in server.head()


async def test_megabytes_pass_through_whole(server: Server, upstream: Upstream) -> None:
    large = bytes(range(256)) * 16_384
    server.answer = says(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(large) + large)
    parts = [large[at : at + 65_536] for at in range(0, len(large), 65_536)]
    length = b"%d" % len(large)

    _, _, body = await asked(upstream, "POST", headers=[(b"content-length", length)], parts=parts)

    assert server.bodies[0] == large
    assert body == large


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"", "hung up"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", "not HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\n" + b"x-a: b\r\n" * 10_000, "no end"),
        (b"HTTP/1.1 999 No\r\ncontent-length: 0\r\n\r\n", ""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab", "hung up"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nab", "not HTTP/1.1"),
    ],
    ids=[
        "nothing",
        "no HTTP",
        "another protocol",
        "endless headers",
        "no status",
        "cut off",
        "two lengths",
    ],
)
async def test_an_answer_that_is_not_one_is_the_upstreams_fault(
    server: Server, upstream: Upstream, answer: bytes, told: str
) -> None:
    server.answer = says(answer, close=True)

    with pytest.raises(Transient, match=f"upstream-failed: .*{told}") as caught:
        await asked(upstream)

    assert caught.value.status == 502


async def test_bytes_that_nobody_asked_for_end_the_connection(
    server: Server, upstream: Upstream
) -> None:
    server.answer = says(OK + OK)

    found = [await asked(upstream) for _ in range(2)]

    assert [each[2] for each in found] == [b"ok", b"ok"]
    assert server.connections == 2


async def test_silence_ends_a_call(server: Server) -> None:
    server.answer = says(b"")
    upstream = Upstream(f"http://127.0.0.1:{server.port}", bounds=Bounds(silence_s=0.05))

    with pytest.raises(Transient, match="said nothing"):
        await asked(upstream)


async def test_an_upstream_that_does_not_read_ends_a_call(server: Server) -> None:
    async def deaf(*_: object) -> None:
        await asyncio.Event().wait()

    server.answer = deaf
    upstream = Upstream(f"http://127.0.0.1:{server.port}", bounds=Bounds(unread_s=0.05))

    with pytest.raises(Transient, match="read nothing"):
        await asked(upstream, "PUT", parts=[bytes(1_000_000)] * 30)


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab"])
async def test_a_caller_who_leaves_makes_room(server: Server, begun: bytes) -> None:
    server.answer = says(begun)
    bounds = Bounds(connections=1, waiting=0, unread_s=0.2)  # a look each twentieth of a second
    upstream = Upstream(f"http://127.0.0.1:{server.port}", bounds=bounds)
    messages = iter([{"type": "http.request"}, {"type": "http.disconnect"}])
    sent: list[Message] = []

    async def receive() -> Message:
        return next(messages)

    async def send(message: Message) -> None:
        sent.append(message)

    await upstream(scope(), receive, send)

    assert len(sent) == (2 if begun else 0)
    server.answer = says(OK)
    assert (await asked(upstream))[2] == b"ok"


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    upstream = Upstream("http://127.0.0.1:9")  # discard: nobody serves it

    with pytest.raises(Unavailable, match=r"upstream-unreachable") as caught:
        await asked(upstream)

    assert caught.value.retry_after


async def test_who_finds_the_line_full_is_refused_at_once(server: Server) -> None:
    served = asyncio.Event()

    async def later(_: Server, _reader: Any, writer: asyncio.StreamWriter) -> None:
        await served.wait()
        writer.write(OK)

    server.answer = later
    bounds = Bounds(connections=2, waiting=3, wait_s=30)
    upstream = Upstream(f"http://127.0.0.1:{server.port}", bounds=bounds)
    calls = [asyncio.ensure_future(asked(upstream)) for _ in range(8)]

    refused, _ = await asyncio.wait(calls[5:])
    served.set()
    await asyncio.wait(calls[:5])

    assert {str(call.exception()) for call in refused} == {
        "overloaded: 127.0.0.1 has 2 calls in work and 3 waiting."
    }
    assert [call.result()[2] for call in calls[:5]] == [b"ok"] * 5
    assert server.connections == 2
    upstream.close()


async def test_who_waits_too_long_is_refused_and_frees_the_line(server: Server) -> None:
    server.answer = says(b"")
    bounds = Bounds(connections=1, waiting=1, wait_s=0.05, silence_s=30)
    upstream = Upstream(f"http://127.0.0.1:{server.port}", bounds=bounds)
    first = asyncio.ensure_future(asked(upstream))
    await asyncio.sleep(0)

    for _ in range(3):
        with pytest.raises(Unavailable, match="1 calls in work and 0 waiting"):
            await asked(upstream)

    first.cancel()
    await asyncio.wait([first])
    server.answer = says(OK)
    assert (await asked(upstream))[2] == b"ok"
    upstream.close()
