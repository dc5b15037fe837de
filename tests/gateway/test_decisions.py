"""What was decided is kept for a while, explained on request, and never slows a call."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from apis.gateway import decisions
from apis.gateway.decisions import COUNTS, DECISIONS, Decisions
from apis.gateway.policy import Recording
from tests.gateway.bench import GATEWAY, Bench

ORDERS = "/process/orders/v3/orders"
OPEN = GATEWAY.replace(
    "[orders.read, orders.write, ", "[decisions.read, orders.read, orders.write, "
)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A gateway whose clerk may ask what was decided."""
    bench = Bench(tmp_path, OPEN)
    yield bench
    bench.store.close()


async def explained(bench: Bench, request_id: str) -> dict[str, Any]:
    answer = await bench.http.get(f"/decisions/{request_id}", headers=bench.bearer())
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["items"][0]
    return found


async def test_an_allowed_call_is_explained_rule_by_rule(bench: Bench) -> None:
    answer = await bench.http.get(ORDERS, headers=bench.bearer("slow"))

    found = await explained(bench, answer.headers["x-request-id"])

    assert found.items() >= {
        "client": "slow", "api": "process/orders", "version": "v3", "operation": "listOrders",
        "status": 200, "code": None, "limits": answer.headers["ratelimit"],
    }.items()  # fmt: skip
    assert found["reasons"] == [
        {
            "policy": "authorization", "rule": "orders.read", "outcome": "allowed",
            "says": "The token of slow has orders.read, which listOrders needs.",
            "place": "gateway.yaml:15: clients.slow.scopes",
        },
        {
            "policy": "limits", "rule": "plans.small", "outcome": "allowed",
            "says": "Every limit of plans.small had room for a call of slow.",
            "place": "gateway.yaml:5: plans.small",
        },
    ]  # fmt: skip


async def test_a_missing_scope_says_where_it_would_be_granted(bench: Bench) -> None:
    answer = await bench.http.delete(f"{ORDERS}/1", headers=bench.bearer("reader"))

    found = await explained(bench, answer.headers["x-request-id"])

    assert found["reasons"] == [
        {
            "policy": "authorization", "rule": "orders.write", "outcome": "refused",
            "says": "deleteOrder needs the scope orders.write, and the token of reader has not "
            "got it.",
            "place": "gateway.yaml:14: clients.reader.scopes",
            "change": "add orders.write to the scopes of reader",
        }
    ]  # fmt: skip


async def test_a_used_up_limit_says_which_and_what_it_is(bench: Bench) -> None:
    for _ in range(6):
        answer = await bench.http.get(ORDERS, headers=bench.bearer("slow"))

    found = await explained(bench, answer.headers["x-request-id"])

    [_, limited] = found["reasons"]
    assert limited["place"] == "gateway.yaml:5: plans.small.rate"
    assert limited["says"] == 'slow had used up plans.small.rate (5/h): "rate";r=0;t=720.'
    assert limited["change"] == "wait as long as `t` says, or raise the limit"


async def test_a_refusal_before_anybody_is_known_is_explained_too(bench: Bench) -> None:
    old = await bench.http.get("/process/orders/v1/orders", headers=bench.bearer())
    unknown = await bench.http.get(ORDERS)
    wrong = await bench.http.get(f"{ORDERS}?nosuch=1", headers=bench.bearer())

    told = [await explained(bench, each.headers["x-request-id"]) for each in (old, unknown, wrong)]

    last = [each["reasons"][-1] for each in told]
    assert [(each["policy"], each["rule"]) for each in last] == [
        ("versions", "version-retired"),
        ("authentication", "missing-token"),
        ("requests", "validation-failed"),
    ]
    assert last[0]["place"] == "gateway.yaml:38: apis.process.orders.versions.1.sunset"
    assert all(each["outcome"] == "refused" and each["change"] for each in last)


async def test_decisions_are_for_those_who_may_read_them(bench: Bench) -> None:
    path = "/decisions/0123456789"

    assert (await bench.http.get(path)).status_code == 401
    assert (await bench.http.get(path, headers=bench.bearer("slow"))).status_code == 403
    answer = await bench.http.get(path, headers=bench.bearer())
    assert (answer.status_code, answer.json()["code"]) == (404, "request-unknown")
    assert (await bench.http.post(path, headers=bench.bearer())).status_code == 405


async def test_decisions_are_counted_by_client_operation_version_and_outcome(bench: Bench) -> None:
    for _ in range(7):
        await bench.http.get(ORDERS, headers=bench.bearer("slow"))

    answer = await bench.http.get("/decisions", headers=bench.bearer())

    limited = [each for each in answer.json()["items"] if each["policy"] == "limits"]
    mine = [each for each in limited if each["client"] == "slow"]
    assert mine == [
        {
            "day": str(date(2026, 11, 21)), "client": "slow", "api": "process/orders",
            "version": "v3", "operation": "listOrders", "policy": "limits", "rule": rule,
            "outcome": outcome, "count": count,
        }
        for rule, outcome, count in
        (("plans.small", "allowed", 5), ("plans.small.rate", "refused", 2))
    ]  # fmt: skip


async def test_nothing_personal_and_no_body_is_kept(bench: Bench) -> None:
    headers = bench.bearer() | {"content-type": "application/json", "x-canary": "canary-1"}
    await bench.http.post(ORDERS, json={"note": "canary-2"}, headers=headers)
    await bench.http.get(f"{ORDERS}/canary-3?expand=canary-4", headers=headers)
    await bench.decisions.flush()

    kept = bench.store.read_now(everything)

    assert "createOrder" in kept
    assert "getOrder" in kept
    assert not [word for word in ("canary", "clerk@example.com", "Bearer") if word in kept]


def everything(connection: sa.Connection) -> str:
    rows = [connection.execute(sa.select(table)).all() for table in (DECISIONS, COUNTS)]
    return repr(rows)


async def test_decisions_are_forgotten_after_a_week_and_their_counts_later(bench: Bench) -> None:
    answer = await bench.http.get(ORDERS, headers=bench.bearer())
    name = answer.headers["x-request-id"]
    assert await bench.decisions.found(name)

    bench.clock.advance(8 * 86_400)

    assert not await bench.decisions.found(name)
    assert await bench.decisions.counted()
    bench.clock.advance(90 * 86_400)
    assert not await bench.decisions.counted()


async def test_no_more_than_the_most_are_kept(bench: Bench) -> None:
    kept = Decisions(bench.store, bench.clock, Recording(most=3))
    for _ in range(5):
        await bench.http.get(ORDERS, headers=bench.bearer())
    await bench.decisions.flush()

    await kept.flush()

    assert bench.store.read_now(lambda c: len(c.execute(sa.select(DECISIONS)).all())) == 3


async def test_what_does_not_fit_is_dropped_the_oldest_first_and_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "MOST_HELD", 3)
    bench.edge = bench.edge._replace(decisions=Decisions(bench.store, bench.clock, Recording()))
    bench.serve()

    names = [
        (await bench.http.get(ORDERS, headers=bench.bearer())).headers["x-request-id"]
        for _ in range(5)
    ]

    kept = [bool(await bench.edge.decisions.found(name)) for name in names]
    assert kept == [False, False, True, True, True]
    assert lost(await bench.edge.decisions.counted()) == 2


async def test_a_database_that_is_away_costs_no_call(
    bench: Bench,
) -> None:
    bench.store.write_now(DECISIONS.drop)
    answer = await bench.http.get(ORDERS, headers=bench.bearer())
    with pytest.raises(OperationalError):
        await bench.decisions.flush()
    bench.store.write_now(DECISIONS.create)

    assert answer.status_code == 200
    assert await bench.decisions.found(answer.headers["x-request-id"])


async def test_callers_nobody_knows_cannot_push_out_the_others(bench: Bench) -> None:
    known = await bench.http.get(ORDERS, headers=bench.bearer())
    for _ in range(decisions.MOST_UNKNOWN + 7):
        await bench.http.get(ORDERS)

    assert await bench.decisions.found(known.headers["x-request-id"])
    assert lost(await bench.decisions.counted()) == 7


def lost(counts: list[dict[str, object]]) -> object:
    [row] = [each for each in counts if each["policy"] == "recording"]
    return row["count"]


async def test_health_checks_and_public_pages_are_not_recorded(bench: Bench) -> None:
    for path in ("/healthz", "/readyz", "/.well-known/jwks.json"):
        await bench.http.get(path)

    assert not await bench.decisions.counted()
