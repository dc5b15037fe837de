"""The sandbox org behaves as Salesforce does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from stdnum import get_cc_module
from stdnum.us import ein

from system_apis.salesforce.sandbox.examples import tax_id
from tests.system_apis.salesforce.sandbox_org import DATA, Org, in_process


@pytest.fixture
async def org(tmp_path: Path) -> AsyncIterator[Org]:
    async with in_process(tmp_path) as org:
        yield org


async def test_a_won_deal_has_customer_parent_contact_and_lines(org: Org) -> None:
    made = await org.wins_deal()

    [deal] = await org.finds(
        "SELECT IsWon, IsClosed, Probability, Amount, CurrencyIsoCode, HasOpportunityLineItem,"
        " ContactId, FiscalQuarter, TL_Legal_Entity__c FROM Opportunity"
    )

    assert deal == {
        "IsWon": True,
        "IsClosed": True,
        "Probability": 100.0,
        "Amount": 42800.0,
        "CurrencyIsoCode": "EUR",
        "HasOpportunityLineItem": True,
        "ContactId": made["contact"],
        "FiscalQuarter": 1,
        "TL_Legal_Entity__c": "DE",
    }


async def test_the_same_example_twice_is_the_same_deal(org: Org) -> None:
    first = await org.wins_deal(n=3)

    second = await org.wins_deal(n=3)

    assert first == second
    assert len(await org.finds("SELECT Id FROM Opportunity")) == 1


async def test_deals_of_one_customer_share_the_account(org: Org) -> None:
    first = await org.wins_deal(n=1, customer="same", entity="UK")

    second = await org.wins_deal(n=2, customer="same", entity="UK")

    assert first["account"] == second["account"]
    assert first["deal"] != second["deal"]


def test_tax_numbers_of_the_examples_are_valid() -> None:
    for n in range(500):
        assert get_cc_module("de", "vat").is_valid(tax_id("DE", n))
        assert get_cc_module("gb", "vat").is_valid(tax_id("UK", n))
        assert ein.is_valid(tax_id("US", n))


async def test_an_example_can_leave_something_out(org: Org) -> None:
    await org.wins_deal(tax_code="missing", missing="po,contact")

    [deal] = await org.finds(
        "SELECT Account.TL_Tax_Code__c, TL_PO_Number__c, ContactId FROM Opportunity"
    )

    assert deal["Account"]["TL_Tax_Code__c"] is None
    assert deal["TL_PO_Number__c"] is None
    assert deal["ContactId"] is None


async def test_an_example_that_cannot_be_is_refused(org: Org) -> None:
    for options, told in (
        ({"entity": "FR"}, "no entity 'FR'"),
        ({"missing": "sense"}, "cannot leave out sense"),
        ({"n": "abc"}, "n is the number of a deal, such as 7, not 'abc'"),
    ):
        answer = await org.http.get("/__sandbox__/examples/won-deal", params=options)
        assert answer.status_code == 422
        assert told in answer.json()["detail"]


async def test_an_example_without_a_number_is_a_deal_that_does_not_exist_yet(org: Org) -> None:
    first, second = await org.wins_deal(), await org.wins_deal()
    again = await org.wins_deal(n=2)

    assert first["deal"] != second["deal"]
    assert again["deal"] == second["deal"]


async def test_objects_are_called_as_in_english(org: Org) -> None:
    answer = await org.call("GET", "/services/data/v62.0/sobjects/Opportunity/describe")

    assert answer.json()["labelPlural"] == "Opportunities"


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("Name = 'alpha'", ["Alpha"]),
        ("Name != 'Alpha'", ["Beta", "Gamma", "O'Neil"]),
        ("Industry != 'Retail'", ["Beta", "Gamma", "O'Neil"]),
        ("Industry = null", ["Beta", "Gamma", "O'Neil"]),
        ("NOT Industry = 'Retail'", ["Beta", "Gamma", "O'Neil"]),
        ("Name LIKE '%A'", ["Alpha", "Beta", "Gamma"]),
        ("Name LIKE 'B_ta'", ["Beta"]),
        (r"Name LIKE 'B\_ta'", []),
        (r"Name = 'O\'Neil'", ["O'Neil"]),
        ("Name IN ('Alpha', 'Beta')", ["Alpha", "Beta"]),
        ("Industry NOT IN ('Retail')", ["Beta", "Gamma", "O'Neil"]),
        ("(Name = 'Alpha' OR Name = 'Beta') AND Industry != null", ["Alpha"]),
        ("CreatedDate >= 2020-01-01T00:00:00+01:00 AND CreatedDate > TODAY", ["all"]),
        ("Parent.Name = 'Alpha'", ["Beta"]),
        ("Id IN (SELECT AccountId FROM Contact WHERE LastName = 'Vega')", ["Gamma"]),
        ("Id NOT IN (SELECT AccountId FROM Contact)", ["Alpha", "Beta", "O'Neil"]),
    ],
)
async def test_a_query_finds_what_soql_would_find(
    org: Org, condition: str, names: list[str]
) -> None:
    alpha = await org.creates("Account", Name="Alpha", Industry="Retail")
    await org.creates("Account", Name="Beta", ParentId=alpha)
    gamma = await org.creates("Account", Name="Gamma")
    await org.creates("Account", Name="O'Neil")
    await org.creates("Contact", LastName="Vega", AccountId=gamma)
    everyone = ["Alpha", "Beta", "Gamma", "O'Neil"]

    query = "SELECT Name FROM Account a WHERE ... ORDER BY a.Name"
    found = await org.finds(query.replace("...", condition))

    assert [r["Name"] for r in found] == (everyone if names == ["all"] else names)


async def test_nulls_come_first_unless_asked(org: Org) -> None:
    for name, industry in (("A", "Retail"), ("B", None)):
        await org.creates("Account", Name=name, Industry=industry)

    first = await org.finds("SELECT Name FROM Account ORDER BY Industry DESC")
    last = await org.finds("SELECT Name FROM Account ORDER BY Industry NULLS LAST LIMIT 1")

    assert [r["Name"] for r in first] == ["B", "A"]
    assert [r["Name"] for r in last] == ["A"]


async def test_children_have_conditions_order_and_limit_of_their_own(org: Org) -> None:
    await org.wins_deal(lines=4)

    [deal] = await org.finds(
        "SELECT Name, (SELECT Name, Quantity FROM OpportunityLineItems WHERE Quantity > 30"
        " ORDER BY Quantity DESC LIMIT 2) FROM Opportunity WHERE Name = 'ERP rollout 1'"
    )

    lines = deal["OpportunityLineItems"]
    assert (lines["totalSize"], lines["done"]) == (2, True)
    assert [line["Quantity"] for line in lines["records"]] == [120.0, 80.0]


async def test_a_refused_query_shows_the_place(org: Org) -> None:
    answer = await org.query("SELECT Id FROM Account WHERE Name = 'A' AND Nonsense = 'B'")

    [error] = answer.json()
    assert error["errorCode"] == "INVALID_FIELD"
    where = "ERROR at Row:1:Column:45\nNo such column 'Nonsense' on entity 'Account'."
    assert where in error["message"]


async def test_the_amount_of_a_deal_follows_its_lines(org: Org) -> None:
    made = await org.wins_deal()
    line, deal = f"sobjects/OpportunityLineItem/{made['line1']}", made["deal"]

    await org.call("PATCH", line, {"Quantity": 10, "UnitPrice": 100.5, "Discount": 10})
    await org.call("PATCH", f"sobjects/Opportunity/{deal}", {"Amount": 1})
    after_change = (await org.call("GET", f"sobjects/Opportunity/{deal}?fields=Amount")).json()
    await org.call("DELETE", line)
    after_delete = (await org.call("GET", f"sobjects/Opportunity/{deal}?fields=Amount")).json()

    assert Decimal(str(after_change["Amount"])) == Decimal("904.5") + 22800
    assert after_delete["Amount"] == 22800.0


async def test_a_line_in_another_currency_than_its_deal_is_refused(org: Org) -> None:
    made = await org.wins_deal()
    sterling = "SELECT Id FROM PricebookEntry WHERE CurrencyIsoCode = 'GBP' LIMIT 1"
    [entry] = await org.finds(sterling)

    line = {"OpportunityId": made["deal"], "PricebookEntryId": entry["Id"], "Quantity": 1}
    answer = await org.call("POST", "sobjects/OpportunityLineItem", line)

    assert answer.json()[0]["errorCode"] == "FIELD_INTEGRITY_EXCEPTION"


async def test_a_parent_may_be_named_by_its_external_id(org: Org) -> None:
    account = await org.creates("Account", Name="Northwind", TL_Customer_Key__c="c-17")

    contact = await org.creates("Contact", LastName="Vega", Account={"TL_Customer_Key__c": "c-17"})

    found = (await org.call("GET", f"sobjects/Contact/{contact}")).json()
    assert found["AccountId"] == account


async def test_an_upsert_may_be_told_not_to_create(org: Org) -> None:
    path = "sobjects/Account/TL_Customer_Key__c/c-17?updateOnly=true"

    answer = await org.call("PATCH", path, {"Name": "Northwind"})

    assert answer.status_code == 404
    assert await org.finds("SELECT Id FROM Account") == []


async def test_the_key_is_not_repeated_in_the_body(org: Org) -> None:
    body = {"Name": "Northwind", "TL_Customer_Key__c": "c-17"}

    answer = await org.call("PATCH", "sobjects/Account/TL_Customer_Key__c/c-17", body)

    assert answer.json()[0]["errorCode"] == "INVALID_FIELD"


async def test_a_collection_undone_as_a_whole_says_so_for_each_record(org: Org) -> None:
    records = [
        {"attributes": {"type": "Account"}, "Name": "A"},
        {"attributes": {"type": "Account"}, "Nonsense": 1},
    ]

    answer = await org.call("POST", "composite/sobjects", {"allOrNone": True, "records": records})

    codes = [result["errors"][0]["statusCode"] for result in answer.json()]
    assert (answer.status_code, codes) == (
        200,
        ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "INVALID_FIELD"],
    )
    assert await org.finds("SELECT Id FROM Account") == []


async def test_many_are_read_and_deleted_in_one_call(org: Org) -> None:
    ids = [await org.creates("Account", Name=name) for name in ("A", "B")]

    read = await org.call("GET", f"composite/sobjects/Account?ids={ids[0]},001x&fields=Name")
    deleted = await org.call("DELETE", f"composite/sobjects?ids={','.join(ids)}&allOrNone=true")

    assert [r and r["Name"] for r in read.json()] == ["A", None]
    assert [r["success"] for r in deleted.json()] == [True, True]


async def test_a_composite_without_reference_is_refused_whole(org: Org) -> None:
    part = {"method": "GET", "url": f"{DATA}/limits"}

    answer = await org.call("POST", "composite", {"compositeRequest": [part]})

    assert answer.status_code == 400


async def test_a_part_that_refers_to_a_failed_part_is_halted(org: Org) -> None:
    body = {"LastName": "Vega", "AccountId": "@{account.id}"}
    parts = [
        {"method": "POST", "url": f"{DATA}/sobjects/Account", "referenceId": "account", "body": {}},
        {"method": "POST", "url": f"{DATA}/sobjects/Contact", "referenceId": "c", "body": body},
    ]

    answer = await org.call("POST", "composite", {"compositeRequest": parts})

    codes = [part["body"][0]["errorCode"] for part in answer.json()["compositeResponse"]]
    assert codes == ["REQUIRED_FIELD_MISSING", "PROCESSING_HALTED"]


async def test_a_batch_halts_on_request(org: Org) -> None:
    requests = [
        {"method": "GET", "url": "v62.0/sobjects/Account/001x"},
        {"method": "GET", "url": "v62.0/limits"},
    ]

    answer = await org.call(
        "POST", "composite/batch", {"haltOnError": True, "batchRequests": requests}
    )

    assert answer.json()["hasErrors"] is True
    assert [r["statusCode"] for r in answer.json()["results"]] == [404, 412]


async def test_pages_can_be_smaller_and_locators_grow_old(org: Org) -> None:
    records = [{"attributes": {"type": "Account"}, "Name": f"A{n}"} for n in range(200)]
    for _ in range(2):
        await org.call("POST", "composite/sobjects", {"records": records})

    first = await org.call(
        "GET", "query?q=SELECT+Id+FROM+Account", **{"Sforce-Query-Options": "batchSize=200"}
    )
    rest = await org.call("GET", first.json()["nextRecordsUrl"])
    await org.waits(3 * 24 * 3600)
    await org.logs_in()
    late = await org.call("GET", first.json()["nextRecordsUrl"])

    assert (len(first.json()["records"]), first.json()["done"]) == (200, False)
    assert (len(rest.json()["records"]), rest.json()["done"]) == (200, True)
    assert late.json()[0]["errorCode"] == "INVALID_QUERY_LOCATOR"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("sobjects/Account", [1]),
        ("sobjects/Contact", {"LastName": "Vega", "Account": "Northwind"}),
        ("composite", {"compositeRequest": [1]}),
        ("composite/batch", {"batchRequests": [1]}),
        ("composite/sobjects", {"records": [1]}),
    ],
)
async def test_a_body_of_another_shape_is_a_bad_request(org: Org, path: str, body: Any) -> None:
    assert (await org.call("POST", path, body)).status_code == 400


async def test_many_children_come_in_pages_of_their_own(org: Org) -> None:
    account = await org.creates("Account", Name="Northwind")
    person = {"attributes": {"type": "Contact"}, "LastName": "Vega", "AccountId": account}
    for count in (200, 1):
        await org.call("POST", "composite/sobjects", {"records": [person] * count})

    query = "query?q=SELECT+Name,(SELECT+Id+FROM+Contacts)+FROM+Account"
    answer = await org.call("GET", query, **{"Sforce-Query-Options": "batchSize=200"})
    contacts = answer.json()["records"][0]["Contacts"]
    rest = (await org.call("GET", contacts["nextRecordsUrl"])).json()

    assert (contacts["totalSize"], len(contacts["records"]), contacts["done"]) == (201, 200, False)
    assert (len(rest["records"]), rest["done"]) == (1, True)


async def test_a_session_ends_by_the_sandboxs_clock(org: Org) -> None:
    await org.waits(2 * 3600 + 1)

    answer = await org.query("SELECT Id FROM Account")

    assert answer.status_code == 401
    assert answer.json() == [
        {"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}
    ]


async def test_some_401s_are_not_mended_by_a_new_token(org: Org) -> None:
    await org.sets(odd_session="rest")

    await org.logs_in()
    answer = await org.query("SELECT Id FROM Account")

    assert answer.status_code == 401
    assert "not valid for use with the REST API" in answer.text


async def test_the_share_of_the_app_is_told_too(org: Org) -> None:
    await org.sets(app_calls=250, daily_calls=5000)

    answer = await org.call("GET", "limits")

    usage = "api-usage=1/5000; per-app-api-usage=1/250(appName=throughline)"
    assert answer.headers["Sforce-Limit-Info"] == usage


async def test_ids_are_never_used_twice(org: Org) -> None:
    before = await org.creates("Account", Name="A")

    await org.call("POST", "/__sandbox__/reset")
    await org.logs_in()
    after = await org.creates("Account", Name="A")

    assert before != after


async def test_the_state_holds_every_record_in_the_vendors_form(org: Org) -> None:
    made = await org.wins_deal()

    state = (await org.call("GET", "/__sandbox__/state")).json()

    [deal] = state["Opportunity"]
    assert deal["Id"] == made["deal"]
    assert deal["attributes"]["type"] == "Opportunity"
    assert len(state["OpportunityLineItem"]) == 2
