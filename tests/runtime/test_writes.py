"""Writing once: what the ledger does when replies are lost, processes die or two race."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import Any

import httpx
import msgspec
import pytest
import sqlalchemy as sa
from pytest_httpx import HTTPXMock

from apis.runtime.clock import Clock
from apis.runtime.context import traceparent
from apis.runtime.events import OUTBOXES
from apis.runtime.store import Store
from apis.runtime.vendor import VendorHttp
from apis.runtime.wire import Unanswered
from apis.runtime.writes import WRITES, Write
from contracts.canonical.identity import Ref
from contracts.errors import Conflict, Throttled, Transient
from tests.runtime.acme import ACME, THINGS, Acme, Shelf, acme, asks, hands_out_tokens, made, rows

KEY = "project-7"
FOR_EVER: dict[str, Any] = {"is_reusable": True, "is_optional": True}


@pytest.fixture
def store(store_url: str):
    with made(store_url) as store:
        yield store


@pytest.fixture
def shelf(httpx_mock: HTTPXMock) -> Shelf:
    return Shelf(httpx_mock)


def create(vendor: Acme, shelf: Shelf | None, key: str = KEY) -> Any:
    find = partial(shelf.find, key) if shelf else None
    write = Write(object="thing", key=key, find=find)
    return vendor.http.write(write, "POST", "/things", body={"key": key})


async def events(store: Store) -> list[dict[str, Any]]:
    ask = sa.select(OUTBOXES["system"].c.body)
    bodies = await store.read(lambda connection: connection.execute(ask).scalars().all())
    return [json.loads(body)["data"] for body in bodies]


async def lapses(store: Store) -> None:
    """Long after a kill: nobody let the row go, and its lease is over."""
    change = sa.update(WRITES).where(WRITES.c.state == "sent").values(lease=1.0)
    await store.write(lambda connection: connection.execute(change) and None)


async def test_a_create_is_sent_once_and_answered_from_the_ledger_ever_after(
    store: Store, shelf: Shelf
) -> None:
    async with acme(store) as vendor:
        asks()
        first = await create(vendor, shelf)
        asks(request_key="run-2/another-step")
        second = await create(vendor, shelf)

    assert first == second == Ref(None, "thing-1")
    assert (shelf.posts, shelf.searches) == (1, 0)


async def test_the_ledger_says_who_wrote_what_and_why(store: Store, shelf: Shelf) -> None:
    async with acme(store) as vendor:
        asks()
        await create(vendor, shelf)

    [row], [event] = await rows(store), await events(store)
    assert (row.connection, row.operation, row.object, row.key) == ("acme", "create", "thing", KEY)
    assert (row.state, row.external_id) == ("done", "thing-1")
    assert (row.actor, row.cause) == ("svc:process for demo", "run-1/step")
    assert (row.after, row.before) == ('{"key":"project-7"}', None)
    assert (event["system"], event["key"], event["external_id"]) == ("acme", KEY, "thing-1")
    assert "after" not in event


async def test_a_lost_reply_is_looked_up_and_adopted(store: Store, shelf: Shelf) -> None:
    shelf.faults = ["lost-after"]

    async with acme(store) as vendor:
        asks()
        with pytest.raises(Unanswered):
            await create(vendor, shelf)
        found = await create(vendor, shelf)

    assert found == Ref(None, "thing-1")
    assert (shelf.posts, shelf.records) == (1, [KEY])
    assert len(await events(store)) == 1


async def test_an_error_page_after_the_write_is_a_lost_reply(store: Store, shelf: Shelf) -> None:
    shelf.faults = ["html"]

    async with acme(store) as vendor:
        asks()
        with pytest.raises(Unanswered):
            await create(vendor, shelf)
        await create(vendor, shelf)

    assert shelf.posts == 1


async def test_a_record_hidden_from_search_is_waited_for(store: Store, shelf: Shelf) -> None:
    shelf.faults, shelf.hidden = ["lost-after"], True
    clock = Clock()

    async with acme(store, clock, search_lag_s=60) as vendor:
        asks()
        with pytest.raises(Unanswered):
            await create(vendor, shelf)
        with pytest.raises(Throttled, match=r"acme\.SEARCH_LAG") as raised:
            await create(vendor, shelf)
        clock.advance(30)
        shelf.hidden = False
        found = await create(vendor, shelf)

    assert raised.value.retry_after == pytest.approx(60, abs=2)
    assert (found, shelf.posts) == (Ref(None, "thing-1"), 1)


async def test_what_was_never_made_is_sent_again_after_the_search_lag(
    store: Store, shelf: Shelf
) -> None:
    shelf.faults = ["lost-before"]
    clock = Clock()

    async with acme(store, clock, search_lag_s=60) as vendor:
        asks()
        with pytest.raises(Unanswered):
            await create(vendor, shelf)
        clock.advance(61)
        made_now = await create(vendor, shelf)

    assert (made_now, shelf.posts, shelf.searches) == (Ref(None, "thing-1"), 2, 1)


async def test_an_earlier_retry_decision_does_not_shorten_the_search_lag(
    store: Store, shelf: Shelf
) -> None:
    shelf.faults, shelf.hidden = ["lost-after"], True

    async with acme(store) as vendor:
        asks(decided="retry")
        with pytest.raises(Unanswered):
            await create(vendor, shelf)
        with pytest.raises(Throttled, match=r"acme\.SEARCH_LAG"):
            await create(vendor, shelf)

    assert shelf.posts == 1


async def test_a_search_that_fails_leaves_the_question_open(store: Store, shelf: Shelf) -> None:
    shelf.faults = ["lost-after"]

    async def broken() -> Ref | None:
        raise Transient("acme.LOCKED")

    async with acme(store) as vendor:
        asks()
        with pytest.raises(Unanswered):
            await create(vendor, shelf)
        write = Write(object="thing", key=KEY, find=broken)
        with pytest.raises(Transient, match=r"acme\.LOCKED"):
            await vendor.http.write(write, "POST", "/things", body={})
        found = await create(vendor, shelf)

    assert (found, shelf.posts) == (Ref(None, "thing-1"), 1)


async def test_a_refusal_may_be_sent_again(store: Store, shelf: Shelf) -> None:
    shelf.faults = ["TAKEN", "LOCKED"]

    async with acme(store) as vendor:
        asks()
        with pytest.raises(Conflict):
            await create(vendor, shelf)
        with pytest.raises(Transient):
            await create(vendor, shelf)
        await create(vendor, shelf)

    assert (shelf.posts, shelf.searches, shelf.records) == (3, 0, [KEY])


async def test_where_nothing_can_be_searched_a_person_decides_each_time(
    store: Store, shelf: Shelf
) -> None:
    shelf.faults = ["lost-before", "lost-before"]

    async with acme(store) as vendor:
        asks()
        with pytest.raises(Unanswered):
            await create(vendor, None)
        for _ in range(2):
            with pytest.raises(Conflict, match=r"acme\.UNCERTAIN"):
                await create(vendor, None)
        asks(decided="retry")
        with pytest.raises(Unanswered):
            await create(vendor, None)
        with pytest.raises(Conflict, match=r"acme\.UNCERTAIN"):
            await create(vendor, None)
        asks(decided="retry")
        ref = await create(vendor, None)

    assert (ref, shelf.posts, shelf.records) == (Ref(None, "thing-1"), 3, [KEY])


async def test_a_person_may_point_at_the_record(store: Store, shelf: Shelf) -> None:
    shelf.faults = ["lost-after"]

    async with acme(store) as vendor:
        asks()
        with pytest.raises(Unanswered):
            await create(vendor, None)
        with pytest.raises(Conflict):
            await create(vendor, None)
        asks(decided="adopt:thing-1")
        adopted = await create(vendor, None)
        asks(request_key="run-2/step")
        later = await create(vendor, None)

    assert adopted == later == Ref(None, "thing-1")
    assert shelf.posts == 1


class Killed(BaseException):
    """The process is gone: no handler runs that a real kill would not run."""


class Dying(VendorHttp):
    """Stops being when the answer has come and before the ledger knows."""

    async def _settled(self, *_: Any) -> Ref:
        raise Killed

    @classmethod
    def of(cls, vendor: Acme, store: Store, http: httpx.AsyncClient) -> Dying:
        parts: dict[str, Any] = {"tokens": vendor.tokens, "budget": vendor.budget, "http": http}
        return cls(ACME, "acme", vendor.connection, store=store, clock=vendor.clock, **parts)


async def test_a_kill_between_the_answer_and_the_ledger_adds_no_record(
    store: Store, shelf: Shelf
) -> None:
    async with acme(store) as vendor, httpx.AsyncClient() as http:
        asks()
        doomed = Dying.of(vendor, store, http)
        write = Write(object="thing", key=KEY, find=partial(shelf.find, KEY))
        with pytest.raises(Killed):
            await doomed.write(write, "POST", "/things", body={"key": KEY})
        with pytest.raises(Throttled, match=r"acme\.WRITE_IN_FLIGHT") as raised:
            await create(vendor, shelf)
        await lapses(store)
        found = await create(vendor, shelf)

    assert 0 < raised.value.retry_after <= 1  # it may be over at any moment, whatever its lease
    assert (found, shelf.posts) == (Ref(None, "thing-1"), 1)


async def test_a_call_whose_sender_was_killed_is_on_the_list_of_its_step(
    store: Store, shelf: Shelf
) -> None:
    async with acme(store) as vendor, httpx.AsyncClient() as http:
        died = asks()
        write = Write(object="thing", key=KEY, find=partial(shelf.find, KEY))
        with pytest.raises(Killed):
            await Dying.of(vendor, store, http).write(write, "POST", "/things", body={"key": KEY})
        await lapses(store)
        taken_over = asks()
        await create(vendor, shelf)

    [told], sent = taken_over.calls, died.calls[-1]
    assert (told["operation"], told["at"]) == (sent["operation"], sent["at"])
    assert (told["status"], told["ms"]) == (None, None)


async def test_of_two_processes_only_one_sends(store: Store, shelf: Shelf) -> None:
    with made(store.url) as second_store:
        async with acme(store) as first, acme(second_store) as second:
            asks()
            told = await asyncio.gather(
                create(first, shelf), create(second, shelf), return_exceptions=True
            )

    refs = [each for each in told if isinstance(each, Ref)]
    assert refs == [Ref(None, "thing-1")] * len(refs)
    assert all(isinstance(each, Ref | Throttled) for each in told)
    assert shelf.posts == 1


async def test_of_two_that_find_a_lapsed_row_only_one_sends_again(
    store: Store, shelf: Shelf
) -> None:
    shelf.faults = ["lost-before"]
    clock = Clock()

    with made(store.url) as second_store:
        async with acme(store, clock) as first, acme(second_store, clock) as second:
            asks()
            with pytest.raises(Unanswered):
                await create(first, shelf)
            clock.advance(61)
            await asyncio.gather(
                create(first, shelf), create(second, shelf), return_exceptions=True
            )

    assert (shelf.posts, shelf.records) == (2, [KEY])


def update(vendor: Acme, key: str = KEY, kind: Any = "update") -> Any:
    write = Write(object="thing", key=key, kind=kind)
    return vendor.http.write(write, "PATCH", "/things/{}", "thing-1", body={"state": "on"})


async def test_an_update_is_answered_from_the_ledger_for_the_same_step_only(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=f"{THINGS}/thing-1", status_code=204, **FOR_EVER)

    async with acme(store) as vendor:
        for step in ("run-1/a", "run-1/a", "run-1/b"):
            asks(request_key=step)
            assert await update(vendor) == Ref(None, "thing-1")

    assert len(httpx_mock.get_requests(method="PATCH")) == 2


async def test_updates_without_a_key_are_all_sent_though_one_request_id_is_theirs(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=f"{THINGS}/thing-1", status_code=204, **FOR_EVER)

    async with acme(store) as vendor:
        for _ in range(2):
            asks(request_key=None, request_id="order-4711", traceparent=traceparent())
            await update(vendor)

    assert len(httpx_mock.get_requests(method="PATCH")) == 2


async def test_an_update_without_an_answer_is_sent_again(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    hands_out_tokens(httpx_mock)
    httpx_mock.add_exception(httpx.ReadTimeout("lost"), url=f"{THINGS}/thing-1")
    httpx_mock.add_response(url=f"{THINGS}/thing-1", status_code=204)

    async with acme(store) as vendor:
        asks()
        with pytest.raises(Unanswered):
            await update(vendor)
        asks()
        assert await update(vendor) == Ref(None, "thing-1")


async def test_what_was_undone_may_be_made_again(
    store: Store, shelf: Shelf, httpx_mock: HTTPXMock
) -> None:
    httpx_mock.add_response(url=f"{THINGS}/thing-1", status_code=204)

    async with acme(store) as vendor:
        asks()
        await create(vendor, shelf)
        asks(request_key="run-1/undo")
        write = Write(object="thing", key=KEY, kind="update", undoes=True)
        await vendor.http.write(write, "PATCH", "/things/{}", "thing-1", body={"state": "off"})
        asks(request_key="run-2/step")
        second = await create(vendor, shelf)

    assert (second, shelf.posts) == (Ref(None, "thing-2"), 2)


async def test_what_could_not_be_sent_may_be_sent_again(store: Store, shelf: Shelf) -> None:
    async with acme(store) as vendor:
        asks(deadline=1.0)
        with pytest.raises(Transient, match=r"acme\.TOO_LATE"):
            await create(vendor, shelf)
        asks()
        await create(vendor, shelf)

    assert (shelf.posts, shelf.searches) == (1, 0)
    assert msgspec.json.decode((await rows(store))[0].after) == {"key": KEY}
