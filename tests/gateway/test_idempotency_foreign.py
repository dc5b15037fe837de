"""Request keys before an API that is not ours: its answers flow while they are recorded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from apis.gateway.documents import foreign_documents
from apis.gateway.idempotency import MOST_HASHED
from apis.gateway.policy import PolicyError, load_gateway
from apis.gateway.upstream import Upstream
from tests.gateway.bench import HERE, Bench
from tests.gateway.test_foreign import POLICY, ROOT
from tests.gateway.test_requests import GOOD

KEYED = {"idempotency-key": '"8f2c"'}
PARTS = (b"first ", b"second")
LARGE = POLICY.replace("{stream: 1000}", f"{{stream: {MOST_HASHED + 1}}}")


class Till:
    """Another's program, which answers in two parts, the second when it is let."""

    def __init__(self) -> None:
        self.keys: list[bytes] = []
        self.open = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        self.keys.append(head.partition(b"idempotency-key: ")[2].partition(b"\r\n")[0])
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        writer.write(b"HTTP/1.1 202 Yes\r\ncontent-type: text/plain\r\netag: 7\r\n")
        writer.write(b"transfer-encoding: chunked\r\nconnection: close\r\n\r\n")
        for part in PARTS:
            writer.write(b"%x\r\n%b\r\n" % (len(part), part))
            await writer.drain()
            await self.open.wait()
        writer.write(b"0\r\n\r\n")
        writer.close()


@pytest.fixture
async def till() -> AsyncIterator[tuple[Till, str]]:
    till = Till()
    server = await asyncio.start_server(till, "127.0.0.1", 0)
    yield till, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/base"
    server.close()
    await server.wait_closed()


def bench_of(home: Path, url: str, policy: str = POLICY, *, documented: bool = False) -> Bench:
    documents = deepcopy(foreign_documents(load_gateway(policy), HERE / "foreign"))
    if documented:
        header = {"name": "Idempotency-Key", "in": "header", "required": True, "schema": {}}
        documents["experience/shop/v1"]["paths"]["/orders"]["post"]["parameters"] = [header]
    return Bench(home, policy, documents, Upstream(url))


async def test_an_answer_flows_while_it_is_recorded(tmp_path: Path, till: tuple[Till, str]) -> None:
    bench = bench_of(tmp_path, till[1])
    heard = asyncio.Event()
    parts: list[bytes] = []
    headers = {**bench.bearer(), **KEYED, "host": "127.0.0.1:8080", "content-length": "4"}
    scope: dict[str, Any] = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": f"{ROOT}/files", "raw_path": f"{ROOT}/files".encode(), "query_string": b"",
        "root_path": "", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8080),
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()]
        + [(b"content-type", b"text/csv")],
    }  # fmt: skip

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"\xff\xfe,1", "more_body": False}

    async def send(message: Any) -> None:
        if message.get("body"):
            parts.append(message["body"])
            heard.set()

    call = asyncio.create_task(bench.app(scope, receive, send))
    await heard.wait()
    early = list(parts)
    till[0].open.set()
    await call
    csv = {**bench.bearer(), **KEYED, "content-type": "text/csv"}
    again = await bench.http.post(f"{ROOT}/files", content=b"\xff\xfe,1", headers=csv)
    other = await bench.http.post(f"{ROOT}/files", content=b"\xff\xff,1", headers=csv)

    assert early == [PARTS[0]]
    assert b"".join(parts) == b"".join(PARTS) == again.content
    assert (again.status_code, again.headers["etag"]) == (202, "7")
    assert again.headers["idempotent-replayed"] == "true"
    assert other.status_code == 422
    assert len(till[0].keys) == 1
    bench.store.close()


async def test_it_is_given_a_key_that_no_other_caller_has(
    tmp_path: Path, till: tuple[Till, str]
) -> None:
    till[0].open.set()
    bench = bench_of(tmp_path, till[1])
    for key in ('"8f2c"', "8f2d"):
        headers = bench.bearer() | {"idempotency-key": key}
        await bench.http.post(f"{ROOT}/orders", json=GOOD, headers=headers)

    quoted, bare = till[0].keys
    assert quoted.startswith(b'"')
    assert quoted.endswith(b'"')
    assert not bare.startswith(b'"')
    assert {len(quoted), len(bare)} == {38, 36}
    assert b"8f2" not in (quoted, bare)
    bench.store.close()


async def test_its_document_may_say_that_a_key_is_needed(
    tmp_path: Path, till: tuple[Till, str]
) -> None:
    till[0].open.set()
    bench = bench_of(tmp_path, till[1], documented=True)

    without = await bench.http.post(f"{ROOT}/orders", json=GOOD, headers=bench.bearer())
    keyed = await bench.http.post(f"{ROOT}/orders", json=GOOD, headers=bench.bearer() | KEYED)

    assert (without.status_code, without.json()["code"]) == (400, "idempotency-key-missing")
    assert keyed.status_code == 202
    bench.store.close()


async def test_a_body_that_is_too_large_to_compare_is_refused(
    tmp_path: Path, till: tuple[Till, str]
) -> None:
    bench = bench_of(tmp_path, till[1], LARGE)
    headers = {**bench.bearer(), **KEYED, "content-type": "text/csv"}

    async def body() -> AsyncIterator[bytes]:
        yield b"x" * MOST_HASHED
        yield b"x"
        yield b""

    answer = await bench.http.post(f"{ROOT}/files", content=body(), headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (413, "payload-too-large")
    assert till[0].keys == []
    bench.store.close()


@pytest.mark.parametrize("operation", ["findOrders", "nothing"])
def test_an_operation_that_changes_nothing_needs_no_key(tmp_path: Path, operation: str) -> None:
    policy = f"{POLICY}      idempotency: {{required: [{operation}]}}\n"

    with pytest.raises(PolicyError) as error:
        bench_of(tmp_path, "http://127.0.0.1:1/base", policy)

    told = f"idempotency.required: operation {operation} of experience/shop changes nothing"
    assert told in error.value.mistakes[0]
