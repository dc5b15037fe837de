"""An API that runs elsewhere and fails: what callers are told, and that nothing stays behind."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from apis.gateway.documents import foreign_documents
from apis.gateway.policy import load_gateway
from apis.gateway.upstream import Bounds, Upstream
from tests.gateway.bench import HERE, Bench
from tests.gateway.byte_server import OK, Answer, Server, says
from tests.gateway.test_foreign import POLICY, ROOT
from tests.servers import free_port

OWNED = POLICY.replace("document:", "owner: shop-desk\n      document:").replace(
    "1000}", "50000000}"
)
CHECKED = OWNED.replace("sizes:", "modes: {responses: enforce}\n      sizes:")
BOUNDS = Bounds(connections=1, waiting=0, silence_s=0.5, unread_s=0.5)
HASTY = Bounds(connections=1, waiting=0, connect_s=0.3)
CUT = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n[1,"


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    listening = await asyncio.start_server(server.connected, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    yield server
    listening.close()


@contextmanager
def shop(home: Path, url: str, policy: str = OWNED, bounds: Bounds = BOUNDS) -> Iterator[Bench]:
    """The gateway before a shop at this address, which it may ask one thing at a time."""
    documents = foreign_documents(load_gateway(policy), HERE / "foreign")
    upstream = Upstream(url, bounds=bounds)
    bench = Bench(home, policy, documents, upstream)
    yield bench
    upstream.close()
    bench.store.close()


async def asked(bench: Bench) -> httpx.Response:
    return await bench.http.get(f"{ROOT}/orders?top=1", headers=bench.bearer())


def told(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem that is whole: it has an owner and a remedy, and no address."""
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["owner"] == "shop-desk"
    assert problem["remedy"].endswith("tell the owner named here")
    assert "127.0.0.1:" not in answer.text.replace("http://127.0.0.1:8080/problems/", "")
    return answer.status_code, problem["code"]


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:{free}", "http://shop.invalid", "http://shop..example", "https://127.0.0.1:{own}"],
    ids=["nobody listens", "an unknown name", "no name", "no TLS"],
)  # fmt: skip
async def test_one_that_cannot_be_reached_was_not_asked(
    tmp_path: Path, server: Server, url: str
) -> None:
    where = url.format(free=free_port(), own=server.port)
    with shop(tmp_path, where, bounds=HASTY) as bench:
        for _ in range(2):
            answer = await asked(bench)

            assert told(answer) == (502, "upstream-unreachable")
            assert answer.json()["retryable"] is True
            assert answer.headers["retry-after"] == "5"
    assert server.asked == []


async def resets(_: Server, _reader: Any, writer: asyncio.StreamWriter) -> None:
    """Hang up as a process does that was killed."""
    at_once = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
    raise ConnectionResetError


async def drips(_: Server, _reader: Any, writer: asyncio.StreamWriter) -> None:
    """Begin a head that never ends."""
    writer.write(b"HTTP/1.1 200 OK\r\nx-a: ")
    while not writer.transport.is_closing():
        writer.write(b"b")
        await asyncio.sleep(0.01)


FAULTS: list[tuple[str, Answer, int, str]] = [
    ("a reset", resets, 502, "upstream-failed"),
    ("no HTTP", says(b"SSH-2.0-OpenSSH_9.2\r\n", close=True), 502, "upstream-failed"),
    ("silence", says(b""), 504, "upstream-timeout"),
    ("an endless head", drips, 504, "upstream-timeout"),
]


@pytest.mark.parametrize(
    ("answer", "status", "code"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
async def test_one_that_fails_is_told_and_its_connection_given_back(
    tmp_path: Path, server: Server, answer: Answer, status: int, code: str
) -> None:
    with shop(tmp_path, f"http://127.0.0.1:{server.port}") as bench:
        server.answer = answer
        failed = await asked(bench)

        assert told(failed) == (status, code)
        assert "retryable" not in failed.json()
        server.answer = says(OK)
        assert (await asked(bench)).text == "ok"


async def test_one_that_does_not_read_is_left(tmp_path: Path, server: Server) -> None:
    async def deaf(_: Server, _reader: Any, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a stream
        await asyncio.Event().wait()

    with shop(tmp_path, f"http://127.0.0.1:{server.port}") as bench:
        server.answer = deaf
        headers = {**bench.bearer(), "content-type": "text/csv"}
        large = b"x" * 20_000_000

        answer = await bench.http.post(f"{ROOT}/files", content=large, headers=headers)

        assert told(answer) == (504, "upstream-timeout")
        server.answer = says(OK)
        assert (await asked(bench)).text == "ok"


async def test_nothing_of_an_answer_that_breaks_off_leaves_where_answers_are_checked(
    tmp_path: Path, server: Server
) -> None:
    with shop(tmp_path, f"http://127.0.0.1:{server.port}", CHECKED) as bench:
        server.answer = says(CUT, close=True)

        assert told(await asked(bench)) == (502, "upstream-failed")


@pytest.mark.parametrize(
    ("answer", "code"),
    [(says(CUT, close=True), "upstream-failed"), (says(CUT), "upstream-timeout")],
    ids=["hung up", "silent"],
)
async def test_an_answer_that_breaks_off_never_looks_whole(
    tmp_path: Path, server: Server, answer: Answer, code: str
) -> None:
    server.answer = answer
    with shop(tmp_path, f"http://127.0.0.1:{server.port}") as bench:
        async with served(bench) as url, httpx.AsyncClient(trust_env=False) as http:
            with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
                await http.get(f"{url}{ROOT}/orders?top=1", headers=bench.bearer())

        server.answer = says(OK)
        assert (await asked(bench)).text == "ok"
    assert (bench.log[0]["event"], bench.log[0]["error"]) == ("request.failed", code)


@asynccontextmanager
async def served(bench: Bench) -> AsyncIterator[str]:
    """The same gateway on a port."""
    port = free_port()
    config = uvicorn.Config(bench.app, port=port, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - it has no event for it
        await asyncio.sleep(0)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving
