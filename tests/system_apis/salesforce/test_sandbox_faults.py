"""The sandbox misbehaves on request, and writes down what it did."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from apis.runtime.sandbox_files import credentials
from tests.system_apis.salesforce.sandbox_org import DATA, Org, in_process, own_process

EVERYONE = "SELECT Id FROM Account"


@pytest.fixture
async def org(tmp_path: Path) -> AsyncIterator[Org]:
    async with in_process(tmp_path) as org:
        yield org


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("throttle", 403, "REQUEST_LIMIT_EXCEEDED"),
        ("error", 500, "UNKNOWN_EXCEPTION"),
        ("lock", 400, "UNABLE_TO_LOCK_ROW"),
        ("expire-token", 401, "INVALID_SESSION_ID"),
        ("maintenance", 503, "SERVER_UNAVAILABLE"),
    ],
)
async def test_the_second_create_meets_the_fault_and_nothing_is_written(
    org: Org, fault: str, status: int, code: str
) -> None:
    await org.meets("Account.create", fault, nth=2, seconds=0.001)

    await org.creates("Account", Name="A")
    answer = await org.call("POST", "sobjects/Account", {"Name": "B"})
    await org.waits(1)
    await org.logs_in()

    assert answer.status_code == status
    assert answer.json()[0]["errorCode"] == code
    assert "Retry-After" not in answer.headers
    assert len(await org.finds(EVERYONE)) == 1
    [plan] = (await org.call("GET", "/__sandbox__/faults")).json()
    assert plan["fired"] == 1


async def test_a_dead_token_stays_dead(org: Org) -> None:
    await org.meets("Account.search", "expire-token", nth=1)

    answers = [(await org.query(EVERYONE)).status_code for _ in range(2)]

    assert answers == [401, 401]


async def test_maintenance_lasts_by_the_clock_and_for_all_calls(org: Org) -> None:
    await org.meets("Account.search", "maintenance", nth=1, seconds=600)

    during = [await org.query(EVERYONE), await org.call("GET", "limits"), await org.logs_in()]
    await org.waits(601)
    await org.logs_in()

    assert [answer.status_code for answer in during] == [503, 503, 503]
    assert await org.finds(EVERYONE) == []


async def test_a_hidden_record_is_kept_from_search_only(org: Org) -> None:
    await org.meets("Account.create", "hide", nth=1, seconds=30)

    record = await org.creates("Account", Name="A")
    at_once = await org.finds(EVERYONE)
    read = await org.call("GET", f"sobjects/Account/{record}")
    await org.waits(31)

    assert at_once == []
    assert read.status_code == 200
    assert len(await org.finds(EVERYONE)) == 1


async def test_a_search_can_miss_the_record_written_last(org: Org) -> None:
    first = await org.creates("Account", Name="A")
    await org.creates("Account", Name="B")
    await org.meets("Account.search", "hide", nth=1, seconds=30)

    assert await org.finds(EVERYONE) == [{"Id": first}]


async def test_an_answer_can_break_off(org: Org) -> None:
    await org.meets("Account.create", "truncate", nth=1)

    answer = await org.call("POST", "sobjects/Account", {"Name": "A"})

    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert len(await org.finds(EVERYONE)) == 1


async def test_a_schema_can_drift(org: Org) -> None:
    await org.wins_deal()
    await org.meets("Opportunity.search", "drift", nth=1)

    [deal] = (await org.query("SELECT Name, Amount FROM Opportunity")).json()["records"]

    assert (deal["Name__c"], deal["Amount"]) == ("ERP rollout 1", "42800.0")


async def test_an_edge_can_answer_html(org: Org) -> None:
    await org.meets("*", "html", nth=1)

    answer = await org.query(EVERYONE)

    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html")


async def test_a_share_of_all_calls_is_throttled_and_the_same_each_time(org: Org) -> None:
    async def outcomes() -> list[int]:
        await org.meets("*", "throttle", rate=0.3, seed=7)
        return [(await org.query(EVERYONE)).status_code for _ in range(200)]

    first, second = await outcomes(), await outcomes()

    assert first == second
    assert 40 <= first.count(403) <= 80


async def test_one_part_of_a_composite_can_meet_a_lock(org: Org) -> None:
    await org.meets("Account.create", "lock", nth=2)
    url = f"{DATA}/sobjects/Account"
    parts: list[dict[str, Any]] = [
        {"method": "POST", "url": url, "referenceId": name, "body": {"Name": name}}
        for name in ("A", "B", "C")
    ]

    answer = await org.call("POST", "composite", {"compositeRequest": parts})

    codes = [part["httpStatusCode"] for part in answer.json()["compositeResponse"]]
    assert codes == [201, 400, 201]


@pytest.mark.parametrize(
    ("planned", "told"),
    [
        ({"fault": "meteor"}, "no fault 'meteor': one of bomb, drift, "),
        ({"operation": "Deal.create"}, "no operation 'Deal.create': one of Account.*, Contact.*, "),
        (
            {"operation": "Account.melt"},
            "one of Account.create, Account.delete, Account.describe, ",
        ),
        ({"operation": "opportunity.*"}, "Opportunity.*"),
        ({"nth": 0}, "Expected `int` >= 1 - at `$[0].nth`"),
        ({"rate": 7}, "Expected `float` <= 1.0 - at `$[0].rate`"),
        ({"often": 2}, "unknown field `often`"),
    ],
)
async def test_a_fault_that_nothing_can_meet_is_refused(
    org: Org, planned: dict[str, object], told: str
) -> None:
    await org.meets("Account.create", "error")
    plan = [{"operation": "Account.create", "fault": "lock", **planned}]

    answer = await org.http.put("/__sandbox__/faults", json=plan)

    assert answer.status_code == 422
    assert told in answer.json()["detail"]
    [kept] = (await org.call("GET", "/__sandbox__/faults")).json()
    assert kept["fault"] == "error"


async def test_every_call_is_logged_before_and_after(org: Org) -> None:
    path = "sobjects/Account/TL_Customer_Key__c/customer-17"

    await org.call("PATCH", path, {"Name": "Northwind"})
    await org.call("PATCH", path, {"Nonsense": 1})
    await org.query(EVERYONE)

    lines = org.log[2:]
    received = [line for line in lines if line["phase"] == "received"]
    done = [line for line in lines if line["phase"] == "done"]
    assert [(r["operation"], r["key"]) for r in received] == [
        ("Account.upsert", "customer-17"),
        ("Account.upsert", "customer-17"),
        ("Account.search", None),
    ]
    assert [(d["committed"], d["answered"], d["status"]) for d in done] == [
        (True, True, 201),
        (False, True, 400),
        (False, True, 200),
    ]
    assert [line["n"] for line in lines] == [2, 2, 3, 3, 4, 4]
    assert len(received[0]["body_sha256"]) == 64
    asked = {"n", "at", "phase", "method", "path", "operation", "key", "body_sha256"}
    assert {frozenset(each) for each in received} == {frozenset(asked)}
    assert done[0].keys() == {"n", "phase", "committed", "answered", "status"}


async def test_credentials_of_several_vendors_share_one_private_file(tmp_path: Path) -> None:
    first = credentials(tmp_path, "salesforce", lambda: {"client_id": "a"})
    credentials(tmp_path, "kantata", lambda: {"client_id": "b"})

    again = credentials(tmp_path, "salesforce", lambda: {"client_id": "c"})

    assert first == again == {"client_id": "a"}
    assert (tmp_path / "credentials.json").stat().st_mode & 0o777 == 0o600


async def test_a_lost_answer_is_a_closed_connection_and_only_one_was_written(
    tmp_path: Path,
) -> None:
    with own_process(tmp_path) as (org, _):
        await org.logs_in()
        for fault in ("timeout-before-commit", "timeout-after-commit"):
            await org.meets("Account.create", fault, nth=1, seconds=0.05)
            with pytest.raises(httpx.RemoteProtocolError):
                await org.call("POST", "sobjects/Account", {"Name": fault})

        found = await org.finds("SELECT Name FROM Account")

        done = [line for line in org.log if line["phase"] == "done" and not line["answered"]]
        await org.http.aclose()
    assert found == [{"Name": "timeout-after-commit"}]
    assert [(d["committed"], d["status"]) for d in done] == [(False, None), (True, None)]


async def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    with own_process(tmp_path) as (org, running):
        await org.logs_in()
        record = await org.creates("Account", Name="A")
        running.send_signal(signal.SIGKILL)
        running.wait()
        token = org.http.headers["Authorization"]
        await org.http.aclose()

    with own_process(tmp_path) as (org, _):
        org.http.headers["Authorization"] = token
        found = await org.finds(EVERYONE)
        await org.http.aclose()

    assert found == [{"Id": record}]
    assert [line["n"] for line in org.log] == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("asked", [{"x": 1}, {"advance_s": 60, "zone": "UTC"}])
async def test_the_clock_refuses_what_it_does_not_know(org: Org, asked: dict[str, Any]) -> None:
    refused = await org.http.put("/__clock__", json=asked)

    assert refused.status_code == 422
    assert "the clock takes now and advance_s" in refused.json()["detail"]


async def test_a_second_sandbox_follows_the_first_ones_clock(tmp_path: Path) -> None:
    with own_process(tmp_path / "first") as (first, _):
        clock = {"THROUGHLINE_CLOCK": f"{first.http.base_url}/__clock__", "THROUGHLINE_ENV": "test"}
        with own_process(tmp_path / "second", **clock) as (second, _):
            await first.http.put("/__clock__", json={"now": "2031-05-06T07:08:09Z"})
            now = ""
            for _ in range(500):
                now = (await second.http.get("/__clock__")).json()["now"]
                if now.startswith("2031"):
                    break
            await second.http.aclose()
        await first.http.aclose()
    assert now.startswith("2031-05-06T07:08")


async def test_who_follows_a_clock_hears_of_a_move_when_it_is_made(org: Org) -> None:
    told = (await org.http.get("/__clock__")).json()

    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(org.http.get("/__clock__", params={"moved": told["moved"]}))
        moved = (await org.http.put("/__clock__", json={"advance_s": 3600})).json()

    heard = waiting.result().json()
    assert heard["moved"] == moved["moved"] == told["moved"] + 1
    assert heard["now"] >= moved["now"]
