"""The bad-input catalogue against the gateway's ASGI application: what it reads, logs, answers."""

from __future__ import annotations

from urllib.parse import unquote

import pytest

from apis.gateway.guard import Message
from tests.gateway.bench import Bench
from tests.gateway.catalogue import Answer, Case, check, request_of, rows


async def call(bench: Bench, case: Case) -> Answer:
    request = request_of(bench, case)
    path, _, query = request.target.partition("?")
    sent: list[Message] = []
    reads = 0

    async def receive() -> Message:
        nonlocal reads
        reads += 1
        if case.get("unread"):
            pytest.fail("the body was read")
        more = reads < len(request.parts)
        return {"type": "http.request", "body": request.parts[reads - 1], "more_body": more}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": request.headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8080),
    }
    await bench.app(scope, receive, send)
    assert [each["type"] for each in sent] == ["http.response.start", "http.response.body"]
    answered = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], answered, sent[1]["body"], reads)


@pytest.mark.parametrize("case", rows(raw=False))
async def test_a_request_gets_the_answer_the_catalogue_expects(bench: Bench, case: Case) -> None:
    expect = case["expect"]

    answer = await call(bench, case)

    check(answer, expect, bench)
    if "operation" in expect:
        assert bench.log[-1]["operation"] == expect["operation"]
    if "reads" in expect:
        assert answer.reads == expect["reads"]
    assert len(bench.log) == 1
    assert bench.log[0]["status"] == answer.status


def test_the_catalogue_is_as_long_as_it_says() -> None:
    assert len(rows()) >= 300


async def test_after_all_refusals_a_good_request_still_works(bench: Bench) -> None:
    for row in rows(raw=False):
        await call(bench, row.values[0])

    control = {"path": "/process/orders/v3/orders", "client": "clerk"}
    assert (await call(bench, control)).status == 200
