"""Flows on the engine: waits, decisions, undo, take-over; the same on both stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from apis.runtime import runs
from apis.runtime.clock import Clock
from apis.runtime.context import Context
from apis.runtime.engine import Engine
from apis.runtime.flow import Abandoned, Runtime, about, approval, current, flow, runner, step
from apis.runtime.leases import Leases, bury, lead, reap, wake
from apis.runtime.metadata import Metadata
from apis.runtime.migrations import lift
from apis.runtime.records import Records
from apis.runtime.store import Store
from apis.runtime.work_items import Deciding, decide, list_items
from contracts.canonical.identity import Source
from contracts.canonical.money import Money
from contracts.errors import Conflict, Rejected, Throttled, ThroughlineError, Transient
from contracts.runs import Run, WorkItem

DONE: list[str] = []
REFUSALS: dict[str, list[Exception]] = {}
PATIENCE_S = 20


def meets(name: str) -> None:
    """Do what the test has planned for this step: refuse, or be done."""
    if planned := REFUSALS.get(name):
        raise planned.pop(0)
    DONE.append(name)


@step(owner="sales-operations", keep="a first step stays")
async def first(source: Source) -> str:
    about(amount=Money(Decimal("1200.00"), "EUR"), entity="DE")
    meets(f"first {source.external_id}")
    return "first"


@step(owner="integration")
async def second(word: str) -> str:
    meets(f"second {current().source.external_id}")
    return word + " and second"


@second.undo
async def unsecond(_word: str) -> None:
    meets(f"undo {current().source.external_id}")


@step(owner="integration", keep="it was the last")
async def third(word: str) -> str:
    meets(f"third {current().source.external_id}")
    return word + " and third"


@flow
async def three_steps(source: Source) -> str:
    word = await second(await first(source))
    return await third(word)


@flow
async def approved(source: Source) -> str:
    word = await second(await first(source))
    await approval("deal", by="delivery-director", detail="a large one")
    return await third(word)


@flow
async def broken(source: Source) -> str:
    word = await first(source)
    raise KeyError(word)


class Bench:
    """A worker, its leaderships and the questions tests ask."""

    def __init__(self, url: str) -> None:
        self.store, self.engine, self.clock = Store(url), Engine(url), Clock()
        self.leases = Leases(self.store, "test", ttl=5)
        self.runtime = Runtime(
            store=self.store,
            engine=self.engine,
            clock=self.clock,
            metadata=Metadata.load(Path("apis/entities.yaml")),
            records=Records(),
            connect=lambda _port, _api: None,
            leases=self.leases,
        )
        self.tasks: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        await asyncio.to_thread(lift, self.store)
        await asyncio.to_thread(self.engine.migrate)
        await self.leases.hold(self.leases.worker)
        flows = [three_steps, approved, broken]
        self.engine.launch(
            {f.registered: runner(self.runtime, f) for f in flows}, self.leases.owner
        )
        waking = lead(self.leases, "waker", 0.05, lambda: wake(self.store, self.engine, self.clock))
        reaping = lead(
            self.leases,
            "reaper",
            0.2,
            lambda: reap(self.store, self.engine, self.leases, self.clock),
        )
        self.tasks = [asyncio.create_task(waking), asyncio.create_task(reaping)]

    async def end(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.engine.drain(1)
        self.leases.stop()
        await self.engine.close()
        self.store.close()

    async def starts(
        self, name: str, record: str, *, turn: int = 1, person: str | None = None
    ) -> str:
        source = Source("crm", record)
        context = Context(actor="demo", client="demo", person=person)
        asked = runs.Start(
            flow=name,
            source=source,
            turn=turn,
            argument={
                "source": self.runtime.records.dump(source),
                "context": msgspec.to_builtins(context),
            },
            context=context,
            at=self.clock.now(),
            again=True,
        )
        return (await self.store.write(runs.start, self.engine, asked)).run_id

    async def run(self, run_id: str) -> Run:
        found = await self.store.read(runs.view, run_id)
        assert found is not None
        return found

    async def until(self, run_id: str, *states: str) -> Run:
        return await self.see(lambda: self.run(run_id), lambda run: run.state in states)

    async def see(self, look: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
        for _ in range(PATIENCE_S * 50):
            found = await look()
            if good(found):
                return found
            await asyncio.sleep(0.02)
        pytest.fail(f"never happened; last seen: {found}")

    async def item(self, run_id: str) -> WorkItem:
        async def look() -> Any:
            return (await self.store.read(list_items, None, "open", None, run_id)).items

        found = await self.see(look, bool)
        item: WorkItem = found[0]
        return item

    async def decides(
        self, item: WorkItem, decision: str, *roles: str, actor: str = "fay"
    ) -> WorkItem:
        by = Context(actor=actor, client=actor, roles=roles or (item.owner,))
        deciding = Deciding(decision=decision, comment="seen", by=by, at=self.clock.now())
        return await self.store.write(decide, item.id, deciding)


@pytest.fixture
async def bench(store_url: str) -> AsyncIterator[Bench]:
    DONE.clear()
    REFUSALS.clear()
    bench = Bench(store_url)
    await bench.begin()
    yield bench
    await bench.end()


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
    assert run.kept == ("first: a first step stays",)


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
    await bench.decides(item, "approve")

    assert (await bench.until(run_id, "done")).state == "done"


async def test_a_rejected_approval_undoes_what_was_done(bench: Bench) -> None:
    run_id = await bench.starts("approved", "A")

    await bench.decides(await bench.item(run_id), "reject")

    assert (await bench.until(run_id, "abandoned")).kept == ("first: a first step stays",)
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


def test_abandoned_is_no_error_of_ours() -> None:
    assert not issubclass(Abandoned, ThroughlineError)
