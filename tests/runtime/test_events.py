"""Events: from an outbox to the log, and from there to each reader once, however often it looks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import msgspec
import pytest
import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection

from apis.runtime.events import (
    BATCH,
    Projection,
    behind,
    consume,
    outbox_holds,
    publish,
    relay,
    unread,
)
from apis.runtime.store import Store
from contracts.canonical.deal import Deal
from contracts.events import DealLost, DealWon, Event, event_id, event_of
from tests.runtime.acme import made

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
EFFECTS = sa.Table(
    "effects",
    sa.MetaData(),
    sa.Column("n", sa.Integer, primary_key=True),
    sa.Column("reader", sa.String(20)),
    sa.Column("told", sa.String(80)),
)
"""What readers did: in the database, so that it is undone with the transaction."""


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with made(store_url) as store:
        store.write_now(EFFECTS.create)
        yield store


def won(record: str) -> Event:
    told = DealWon(connection="salesforce", deal=Deal(external_id=record, state="won"))
    return event_of("deal.won", told, id=event_id("won", record), source="/system", time=NOW)


def lost(record: str) -> Event:
    told = DealLost(connection="salesforce", deal=Deal(external_id=record, state="lost"))
    return event_of("deal.lost", told, id=event_id("lost", record), source="/system", time=NOW)


async def announce(store: Store, *events: Event, tier: str = "system") -> list[bool]:
    return [await store.write(publish, tier, event) for event in events]


def reader(name: str, *types: str, meets: Callable[[str], None] = lambda _: None) -> Projection:
    """Notes each event, then does what the test wants to happen in the middle of the effect."""

    def apply(connection: Connection, events: Sequence[Event]) -> None:
        for event in events:
            told = f"{event.type} {event.partitionkey}"
            connection.execute(sa.insert(EFFECTS).values(reader=name, told=told))
            meets(told)

    return Projection(name, types or ("deal.won",), apply)


async def noted(store: Store, name: str) -> list[str]:
    ask = sa.select(EFFECTS.c.told).where(EFFECTS.c.reader == name).order_by(EFFECTS.c.n)
    return list(await store.read(lambda connection: connection.execute(ask).scalars().all()))


async def true(store: Store, condition: ColumnElement[bool]) -> bool:
    """Whether a condition holds in the database."""
    return await store.read(
        lambda connection: connection.execute(sa.select(condition)).scalar_one()
    )


async def test_an_event_is_announced_only_if_its_state_is_kept(store: Store) -> None:
    def breaks(connection: Connection) -> None:
        publish(connection, "system", won("A"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.write(breaks)

    assert not await true(store, outbox_holds("system"))
    assert await store.write(relay, "system") == 0


async def test_the_same_fact_is_one_event_before_and_after_the_relay(store: Store) -> None:
    assert await announce(store, won("A"), won("A")) == [True, False]
    assert await store.write(relay, "system") == 1
    assert await announce(store, won("A")) == [False]
    assert await announce(store, won("A"), tier="process") == [False]

    await store.write(relay, "system")
    assert await true(store, behind(reader("one")))
    await consume(store, reader("one"))

    assert await noted(store, "one") == ["deal.won A"]
    assert not await true(store, behind(reader("one")))


async def test_the_relay_empties_the_outbox_in_order(store: Store) -> None:
    many = [won(f"{n:04}") for n in range(BATCH + 3)]
    await store.write(lambda connection: [publish(connection, "system", each) for each in many])

    moved = [await store.write(relay, "system") for _ in range(3)]

    assert moved == [BATCH, 3, 0]
    assert not await true(store, outbox_holds("system"))
    logged = await store.read(unread, "one", ["deal.won"], 2 * BATCH)
    assert [each.event for each in logged] == many


async def test_an_event_that_commits_while_later_ones_are_relayed_is_relayed_next(
    store: Store,
) -> None:
    with store.engine.connect() as late:
        if store.sqlite:  # its writers take turns: the late one is through before anybody looks
            await announce(store, won("late"))
        else:
            publish(late, "system", won("late"))
        await announce(store, won("early"))

        def relayed(connection: Connection) -> int:
            sa.event.listen(connection, "after_cursor_execute", lambda *_: late.commit())
            return relay(connection, "system")

        moved = [await store.write(relayed), await store.write(relay, "system")]

    assert moved == ([2, 0] if store.sqlite else [1, 1])
    told = await store.read(unread, "anybody", ["deal.won"])
    assert {each.event.partitionkey for each in told} == {"early", "late"}


async def test_an_event_that_was_not_relayed_yet_reaches_nobody(store: Store) -> None:
    await announce(store, won("A"))

    assert await true(store, outbox_holds("system"))
    assert await consume(store, reader("one")) == 0


async def test_every_reader_sees_its_types_once_and_in_order(store: Store) -> None:
    await announce(store, won("A"), lost("B"), won("C"))
    await store.write(relay, "system")
    one, two = reader("one"), reader("two", "deal.lost", "deal.won")

    read = [await consume(store, each) for each in (one, two, one, two)]

    assert read == [2, 3, 0, 0]
    assert await noted(store, "one") == ["deal.won A", "deal.won C"]
    assert await noted(store, "two") == ["deal.won A", "deal.lost B", "deal.won C"]


async def test_two_workers_of_one_reader_apply_an_event_once(store: Store) -> None:
    await announce(store, *(won(str(n)) for n in range(5)))
    await store.write(relay, "system")

    await asyncio.gather(*(consume(store, reader("one")) for _ in range(3)))

    assert await noted(store, "one") == [f"deal.won {n}" for n in range(5)]


async def test_an_effect_that_fails_is_undone_and_met_again(store: Store) -> None:
    await announce(store, won("A"), won("B"), won("C"))
    await store.write(relay, "system")
    failing = ["deal.won B"]

    def fails_once(told: str) -> None:
        if told in failing:
            failing.remove(told)
            raise ZeroDivisionError

    meeting = reader("one", meets=fails_once)

    with pytest.raises(ZeroDivisionError):
        await consume(store, meeting)
    assert await noted(store, "one") == ["deal.won A"]
    assert await consume(store, meeting) == 2

    assert await noted(store, "one") == ["deal.won A", "deal.won B", "deal.won C"]


async def test_events_that_share_a_transaction_are_undone_and_met_again_together(
    store: Store,
) -> None:
    await announce(store, *(won(str(n)) for n in range(5)))
    await store.write(relay, "system")
    failing = ["deal.won 3"]

    def fails_once(told: str) -> None:
        if told in failing:
            failing.remove(told)
            raise ZeroDivisionError

    together = msgspec.structs.replace(reader("one", meets=fails_once), together=2)

    with pytest.raises(ZeroDivisionError):
        await consume(store, together)
    assert await noted(store, "one") == ["deal.won 0", "deal.won 1"]
    assert await consume(store, together) == 3

    assert await noted(store, "one") == [f"deal.won {n}" for n in range(5)]


async def test_a_replay_is_a_new_reader_and_nobody_elses_business(store: Store) -> None:
    await announce(store, won("A"), won("B"))
    await store.write(relay, "system")
    await consume(store, reader("one"))
    await announce(store, won("C"))
    await store.write(relay, "system")

    read = [await consume(store, reader(name)) for name in ("again", "one", "again")]

    assert read == [3, 1, 0]
    assert await noted(store, "again") == ["deal.won A", "deal.won B", "deal.won C"]
    assert await noted(store, "one") == ["deal.won A", "deal.won B", "deal.won C"]
