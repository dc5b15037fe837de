"""Both transports, over real sockets: they lose answers in the same way, and paths arrive whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from apis.runtime.clients import outgoing
from apis.runtime.clock import Clock
from apis.runtime.store import Store
from apis.runtime.wire import Unanswered
from apis.runtime.writes import Write
from contracts.errors import Unavailable
from tests.runtime.acme import Acme, asks, made, rows


@pytest.fixture
def store(store_url: str):
    with made(store_url) as store:
        yield store


class Wire:
    """A server of raw answers: what it was asked, and what it does about it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: list[bytes] = []
        self.url = ""
        self.open: set[asyncio.Task[None] | None] = set()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open.add(asyncio.current_task())
        with suppress(ConnectionError):
            await self._serve(reader, writer)
            writer.close()
            await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await self._head(reader):
            line, _, rest = head.partition("\r\n")
            length = [part for part in rest.lower().split("\r\n") if part.startswith("content-le")]
            await reader.readexactly(int(length[0].partition(":")[2]) if length else 0)
            self.asked.append(line.removesuffix(" HTTP/1.1"))
            token = f'{{"access_token":"one","host":"{self.url}"}}'.encode()
            answer = whole(token) if "/token" in line else self.answers.pop(0)
            writer.write(answer)
            if not answer.startswith(b"HTTP/1.1 200"):
                break

    async def _head(self, reader: asyncio.StreamReader) -> str:
        try:
            return (await reader.readuntil(b"\r\n\r\n")).decode()
        except (asyncio.IncompleteReadError, ConnectionResetError):
            return ""


def whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


@asynccontextmanager
async def served(store: Store, transport: str) -> AsyncIterator[tuple[Wire, Acme]]:
    wire = Wire()
    server = await asyncio.start_server(wire, "127.0.0.1", 0)
    wire.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with outgoing(transport=transport) as http:
        yield wire, Acme(store, http, Clock(), url=wire.url)
    server.close()
    await asyncio.gather(*filter(None, wire.open))


both = pytest.mark.parametrize("transport", ["httpx", "aiohttp"])


def create(vendor: Acme):
    write = Write(object="thing", key="project-7")
    return vendor.http.write(write, "POST", "/things", body={"key": "project-7"})


@both
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 2", b"\x00garbage\r\n\r\n"])
async def test_a_connection_that_breaks_after_a_write_leaves_us_not_knowing(
    store: Store, transport: str, answer: bytes
) -> None:
    async with served(store, transport) as (wire, vendor):
        wire.answers = [answer]
        asks()
        with pytest.raises(Unanswered, match=r"acme\.NO_ANSWER"):
            await create(vendor)

    assert wire.asked == ["POST /token", "POST /api/v1/things"]
    assert [row.state for row in await rows(store)] == ["sent"]


@both
async def test_a_body_that_breaks_off_leaves_us_not_knowing(store: Store, transport: str) -> None:
    async with served(store, transport) as (wire, vendor):
        wire.answers = [b'HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{"id":']
        asks()
        with pytest.raises(Unanswered, match=r"acme\.NO_ANSWER"):
            await create(vendor)


@both
async def test_where_nobody_listens_nothing_was_sent(store: Store, transport: str) -> None:
    async with served(store, transport) as (wire, vendor):
        wire.answers = [whole(b"{}")]
        asks()
        await vendor.http.get("/things")
        wire.url = "http://127.0.0.1:1"
        await vendor.tokens.get(refused=await vendor.tokens.get())
        with pytest.raises(Unavailable, match=r"acme\.NOT_REACHED"):
            await create(vendor)

    assert [row.state for row in await rows(store)] == ["refused"]


@both
async def test_ids_and_queries_arrive_as_they_were_meant(store: Store, transport: str) -> None:
    async with served(store, transport) as (wire, vendor):
        wire.answers = [whole(b"{}")]
        asks()
        params = {"q": "a = 'x+y' & b >= 2026-01-01T00:00:00Z"}
        await vendor.http.get("/things/{}", "../é /?#%41+", params=params)

    path, _, query = wire.asked[-1].removeprefix("GET /api/v1/things/").partition("?")
    assert path == "..%2F%C3%A9%20%2F%3F%23%2541%2B"
    assert query.replace("+", "%20").replace("%27", "'").replace("%3A", ":") == (
        "q=a%20%3D%20'x%2By'%20%26%20b%20%3E%3D%202026-01-01T00:00:00Z"
    )
