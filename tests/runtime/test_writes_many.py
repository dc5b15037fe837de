"""Writing many in one call, and writing nothing in a dry run."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from pytest_httpx import HTTPXMock

from apis.runtime.store import Store
from apis.runtime.wire import Unanswered
from apis.runtime.writes import WRITES, Write
from contracts.canonical.identity import Ref
from contracts.errors import Rejected, Throttled, ThroughlineError
from tests.runtime.acme import THINGS, Acme, acme, asks, hands_out_tokens, made, rows

KEY = "project-7"


@pytest.fixture
def store(store_url: str):
    with made(store_url) as store:
        yield store


def bodies(*keys: str) -> dict[str, Any]:
    return {
        "bodies": [{"key": key} for key in keys],
        "pack": lambda each: {"records": each},
        "outcomes": outcomes,
    }


def outcomes(answer: Any) -> list[Ref | ThroughlineError]:
    refused = Rejected("acme.RULE", "no")
    return [Ref(None, each["id"]) if "id" in each else refused for each in answer["results"]]


def upserts(vendor: Acme, *keys: str) -> Any:
    writes = [Write(object="thing", key=key, kind="upsert") for key in keys]
    return vendor.http.write_many(writes, "POST", "/things/batch", **bodies(*keys))


async def test_each_record_of_a_batch_has_its_own_outcome_and_only_the_rest_is_sent_again(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    hands_out_tokens(httpx_mock)
    batch = f"{THINGS}/batch"
    httpx_mock.add_response(url=batch, json={"results": [{"id": "1"}, {}, {"id": "3"}]})
    httpx_mock.add_response(url=batch, json={"results": [{"id": "2"}]})

    async with acme(store) as vendor:
        asks()
        first = await upserts(vendor, "a", "b", "c")
        asks()
        second = await upserts(vendor, "a", "b", "c")

    assert [type(each) for each in first] == [Ref, Rejected, Ref]
    assert second == [Ref(None, "1"), Ref(None, "2"), Ref(None, "3")]
    sent = [json.loads(each.content) for each in httpx_mock.get_requests(url=batch)]
    assert [len(each["records"]) for each in sent] == [3, 1]
    assert [row.state for row in await rows(store)] == ["done"] * 3


@pytest.mark.parametrize("answer", [{"results": [{"id": "1"}]}, {"other": 1}, [1], {}])
async def test_a_batch_answered_in_another_shape_is_a_lost_reply(
    store: Store, httpx_mock: HTTPXMock, answer: Any
) -> None:
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=f"{THINGS}/batch", json=answer)

    async with acme(store) as vendor:
        asks()
        with pytest.raises(Unanswered, match=r"acme\.UNEXPECTED"):
            await upserts(vendor, "a", "b")

    assert [(row.state, row.lease) for row in await rows(store)] == [("sent", 0.0)] * 2


async def test_a_record_that_is_being_written_does_not_hold_up_its_batch(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    hands_out_tokens(httpx_mock)
    httpx_mock.add_exception(httpx.ReadTimeout("lost"), url=f"{THINGS}/batch")
    httpx_mock.add_response(url=f"{THINGS}/batch", json={"results": [{"id": "1"}]})

    async with acme(store) as vendor:
        asks()
        with pytest.raises(Unanswered):
            await upserts(vendor, "a", "b")
        change = sa.update(WRITES).where(WRITES.c.key == "b").values(lease=9e12)
        await store.write(lambda connection: connection.execute(change) and None)
        asks()
        told = await upserts(vendor, "a", "b")

    assert [type(each) for each in told] == [Ref, Throttled]


async def test_a_dry_run_writes_nothing_and_says_what_it_would(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    async with acme(store) as vendor:
        call = asks(plan=True)
        one = await vendor.http.write(
            Write(object="thing", key=KEY), "POST", "/things", body={"key": KEY}
        )
        many = await upserts(vendor, "a", "b")

    assert one == Ref(None, "$planned:acme.thing#1")
    assert many == [Ref(None, "$planned:acme.thing#2"), Ref(None, "$planned:acme.thing#3")]
    assert call.planned[0] == {
        "system": "acme", "operation": "create thing", "body": {"key": KEY}
    }  # fmt: skip
    assert httpx_mock.get_requests() == []
    assert await rows(store) == []
