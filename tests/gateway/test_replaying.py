"""Whom another policy would have affected: the calls of the past, decided anew."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from apis.gateway.compiled import Policy, compile_policy
from apis.gateway.decisions import recorded
from apis.gateway.documents import load_documents
from apis.gateway.policy import load_gateway
from apis.gateway.replaying import Impact, Replay
from tests.gateway.bench import GATEWAY, HERE, Bench

ORDERS = "/process/orders/v3/orders"
CURRENT = "        3: {status: current}\n"
ENDED = "        3: {status: deprecated, since: 2026-01-01, sunset: 2026-11-20}\n"
OBSERVED = 'app: "orders:app"\n      modes: {authorization: observe}'


def policy(*changes: tuple[str, str]) -> Policy:
    text = GATEWAY
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return compile_policy(load_gateway(text), load_documents(HERE / "published"))


async def impact(bench: Bench, *changes: tuple[str, str]) -> Impact:
    await bench.decisions.flush()
    rows, _ = bench.store.read_now(recorded, (0.0, 0), 1000)
    replay = Replay(bench.policy, policy(*changes), bench.clock.timestamp())
    replay.ask(rows)
    return replay.impact()


async def calls(bench: Bench, client: str, count: int, pause: float = 0) -> None:
    for _ in range(count):
        await bench.http.get(ORDERS, headers=bench.bearer(client))
        bench.clock.advance(pause)


async def test_the_same_policy_affects_nobody(bench: Bench) -> None:
    await calls(bench, "slow", 8)
    await calls(bench, "clerk", 8)

    found = await impact(bench)

    assert (found.calls, found.clients, found.affected) == (16, 2, ())


@pytest.mark.parametrize(
    ("change", "refused", "why"),
    [
        (("quota: 20/day", "quota: 3/day"), 2, "limits: plans.small.quota: 3 in 86400 s"),
        (("rate: 5/h", "rate: [2/h]"), 3, "limits: plans.small.rate.0: 2 in 3600 s"),
        (("scopes: [orders.read, catalog.read]}\n", "scopes: [catalog.read]}\n"), 5,
         "authorization: the scope orders.read is needed"),
        ((CURRENT, ENDED), 5, "versions: retired after 2026-11-20"),
        ((CURRENT, ""), 5, "process/orders/v3 is not served any more"),
    ],
)  # fmt: skip
async def test_a_changed_policy_names_whom_it_would_have_refused_and_why(
    bench: Bench, change: tuple[str, str], refused: int, why: str
) -> None:
    await calls(bench, "slow", 7)

    found = await impact(bench, change)

    assert sum(each.would_be_refused for each in found.affected) == refused
    assert {each.why for each in found.affected} <= {why}
    assert {each.client for each in found.affected} <= {"slow"}


async def test_a_client_that_is_taken_out_is_named(bench: Bench) -> None:
    await calls(bench, "reader", 3)
    line = "  reader: {plan: internal, secret: home:clients.json, scopes: [orders.read]}\n"

    [row] = (await impact(bench, (line, ""))).affected

    assert (row.client, row.operation, row.version) == ("reader", "listOrders", "v3")
    assert (row.calls, row.would_be_refused, row.why) == (3, 3, "the client is removed")
    assert row.first <= row.last


async def test_a_client_that_is_gone_already_is_not_lost_by_the_change(bench: Bench) -> None:
    await calls(bench, "reader", 3)
    await bench.decisions.flush()
    rows, _ = bench.store.read_now(recorded, (0.0, 0), 1000)
    without = policy(
        ("  reader: {plan: internal, secret: home:clients.json, scopes: [orders.read]}\n", "")
    )

    replay = Replay(without, without, bench.clock.timestamp())
    replay.ask(rows)

    assert replay.impact().affected == ()


async def test_time_passes_in_the_replay_as_it_did(bench: Bench) -> None:
    await calls(bench, "clerk", 6, pause=600)
    tighter = ("rate: 100000/min", "rate: 7/h")
    tightest = ("rate: 100000/min", "rate: 2/h")

    assert not (await impact(bench, tighter)).affected
    [row] = (await impact(bench, tightest)).affected
    assert row.would_be_refused == 3


async def test_an_operation_is_counted_over_all_versions_in_the_replay_too(bench: Bench) -> None:
    for path in (ORDERS, ORDERS.replace("v3", "v2")) * 2:
        await bench.http.get(path, headers=bench.bearer("clerk"))

    found = await impact(bench, ("{deleteOrder: 2/h}", "{listOrders: 3/h}"))

    assert sum(each.would_be_refused for each in found.affected) == 1


async def test_how_many_at_once_is_asked_again_too(bench: Bench) -> None:
    await calls(bench, "clerk", 2)
    await bench.decisions.flush()
    rows, _ = bench.store.read_now(recorded, (0.0, 0), 10)
    at_once = [msgspec.structs.replace(row, at=rows[0].at, ms=500.0) for row in rows]

    replay = Replay(bench.policy, policy(("100000/min}", "100000/min, concurrency: 1}")), 0)
    replay.ask(at_once)

    [row] = replay.impact().affected
    assert (row.would_be_refused, row.why) == (1, "limits: plans.internal.concurrency: 1 at once")


async def test_what_was_only_observed_counts_once_it_is_enforced(tmp_path: Path) -> None:
    observing = Bench(tmp_path, GATEWAY.replace('app: "orders:app"', OBSERVED))
    try:
        await observing.http.delete(f"{ORDERS}/1", headers=observing.bearer("reader"))

        [row] = (await impact(observing)).affected
    finally:
        observing.store.close()

    assert (row.client, row.operation) == ("reader", "deleteOrder")
    assert row.why == "authorization: the scope orders.write is needed"


async def test_a_call_that_one_limit_refuses_takes_of_no_other(bench: Bench) -> None:
    await calls(bench, "clerk", 4)
    bench.clock.advance(3600)
    await calls(bench, "clerk", 1)

    found = await impact(
        bench,
        ("rate: 100000/min", "rate: 1/h"),
        ("limits: {deleteOrder: 2/h}", "limits: {listOrders: 3/day, deleteOrder: 2/h}"),
    )

    [row] = found.affected
    assert (row.would_be_refused, row.why) == (3, "limits: plans.internal.rate: 1 in 3600 s")
