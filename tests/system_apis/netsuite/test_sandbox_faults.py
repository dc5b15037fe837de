"""The sandbox misbehaves on request, takes five calls at once, and writes down what it did."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.system_apis.netsuite.sandbox_account import Account, in_process

EVERYONE = "SELECT externalid FROM customer ORDER BY id"
FIELDS = {"companyName": "Elbtal", "subsidiary": {"id": "3"}}


@pytest.fixture
async def account(tmp_path: Path) -> AsyncIterator[Account]:
    async with in_process(tmp_path) as account:
        yield account


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("throttle", 429, "CONCURRENCY_LIMIT_EXCEEDED"),
        ("error", 500, "UNEXPECTED_ERROR"),
        ("lock", 400, "RCRD_HAS_BEEN_CHANGED"),
        ("expire-token", 401, "INVALID_LOGIN"),
        ("maintenance", 503, "SERVICE_UNAVAILABLE"),
    ],
)
async def test_the_second_upsert_meets_the_fault_and_nothing_is_written(
    account: Account, fault: str, status: int, code: str
) -> None:
    await account.meets("customer.upsert", fault, nth=2, seconds=0.001)

    await account.customer("c-1")
    answer = await account.call("PUT", "customer/eid:c-2", FIELDS)
    await account.waits(1)
    await account.logs_in()

    assert (answer.status_code, answer.json()["o:errorDetails"][0]["o:errorCode"]) == (status, code)
    assert "Retry-After" not in answer.headers
    assert await account.finds(EVERYONE) == [{"externalid": "c-1"}]


async def test_a_hidden_record_is_kept_from_queries_only(account: Account) -> None:
    await account.meets("customer.upsert", "hide", nth=1, seconds=30)

    customer = await account.customer("c-1")
    at_once = await account.finds(EVERYONE)
    read = await account.call("GET", f"customer/{customer}")
    await account.waits(31)

    assert (at_once, read.status_code) == ([], 200)
    assert len(await account.finds(EVERYONE)) == 1


async def test_answers_break_off_drift_and_are_html(account: Account) -> None:
    await account.customer("c-1")
    query = "SELECT id, companyname FROM customer"
    answers = {}
    for fault in ("truncate", "drift", "html"):
        await account.meets("customer.search", fault, nth=1)
        answers[fault] = await account.query(query)

    with pytest.raises(json.JSONDecodeError):
        answers["truncate"].json()
    assert answers["drift"].json()["items"][0]["_companyname"] == "Nordlicht GmbH"
    assert answers["html"].headers["content-type"] == "text/html"


async def test_the_sixth_call_at_once_is_one_too_many(account: Account) -> None:
    await account.slow(60)

    answers = await asyncio.gather(*(account.query(EVERYONE) for _ in range(8)))
    later = await account.query(EVERYONE)

    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [429] * 3
    assert later.status_code == 200


async def test_one_too_many_can_look_like_an_invalid_login_that_took_long(account: Account) -> None:
    await account.sets(concurrency=1, crowded="login", crowded_s=0.2)
    await account.slow(50)

    began = asyncio.get_running_loop().time()
    answers = await asyncio.gather(*(account.query(EVERYONE) for _ in range(2)))
    took = asyncio.get_running_loop().time() - began

    assert sorted(answer.status_code for answer in answers) == [200, 401]
    assert took > 0.2
    assert (await account.query(EVERYONE)).status_code == 200


async def test_signing_in_takes_no_slot(account: Account) -> None:
    await account.sets(concurrency=1)
    await account.slow(50)

    answers = await asyncio.gather(account.query(EVERYONE), account.logs_in())

    assert [answer.status_code for answer in answers] == [200, 200]


async def test_a_batch_meets_the_faults_of_its_records(account: Account) -> None:
    await account.meets("customer.upsert", "throttle", nth=1)
    items = {"items": [{"externalId": "c-1", **FIELDS}]}

    refused = await account.call("PUT", "customer", items, Prefer="respond-async")
    taken = await account.call("PUT", "customer", items, Prefer="respond-async")

    assert (refused.status_code, taken.status_code) == (429, 202)
    operations = [line["operation"] for line in account.log if line["phase"] == "received"]
    assert operations[-2:] == ["collections.upsert", "collections.upsert"]


async def test_the_log_names_operations_and_keys(account: Account) -> None:
    await account.customer("customer-9")
    await account.finds(EVERYONE)

    received = [line for line in account.log if line["phase"] == "received"]

    assert [line["operation"] for line in received] == [
        "token.create",
        "customer.upsert",
        "customer.search",
    ]
    assert received[1]["key"] == "customer-9"


async def test_a_reset_leaves_an_account_as_it_comes(account: Account) -> None:
    first = await account.customer("c-1")
    await account.http.post("/__sandbox__/reset")
    refused = await account.query(EVERYONE)
    await account.logs_in()

    again = await account.customer("c-1")
    state = (await account.http.get("/__sandbox__/state")).json()

    assert refused.status_code == 401
    assert int(again) > int(first)
    assert [each["name"] for each in state["subsidiary"]][2] == "Northline Consulting GmbH"
    assert len(state["customer"]) == 1
