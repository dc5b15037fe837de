"""A worker for flow tests: three steps that do as planned, and the questions tests ask."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from apis.runtime import runs
from apis.runtime.clock import Clock
from apis.runtime.context import CURRENT, Context
from apis.runtime.engine import Engine
from apis.runtime.flow import Runtime, about, approval, current, flow, runner, step
from apis.runtime.leases import Leases, lead, reap, wake
from apis.runtime.metadata import Metadata
from apis.runtime.migrations import lift
from apis.runtime.records import Records
from apis.runtime.run_views import view
from apis.runtime.store import Store
from apis.runtime.work_items import Deciding, decide, list_items
from contracts.canonical.identity import Source
from contracts.canonical.money import Money
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


@flow
async def reshaped_v2(source: Source) -> str:
    return await third(await first(source))


@step(owner="finance", adopts=["customer.match-unclear"])
async def matched(source: Source) -> str:
    meets(f"matched {source.external_id}")
    return CURRENT.get().context.decided or ""


@flow
async def matching(source: Source) -> str:
    return await matched(source)


@step(owner="integration")
async def earlier(word: str) -> str:
    return word


@earlier.undo
async def unearlier(_word: str) -> None:
    meets(f"earlier undo {current().source.external_id}")


@flow
async def two_undos(source: Source) -> str:
    word = await second(await earlier(await first(source)))
    return await third(word)


FLOWS = {f.name: f for f in (three_steps, approved, broken, reshaped_v2, matching, two_undos)}


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
        self.engine.launch(
            {f.registered: runner(self.runtime, f) for f in FLOWS.values()}, self.leases.owner
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
            registered=FLOWS[name].registered,
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
        found = await self.store.read(view, run_id)
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
        self,
        item: WorkItem,
        decision: str,
        *roles: str,
        actor: str = "fay",
        record: Source | None = None,
        comment: str = "seen",
    ) -> WorkItem:
        by = Context(actor=actor, client=actor, roles=roles or (item.owner,))
        deciding = Deciding(
            decision=decision, comment=comment, record=record, by=by, at=self.clock.now()
        )
        return await self.store.write(decide, item.id, deciding)
