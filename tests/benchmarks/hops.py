"""One tier calls another: in one process beside a raw ASGI call and httpx's, and over loopback."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import httpx
import msgspec
import uvicorn
import uvloop
from litestar import get, put
from litestar.params import FromPath, JSONBody

from apis.runtime.app import make_app
from apis.runtime.clients import Local, Remote, client, outgoing, scope_of
from apis.runtime.context import CURRENT, SCOPE_KEY, Call, Context
from apis.runtime.tokens import InternalTokens
from contracts.ports import operation
from tests.benchmarks.figures import Figure, p50
from tests.servers import free_port

CALLS, WARM = 3_000, 300
AUDIENCE = "system/nothing"
CONTEXT = Context(actor="svc:process for demo", client="demo", request_id="bench")


class Thing(msgspec.Struct, frozen=True):
    """What the app that does nothing answers."""

    external_id: str
    name: str = "nothing"


class Nothing(Protocol):
    """A port with a read and a write."""

    @operation("GET", "/things/{external_id}")
    async def get_thing(self, external_id: str) -> Thing:
        """A read."""
        ...

    @operation("PUT", "/things/{external_id}")
    async def put_thing(self, external_id: str, name: str) -> Thing:
        """A write."""
        ...


class Named(msgspec.Struct, frozen=True):
    """The body of a write."""

    name: str


@get("/things/{external_id:str}", operation_id="getThing")
async def get_thing(external_id: FromPath[str]) -> Thing:
    """Answer at once."""
    return Thing(external_id)


@put("/things/{external_id:str}", operation_id="putThing")
async def put_thing(external_id: FromPath[str], data: JSONBody[Named]) -> Thing:
    """Answer at once."""
    return Thing(external_id, data.name)


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI app without a framework."""
    del scope
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b'{"external_id":"1"}'})


async def timed(call: Callable[[], Awaitable[object]], calls: int = CALLS) -> float:
    """The median of one call, in microseconds."""
    for _ in range(WARM):
        await call()
    seen = []
    for _ in range(calls):
        began = time.perf_counter()
        await call()
        seen.append(time.perf_counter() - began)
    return p50(seen) * 1e6


async def measured() -> dict[str, float]:
    """All ways, one after another."""
    app = make_app("Nothing", version="1.0.0", routes=[get_thing, put_thing])
    CURRENT.set(Call(CONTEXT))
    local = client(Nothing, Local(app))
    raw = Local(bare)

    async def with_context(scope: Any, receive: Any, send: Any) -> None:
        await app(scope | {SCOPE_KEY: CONTEXT}, receive, send)

    transport = httpx.ASGITransport(with_context)  # type: ignore[arg-type]  # the same shape
    inside = httpx.AsyncClient(transport=transport, base_url="http://throughline.internal")

    async def direct() -> None:
        scope = scope_of("GET", "/things/1", "", b"", CONTEXT)
        await app(scope, received, sent)

    found = {
        "read": await timed(lambda: local.get_thing("1")),
        "write": await timed(lambda: local.put_thing("1", "a name")),
        "raw": await timed(lambda: raw("GET", "/things/1", "", b"", CONTEXT)),
        "app": await timed(direct),
        "httpx": await timed(lambda: inside.get("/things/1"), CALLS // 3),
    }
    tokens = InternalTokens(b"a key of at least thirty-two bytes!")
    for name in ("httpx", "aiohttp"):
        found[f"loopback {name}"] = await over_loopback(app.serving(tokens, AUDIENCE), tokens, name)
    return found


async def received() -> dict[str, Any]:
    """An empty body."""
    return {"type": "http.request", "body": b"", "more_body": False}


async def sent(message: dict[str, Any]) -> None:
    """Drop the answer."""
    del message


async def over_loopback(app: Any, tokens: InternalTokens, transport: str) -> float:
    """The same read by HTTP with the internal token, server and client on one loop."""
    config = uvicorn.Config(app, port=free_port(), log_config=None, lifespan="off", loop="none")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - it offers nothing to wait for
        await asyncio.sleep(0.01)
    http = outgoing(transport=transport)
    remote = Remote(f"http://127.0.0.1:{config.port}", AUDIENCE, tokens, http)
    port = client(Nothing, remote)
    took = await timed(lambda: port.get_thing("1"), CALLS // 3)
    await http.aclose()
    server.should_exit = True
    await serving
    return took


def hops() -> list[Figure]:
    """The hop of the product, and what stands beside it."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found = runner.run(measured())
    beside = (
        f"raw ASGI {found['raw']:.0f}, the app called without our client {found['app']:.0f},"
        f" httpx.ASGITransport {found['httpx']:.0f} us"
    )
    loopback = f"with httpx {found['loopback httpx']:.0f} us"
    return [
        Figure("tier hop in one process, read, p50", found["read"], "us", 80, beside=beside),
        Figure("tier hop in one process, write, p50", found["write"], "us", 80),
        Figure("tier hop over loopback, p50", found["loopback aiohttp"], "us", beside=loopback),
    ]
