"""Read models are built from events alone: in any order of the tiers, each event once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apis.runtime.context import Rows
from apis.runtime.events import Projection, consume, publish, relay
from apis.runtime.migrations import lift
from apis.runtime.store import Store
from contracts.canonical.identity import Source
from contracts.errors import NotFound
from contracts.events import (
    RunEnded,
    RunProgressed,
    RunStarted,
    VendorCalled,
    event_id,
    event_of,
)
from contracts.runs import RunStep, VendorCall, Waiting
from experience_apis.operations.reads import Reads
from experience_apis.operations.views import Journey
from experience_apis.projections import PROJECTIONS

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
DEAL = Source("salesforce", "006A")
RUN = "deal_to_project:salesforce:006A:1"
STARTED = RunStarted(run_id=RUN, flow="deal_to_project", source=DEAL)
CALLED = VendorCalled(
    system="kantata",
    operation="create",
    object="project",
    key="project-1",
    external_id="4711",
    cause=f"{RUN}/project_for",
)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = Store(store_url)
    lift(store)
    yield store
    store.close()


async def happens(store: Store, *told: tuple[str, Any], after_s: int = 0) -> None:
    """Events of the process tier, relayed in this order."""
    for name, payload in told:
        at = NOW + timedelta(seconds=after_s)
        event = event_of(name, payload, id=event_id(payload), source="/test", time=at)
        await store.write(publish, "process", event)
    await store.write(relay, "process")
    for projection in PROJECTIONS:
        await consume(store, projection)


async def journey(store: Store, name: str, rows: Rows | None = None) -> Journey:
    return await Reads(store, rows, {}).journey(name)


def step(name: str, state: str, *operations: str) -> RunStep:
    calls = tuple(VendorCall(system="kantata", operation=each, at=NOW) for each in operations)
    return RunStep(name=name, state=state, started_at=NOW, calls=calls)


async def test_a_call_that_is_heard_of_before_its_run_belongs_to_it(store: Store) -> None:
    await happens(store, ("vendor.called", CALLED))
    await happens(store, ("run.started", STARTED))

    found = await journey(store, "4711")

    assert found.source == DEAL
    assert [(each.system, each.key) for each in found.records] == [("kantata", "project-1")]


async def test_where_a_run_is_follows_its_newest_news(store: Store) -> None:
    waits = Waiting(since=NOW, owner="finance-master-data", work_item_id="wi-1")
    first, parked = step("accepted_deal", "done", "GET /deals"), step("project_for", "parked")
    await happens(
        store,
        ("run.started", STARTED),
        ("run.progressed", RunProgressed(run_id=RUN, state="running", steps={"1": first})),
    )
    assert (await journey(store, RUN)).where.step == "accepted_deal"
    told = RunProgressed(run_id=RUN, state="waiting", waiting=waits, steps={"2": parked})
    await happens(store, ("run.progressed", told))

    waiting = await journey(store, RUN)

    assert (waiting.where.state, waiting.where.step) == ("waiting", "project_for")
    assert (waiting.waiting.owner, waiting.waiting.work_item_id) == waits_for(waits)
    done = step("project_for", "done", "POST /workspaces")
    ended = RunEnded(
        run_id=RUN, flow="deal_to_project", source=DEAL, state="done", steps={"2": done}
    )
    await happens(store, ("run.ended", ended), after_s=60)
    over = await journey(store, RUN)
    assert (over.where.state, over.waiting) == ("done", None)
    assert [call.operation for call in over.calls] == ["GET /deals", "POST /workspaces"]


def waits_for(waits: Waiting) -> tuple[str | None, str | None]:
    return waits.owner, waits.work_item_id


async def test_news_of_a_run_that_is_over_come_too_late_to_reopen_it(store: Store) -> None:
    ended = RunEnded(run_id=RUN, flow="deal_to_project", source=DEAL, state="abandoned")
    late = RunProgressed(run_id=RUN, state="running")
    await happens(store, ("run.started", STARTED), ("run.ended", ended), ("run.progressed", late))

    assert (await journey(store, RUN)).where.state == "abandoned"


async def test_a_replay_of_all_events_changes_nothing(store: Store) -> None:
    await happens(store, ("run.started", STARTED), ("vendor.called", CALLED))
    before = await journey(store, RUN)

    for each in PROJECTIONS:
        again = Projection(f"{each.reader}-again", each.types, each.apply, each.together)
        assert await consume(store, again) >= 0

    assert await journey(store, RUN) == before


async def test_what_belongs_to_no_entity_yet_is_nobodys_who_is_restricted(store: Store) -> None:
    await happens(store, ("run.started", STARTED))

    for rows in (Rows(entities=("DE",)), Rows(customers=("C1",)), Rows(customers=())):
        with pytest.raises(NotFound):
            await journey(store, RUN, rows)


async def test_a_write_that_a_person_asked_for_is_no_journeys(store: Store) -> None:
    by_hand = VendorCalled(
        system="kantata", operation="create", object="task", external_id="9", cause="req-1"
    )
    await happens(store, ("vendor.called", by_hand))

    with pytest.raises(NotFound):
        await journey(store, "9")


async def test_much_news_at_once_says_the_same_as_one_by_one(store: Store) -> None:
    waits = Waiting(since=NOW - timedelta(hours=1), owner="finance-master-data")
    ended = RunEnded(run_id=RUN, flow="deal_to_project", source=DEAL, state="abandoned")
    await happens(
        store,
        ("run.started", STARTED),
        ("run.progressed", RunProgressed(run_id=RUN, state="running")),
        ("run.progressed", RunProgressed(run_id=RUN, state="waiting", waiting=waits)),
    )
    where = (await journey(store, RUN)).where
    assert (where.state, where.since) == ("waiting", waits.since)

    await happens(
        store,
        ("run.ended", ended),
        ("run.progressed", RunProgressed(run_id=RUN, state="running", waiting=waits)),
        ("run.progressed", RunProgressed(run_id=RUN, state="running")),
    )

    assert (await journey(store, RUN)).where.state == "abandoned"
