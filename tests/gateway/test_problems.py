"""What stands around an answer: limits that were counted, protocols that are not served."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from apis.gateway.app import gateway_app
from apis.gateway.guard import Message, Receive, Scope, Send
from tests.gateway.bench import ISSUER, Bench

ORDERS = "/process/orders/v3/orders"


@pytest.mark.parametrize("path", ["not-yours", "gone", "taken", "misread", "v-busy", "plain-405"])
async def test_a_refusal_by_a_tier_counts_and_says_what_is_left(bench: Bench, path: str) -> None:
    answer = await bench.http.get(f"{ORDERS}/{path}", headers=bench.bearer("slow"))

    assert answer.status_code >= 400
    assert answer.headers["ratelimit-policy"] == '"rate";q=5;w=3600, "quota";q=20;w=86400'
    # to the half minute: the clock goes on, and a busy machine may take its time
    left = r'"rate";r=4;t=(7[012]|69)\d, "quota";r=19;t=43(200|1[789]\d)'
    assert re.fullmatch(left, answer.headers["ratelimit"])


async def test_a_parameter_or_body_refused_at_the_gateway_counts_too(bench: Bench) -> None:
    parameter = await bench.http.get(f"{ORDERS}?page=2", headers=bench.bearer("slow"))
    body = await bench.http.post(ORDERS, content="{", headers=bench.bearer())

    assert (parameter.status_code, body.status_code) == (422, 415)
    assert '"rate";r=4' in parameter.headers["ratelimit"]
    assert '"rate"' in body.headers["ratelimit"]


async def test_a_web_socket_is_closed_wherever_it_knocks(bench: Bench) -> None:
    for path in ("/healthz", "/readyz", ORDERS, "/nothing"):
        sent: list[Message] = []

        async def send(message: Message, sent: list[Message] = sent) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "websocket.connect"}

        await bench.app({"type": "websocket", "path": path, "headers": []}, receive, send)

        assert sent == [{"type": "websocket.close", "code": 1008}]


async def test_good_answers_pass_part_by_part(bench: Bench) -> None:
    parts: Iterator[bytes] = iter([b"first", b"second", b""])

    async def streaming(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": bool(part)})

    sent = await told(bench, streaming)

    assert [message.get("body") for message in sent] == [None, b"first", b"second", b""]


async def test_a_target_that_breaks_off_a_refusal_is_a_defect(bench: Bench) -> None:
    async def breaking(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 422, "headers": []})
        raise ConnectionError

    sent = await told(bench, breaking)

    assert [message.get("status") for message in sent] == [500, None]


async def told(bench: Bench, target: Any) -> list[Message]:
    """What the gateway sends for an order of this target."""
    app = gateway_app(bench.policy, dict.fromkeys(bench.policy.mounts, target), bench.edge)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    headers = {"host": ISSUER.partition("//")[2]} | bench.bearer()
    scope = {
        "type": "http", "method": "GET", "path": ORDERS, "raw_path": ORDERS.encode(),
        "query_string": b"", "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
    }  # fmt: skip
    await app(scope, receive, send)
    return sent
