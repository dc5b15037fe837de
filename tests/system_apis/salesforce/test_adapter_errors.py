"""Each row of Salesforce's error table, as it arrives, and the requests as they are sent."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import parse_qs

import pytest
from joserfc import jwt
from joserfc.jwk import RSAKey
from pytest_httpx import HTTPXMock

from apis.runtime.sign_in import Account
from apis.runtime.store import Store
from apis.runtime.wire import Unanswered, error_for
from contracts.canonical.deal import DealMark, DealMarking
from contracts.errors import (
    Conflict,
    Misconfigured,
    NotFound,
    Rejected,
    Throttled,
    ThroughlineError,
    Transient,
    Unavailable,
)
from system_apis.salesforce.soql import soql
from system_apis.salesforce.vendor import SALESFORCE, token_request
from tests.runtime.acme import asks, made, rows
from tests.system_apis.salesforce.connected import DATA, HOST, TOKEN_URL, answered

pytestmark = pytest.mark.one_form  # what an error means knows no store
DEAL = "006Tl0000000001IAA"
MARK = DealMark(project_key="project-7", status="active")
PLACE = f"{DATA}/sobjects/Opportunity/{DEAL}"
UNKNOWN = [{"errorCode": "UNKNOWN_EXCEPTION", "message": "ErrorId 1-2 (3)"}]
SESSION = [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}]


@pytest.fixture
def store(store_url: str):
    with made(store_url) as store:
        yield store


def told(code: str, message: str = "no", *fields: str) -> list[dict[str, Any]]:
    return [{"message": message, "errorCode": code, "fields": list(fields)}]


TABLE: list[tuple[int, Any, type[ThroughlineError], str]] = [
    (403, told("REQUEST_LIMIT_EXCEEDED"), Throttled, "REQUEST_LIMIT_EXCEEDED"),
    (400, told("UNABLE_TO_LOCK_ROW"), Transient, "UNABLE_TO_LOCK_ROW"),
    (400, told("QUERY_TIMEOUT"), Transient, "QUERY_TIMEOUT"),
    (400, told("DUPLICATES_DETECTED"), Conflict, "DUPLICATES_DETECTED"),
    (400, told("DUPLICATE_VALUE"), Conflict, "DUPLICATE_VALUE"),
    (400, told("DUPLICATE_EXTERNAL_ID"), Conflict, "DUPLICATE_EXTERNAL_ID"),
    (400, told("ENTITY_IS_LOCKED"), Conflict, "ENTITY_IS_LOCKED"),
    (300, ["/a/1", "/a/2"], Conflict, "MULTIPLE_CHOICES"),
    (400, told("INVALID_QUERY_LOCATOR"), Conflict, "INVALID_QUERY_LOCATOR"),
    (503, told("SERVER_UNAVAILABLE"), Unavailable, "SERVER_UNAVAILABLE"),
    (400, told("ORG_IN_MAINTENANCE"), Unavailable, "ORG_IN_MAINTENANCE"),
    (404, told("NOT_FOUND"), NotFound, "NOT_FOUND"),
    (404, told("ENTITY_IS_DELETED"), NotFound, "ENTITY_IS_DELETED"),
    (400, told("MALFORMED_ID"), NotFound, "MALFORMED_ID"),
    (400, told("FIELD_CUSTOM_VALIDATION_EXCEPTION"), Rejected, "FIELD_CUSTOM_VALIDATION_EXCEPTION"),
    (400, told("REQUIRED_FIELD_MISSING"), Rejected, "REQUIRED_FIELD_MISSING"),
    (400, told("SOMETHING_NEW"), Rejected, "SOMETHING_NEW"),
    (400, told("APEX_ERROR", "my trigger"), Rejected, "APEX_ERROR"),
    (400, told("APEX_ERROR", "UNABLE_TO_LOCK_ROW, unable"), Transient, "APEX_ERROR"),
    (403, told("INSUFFICIENT_ACCESS"), Misconfigured, "INSUFFICIENT_ACCESS"),
    (403, told("API_DISABLED_FOR_ORG"), Misconfigured, "API_DISABLED_FOR_ORG"),
    (400, told("INVALID_FIELD"), Misconfigured, "INVALID_FIELD"),
    (400, told("MALFORMED_QUERY"), Misconfigured, "MALFORMED_QUERY"),
    (410, told("UNSUPPORTED_API_VERSION"), Misconfigured, "UNSUPPORTED_API_VERSION"),
    (414, None, Misconfigured, "URI_TOO_LONG"),
    (500, UNKNOWN, Unanswered, "UNKNOWN_EXCEPTION"),
    (502, None, Unanswered, "502"),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[3]} {row[2].__name__}")
async def test_an_error_arrives_as_the_class_that_says_who_acts(
    store: Store, httpx_mock: HTTPXMock, tmp_path, row
) -> None:
    status, body, kind, code = row
    httpx_mock.add_response(url=PLACE, status_code=status, json=body)

    async with answered(store, tmp_path, httpx_mock) as crm:
        asks()
        with pytest.raises(kind) as raised:
            await crm.mark_deal(DEAL, MARK)

    assert (type(raised.value), raised.value.code) == (kind, f"salesforce.{code}")


def test_every_code_of_the_table_is_classed_as_it_says() -> None:
    for code, kind in SALESFORCE.errors.classes.items():
        error = error_for("salesforce", SALESFORCE.errors, code, "", status=400)
        assert type(error) is kind


async def test_an_html_page_leaves_us_not_knowing(
    store: Store, httpx_mock: HTTPXMock, tmp_path
) -> None:
    httpx_mock.add_response(url=PLACE, status_code=503, html="<h1>Down for maintenance</h1>")

    async with answered(store, tmp_path, httpx_mock) as crm:
        asks()
        with pytest.raises(Unanswered, match=r"salesforce\.503"):
            await crm.mark_deal(DEAL, MARK)

    [row] = await rows(store)
    assert (row.state, row.lease) == ("sent", 0.0)


@pytest.mark.parametrize(
    "text",
    [
        "This session is not valid for use with the REST API",
        "Connected app is not attached to Agent",
    ],
)
async def test_a_401_that_a_new_token_would_not_mend_does_not_loop(
    store: Store, httpx_mock: HTTPXMock, tmp_path, text: str
) -> None:
    body = [{"errorCode": "INVALID_SESSION_ID", "message": text}]
    httpx_mock.add_response(url=PLACE, status_code=401, json=body)

    async with answered(store, tmp_path, httpx_mock) as crm:
        asks()
        with pytest.raises(Misconfigured, match=r"salesforce\.INVALID_SESSION_ID"):
            await crm.mark_deal(DEAL, MARK)

    assert len(httpx_mock.get_requests(url=TOKEN_URL)) == 1


async def test_a_session_that_is_refused_twice_is_misconfigured(
    store: Store, httpx_mock: HTTPXMock, tmp_path
) -> None:
    httpx_mock.add_response(url=PLACE, status_code=401, json=SESSION, is_reusable=True)

    async with answered(store, tmp_path, httpx_mock) as crm:
        asks()
        with pytest.raises(Misconfigured):
            await crm.mark_deal(DEAL, MARK)

    assert len(httpx_mock.get_requests(url=TOKEN_URL)) == 2
    assert len(httpx_mock.get_requests(url=PLACE)) == 2


async def test_a_call_says_who_calls_and_sends_only_its_own_fields(
    store: Store, httpx_mock: HTTPXMock, tmp_path
) -> None:
    httpx_mock.add_response(url=PLACE, method="PATCH", status_code=204)

    async with answered(store, tmp_path, httpx_mock) as crm:
        asks()
        await crm.mark_deal(DEAL, MARK)

    signed_in, sent = httpx_mock.get_requests()
    basic = base64.b64encode(b"id:s3cret").decode()
    assert signed_in.headers["Authorization"] == f"Basic {basic}"
    assert parse_qs(signed_in.content.decode()) == {"grant_type": ["client_credentials"]}
    assert sent.headers["Authorization"] == "Bearer 00D!AQ"
    assert sent.headers["Sforce-Call-Options"] == "client=throughline"
    fields = {"TL_Project_Key__c": "project-7", "TL_Project_Status__c": "active"}
    assert json.loads(sent.content) == fields


def test_an_assertion_is_signed_for_the_login_host() -> None:
    key = RSAKey.generate_key(2048)
    pem = key.as_pem(private=True).decode()
    known = {"client_id": "3MVG9", "username": "bot@firm.test", "private_key": pem}
    account = Account(HOST, HOST, "jwt", "https://login.salesforce.com", known)

    asked = token_request(account, 1_000_000.7)

    claims = jwt.decode(asked.form["assertion"], key, algorithms=["RS256"]).claims
    assert asked.url == TOKEN_URL
    assert asked.form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert claims == {
        "iss": "3MVG9",
        "sub": "bot@firm.test",
        "aud": "https://login.salesforce.com",
        "exp": 1_000_180,
    }
    assert "private" not in repr(account)
    assert "assertion" not in repr(asked)


async def test_credentials_that_lack_a_part_name_the_owner(
    store: Store, httpx_mock: HTTPXMock, tmp_path
) -> None:
    async with answered(store, tmp_path, httpx_mock) as crm:
        (tmp_path / "sandboxes" / "credentials.json").write_bytes(b'{"salesforce": {}}')
        asks()
        with pytest.raises(Misconfigured, match=r"salesforce\.CREDENTIALS") as raised:
            await crm.mark_deal(DEAL, MARK)

    assert raised.value.owner == "integration"


async def test_a_changed_secret_is_used_at_the_next_sign_in(
    store: Store, httpx_mock: HTTPXMock, tmp_path
) -> None:
    for status, body in ((403, told("REQUEST_LIMIT_EXCEEDED")), (401, SESSION), (204, None)):
        httpx_mock.add_response(url=PLACE, status_code=status, json=body)

    async with answered(store, tmp_path, httpx_mock) as crm:
        asks()
        with pytest.raises(Throttled):
            await crm.mark_deal(DEAL, MARK)
        known = tmp_path / "sandboxes" / "credentials.json"
        known.write_bytes(b'{"salesforce": {"client_id": "id", "client_secret": "new"}}')
        await crm.mark_deal(DEAL, MARK)

    used = [each.headers["Authorization"] for each in httpx_mock.get_requests(url=TOKEN_URL)]
    assert used[-1] == f"Basic {base64.b64encode(b'id:new').decode()}"


async def test_each_part_of_a_composite_is_judged_by_itself(
    store: Store, httpx_mock: HTTPXMock, tmp_path
) -> None:
    parts = [
        {"body": None, "httpStatusCode": 204, "referenceId": f"part0_{DEAL}"},
        {"body": told("UNABLE_TO_LOCK_ROW"), "httpStatusCode": 400, "referenceId": "part1_x"},
        {"body": UNKNOWN, "httpStatusCode": 500, "referenceId": "part2_y"},
    ]
    httpx_mock.add_response(url=f"{DATA}/composite", json={"compositeResponse": parts})

    async with answered(store, tmp_path, httpx_mock) as crm:
        asks()
        marks = [
            DealMarking(external_id=name, mark=DealMark(project_key=f"p-{name}", status="active"))
            for name in (DEAL, "x", "../y")
        ]
        outcomes = await crm.mark_deals(marks)

    assert [each.problem and each.problem.code for each in outcomes] == [
        None,
        "salesforce.UNABLE_TO_LOCK_ROW",
        "salesforce.UNKNOWN_EXCEPTION",
    ]
    assert [row.state for row in await rows(store)] == ["sent", "done", "refused"]
    sent = json.loads(httpx_mock.get_requests()[-1].content)["compositeRequest"]
    assert sent[2]["url"] == "/services/data/v62.0/sobjects/Opportunity/..%2Fy"
    assert sent[2]["referenceId"] == "part2_"


def test_values_never_become_a_part_of_a_query() -> None:
    query = soql("WHERE Name = {} AND Id IN {}", "O'Neil \\ {x}", ["a", "b'"])

    assert query == r"WHERE Name = 'O\'Neil \\ {x}' AND Id IN ('a', 'b\'')"
