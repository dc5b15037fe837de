"""Where a run is found: under its API's version, whatever its flow's, and any id of its deal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from apis.runtime.app import make_app
from apis.runtime.clients import Local
from apis.runtime.context import Context
from contracts.canonical.identity import Source
from process_apis import customer_master
from process_apis.runs import run_routes
from tests.runtime.flow_bench import DONE, FLOWS, REFUSALS, Bench

DEAL = Source("salesforce", "006A")
DEMO = Context(actor="demo", client="demo")


@pytest.fixture
async def bench(store_url: str) -> AsyncIterator[Bench]:
    DONE.clear()
    REFUSALS.clear()
    bench = Bench(store_url)
    await bench.begin()
    yield bench
    await bench.end()


@pytest.fixture
def routes(bench: Bench) -> Local:
    """The first version of an API whose flow has its second."""
    made = run_routes(FLOWS["reshaped"], "reshaping/v1", lambda *_: 1)
    return Local(
        make_app("T", version="1.0.0", routes=made, dependencies={"runtime": bench.runtime})
    )


async def start(routes: Local) -> tuple[str, dict[str, Any]]:
    """The run of the deal, and where it is said to be."""
    body = msgspec.json.encode({"deal": DEAL})
    status, headers, answer = await routes("POST", "/runs", "", body, DEMO)
    assert status == 202
    return dict(headers)[b"location"].decode(), msgspec.json.decode(answer)


async def test_the_second_version_of_a_flow_runs_under_the_first_of_its_api(
    bench: Bench, routes: Local
) -> None:
    place, run = await start(routes)

    assert place == f"/process/reshaping/v1/runs/{run['id']}"
    assert (await bench.until(run["id"], "done")).result == "first and third"


async def test_a_run_is_found_by_the_golden_id_of_its_deal(bench: Bench, routes: Local) -> None:
    at = bench.clock.now()
    golden = await bench.store.write(customer_master.golden, "deal", DEAL, at)
    run = (await start(routes))[1]

    found = []
    for name in (DEAL.external_id, golden, "006B"):
        _, _, answer = await routes("GET", "/runs", f"deal={name}", b"", DEMO)
        found.append([each["id"] for each in msgspec.json.decode(answer)["items"]])

    assert found == [[run["id"]], [run["id"]], []]
