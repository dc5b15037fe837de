"""SuiteQL runs on the account's records, and refuses what SuiteQL refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.system_apis.netsuite.sandbox_account import Account, in_process


@pytest.fixture
async def account(tmp_path: Path) -> AsyncIterator[Account]:
    async with in_process(tmp_path) as account:
        yield account


async def test_columns_are_lower_case_and_everything_is_text(account: Account) -> None:
    customer = await account.customer(vatRegNumber="DE136695976", creditLimit=50000)
    await account.makes(
        "job", "p-1", companyName="Rollout", parent={"id": customer}, startDate="2026-04-05"
    )

    [row] = await account.finds(
        "SELECT C.id, c.companyName, c.Subsidiary, c.isInactive, c.creditLimit, c.onCreditHold,"
        " c.email FROM Customer c"
    )
    [job] = await account.finds("SELECT id, customer, startDate, allowTime FROM job")

    assert row == {
        "id": customer,
        "companyname": "Nordlicht GmbH",
        "subsidiary": "3",
        "isinactive": "F",
        "creditlimit": "50000",
        "oncredithold": "F",
    }
    assert (job["customer"], job["startdate"]) == (customer, "4/5/2026")


async def test_the_billing_address_is_two_joins_away(account: Account) -> None:
    address = {"city": "Hamburg", "country": {"id": "DE"}}
    line = {"defaultBilling": True, "addressBookAddress": address}
    await account.customer(addressBook={"items": [line]})

    [row] = await account.finds(
        "SELECT c.externalid, a.city, a.country FROM customer c"
        " LEFT JOIN customeraddressbook b ON b.entity = c.id AND b.defaultbilling = 'T'"
        " LEFT JOIN customeraddressbookentityaddress a ON a.nkey = b.addressbookaddress"
    )

    assert row == {"externalid": "customer-1", "city": "Hamburg", "country": "DE"}


async def test_texts_compare_in_any_alphabet_and_quotes_stay_inside(account: Account) -> None:
    await account.customer(companyName="Müller's \\ Söhne")

    found = await account.finds(
        "SELECT id FROM customer WHERE UPPER(companyname) = UPPER('MÜLLER''s \\ söhne')"
    )

    assert len(found) == 1


async def test_days_are_compared_with_to_date(account: Account) -> None:
    await account.customer()

    query = "SELECT id FROM customer WHERE lastmodifieddate >= TO_DATE('{}', 'YYYY-MM-DD')"
    days = ("2020-01-01", "2199-01-01")
    since = [len(await account.finds(query.format(day))) for day in days]

    assert since == [1, 0]


async def test_pages_have_links_and_a_total(account: Account) -> None:
    for n in range(5):
        await account.customer(f"c-{n}")
    query = "SELECT externalid FROM customer ORDER BY id"

    first = (await account.query(query, limit=2)).json()
    last = (await account.query(query, limit=2, offset=4)).json()

    assert [item["externalid"] for item in first["items"]] == ["c-0", "c-1"]
    assert (first["count"], first["totalResults"], first["hasMore"]) == (2, 5, True)
    assert {link["rel"] for link in first["links"]} == {"self", "next"}
    assert (last["count"], last["hasMore"]) == (1, False)
    for params in ({"limit": 1001}, {"limit": 2, "offset": 3}, {"limit": "x"}):
        assert (await account.query(query, **params)).status_code == 400


@pytest.mark.parametrize(
    "query",
    [
        "SELECT id FROM customer LIMIT 5",
        "DELETE FROM customer",
        "UPDATE customer SET companyname = 'x'",
        "SELECT id FROM customer; SELECT id FROM job",
        "SELECT id FROM unicorn",
        "SELECT colour FROM customer",
        "SELECT balance FROM customer",
        "SELECT onCreditHold FROM job",
        "SELECT id FROM customer WHERE companyname = :name",
        "SELECT id FROM customer WHERE companyname = ?",
        "SELECT load_extension('x') FROM customer",
        "SELECT id FROM _tokens",
        "SELECT id FROM",
        "SELECT id FROM customer WHERE companyname = 'open",
    ],
)
async def test_what_suiteql_does_not_know_is_refused(account: Account, query: str) -> None:
    answer = await account.query(query)

    assert answer.status_code == 400
    [told] = answer.json()["o:errorDetails"]
    assert told["o:errorCode"] == "INVALID_PARAMETER"
    assert told["detail"].startswith("Invalid search query.")


async def test_a_query_must_ask_for_a_transient_answer(account: Account) -> None:
    body = {"q": "SELECT id FROM customer"}

    answer = await account.http.post("/services/rest/query/v1/suiteql", json=body)

    assert answer.status_code == 400
    assert answer.json()["o:errorDetails"][0]["o:errorHeader"] == "Prefer"


async def test_an_unknown_name_is_named(account: Account) -> None:
    answer = await account.query("SELECT c.colour FROM customer c")

    assert "Unknown identifier 'colour'" in answer.text
    assert "{c=c}" in answer.text
