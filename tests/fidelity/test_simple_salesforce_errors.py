"""What simple-salesforce, unchanged, makes of the sandbox's refusals: one class per kind."""

from __future__ import annotations

import pytest
from simple_salesforce import (
    SalesforceExpiredSession,
    SalesforceGeneralError,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
)
from simple_salesforce.format import format_soql


def code(refused: pytest.ExceptionInfo) -> str:
    return refused.value.content[0]["errorCode"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, "REQUIRED_FIELD_MISSING"),
        ({"Name": "A", "Nonsense": 1}, "INVALID_FIELD"),
        ({"Name": "A" * 256}, "STRING_TOO_LONG"),
        ({"Name": "A", "CurrencyIsoCode": "XXX"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"),
        ({"Name": "A", "ParentId": "001000000000000AAA"}, "INVALID_CROSS_REFERENCE_KEY"),
        ({"Name": "A", "ParentId": "nonsense"}, "MALFORMED_ID"),
        ({"Name": "A", "SystemModstamp": None}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ({"Name": {"not": "text"}}, "JSON_PARSER_ERROR"),
    ],
)
def test_a_record_that_does_not_fit_is_malformed(salesforce, data, expected):
    with pytest.raises(SalesforceMalformedRequest) as refused:
        salesforce.Account.create(data)

    assert code(refused) == expected


def test_a_key_exists_once(salesforce):
    first = salesforce.Account.create({"Name": "A", "TL_Customer_Key__c": "k"})["id"]

    with pytest.raises(SalesforceMalformedRequest, match=first) as refused:
        salesforce.Account.create({"Name": "B", "TL_Customer_Key__c": "k"})

    assert code(refused) == "DUPLICATE_VALUE"


def test_an_ambiguous_key_lists_the_records(salesforce, sandbox):
    sandbox.back_door("PUT", "/__sandbox__/settings", {"unique_external_ids": False})
    made = [
        salesforce.Account.create({"Name": n, "TL_Customer_Key__c": "k"})["id"] for n in ("A", "B")
    ]

    with pytest.raises(SalesforceMoreThanOneRecord) as refused:
        salesforce.Account.upsert("TL_Customer_Key__c/k", {"Name": "C"})

    assert [url.rsplit("/", 1)[1] for url in refused.value.content] == made


def test_an_alert_of_the_duplicate_rule_blocks_unless_the_save_is_allowed(salesforce, sandbox):
    sandbox.back_door("PUT", "/__sandbox__/settings", {"duplicate_rule": "alert"})
    salesforce.Account.create({"Name": "Northwind"})

    with pytest.raises(SalesforceMalformedRequest) as refused:
        salesforce.Account.create({"Name": "northwind"})
    allow = {"Sforce-Duplicate-Rule-Header": "allowSave=true"}
    saved = salesforce.Account.create({"Name": "northwind"}, headers=allow)

    assert code(refused) == "DUPLICATES_DETECTED"
    assert saved["success"] is True


@pytest.mark.parametrize(
    ("soql", "expected"),
    [
        ("SELECT Id FROM", "MALFORMED_QUERY"),
        ("SELECT Id FROM Account WHERE Name = 'A' AND Id != null OR Name = 'B'", "MALFORMED_QUERY"),
        ("SELECT Nonsense FROM Account", "INVALID_FIELD"),
        ("SELECT Nonsense.Name FROM Account", "INVALID_FIELD"),
        ("SELECT Id FROM Nonsense", "INVALID_TYPE"),
        ("SELECT Id FROM Opportunity WHERE IsWon = 'true'", "INVALID_FIELD"),
        ("SELECT Id FROM Account WHERE Id = 'x'", "INVALID_QUERY_FILTER_OPERATOR"),
    ],
)
def test_a_query_that_is_wrong_is_malformed(salesforce, soql, expected):
    with pytest.raises(SalesforceMalformedRequest) as refused:
        salesforce.query(soql)

    assert code(refused) == expected


def test_a_locator_that_is_unknown_is_refused(salesforce):
    with pytest.raises(SalesforceMalformedRequest) as refused:
        salesforce.query_more("01g000000000001AAA-2000")

    assert code(refused) == "INVALID_QUERY_LOCATOR"


def test_what_is_not_there_is_not_found(salesforce):
    with pytest.raises(SalesforceResourceNotFound):
        salesforce.Account.get("001000000000000AAA")
    with pytest.raises(SalesforceResourceNotFound):
        salesforce.Nonsense.get("001000000000000AAA")


def test_a_deleted_record_is_not_written_to(salesforce):
    record = salesforce.Account.create({"Name": "Gone"})["id"]
    salesforce.Account.delete(record)

    with pytest.raises(SalesforceMalformedRequest) as refused:
        salesforce.Account.update(record, {"Name": "Back"})

    assert code(refused) == "ENTITY_IS_DELETED"


def test_a_dead_token_is_an_expired_session_and_a_login_mends_it(login, salesforce, sandbox):
    direct = login(consumer_key=None, session_id="dead", instance_url=sandbox.url)
    with pytest.raises(SalesforceExpiredSession) as refused:
        direct.query("SELECT Id FROM Account")
    sandbox.meets("Account.search", "expire-token", nth=1)
    before = salesforce.session_id

    answer = salesforce.query("SELECT Id FROM Account")

    assert code(refused) == "INVALID_SESSION_ID"
    assert answer["done"] is True
    assert salesforce.session_id != before


def test_a_spent_allowance_is_refused_with_403_and_no_retry_after(salesforce, sandbox, session):
    sandbox.back_door("PUT", "/__sandbox__/settings", {"daily_calls": 0})

    with pytest.raises(SalesforceRefusedRequest) as refused:
        salesforce.query("SELECT Id FROM Account")

    assert code(refused) == "REQUEST_LIMIT_EXCEEDED"
    answer = session.get(f"{sandbox.url}/services/data/v62.0/limits", headers=salesforce.headers)
    assert "Retry-After" not in answer.headers


@pytest.mark.parametrize(
    ("fault", "status", "expected"),
    [
        ("error", 500, "UNKNOWN_EXCEPTION"),
        ("maintenance", 503, "SERVER_UNAVAILABLE"),
        ("html", 502, "<html>"),
    ],
)
def test_trouble_at_the_vendor_is_a_general_error(salesforce, sandbox, fault, status, expected):
    sandbox.meets("Account.create", fault, nth=1, seconds=60)

    with pytest.raises(SalesforceGeneralError) as refused:
        salesforce.Account.create({"Name": "A"})

    assert refused.value.status == status
    assert expected in str(refused.value.content)


def test_a_locked_row_is_a_malformed_request(salesforce, sandbox):
    record = salesforce.Account.create({"Name": "A"})["id"]
    sandbox.meets("Account.update", "lock", nth=1)

    with pytest.raises(SalesforceMalformedRequest, match="exclusive access") as refused:
        salesforce.Account.update(record, {"Name": "B"})

    assert code(refused) == "UNABLE_TO_LOCK_ROW"


def test_a_retired_version_says_so(login):
    with pytest.raises(SalesforceGeneralError) as refused:
        login(version="29.0").query("SELECT Id FROM Account")

    assert (refused.value.status, code(refused)) == (410, "GONE")


def test_a_query_too_long_for_an_address_is_refused(salesforce):
    with pytest.raises(SalesforceGeneralError) as refused:
        salesforce.query(format_soql("SELECT Id FROM Account WHERE Name = {}", "x" * 17000))

    assert refused.value.status == 414
