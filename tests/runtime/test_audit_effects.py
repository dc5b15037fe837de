"""Each effect leaves one audit row in its own transaction: vendor writes, run starts, decisions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from pytest_httpx import HTTPXMock

from apis.runtime import audit, runs
from apis.runtime.context import Context
from apis.runtime.engine import Engine
from apis.runtime.store import Store
from apis.runtime.work_items import Deciding, decide, open_item
from apis.runtime.writes import Write
from contracts.canonical.identity import Source
from contracts.errors import Conflict, Rejected
from contracts.runs import WorkItem
from tests.runtime.acme import Shelf, acme, asks, made

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DEMO = Context(actor="demo", client="demo", request_id="req-1")


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with made(store_url) as store:
        yield store


def audited(store: Store, tier: str) -> list[Any]:
    table = audit.AUDIT[tier]
    ask = sa.select(table).order_by(table.c.seq)
    return store.read_now(lambda connection: list(connection.execute(ask)))


async def test_a_write_to_a_vendor_is_one_row_however_often_it_is_asked_for(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    shelf = Shelf(httpx_mock)
    async with acme(store) as vendor:
        for _ in range(2):
            asks()
            write = Write(object="thing", key="thing-7", before={"name": "old"})
            await vendor.http.write(write, "POST", "/things", body={"key": "thing-7"})

    assert shelf.posts == 1
    [row] = audited(store, "system")
    assert (row.actor, row.cause) == ("svc:process for demo", "run-1/step")
    assert (row.action, row.object, row.key) == ("thing.create", "thing", "thing-7")
    assert row.connection == "acme"
    assert row.before_hash == audit.digest({"name": "old"}, store.digest_key)
    assert row.after_hash == audit.digest({"key": "thing-7"}, store.digest_key)


async def test_a_write_that_the_vendor_refused_had_no_effect_and_leaves_no_row(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    Shelf(httpx_mock).faults = ["TRIGGER"]
    async with acme(store) as vendor:
        asks()
        write = Write(object="thing", key="thing-7")
        with pytest.raises(Rejected):
            await vendor.http.write(write, "POST", "/things", body={"key": "thing-7"})

    assert audited(store, "system") == []


async def test_a_started_run_is_one_row_and_names_who_asked(store: Store, store_url: str) -> None:
    engine = Engine(store_url)
    await asyncio.to_thread(engine.migrate)
    asked = runs.Start(
        flow="deal_to_project",
        registered="deal_to_project.v1",
        source=Source("salesforce", "006A"),
        turn=1,
        argument={},
        context=DEMO,
        at=NOW,
    )
    for _ in range(2):
        begun = await store.write(runs.start, engine, asked)
    await engine.close()

    [row] = audited(store, "process")
    assert (row.actor, row.action, row.cause) == ("demo", "run.started", "req-1")
    assert (row.object, row.key) == ("run", begun.run_id)


def opened(store: Store) -> None:
    item = WorkItem(
        id="wi-1",
        code="customer.tax-code-missing",
        title="A tax code is missing",
        owner="finance",
        run_id=None,
        since=NOW,
    )
    assert store.write_now(open_item, item)


def test_a_decision_is_one_row_with_its_comment(store: Store) -> None:
    opened(store)
    fay = Context(actor="fay", client="console", roles=("finance",))
    deciding = Deciding(decision="retry", comment="set right", by=fay, at=NOW)

    store.write_now(decide, "wi-1", deciding)
    with pytest.raises(Conflict):
        store.write_now(decide, "wi-1", deciding)

    [row] = audited(store, "process")
    assert (row.actor, row.action) == ("fay", "work-item.retry")
    assert (row.object, row.key) == ("work-item", "wi-1")
    decided = {"decision": "retry", "comment": "set right"}
    assert row.after_hash == audit.digest(decided, store.digest_key)
    assert "set right" not in row.detail  # words can be anybody's data: the item has them


def test_a_decision_that_was_not_allowed_leaves_no_row(store: Store) -> None:
    opened(store)
    sam = Context(actor="sam", client="console", roles=("sales",))

    with pytest.raises(Rejected):
        store.write_now(decide, "wi-1", Deciding(decision="retry", by=sam, at=NOW))

    assert audited(store, "process") == []


def test_an_effect_that_is_rolled_back_takes_its_row_with_it(store: Store) -> None:
    opened(store)
    fay = Context(actor="fay", client="console", roles=("finance",))

    def decided_then_lost(connection: sa.Connection) -> None:
        decide(connection, "wi-1", Deciding(decision="retry", by=fay, at=NOW))
        raise ConnectionError

    with pytest.raises(ConnectionError):
        store.write_now(decided_then_lost)

    assert audited(store, "process") == []
