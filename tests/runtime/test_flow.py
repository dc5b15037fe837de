"""Flows on the engine: waits, decisions, undo, take-over; the same on both stores."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa

from apis.runtime.attempts import Tries, refusal
from apis.runtime.clock import Clock
from apis.runtime.flow import Abandoned
from apis.runtime.leases import bury
from apis.runtime.outages import is_away
from apis.runtime.work_items import list_items
from contracts.canonical.money import Money
from contracts.errors import (
    Conflict,
    Rejected,
    Throttled,
    ThroughlineError,
    Transient,
    Unavailable,
)
from contracts.runs import Run, WorkItem
from tests.runtime.flow_bench import DONE, REFUSALS, Bench


async def test_a_run_goes_through_its_steps_once(bench: Bench) -> None:
    run_id = await bench.starts("three_steps", "A")

    run = await bench.until(run_id, "done")

    assert run.result == "first and second and third"
    assert [each.name for each in run.steps] == ["first", "second", "third"]
    assert {each.state for each in run.steps} == {"done"}
    assert DONE == ["first A", "second A", "third A"]


async def test_the_same_start_twice_is_the_same_run(bench: Bench) -> None:
    one, two = await asyncio.gather(
        bench.starts("three_steps", "A"), bench.starts("three_steps", "A")
    )

    await bench.until(one, "done")

    assert one == two == await bench.starts("three_steps", "A")
    assert DONE == ["first A", "second A", "third A"]


async def test_a_refusal_waits_for_its_owner_and_retry_goes_on(bench: Bench) -> None:
    REFUSALS["second A"] = [Rejected("customer.tax-code-missing", "no tax code", owner="finance")]
    run_id = await bench.starts("three_steps", "A")

    item = await bench.item(run_id)
    assert (item.owner, item.code, item.entity) == ("finance", "customer.tax-code-missing", "DE")
    assert item.amount == Money(Decimal("1200.00"), "EUR")
    assert (await bench.run(run_id)).waiting.work_item_id == item.id
    await bench.decides(item, "retry")

    assert (await bench.until(run_id, "done")).result == "first and second and third"
    assert DONE == ["first A", "second A", "third A"]


async def test_a_step_counts_all_its_attempts_and_each_decision_is_a_step_of_its_own(
    bench: Bench,
) -> None:
    refused = Rejected("customer.tax-code-missing", "no tax code", owner="finance")
    REFUSALS["second A"] = [Throttled("crm.quota", "slow down", retry_after=0.1), refused, refused]
    run_id = await bench.starts("three_steps", "A")
    began = (await bench.item(run_id)).since

    for attempts in (2, 3):
        item = await bench.item(run_id)
        seen = await bench.run(run_id)
        assert (seen.steps[1].state, seen.steps[1].attempts) == ("parked", attempts)
        assert (seen.steps[-1].state, seen.steps[-1].work_item_id) == ("waiting", item.id)
        await bench.decides(item, "retry")
        await bench.see(lambda: bench.run(run_id), partial(went_on, item))

    run = await bench.until(run_id, "done")
    assert [each.name for each in run.steps] == [
        *("first", "second", "second.decision", "second.decision", "third"),
    ]
    second, *decisions = run.steps[1:4]
    assert (second.attempts, second.owner, second.started_at < began) == (4, "integration", True)
    for each in decisions:
        assert (each.owner, each.state, each.attempts, each.calls) == ("finance", "done", 1, ())
        assert each.decision is not None
        told = (each.decision.decision, each.decision.actor, each.decision.comment)
        assert told == ("retry", "fay", "seen")
        assert each.started_at <= each.ended_at == each.decision.at


def went_on(item: WorkItem, run: Run) -> bool:
    """Whether the run has left the wait for this item behind."""
    return run.state == "done" or (run.waiting is not None and item.id != run.waiting.work_item_id)


async def test_a_second_decision_is_a_conflict(bench: Bench) -> None:
    REFUSALS["first A"] = [Rejected("deal.not-won", "not yet")]
    item = await bench.item(await bench.starts("three_steps", "A"))
    await bench.decides(item, "retry")

    with pytest.raises(Conflict, match="already-decided"):
        await bench.decides(item, "retry")


async def test_abandon_undoes_in_reverse_and_lists_what_stays(bench: Bench) -> None:
    REFUSALS["third A"] = [Rejected("deal.wrong", "wrong")]
    run_id = await bench.starts("three_steps", "A")

    await bench.decides(await bench.item(run_id), "abandon")

    run = await bench.until(run_id, "abandoned")
    assert DONE == ["first A", "second A", "undo A"]
    assert run.kept == ("a first step stays",)


async def test_after_abandon_a_start_is_a_new_run(bench: Bench) -> None:
    REFUSALS["first A"] = [Rejected("deal.wrong", "wrong")]
    run_id = await bench.starts("three_steps", "A")
    await bench.decides(await bench.item(run_id), "abandon")
    await bench.until(run_id, "abandoned")

    again = await bench.starts("three_steps", "A")

    assert again == f"{run_id}.2"
    assert (await bench.until(again, "done")).state == "done"


async def test_throttling_uses_no_attempt_and_no_slot(bench: Bench) -> None:
    REFUSALS["second A"] = [Throttled("crm.quota", "slow down", retry_after=600) for _ in range(20)]
    run_id = await bench.starts("three_steps", "A")

    async def an_hour_later() -> Run:
        bench.clock.advance(601)
        return await bench.run(run_id)

    run = await bench.see(an_hour_later, lambda run: run.state == "done")

    assert run.steps[1].attempts == 21


async def test_transient_failures_run_out_of_attempts_and_park(bench: Bench) -> None:
    REFUSALS["second A"] = [Transient("crm.down", "down") for _ in range(16)]
    run_id = await bench.starts("three_steps", "A")

    async def jumping() -> Any:
        waiting = (await bench.run(run_id)).waiting
        if waiting and waiting.due_at and waiting.due_at > bench.clock.now():
            bench.clock.set(waiting.due_at)
        return (await bench.store.read(list_items, None, "open", None, run_id)).items

    items = await bench.see(jumping, bool)

    assert items[0].code == "crm.down"
    await bench.decides(items[0], "retry")
    assert (await bench.until(run_id, "done")).state == "done"


async def test_an_approval_is_never_given_by_who_asked(bench: Bench) -> None:
    run_id = await bench.starts("approved", "A", person="sam@firm.example")
    item = await bench.item(run_id)

    for actor in ("demo", "sam@firm.example"):
        with pytest.raises(Rejected, match="own-request") as refused:
            await bench.decides(item, "approve", actor=actor)
        assert refused.value.status == 403
    with pytest.raises(Rejected, match="not-yours"):
        await bench.decides(item, "approve", "integration")
    waits = (await bench.run(run_id)).steps[-1]
    assert (waits.name, waits.owner, waits.state) == ("approval", "delivery-director", "waiting")
    assert (waits.started_at, waits.ended_at, waits.decision) == (item.since, None, None)
    decided = await bench.decides(item, "approve")

    run = await bench.until(run_id, "done")
    assert [each.name for each in run.steps] == ["first", "second", "approval", "third"]
    assert (run.steps[2].state, run.steps[2].decision) == ("done", decided.decision)


async def test_a_rejected_approval_undoes_what_was_done(bench: Bench) -> None:
    run_id = await bench.starts("approved", "A")

    await bench.decides(await bench.item(run_id), "reject")

    assert (await bench.until(run_id, "abandoned")).kept == ("a first step stays",)
    assert DONE == ["first A", "second A", "undo A"]


async def test_a_defect_becomes_a_work_item_of_integration(bench: Bench) -> None:
    REFUSALS["second A"] = [ZeroDivisionError()]
    run_id = await bench.starts("three_steps", "A")

    item = await bench.item(run_id)

    assert (item.code, item.owner, item.step) == ("flow.defect", "integration", "second")


async def test_a_decision_between_the_wait_and_the_suspension_is_not_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    REFUSALS["second A"] = [Rejected("deal.wrong", "wrong")]
    real = bench.engine.cancel

    async def late(run_ids: Any) -> None:
        item = await bench.item(run_ids[0])
        await bench.decides(item, "retry")
        await asyncio.sleep(0.3)
        await real(run_ids)

    monkeypatch.setattr(bench.engine, "cancel", late)
    run_id = await bench.starts("three_steps", "A")

    assert (await bench.until(run_id, "done")).state == "done"
    assert DONE == ["first A", "second A", "third A"]


async def test_a_thousand_parked_runs_do_not_delay_the_next_deal(bench: Bench) -> None:
    for n in range(60):
        REFUSALS[f"first P{n}"] = [Rejected("deal.wrong", "wrong")]
    parked = [await bench.starts("three_steps", f"P{n}") for n in range(60)]
    for run_id in parked:
        await bench.until(run_id, "waiting")

    began = bench.clock.now()
    run_id = await bench.starts("three_steps", "next")
    run = await bench.until(run_id, "done")

    assert run.started_at - began < timedelta(seconds=1)


async def test_what_a_dead_worker_held_is_taken_over(bench: Bench) -> None:
    """A row as a killed worker leaves it: PENDING under an owner without a lease."""
    REFUSALS["second A"] = [Rejected("deal.wrong", "wrong")]
    run_id = await bench.starts("three_steps", "A")
    item = await bench.item(run_id)
    await bench.until(run_id, "waiting")
    await asyncio.sleep(0.2)
    with bench.engine._database.begin() as connection:
        table = "workflow_status" if bench.store.sqlite else "dbos.workflow_status"
        dead = f"update {table} set status='PENDING', executor_id='gone' where workflow_uuid=:id"  # noqa: S608
        connection.execute(sa.text(dead), {"id": run_id})

    await bench.decides(item, "retry")

    assert (await bench.until(run_id, "done")).state == "done"


async def test_a_flow_that_breaks_outside_its_steps_is_failed_and_has_an_owner(
    bench: Bench,
) -> None:
    run_id = await bench.starts("broken", "A")

    async def looked() -> Run:
        await bury(bench.store, bench.engine, bench.clock)
        return await bench.run(run_id)

    run = await bench.see(looked, lambda run: run.state == "failed")

    item = await bench.item(run.id)
    assert (item.code, item.owner) == ("flow.failed", "integration")
    assert await bench.starts("broken", "A") == f"{run_id}.2"


@pytest.mark.parametrize(("met", "pause"), [(0, 1), (1, 2), (4, 16), (5, 30), (5_000, 30)])
def test_what_is_away_without_a_word_how_long_is_asked_less_and_less(met: int, pause: int) -> None:
    silent, now = Unavailable("tier.not-reached", "nobody answers"), Clock().now()

    told = refusal(silent, Tries(unavailable=met), now)

    assert (told["wait"], told["counts"]) == (pause, False)


async def test_a_step_whose_tier_is_away_waits_longer_each_time_and_goes_on_soon(
    bench: Bench,
) -> None:
    away = [Unavailable("tier.not-reached", "nobody answers") for _ in range(20)]
    REFUSALS["second A"] = list(away)
    run_id = await bench.starts("three_steps", "A")
    began = bench.clock.now()

    run = await ends_while_time_passes(bench, run_id)

    assert run.steps[1].attempts == 21
    passed = (bench.clock.now() - began).total_seconds()
    assert 1 + 2 + 4 + 8 + 16 + 15 * 30 <= passed < 500


async def test_an_outage_is_over_for_whoever_gets_through_whatever_went_wrong_in_between(
    bench: Bench,
) -> None:
    away = Unavailable("acme.maintenance", "closed", source="acme", retry_after=60)
    REFUSALS["second A"] = [away, Transient("acme.failed", "it broke", source="acme")]
    run_id = await bench.starts("three_steps", "A")
    await bench.until(run_id, "waiting")
    assert await bench.store.read(is_away, "acme")

    await ends_while_time_passes(bench, run_id)

    assert not await bench.store.read(is_away, "acme")


async def ends_while_time_passes(bench: Bench, run_id: str) -> Run:
    """The run when it is done; whatever it waits for is due at once."""

    async def later() -> Run:
        run = await bench.run(run_id)
        if run.waiting and run.waiting.due_at and run.waiting.due_at > bench.clock.now():
            bench.clock.set(run.waiting.due_at)
        return run

    return await bench.see(later, lambda run: run.state == "done")


@pytest.mark.parametrize(("tried", "pause"), [(0, 1), (1, 2), (5, 32), (6, 60), (5_000, 60)])
def test_throttling_without_a_word_how_long_waits_longer_each_time(tried: int, pause: int) -> None:
    silent, now = Throttled("crm.quota", "slow down"), Clock().now()

    told = refusal(silent, Tries(count=tried), now)

    assert pause <= told["wait"] <= pause + 0.5


def test_abandoned_is_no_error_of_ours() -> None:
    assert not issubclass(Abandoned, ThroughlineError)
