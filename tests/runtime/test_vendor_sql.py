"""A database as a system: bound values, one transaction, the same ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from apis.runtime.budget import Budget
from apis.runtime.clock import Clock
from apis.runtime.limits import MemoryLimiter
from apis.runtime.permits import MemoryPermits
from apis.runtime.store import Store
from apis.runtime.vendor_sql import VendorSql
from apis.runtime.wire import Unanswered
from apis.runtime.writes import Write
from contracts.canonical.identity import Ref
from contracts.errors import Conflict, Transient
from tests.runtime.acme import asks, connection, made, rows

BATCH = "insert into if_bat (bat_id, rec_cnt) values (:bat_id, :rec_cnt)"
RECORD = "insert into if_rec (bat_id, seq_no, rec_txt) values (:bat_id, :seq_no, :rec_txt)"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with made(store_url) as store:
        yield store


@pytest.fixture
async def erp(store: Store, tmp_path: Path) -> AsyncIterator[VendorSql]:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'erp.sqlite'}")
    with engine.begin() as database:
        database.exec_driver_sql("create table if_bat (bat_id text primary key, rec_cnt int)")
        database.exec_driver_sql("create table if_rec (bat_id text, seq_no int, rec_txt text)")
    account = connection()
    budget = Budget("erp", account, MemoryLimiter(), MemoryPermits(5))
    caller = VendorSql(
        "legacy", "erp", account, store=store, clock=Clock(), engine=engine, budget=budget
    )
    yield caller
    caller.close()


async def sends(erp: VendorSql, key: str, text: str = "CUS|Northwind") -> Ref:
    statements = [
        (BATCH, {"bat_id": key, "rec_cnt": 1}),
        (RECORD, {"bat_id": key, "seq_no": 1, "rec_txt": text}),
    ]
    return await erp.write(Write(object="customer", key=key), statements, external_id=key)


async def test_the_same_record_is_written_once_whatever_the_run(erp: VendorSql) -> None:
    asks()
    first = await sends(erp, "customer-1")
    asks(request_key="another-run/step")
    again = await sends(erp, "customer-1")

    assert first == again == Ref(None, "customer-1")
    assert await erp.read("select count(*) as n from if_rec") == [{"n": 1}]


async def test_a_value_is_never_part_of_the_statement(erp: VendorSql) -> None:
    asks()
    await sends(erp, "customer-1", "x'); drop table if_rec; --")

    found = await erp.read("select rec_txt from if_rec where bat_id = :key", key="customer-1")

    assert found == [{"rec_txt": "x'); drop table if_rec; --"}]


async def test_a_batch_that_fails_half_way_leaves_nothing(erp: VendorSql, store: Store) -> None:
    asks()
    broken = [(BATCH, {"bat_id": "b", "rec_cnt": 1}), ("insert into nowhere values (1)", {})]

    with pytest.raises(Transient) as raised:
        await erp.write(Write(object="batch", key="b"), broken, external_id="b")

    assert not isinstance(raised.value, Unanswered)
    assert await erp.read("select * from if_bat") == []
    assert [row.state for row in await rows(store)] == ["refused"]


async def test_a_key_that_somebody_else_wrote_is_a_conflict(erp: VendorSql) -> None:
    asks()
    await sends(erp, "customer-1")

    with pytest.raises(Conflict, match=r"legacy\.DUPLICATE_KEY"):
        await erp.write(
            Write(object="supplier", key="customer-1"),
            [(BATCH, {"bat_id": "customer-1", "rec_cnt": 1})],
            external_id="customer-1",
        )


async def test_each_call_is_on_the_list_of_calls(erp: VendorSql) -> None:
    call = asks()

    await sends(erp, "customer-1")
    await erp.read("select 1 as one")

    assert [each["operation"] for each in call.calls] == ["create customer", "read select"]
