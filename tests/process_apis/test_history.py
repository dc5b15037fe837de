"""Recorded histories of released flows: today's code takes the same way through them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from apis.runtime import runs
from apis.runtime.clock import Clock
from apis.runtime.context import Context
from apis.runtime.engine import Engine
from apis.runtime.flow import Runtime, runner
from apis.runtime.metadata import Metadata
from apis.runtime.migrations import lift
from apis.runtime.records import Records
from apis.runtime.run_views import view
from apis.runtime.store import Store
from process_apis.starts import FLOWS

FOLDER = Path(__file__).parent / "histories"
HISTORIES = [json.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.json"))]


class Recorded(Engine):
    """An engine that has every step already: it hands them out in order and runs none."""

    def __init__(self, url: str, history: dict[str, Any]) -> None:
        super().__init__(url)
        self.history = history
        self.left = list(history["steps"])

    async def step(self, name: str, _work: Callable[..., Awaitable[Any]], *_args: Any) -> Any:
        assert self.left, f"the flow asks for {name} after its recorded end"
        recorded = self.left.pop(0)
        assert recorded["name"] == name, f"recorded was {recorded['name']}, not {name}"
        return recorded["output"]

    def run_id(self) -> str:
        return str(self.history["run_id"])

    def enqueue(self, *_: Any) -> None:
        return None


@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history["flow"])
async def test_a_released_flow_replays(history: dict[str, Any], store_url: str) -> None:
    flow = next(flow for flow in FLOWS if flow.registered == history["flow"])
    store, engine = Store(store_url), Recorded(store_url, history)
    lift(store)
    runtime = Runtime(
        store=store,
        engine=engine,
        clock=Clock(),
        metadata=Metadata.load(Path("apis/entities.yaml")),
        records=Records(),
        connect=lambda port, api: pytest.fail(f"a replay calls {port} {api}"),
    )
    source = runtime.records.load(history["source"])
    context = Context(actor="svc:feed", client="svc:process")
    asked = runs.Start(
        flow=flow.name,
        registered=flow.registered,
        source=source,
        turn=1,
        argument=None,
        context=context,
        at=runtime.clock.now(),
    )
    await store.write(runs.start, engine, asked)

    await runner(runtime, flow)(
        {"source": history["source"], "context": {"actor": "a", "client": "c"}}
    )

    run = await store.read(view, history["run_id"])
    assert run is not None
    assert (run.state, engine.left) == ("done", [])
    assert holds(run.result, history["result"])
    await engine.close()
    store.close()


def holds(now: Any, recorded: Any) -> bool:
    """Whether all that was recorded is still so; members that contracts have gained may be more."""
    if isinstance(recorded, dict):
        return all(name in now and holds(now[name], value) for name, value in recorded.items())
    if isinstance(recorded, list):
        return len(now) == len(recorded) and all(map(holds, now, recorded))
    return bool(now == recorded)
