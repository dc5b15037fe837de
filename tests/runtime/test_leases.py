"""Take-over: a run that kills its workers waits for a person, and a person's *retry* counts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from apis.runtime import runs
from apis.runtime.clock import Clock
from apis.runtime.context import Context
from apis.runtime.engine import Pending
from apis.runtime.leases import POISON, REAPER, claim, judge
from apis.runtime.migrations import lift
from apis.runtime.run_views import view
from apis.runtime.store import Store, insert_new
from apis.runtime.work_items import Deciding, decide, list_items
from contracts.runs import WorkItem

RUN = "deal_to_project:salesforce:006A:1"
CLOCK = Clock()
INTEGRATION = Context(actor="demo", client="demo", roles=("integration",))


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """A migrated store with one run at work, and a reaper that holds its lease."""
    store = Store(store_url)
    lift(store)
    store.write_now(a_run)
    assert store.write_now(claim, REAPER, "reaper-1", 60)
    yield store
    store.close()


def a_run(connection: sa.Connection) -> None:
    insert_new(
        connection,
        runs.RUNS,
        id=RUN,
        flow="deal_to_project",
        connection="salesforce",
        record="006A",
        turn=1,
        state="running",
        requester="demo",
        context='{"actor": "demo", "client": "demo"}',
        queued_at=CLOCK.now().isoformat(),
        open_key=RUN,
    )


def dies(store: Store, *owners: str, reaper: str = "reaper-1") -> dict[str, int]:
    """What the reaper counts after each of these workers died with the run."""
    counts: dict[str, int] = {}
    for owner in owners:
        dead = [Pending(RUN, owner, "flows")]
        counts = store.write_now(judge, dead, reaper, CLOCK)
    return counts


def waits(store: Store) -> list[str]:
    """The states of the run's waits."""
    mine = sa.select(runs.WAITS.c.state).where(runs.WAITS.c.run_id == RUN).order_by("id")
    return store.read_now(lambda connection: list(connection.execute(mine).scalars()))


def items(store: Store) -> tuple[WorkItem, ...]:
    """The work items there are."""
    return tuple(store.read_now(list_items, None, None, None).items)


def test_the_same_death_counts_once(store: Store) -> None:
    assert dies(store, "a", "a", "a") == {RUN: 1}
    assert waits(store) == []


def test_the_fourth_death_makes_one_work_item(store: Store) -> None:
    assert dies(store, "a", "b", "c", "d", "d") == {RUN: POISON}
    assert waits(store) == ["open"]
    assert [item.code for item in items(store)] == ["flow.poison"]


def test_retry_decided_before_the_engine_let_go_is_not_overruled(store: Store) -> None:
    dies(store, "a", "b", "c", "d")
    retry = Deciding(decision="retry", comment="mended", by=INTEGRATION, at=CLOCK.now())
    store.write_now(decide, items(store)[0].id, retry)
    assert dies(store, "d") == {RUN: 1}, "its deaths were not forgiven"
    assert waits(store) == ["taken"]
    run = store.read_now(view, RUN)
    assert run is not None
    assert run.state == "running"


def test_who_lost_the_reapers_lease_judges_nothing(store: Store) -> None:
    assert dies(store, "a", "b", "c", "d", reaper="reaper-0") == {}
    assert waits(store) == []
