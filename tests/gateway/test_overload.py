"""More calls than can be done: some are refused at once, the others end as always."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest

from apis.gateway.app import Gateway, gateway_app
from apis.gateway.overload import CAME, LATE_S, LEAST_IN_WORK, MOST_IN_WORK, Load
from apis.gateway.upstream import Bounds, Upstream
from tests.gateway.bench import ISSUER, Bench

ORDERS = "/process/orders/v3/orders"


class Slow:
    """A target that answers when it is told to."""

    def __init__(self, bench: Bench) -> None:
        self.told = asyncio.Event()
        self.lines: list[dict[str, Any]] = []
        self.gateway: Gateway = gateway_app(
            bench.policy, dict.fromkeys(bench.policy.mounts, self.answer), bench.edge
        )
        transport = httpx.ASGITransport(self.gateway)
        self.http = httpx.AsyncClient(
            transport=transport, base_url=ISSUER, headers=bench.bearer("clerk")
        )

    async def answer(self, _scope: Any, _receive: Any, send: Any) -> None:
        await self.told.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def busy(self, calls: int) -> list[asyncio.Task[httpx.Response]]:
        """As many calls under way."""
        tasks = [asyncio.create_task(self.http.get(ORDERS)) for _ in range(calls)]
        for _ in range(20):
            await asyncio.sleep(0)
        return tasks


@pytest.fixture
async def slow(bench: Bench) -> Slow:
    return Slow(bench)


async def test_calls_over_the_bound_are_refused_and_the_others_end_as_always(slow: Slow) -> None:
    slow.gateway.load = Load(slow.lines.append, most=5)
    calls = await slow.busy(9)
    refused = [call.result() for call in calls if call.done()]

    slow.told.set()
    answers = await asyncio.gather(*calls)

    assert [answer.status_code for answer in refused] == [503] * 4
    assert [answer.status_code for answer in answers] == [200] * 5 + [503] * 4
    assert (await slow.http.get(ORDERS)).status_code == 200
    assert slow.gateway.load.in_work == 0


async def test_a_refused_caller_is_told_when_to_come_again(slow: Slow) -> None:
    slow.gateway.load.bound = 0

    answer = await slow.http.get(ORDERS, headers={"x-request-id": "mine-1"})

    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"] == "mine-1"
    said = answer.json()
    trace_id = said.pop("trace_id")
    assert trace_id in answer.headers["traceparent"]
    assert said == {
        "type": f"{ISSUER}/problems/overloaded",
        "status": 503,
        "code": "overloaded",
        "title": "There is more to do than can be done",
        "detail": "Nothing was done.",
        "retryable": True,
        "owner": "operations",
        "remedy": "wait as long as `Retry-After` says",
        "request_id": "mine-1",
    }


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_health_is_told_however_busy_we_are(slow: Slow, path: str) -> None:
    slow.gateway.load.bound = 0

    assert (await slow.http.get(path)).status_code == 200


async def test_calls_that_end_badly_give_their_place_back(bench: Bench) -> None:
    gateway = gateway_app(bench.policy, bench.app.front.targets, bench.edge)
    transport = httpx.ASGITransport(gateway)
    async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as http:
        await http.get(f"{ORDERS}/broken", headers=bench.bearer())

    assert gateway.load.in_work == 0


async def test_a_late_loop_draws_the_bound_closer_and_a_punctual_one_wider_again() -> None:
    load = Load(lambda _: None)
    load.in_work = 400

    load.felt(2 * LATE_S)
    after_one = load.bound
    for _ in range(50):
        load.felt(2 * LATE_S)
    least = load.bound
    for _ in range(60):
        load.felt(0)

    assert (after_one, least, load.bound) == (360, LEAST_IN_WORK, MOST_IN_WORK)


@pytest.mark.parametrize(("waited_s", "taken"), [(None, True), (2 * LATE_S, False)])
def test_who_came_among_many_and_waited_too_long_is_refused(
    waited_s: float | None, *, taken: bool
) -> None:
    scope = {} if waited_s is None else {CAME: time.monotonic() - waited_s}

    assert Load(lambda _: None).admits(scope) is taken


async def test_refusals_are_counted_in_the_log() -> None:
    told = asyncio.Event()
    lines: list[dict[str, Any]] = []

    def note(line: dict[str, Any]) -> None:
        lines.append(line)
        told.set()

    load = Load(note)
    load.enter()
    load.refused = 7
    await told.wait()
    load.leave()

    assert [(line["event"], line["count"]) for line in lines] == [("requests.refused", 7)]


async def test_an_upstream_that_is_full_is_told_as_overloaded(bench: Bench) -> None:
    full = Upstream("http://127.0.0.1:9", bounds=Bounds(connections=0, waiting=0))
    gateway = gateway_app(bench.policy, dict.fromkeys(bench.policy.mounts, full), bench.edge)
    transport = httpx.ASGITransport(gateway)
    async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as http:
        answer = await http.get(ORDERS, headers=bench.bearer())

    assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
    assert answer.headers["retry-after"] == "1"
