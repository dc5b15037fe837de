"""What simple-salesforce, unchanged, sees in the sandbox."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from simple_salesforce.exceptions import SalesforceAuthenticationFailed
from simple_salesforce.format import format_soql

DEAL = """
    SELECT Id, Name, Amount, IsWon, CloseDate, SystemModstamp, Account.Name, Account.Parent.Name,
           Account.Parent.Parent.Name, Owner.Email,
           (SELECT Id, Quantity, UnitPrice, TotalPrice, Product2.Name FROM OpportunityLineItems
             ORDER BY SortOrder)
      FROM Opportunity WHERE IsWon = true AND Id = {}
"""


# Login


def test_logs_in_with_client_credentials(salesforce, sandbox):
    assert salesforce.sf_instance == sandbox.address
    assert salesforce.is_sandbox() is True


def test_logs_in_with_a_signed_assertion(login, sandbox):
    known = sandbox.credentials

    salesforce = login(
        consumer_secret=None,
        username=known["username"],
        privatekey=known["private_key"],
        domain="login",
    )

    assert salesforce.auth_type == "jwt-bearer"
    assert salesforce.query("SELECT Id FROM User LIMIT 1")["totalSize"] == 1


def test_uses_a_session_it_was_given(login, salesforce, sandbox):
    again = login(consumer_key=None, session_id=salesforce.session_id, instance_url=sandbox.url)

    assert again.query("SELECT COUNT() FROM Account")["totalSize"] == 0


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"consumer_secret": "wrong"}, "invalid_client"),
        ({"consumer_key": "unknown"}, "invalid_client_id"),
    ],
)
def test_a_wrong_secret_or_client_is_refused(login, changed, code):
    with pytest.raises(SalesforceAuthenticationFailed) as refused:
        login(**changed)

    assert refused.value.code == code


def test_the_shared_login_host_refuses_client_credentials(sandbox, session):
    answer = session.post(
        f"{sandbox.url}/services/oauth2/token",
        data={"grant_type": "client_credentials"},
        headers={"Host": "login.salesforce.com"},
    )

    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_an_unknown_user_has_not_approved_the_consumer(login, sandbox):
    key = sandbox.credentials["private_key"]

    with (
        pytest.raises(SalesforceAuthenticationFailed, match="hasn't approved"),
        pytest.warns(UserWarning, match="self-authorize"),
    ):
        login(consumer_secret=None, username="nobody@x", privatekey=key, domain="login")


def test_a_refusal_may_come_without_description(login, sandbox):
    sandbox.meets("token.create", "expire-token", nth=1)

    with pytest.raises(SalesforceAuthenticationFailed) as refused:
        login()

    assert (refused.value.code, refused.value.auth_message) == ("invalid_grant", "")


# Queries


def test_reads_a_deal_with_its_lines_and_the_hierarchy_of_its_customer(salesforce, won_deal):
    answer = salesforce.query(format_soql(DEAL, won_deal))

    [deal] = answer["records"]
    lines = deal["OpportunityLineItems"]["records"]
    assert answer["done"] is True
    assert deal["attributes"]["url"] == f"/services/data/v62.0/sobjects/Opportunity/{won_deal}"
    assert deal["Account"]["Parent"]["Name"].endswith("Group")
    assert deal["Account"]["Parent"]["Parent"] is None
    assert deal["Owner"]["Email"] == "jana.vogt@throughline.example"
    assert [line["Quantity"] for line in lines] == [80.0, 120.0]
    assert isinstance(lines[0]["Quantity"], float)
    assert deal["Amount"] == sum(line["TotalPrice"] for line in lines) == 42800.0
    assert datetime.strptime(deal["SystemModstamp"], "%Y-%m-%dT%H:%M:%S.%f%z").tzinfo


def test_no_child_rows_are_null(salesforce):
    salesforce.Account.create({"Name": "Childless"})

    [account] = salesforce.query("SELECT Id, (SELECT Id FROM Contacts) FROM Account")["records"]

    assert account["Contacts"] is None


def test_quotes_in_values_are_escaped(salesforce):
    name = "O'Neil \\ Sons"
    salesforce.Account.create({"Name": name})

    found = salesforce.query(format_soql("SELECT Name FROM Account WHERE Name = {}", name))

    assert [r["Name"] for r in found["records"]] == [name]


def test_reads_all_pages_of_a_long_result(salesforce):
    for start in range(0, 2200, 200):
        kind, numbers = {"type": "Account"}, range(start, start + 200)
        records = [{"attributes": kind, "Name": f"Firm {n}"} for n in numbers]
        body = json.dumps({"records": records})
        salesforce.restful("composite/sobjects", method="POST", data=body)
    first = salesforce.query("SELECT Name FROM Account ORDER BY Id")

    everyone = salesforce.query_all("SELECT Name FROM Account ORDER BY Id")

    assert (first["totalSize"], len(first["records"]), first["done"]) == (2200, 2000, False)
    assert first["nextRecordsUrl"].endswith("-2000")
    assert [r["Name"] for r in everyone["records"]] == [f"Firm {n}" for n in range(2200)]


def test_deleted_records_are_found_by_query_all_rows_only(salesforce):
    made = salesforce.Account.create({"Name": "Gone"})
    salesforce.Account.delete(made["id"])

    assert salesforce.query("SELECT Id FROM Account")["totalSize"] == 0
    assert salesforce.query("SELECT Id FROM Account", include_deleted=True)["totalSize"] == 1


def test_lists_what_changed_and_what_was_deleted(salesforce):
    kept = salesforce.Account.create({"Name": "Kept"})["id"]
    gone = salesforce.Account.create({"Name": "Gone"})["id"]
    salesforce.Account.delete(gone)
    now = datetime.now(UTC)
    start, end = now - timedelta(hours=1), now + timedelta(hours=1)

    assert salesforce.Account.updated(start, end)["ids"] == [kept]
    assert [r["id"] for r in salesforce.Account.deleted(start, end)["deletedRecords"]] == [gone]


# Records


def test_creates_reads_changes_and_deletes_a_record(salesforce):
    made = salesforce.Account.create({"Name": "Northwind", "BillingCountry": "Germany"})
    record = made["id"]

    changed = salesforce.Account.update(record, {"Name": "Northwind GmbH"})

    assert (made["success"], made["errors"], len(record), changed) == (True, [], 18, 204)
    assert salesforce.Account.get(record)["Name"] == "Northwind GmbH"
    assert salesforce.Account.get(record[:15])["Id"] == record
    assert salesforce.Account.delete(record) == 204


def test_an_upsert_creates_once_and_then_updates(salesforce):
    key = "TL_Customer_Key__c/customer-17"

    first = salesforce.Account.upsert(key, {"Name": "Northwind"}, raw_response=True)
    second = salesforce.Account.upsert(key, {"Name": "Northwind GmbH"}, raw_response=True)

    assert (first.status_code, first.json()["created"]) == (201, True)
    assert (second.status_code, second.json()["created"]) == (200, False)
    found = salesforce.Account.get_by_custom_id("TL_Customer_Key__c", "customer-17")
    assert (found["Id"], found["Name"]) == (first.json()["id"], "Northwind GmbH")


def test_older_versions_answer_an_updating_upsert_with_204(login):
    salesforce = login(version="45.0")
    key = "TL_Customer_Key__c/customer-17"

    assert salesforce.Account.upsert(key, {"Name": "Northwind"}) == 201
    assert salesforce.Account.upsert(key, {"Name": "Northwind"}) == 204


# Many in one call


def test_parts_of_a_composite_refer_to_each_other(salesforce):
    root = "/services/data/v62.0/sobjects"
    parts = [
        {
            "method": "PATCH",
            "url": f"{root}/Account/TL_Customer_Key__c/c-17",
            "referenceId": "account",
            "body": {"Name": "Northwind"},
        },
        {
            "method": "POST",
            "url": f"{root}/Contact",
            "referenceId": "contact",
            "body": {"LastName": "Vega", "AccountId": "@{account.id}"},
        },
    ]

    body = {"allOrNone": True, "compositeRequest": parts}
    answer = salesforce.restful("composite", method="POST", data=json.dumps(body))

    assert [part["httpStatusCode"] for part in answer["compositeResponse"]] == [201, 201]
    [contact] = salesforce.query("SELECT Account.TL_Customer_Key__c FROM Contact")["records"]
    assert contact["Account"]["TL_Customer_Key__c"] == "c-17"


def test_a_composite_that_fails_is_200_and_undone(salesforce):
    root = "/services/data/v62.0/sobjects"
    parts = [
        {"method": "POST", "url": f"{root}/Account", "referenceId": "a", "body": {"Name": "A"}},
        {"method": "POST", "url": f"{root}/Contact", "referenceId": "b", "body": {}},
    ]

    body = {"allOrNone": True, "compositeRequest": parts}
    answer = salesforce.restful("composite", method="POST", data=json.dumps(body))

    codes = [part["body"][0]["errorCode"] for part in answer["compositeResponse"]]
    assert codes == ["PROCESSING_HALTED", "REQUIRED_FIELD_MISSING"]
    assert salesforce.query("SELECT COUNT() FROM Account")["totalSize"] == 0


def test_each_record_of_a_collection_has_its_own_outcome(salesforce):
    records = [
        {"attributes": {"type": "Account"}, "Name": "A", "TL_Customer_Key__c": "a"},
        {"attributes": {"type": "Account"}, "TL_Customer_Key__c": "b"},
    ]
    path = "composite/sobjects/Account/TL_Customer_Key__c"

    good, bad = salesforce.restful(path, method="PATCH", data=json.dumps({"records": records}))

    assert (good["success"], good["created"]) == (True, True)
    assert bad == {
        "success": False,
        "errors": [
            {
                "statusCode": "REQUIRED_FIELD_MISSING",
                "message": "Required fields are missing: [Name]",
                "fields": ["Name"],
            }
        ],
    }


# About the org


def test_describes_objects_and_fields(salesforce):
    names = {o["name"] for o in salesforce.describe()["sobjects"]}
    fields = {f["name"]: f for f in salesforce.Account.describe()["fields"]}
    lines = {c["relationshipName"] for c in salesforce.Opportunity.describe()["childRelationships"]}

    assert {"Account", "Contact", "Opportunity", "OpportunityLineItem", "Product2"} <= names
    assert fields["TL_Customer_Key__c"]["externalId"] is True
    assert fields["Name"]["nillable"] is False
    assert "OpportunityLineItems" in lines
    assert salesforce.Account.metadata()["objectDescribe"]["keyPrefix"] == "001"


def test_tells_limits_and_usage(salesforce):
    limits = salesforce.limits()["DailyApiRequests"]

    assert limits["Max"] - limits["Remaining"] == 1
    assert salesforce.api_usage["api-usage"].total == limits["Max"]
