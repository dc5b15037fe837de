"""The sandbox account is as strict, and as odd, as NetSuite is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.system_apis.netsuite.sandbox_account import RECORD, STRICT, Account, in_process

MEDIA = "application/vnd.oracle.resource+json; type="


@pytest.fixture
async def account(tmp_path: Path) -> AsyncIterator[Account]:
    async with in_process(tmp_path) as account:
        yield account


def code_of(answer: httpx.Response) -> str:
    return answer.json()["o:errorDetails"][0]["o:errorCode"]


async def test_an_upsert_answers_only_where_the_record_is(account: Account) -> None:
    body = {"companyName": "Nordlicht", "subsidiary": {"id": "3"}, "currency": {"id": 4}}

    made = await account.call("PUT", "customer/eid:customer-1", body)
    again = await account.call("PUT", "customer/eid:customer-1", {"phone": "+49"})

    assert (made.status_code, made.content) == (204, b"")
    assert made.headers["Location"] == again.headers["Location"]
    assert made.headers["Location"].startswith(f"http://sandbox{RECORD}/customer/")
    known = await account.reads("customer/eid:customer-1")
    assert (known["companyName"], known["phone"]) == ("Nordlicht", "+49")
    assert known["currency"]["refName"] == "EUR"
    assert known["entityId"] == f"CUST{known['id']}"
    assert known["creditHoldOverride"] == {"id": "AUTO", "refName": "Auto"}
    assert known["isInactive"] is False
    assert "email" not in known


@pytest.mark.parametrize(
    ("body", "code", "path"),
    [
        ({"companyName": "x"}, "USER_ERROR", None),
        ({"subsidiary": {"id": "99"}}, "INVALID_CONTENT", "subsidiary"),
        ({"companyName": "x" * 84}, "INVALID_CONTENT", "companyName"),
        ({"isPerson": "false"}, "INVALID_CONTENT", "isPerson"),
        ({"creditHoldOverride": {"id": "MAYBE"}}, "INVALID_CONTENT", "creditHoldOverride"),
        ({"addressBook": {"items": [{"addressBookAddress": {"street": "x"}}]}}, None, None),
    ],
)
async def test_a_body_that_does_not_fit_is_refused(
    account: Account, body: dict[str, Any], code: str | None, path: str | None
) -> None:
    answer = await account.call("PUT", "customer/eid:c-1", body)

    assert answer.status_code == 400
    assert answer.headers["content-type"] == f"{MEDIA}error"
    told = answer.json()
    assert (told["title"], told["status"]) == ("Bad Request", 400)
    assert told["o:errorDetails"][0]["o:errorCode"] == (code or "INVALID_CONTENT")
    assert path is None or told["o:errorDetails"][0]["o:errorPath"] == path
    assert await account.finds("SELECT id FROM customer") == []


async def test_an_unknown_field_is_dropped_unless_the_header_says_error(account: Account) -> None:
    fields = {"companyName": "Nordlicht", "subsidiary": {"id": "3"}, "compnyName": "typo"}

    lax = await account.call("PUT", "customer/eid:c-1", fields)
    strict = await account.call("PUT", "customer/eid:c-2", fields, **STRICT)
    odd = await account.call(
        "PUT", "customer/eid:c-3", fields, **{"X-NetSuite-PropertyNameValidation": "Maybe"}
    )

    assert [lax.status_code, strict.status_code, odd.status_code] == [204, 400, 400]
    assert strict.json()["o:errorDetails"][0]["o:errorPath"] == "compnyName"
    assert code_of(odd) == "INVALID_HEADER"


async def test_a_wrong_value_is_dropped_where_the_header_says_so(account: Account) -> None:
    fields = {"companyName": "Nordlicht", "subsidiary": {"id": "3"}, "terms": {"id": "77"}}

    answer = await account.call(
        "PUT", "customer/eid:c-1", fields, **{"X-NetSuite-PropertyValueValidation": "Ignore"}
    )

    assert answer.status_code == 204
    assert "terms" not in await account.reads("customer/eid:c-1")


@pytest.mark.parametrize("key", ["a|b", "a b", "ä"])
async def test_an_external_id_has_letters_digits_and_little_else(
    account: Account, key: str
) -> None:
    fields = {"companyName": "Nordlicht", "subsidiary": {"id": "3"}}

    answer = await account.call("PUT", f"customer/eid:{key}", fields)

    assert (answer.status_code, code_of(answer)) == (400, "INVALID_CONTENT")


async def test_an_external_id_is_there_once(account: Account) -> None:
    first, second = [await account.customer(f"c-{n}") for n in (1, 2)]

    taken = await account.call("PATCH", f"customer/{second}", {"externalId": "c-1"})
    moved = await account.call("PATCH", f"customer/{second}", {"externalId": "c-3"})

    assert (taken.status_code, code_of(taken)) == (400, "DUP_EXT_ID")
    assert moved.status_code == 204
    assert (await account.reads("customer/eid:c-3"))["id"] == second
    assert (await account.reads("customer/eid:c-1"))["id"] == first


async def test_what_is_not_there_is_404_and_a_put_wants_an_external_id(account: Account) -> None:
    gone = [
        await account.call("GET", "customer/999999"),
        await account.call("PATCH", "customer/eid:nobody", {}),
        await account.call("GET", "unicorn/1"),
    ]
    put = await account.call("PUT", f"customer/{await account.customer()}", {})

    assert [answer.status_code for answer in gone] == [404, 404, 404]
    assert {code_of(answer) for answer in gone} == {"NONEXISTENT_ID"}
    assert put.status_code == 405


async def test_lines_are_added_unless_they_are_to_be_replaced(account: Account) -> None:
    def line(city: str) -> dict[str, Any]:
        address = {"city": city, "country": {"id": "DE"}}
        return {"items": [{"defaultBilling": True, "addressBookAddress": address}]}

    customer = await account.customer(addressBook=line("Hamburg"))
    await account.call("PATCH", f"customer/{customer}", {"addressBook": line("Kiel")})
    added = (await account.reads(f"customer/{customer}"))["addressBook"]["items"]
    await account.call(
        "PATCH",
        f"customer/{customer}",
        {"addressBook": line("Bonn")},
        params={"replace": "addressBook"},
    )
    replaced = (await account.reads(f"customer/{customer}"))["addressBook"]["items"]

    assert [each["addressBookAddress"]["city"] for each in added] == ["Hamburg", "Kiel"]
    assert [each["defaultBilling"] for each in added] == [False, True]
    assert [each["addressBookAddress"]["city"] for each in replaced] == ["Bonn"]
    assert replaced[0]["addressBookAddress"]["country"] == {"id": "DE"}


async def test_a_project_belongs_to_a_customer_of_its_subsidiary(account: Account) -> None:
    customer = await account.customer()
    project = {"companyName": "Rollout", "parent": {"id": customer}, "jobPrice": 240000.5}

    job = await account.makes("job", "project-1", **project, startDate="2026-04-15")
    elsewhere = await account.call(
        "PUT", "job/eid:project-2", {**project, "subsidiary": {"id": "1"}}
    )

    known = await account.reads(f"job/{job}")
    assert known["subsidiary"]["id"] == "3"
    assert (known["jobPrice"], known["startDate"]) == (240000.5, "2026-04-15")
    assert elsewhere.status_code == 400
    gone = await account.call("DELETE", f"customer/{customer}")
    assert gone.status_code == 400


async def test_a_collection_lists_ids_and_links_only(account: Account) -> None:
    ids = [await account.customer(f"c-{n}") for n in range(3)]

    page = (await account.call("GET", "customer", params={"limit": 2})).json()

    assert [item["id"] for item in page["items"]] == ids[:2]
    assert page["items"][0].keys() == {"id", "links"}
    assert (page["hasMore"], page["totalResults"]) == (True, 3)


# Asynchronous calls


async def test_a_batch_is_done_record_by_record(account: Account) -> None:
    records = [
        {"externalId": "c-1", "companyName": "One", "subsidiary": {"id": "3"}},
        {"externalId": "c-2", "companyName": "Two"},
    ]
    headers = {"Prefer": "respond-async", "X-NetSuite-Idempotency-Key": "3f2c"}

    answer = await account.call("POST", "customer", {"items": records}, **headers)
    job = (await account.call("GET", answer.headers["Location"])).json()
    tasks = (await account.call("GET", f"{answer.headers['Location']}/task/")).json()["items"]
    results = [await account.call("GET", task["links"][1]["href"]) for task in tasks]

    assert (answer.status_code, answer.headers["Preference-Applied"]) == (202, "respond-async")
    assert answer.headers["Location"].startswith("http://sandbox/services/rest/async/v1/job/")
    assert {"startTime", "endTime"} <= tasks[0].keys()
    assert "until" not in tasks[0]
    assert (job["completed"], job["progress"]) == (True, "succeeded")
    assert [result.status_code for result in results] == [204, 400]
    assert results[0].headers["Location"].rpartition("/")[2]
    assert code_of(results[1]) == "USER_ERROR"
    assert [
        row["externalid"] for row in await account.finds("SELECT externalid FROM customer")
    ] == ["c-1"]


async def test_an_idempotency_key_works_once_and_only_asynchronously(account: Account) -> None:
    record = {"companyName": "One", "subsidiary": {"id": "3"}}
    key = {"X-NetSuite-Idempotency-Key": "3f2c"}

    first = await account.call("POST", "customer", record, Prefer="respond-async", **key)
    again = await account.call("POST", "customer", record, Prefer="respond-async", **key)
    plain = [await account.call("POST", "customer", record, **key) for _ in range(2)]

    assert (again.status_code, code_of(again)) == (400, "IDEMPOTENCY_ERROR")
    assert again.json()["title"] == "Conflict"
    assert again.headers["Location"] == first.headers["Location"]
    assert len({answer.headers["Location"] for answer in plain}) == 2


async def test_a_job_takes_its_time_by_the_clock(account: Account) -> None:
    await account.sets(async_s=30)
    record = {"companyName": "One", "subsidiary": {"id": "3"}}
    answer = await account.call("POST", "customer", record, Prefer="respond-async")

    early = (await account.call("GET", answer.headers["Location"])).json()
    await account.waits(31)
    late = (await account.call("GET", answer.headers["Location"])).json()

    assert (early["completed"], early["progress"]) == (False, "processing")
    assert late["completed"] is True


async def test_a_batch_has_at_most_a_hundred_records_and_must_be_asynchronous(
    account: Account,
) -> None:
    items = {"items": [{"companyName": "x"}] * 101}

    many = await account.call("POST", "customer", items, Prefer="respond-async")
    plain = await account.call("PATCH", "customer", {"items": [{"id": "1"}]})

    assert (many.status_code, code_of(many)) == (400, "INVALID_CONTENT")
    assert (plain.status_code, code_of(plain)) == (400, "INVALID_HEADER")
