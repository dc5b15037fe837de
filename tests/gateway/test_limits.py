"""How often, how many at once, and what is only observed: as a caller sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import http_sf
import httpx
import pytest
from redis.asyncio import Redis

from apis.gateway.app import gateway_app
from apis.gateway.compiled import compile_policy
from apis.gateway.documents import load_documents
from apis.gateway.guard import ASGIApp, Receive, Scope, Send
from apis.gateway.policy import PolicyError, load_gateway
from apis.runtime.limits import RedisLimiter
from tests.gateway.bench import GATEWAY, HERE, ISSUER, Bench

OBSERVED = ("      app:", "      modes: {limits: observe}\n      app:")
ORDERS = "/process/orders/v3/orders"
SMALL = "{rate: 5/h, quota: 20/day}"
Open = Callable[..., Bench]


@pytest.fixture
def opens(tmp_path: Path, request: pytest.FixtureRequest) -> Open:
    """A gateway whose small plan is this."""

    def opened(plan: str, *changes: tuple[str, str]) -> Bench:
        text = GATEWAY.replace(SMALL, plan)
        for old, new in changes:
            text = text.replace(old, new)
        bench = Bench(tmp_path, text)
        request.addfinalizer(bench.store.close)
        return bench

    return opened


async def get(bench: Bench, client: str = "slow") -> httpx.Response:
    return await bench.http.get(ORDERS, headers=bench.bearer(client))


async def test_several_windows_hold_at_once(opens: Open) -> None:
    bench = opens("{rate: [4/h, 60/day], quota: {daily: 3/day}}")

    answers = [await get(bench) for _ in range(4)]

    assert [each.status_code for each in answers] == [200, 200, 200, 429]
    assert answers[0].headers["ratelimit-policy"] == (
        '"rate-per-hour";q=4;w=3600, "rate-per-day";q=60;w=86400, "daily";q=3;w=86400'
    )
    assert answers[3].headers["ratelimit"].startswith('"daily";r=0;t=')


async def test_the_fields_are_structured_fields_that_fit_together(opens: Open) -> None:
    bench = opens("{rate: [3/h, 4/day], quota: 100/day, concurrency: 7}")

    for _ in range(5):
        answer = await get(bench)
        policies = dict(listed(answer, "ratelimit-policy"))
        limits = dict(listed(answer, "ratelimit"))
        assert policies["concurrency"] == {"q": 7, "qu": "concurrent-requests"}
        assert {"q": 3, "w": 3600} in policies.values()
        assert limits.keys() <= policies.keys()
        assert all(state["r"] >= 0 and state["t"] >= 0 for state in limits.values())
        if answer.status_code == 429:
            waits = [state["t"] for state in limits.values()]
            assert int(answer.headers["retry-after"]) >= max(waits)
    assert answer.status_code == 429


def listed(answer: httpx.Response, name: str) -> list[tuple[str, dict[str, Any]]]:
    """A list of the field, read by a parser that is not ours."""
    parsed = http_sf.parse(answer.headers[name].encode(), tltype="list")
    return [(item, dict(parameters)) for item, parameters in cast("list[Any]", parsed)]


async def test_a_refused_call_takes_nothing_of_the_other_limits(opens: Open) -> None:
    bench = opens("{rate: {hourly: 100/h, short: 2/h}, quota: 20/day}")

    statuses = [(await get(bench)).status_code for _ in range(9)]
    bench.clock.advance(1801)
    answer = await get(bench)

    assert statuses == [200] * 2 + [429] * 7
    assert dict(listed(answer, "ratelimit"))["quota"]["r"] == 17


async def test_a_refusal_names_every_limit_that_is_used_up(opens: Open) -> None:
    bench = opens("{rate: 2/h, quota: 2/day}")

    answer = [await get(bench) for _ in range(3)][-1]

    problem = answer.json()
    assert problem["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert problem["code"] == "rate-limited"
    assert problem["violated-policies"] == ["rate", "quota"]
    assert int(answer.headers["retry-after"]) == max(t for t in waits(answer))


def waits(answer: httpx.Response) -> list[int]:
    return [state["t"] for _, state in listed(answer, "ratelimit")]


async def test_an_operation_is_counted_over_all_versions(opens: Open) -> None:
    bench = opens(SMALL, ("{deleteOrder: 2/h}", "{listOrders: 2/h}"))
    current, before = ORDERS, ORDERS.replace("v3", "v2")

    answers = [
        await bench.http.get(path, headers=bench.bearer("clerk"))
        for path in (current, before, current, before)
    ]

    assert [each.status_code for each in answers] == [200, 200, 429, 429]
    assert answers[3].json()["violated-policies"] == ["listOrders"]


async def test_a_quota_made_smaller_than_what_is_used_has_nothing_left(opens: Open) -> None:
    bench = opens("{quota: 9/day}")
    for _ in range(5):
        await get(bench)
    text = GATEWAY.replace(SMALL, "{quota: 2/day}")
    bench.policy = compile_policy(load_gateway(text), load_documents(HERE / "published"))
    bench.serve()

    answer = await get(bench)

    assert answer.status_code == 429
    assert dict(listed(answer, "ratelimit"))["quota"]["r"] == 0


class Counter:
    """A target that answers when it is told to."""

    def __init__(self) -> None:
        self.inside = 0
        self.gate = asyncio.Event()

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        self.inside += 1
        await self.gate.wait()
        if scope["path"].endswith("broken"):
            raise RuntimeError("broken")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def holds(self, calls: int) -> None:
        while self.inside < calls:  # noqa: ASYNC110 - each is a call of its own
            await asyncio.sleep(0)


def before(bench: Bench, target: ASGIApp) -> httpx.AsyncClient:
    app = gateway_app(bench.policy, dict.fromkeys(bench.policy.mounts, target), bench.edge)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ISSUER)


async def test_too_many_at_once_are_refused_at_once(opens: Open) -> None:
    bench, target = opens("{rate: 100/h, concurrency: 2}"), Counter()
    http, headers = before(bench, target), bench.bearer("slow")
    held = [asyncio.create_task(http.get(ORDERS, headers=headers)) for _ in range(2)]
    await target.holds(2)

    refused = await http.get(ORDERS, headers=headers)
    other = asyncio.create_task(http.get(ORDERS, headers=bench.bearer("clerk")))
    await target.holds(3)
    target.gate.set()

    assert refused.status_code == 429
    assert refused.json()["violated-policies"] == ["concurrency"]
    assert refused.headers["ratelimit"] == '"concurrency";r=0;t=1'
    assert refused.headers["retry-after"] == "1"
    assert [each.status_code for each in await asyncio.gather(*held, other)] == [200] * 3
    after = await http.get(ORDERS, headers=headers)
    assert dict(listed(after, "ratelimit"))["rate"]["r"] == 97


async def test_a_permit_comes_back_whatever_becomes_of_the_call(opens: Open) -> None:
    bench, target = opens("{rate: 3/h, concurrency: 1}"), Counter()
    http, headers = before(bench, target), bench.bearer("slow")
    gone = asyncio.create_task(http.get(ORDERS, headers=headers))
    await target.holds(1)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    target.gate.set()

    calls = [f"{ORDERS}/broken", ORDERS, ORDERS]
    statuses = [(await http.get(path, headers=headers)).status_code for path in calls]

    assert statuses == [500, 200, 429]
    assert (await http.get(ORDERS, headers=headers)).json()["violated-policies"] == ["rate"]


async def test_a_limit_that_is_observed_lets_the_call_go_on(opens: Open) -> None:
    bench = opens("{rate: 2/h, concurrency: 1}", OBSERVED)

    answers = [await get(bench) for _ in range(4)]

    assert [each.status_code for each in answers] == [200] * 4
    assert answers[3].headers["ratelimit"].startswith('"rate";r=0;t=')
    [found] = await bench.decisions.found(answers[3].headers["x-request-id"])
    assert ("limits", "plans.small.rate", "observed") in found.decisions


async def test_a_scope_that_is_observed_lets_the_call_go_on(opens: Open) -> None:
    modes = "3: {modes: {authorization: observe}, "
    bench = opens(SMALL, ("3: {", modes))
    headers = bench.bearer("reader")

    late = await bench.http.delete(f"{ORDERS}/1", headers=headers)
    early = await bench.http.delete("/process/orders/v2/orders/1", headers=headers)

    assert (late.status_code, early.status_code) == (200, 403)
    [found] = await bench.decisions.found(late.headers["x-request-id"])
    assert ("authorization", "orders.write", "observed") in found.decisions


async def test_who_asks_is_never_only_observed(opens: Open) -> None:
    modes = "{authorization: observe, limits: observe, requests: observe}"
    bench = opens(SMALL, ("      app:", f"      modes: {modes}\n      app:"))

    assert (await bench.http.get(ORDERS)).status_code == 401
    assert (await bench.http.get(ORDERS, headers={"authorization": "Bearer no"})).status_code == 401


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        ("{rate: [1/s, 2/s]}", "plans.small.rate.1: two limits for the same window"),
        ("{rate: [1/x]}", "plans.small.rate.0: a limit is written like 600/min"),
        ("{rate: {'a b': 1/s}}", "plans.small.rate.a b: a limit is named with letters"),
        ("{rate: []}", "plans.small.rate: no limit is named here"),
        ("{rate: {daily: 1/s}, quota: {daily: 5/day}}", "plans.small.quota: the name daily is"),
        ("{rate: [1/s, 9/min], burst: 3}", "plans.small.burst: a burst is at least 1 and belongs"),
        ("{concurrency: 0}", "plans.small.concurrency: at least 1 call at once"),
    ],
)
def test_a_limit_that_cannot_be_is_named(opens: Open, plan: str, told: str) -> None:
    with pytest.raises(PolicyError) as refused:
        opens(plan)

    assert told in str(refused.value)


@pytest.mark.parametrize("on_loss", ["open", "closed"])
async def test_a_redis_that_is_away_is_told_as_less_capacity(opens: Open, on_loss: str) -> None:
    bench, nobody = opens(f"{{rate: 9/h, on_store_loss: {on_loss}}}"), Redis(port=1)
    bench.edge = bench.edge._replace(limiter=RedisLimiter(nobody, workers=3, grace_s=3600))
    bench.serve()

    shared = [await get(bench) for _ in range(4)]
    bench.edge = bench.edge._replace(limiter=RedisLimiter(nobody, grace_s=0))
    bench.serve()
    later = await get(bench)
    await nobody.aclose()

    assert [each.status_code for each in shared] == [200, 200, 200, 503]
    problem = shared[3].json()
    assert problem["type"].endswith("/http-problem-types#temporary-reduced-capacity")
    assert problem["violated-policies"] == ["rate"]
    assert int(shared[3].headers["retry-after"]) >= max(waits(shared[3]))
    assert later.status_code == (200 if on_loss == "open" else 503)
