"""What the feed makes of what Salesforce shows: nothing lost, nothing old, gaps told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from apis.runtime import migrations
from apis.runtime.events import OUTBOXES
from apis.runtime.metadata import Feed
from apis.runtime.runs import RUNS
from apis.runtime.store import Store, insert_new
from contracts.canonical.deal import Deal as Sighting
from contracts.canonical.deal import DealPage
from contracts.errors import Throttled, Transient
from contracts.events import Event
from process_apis.feeds import pause_after, place_of, sweep_due, take_in
from tests.firm import Firm

FEED = Feed(connection="salesforce", object="deal")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = Store(store_url)
    migrations.lift(store)
    yield store
    store.close()


def seen(store: Store, *sightings: tuple[str, int]) -> list[tuple[str, int]]:
    """The events of a deal seen in these states at these minutes: type and turn."""
    deals = [
        Sighting(external_id="006A", state=state, changed_at=NOON + timedelta(minutes=minute))  # type: ignore[arg-type]  # a literal
        for state, minute in sightings
    ]
    for deal in deals:
        store.write_now(take_in, FEED, DealPage(items=(deal,)), NOON)
    asked = sa.select(OUTBOXES["process"].c.body).order_by(OUTBOXES["process"].c.seq)
    bodies = store.read_now(lambda c: c.execute(asked).scalars().all())
    found = [msgspec.json.decode(body, type=Event) for body in bodies]
    return [(each.type, each.data["turn"]) for each in found]


def test_a_deal_first_seen_as_won_is_won(store: Store) -> None:
    assert seen(store, ("won", 1)) == [("deal.won", 1)]


def test_the_same_sighting_twice_says_nothing_new(store: Store) -> None:
    assert seen(store, ("won", 1), ("won", 1)) == [("deal.won", 1)]


def test_a_change_of_a_won_deal_is_only_a_change(store: Store) -> None:
    assert seen(store, ("won", 1), ("won", 2)) == [("deal.won", 1), ("deal.changed", 1)]


def test_an_older_sighting_that_comes_late_is_dropped(store: Store) -> None:
    assert seen(store, ("won", 5), ("open", 3), ("lost", 4)) == [("deal.won", 1)]


def test_each_time_a_deal_turns_to_won_is_a_turn_of_its_own(store: Store) -> None:
    told = seen(store, ("won", 1), ("lost", 2), ("won", 3))

    assert told == [("deal.won", 1), ("deal.lost", 1), ("deal.won", 2)]


@pytest.mark.parametrize("before", [[], [("open", 0)]], ids=["never seen", "seen open"])
@pytest.mark.parametrize(
    ("after", "state"), [("lost", "done"), ("lost", "waiting"), ("open", "done")]
)
def test_a_win_that_was_over_before_the_feed_read_it_was_a_turn(
    store: Store, before: list[tuple[str, int]], after: str, state: str
) -> None:
    run = {"id": "run", "flow": "deal_to_project", "turn": 1, "state": state, "context": "{}"}
    place = {"connection": "salesforce", "record": "006A", "queued_at": NOON.isoformat()}
    store.write_now(lambda connection: insert_new(connection, RUNS, **run, **place))

    told = seen(store, *before, (after, 2), ("won", 3))

    assert told[-1] == ("deal.won", 2)


def test_a_run_that_was_asked_for_before_the_deal_was_won_is_that_of_its_first_win(
    store: Store,
) -> None:
    run = {"id": "run", "flow": "deal_to_project", "turn": 1, "state": "waiting", "context": "{}"}
    place = {"connection": "salesforce", "record": "006A", "queued_at": NOON.isoformat()}
    store.write_now(lambda connection: insert_new(connection, RUNS, **run, **place))

    assert seen(store, ("open", 1), ("won", 2))[-1] == ("deal.won", 1)


def test_a_feed_begins_at_its_first_start_and_stays_there(store: Store) -> None:
    first = store.write_now(place_of, FEED, NOON)
    later = store.write_now(place_of, FEED, NOON + timedelta(days=3))

    assert first.begins_at == later.begins_at == NOON


@pytest.mark.parametrize(
    ("swept", "now", "due"),
    [("01:00", "02:29", False), ("01:00", "02:30", True), ("02:31", "23:59", False)],
)
def test_the_sweep_is_due_once_a_night(swept: str, now: str, due: bool) -> None:  # noqa: FBT001 - a case
    then, today = (datetime.fromisoformat(f"2026-03-01T{text}:00+00:00") for text in (swept, now))

    assert sweep_due(then, today, "02:30") is due


@pytest.mark.parametrize(
    ("every_s", "pauses"),
    [(1, [1, 2, 4, 8, 16, 32, 60, 60]), (30, [30, 60, 60]), (300, [300, 300])],
)
def test_a_feed_that_keeps_failing_asks_less_often_but_does_not_fall_asleep(
    every_s: float, pauses: list[float]
) -> None:
    error = Transient("crm.down", "down")

    assert [pause_after(n, error, every_s) for n in range(1, len(pauses) + 1)] == pauses
    assert pause_after(1_000_000, error, every_s) == pauses[-1]


def test_a_feed_waits_as_long_as_the_system_asks() -> None:
    assert pause_after(3, Throttled("crm.quota", "slow", retry_after=7), 1) == 7


MOMENT_S = 0.1


@pytest.mark.parametrize(
    "fault", ["throttle", "error", "html", "timeout-before-commit", "maintenance"]
)
async def test_a_reading_that_fails_once_delays_the_next_deal_by_a_moment(
    firm: Firm, fault: str
) -> None:
    await reads_on(firm)
    firm.salesforce.fails("Opportunity.search", fault, nth=1, seconds=MOMENT_S)
    await firm.see(partial(fired, firm), bool)
    await asyncio.sleep(2 * MOMENT_S)
    won_at = datetime.fromisoformat(firm.salesforce.now())

    run = await firm.run_of(firm.salesforce.wins_deal())

    delay = datetime.fromisoformat(run["started_at"]) - won_at
    assert delay < timedelta(seconds=5)


async def fired(firm: Firm) -> int:
    """How often the planned fault has been met."""
    return firm.salesforce.fired()


async def test_a_record_that_cannot_be_read_is_told_and_the_feed_goes_on(firm: Firm) -> None:
    odd = firm.salesforce.wins_deal(stage="Negotiation/Review", lines=None)
    firm.salesforce.corrects(odd.id, amount=42.125)

    async def gaps() -> list[dict[str, Any]]:
        items = await firm.work_items(owner="integration")
        return [each for each in items if each["record"]["external_id"] == odd.id]

    [gap] = await firm.see(gaps, bool)
    assert gap["code"] == "mapping.money-decimals"
    assert gap["run_id"] is None
    assert (await firm.run_of(firm.salesforce.wins_deal()))["state"] == "done"


async def test_a_deal_that_was_hidden_from_the_feed_is_found_at_night(firm: Firm) -> None:
    await reads_on(firm)
    firm.salesforce.fails("Opportunity.upsert", "hide", seconds=1800)
    hidden = firm.salesforce.wins_deal()
    firm.salesforce.works_again()
    await reads_on(firm)
    firm.later(minutes=20)
    await reads_on(firm)
    firm.later(minutes=20)
    await reads_on(firm)
    assert await firm.runs_of(hidden) == []

    now = datetime.fromisoformat(firm.salesforce.now())
    night = now.replace(hour=2, minute=31) + timedelta(days=1)
    firm.later(seconds=(night - now).total_seconds())

    assert (await firm.run_of(hidden))["state"] == "done"


async def reads_on(firm: Firm) -> None:
    """A deal that the feed finds: it has read up to here."""
    await firm.run_of(firm.salesforce.wins_deal())
