"""A desk that numbers its orders: what reaches it twice is two orders."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec

from apis.gateway.guard import Receive, Scope, Send
from apis.gateway.idempotency import MOST_KEPT
from apis.runtime.context import SCOPE_KEY
from contracts.errors import Throttled, Transient, Unavailable
from tests.gateway.bench import GATEWAY, Bench
from tests.gateway.failures import ANSWERS, failing

ORDERS = "/process/orders/v3/orders"
POLICY = GATEWAY.replace(
    "      limits:", "      idempotency: {required: [createOrder]}\n      limits:"
).replace(
    "  auditor:",
    "  till: {plan: internal, secret: home:clients.json, scopes: [orders.write]}\n  auditor:",
)
RAISED = {
    "broken": RuntimeError("secret-canary"),
    "too-many": Throttled("vendor.throttled", status=429),
    "unreached": Unavailable("upstream-unreachable", status=502),
    "late": Transient("upstream-timeout", status=504),
}
TOLD = {
    "empty": failing(204, b"text/plain", b""),
    "most": failing(200, b"application/json", b"1" * MOST_KEPT),
    "more": failing(200, b"application/json", b"1" * (MOST_KEPT + 1)),
}


class Desk:
    """Takes an order when it is let, and says its number."""

    def __init__(self) -> None:
        self.reached: list[str | None] = []
        """The request key of every call."""
        self.open = asyncio.Event()
        self.open.set()
        self.taken = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        self.reached.append(scope[SCOPE_KEY].request_key)
        number = len(self.reached)
        self.taken.set()
        await self.open.wait()
        name = scope["path"].rpartition("/")[2]
        if name in RAISED:
            raise RAISED[name]
        if answer := TOLD.get(name) or ANSWERS.get(name):
            await answer(send)
            return
        headers = [
            (b"Content-Type", b"application/json"),
            (b"location", b"/orders/%d" % number),
            (b"link", b'</orders/%d/lines>; rel="item"' % number),
            (b"x-request-id", b"not-ours"),
            (b"set-cookie", b"a=1"),
        ]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        if name == "cut":
            await send({"type": "http.response.body", "body": b"{", "more_body": True})
            raise ConnectionError
        await send({"type": "http.response.body", "body": b'{"number":%d}' % number})


def bench_of(home: Path, desk: Desk) -> Bench:
    """The gateway before a desk; one of its operations moves money."""
    return Bench(home, POLICY, target=desk)


async def asked(bench: Bench, case: Mapping[str, Any]) -> httpx.Response:
    """What a caller hears."""
    headers: dict[str, str] = {}
    client, key, content = case.get("client"), case.get("key"), None
    if client and case.get("sub"):
        headers = bench.bearer(client, sub=case["sub"], grant=f"g-{case['sub']}")
    elif client:
        headers = bench.bearer(client)
    if key is not None:
        headers["idempotency-key"] = key.replace("{300}", "x" * 300)
    if "body" in case:
        content = case["body"].encode()
    elif case.get("json") is not None:
        content = msgspec.json.encode(case["json"])
    if content is not None:
        headers["content-type"] = "application/json"
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    return await bench.http.request(case["method"], case["path"], headers=pairs, content=content)
