"""Each row of NetSuite's error table, as it arrives, and the requests as they are sent."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey, RSAKey
from pytest_httpx import HTTPXMock

from apis.runtime.clock import Clock
from apis.runtime.sign_in import Account
from apis.runtime.store import Store
from apis.runtime.wire import Unanswered, error_for
from contracts.canonical.party import Customer
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
from system_apis.netsuite.maps import booking
from system_apis.netsuite.suiteql import suiteql
from system_apis.netsuite.vendor import NETSUITE, token_request
from tests.runtime.acme import asks, made, rows
from tests.system_apis.netsuite.connected import HOST, REST, SUITEQL_URL, TOKEN_URL, answered

pytestmark = pytest.mark.one_form  # what an error means knows no store
PLACE = f"{REST}/record/v1/job/9001"
NEW = f"{REST}/record/v1/customer/eid:customer-1"
CUSTOMER = Customer(name="Nordlicht", entity="DE")


@pytest.fixture
def store(store_url: str):
    with made(store_url) as store:
        yield store


def told(code: str, status: int = 400, **more: str) -> dict[str, Any]:
    detail = {"detail": "no", "o:errorCode": code, **more}
    return {"type": "x", "title": "Bad Request", "status": status, "o:errorDetails": [detail]}


TABLE: list[tuple[int, Any, type[ThroughlineError], str]] = [
    (429, told("ANYTHING", 429), Throttled, "ANYTHING"),
    (429, None, Throttled, "TOO_MANY_REQUESTS"),
    (400, told("SSS_REQUEST_LIMIT_EXCEEDED"), Throttled, "SSS_REQUEST_LIMIT_EXCEEDED"),
    (400, told("RCRD_HAS_BEEN_CHANGED"), Transient, "RCRD_HAS_BEEN_CHANGED"),
    (401, told("INVALID_LOGIN", 401), Misconfigured, "INVALID_LOGIN"),
    (401, told("INVALID_LOGIN_ATTEMPT", 401), Misconfigured, "INVALID_LOGIN_ATTEMPT"),
    (403, told("INSUFFICIENT_PERMISSION", 403), Misconfigured, "INSUFFICIENT_PERMISSION"),
    (400, told("INVALID_PARAMETER"), Misconfigured, "INVALID_PARAMETER"),
    (404, told("NONEXISTENT_ID", 404), NotFound, "NONEXISTENT_ID"),
    (404, None, NotFound, "NONEXISTENT_ID"),
    (400, told("DUP_EXT_ID"), Conflict, "DUP_EXT_ID"),
    (400, told("UNIQUE_CUST_ID_REQD"), Conflict, "UNIQUE_CUST_ID_REQD"),
    (400, told("INVALID_CONTENT"), Rejected, "INVALID_CONTENT"),
    (400, told("USER_ERROR"), Rejected, "USER_ERROR"),
    (400, told("SOMETHING_NEW"), Rejected, "SOMETHING_NEW"),
    (500, told("UNEXPECTED_ERROR", 500), Unanswered, "UNEXPECTED_ERROR"),
    (502, None, Unanswered, "502"),
    (503, None, Unavailable, "UNAVAILABLE"),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]} {row[3]} {row[2].__name__}")
async def test_an_error_arrives_as_the_class_that_says_who_acts(
    store: Store, httpx_mock: HTTPXMock, tmp_path, row
) -> None:
    status, body, kind, code = row
    again = status == 401
    httpx_mock.add_response(url=PLACE, status_code=status, json=body, is_reusable=again)

    async with answered(store, tmp_path, httpx_mock) as erp:
        asks()
        with pytest.raises(kind) as raised:
            await erp.set_project_state("9001", "active", "project-1")

    assert (type(raised.value), raised.value.code) == (kind, f"netsuite.{code}")


def test_every_code_of_the_table_is_classed_as_it_says() -> None:
    for code, kind in NETSUITE.errors.classes.items():
        error = error_for("netsuite", NETSUITE.errors, code, "", status=400)
        assert type(error) is kind


async def test_a_refused_field_is_named_and_a_throttled_call_waits_a_moment(
    store: Store, httpx_mock: HTTPXMock, tmp_path
) -> None:
    wrong = told("INVALID_CONTENT", 400, **{"o:errorPath": "item.items[0].item"})
    httpx_mock.add_response(url=PLACE, status_code=400, json=wrong)
    httpx_mock.add_response(url=PLACE, status_code=429)

    async with answered(store, tmp_path, httpx_mock) as erp:
        asks()
        with pytest.raises(Rejected) as refused:
            await erp.set_project_state("9001", "active", "project-1")
        with pytest.raises(Throttled) as throttled:
            await erp.set_project_state("9001", "active", "project-1")

    assert [each.pointer for each in refused.value.errors] == ["/item.items[0].item"]
    assert throttled.value.retry_after == 1


async def test_a_write_asks_to_be_refused_for_a_misspelt_field(
    store: Store, httpx_mock: HTTPXMock, tmp_path
) -> None:
    httpx_mock.add_response(url=NEW, status_code=204, headers={"Location": f"{REST}/x/8812"})

    async with answered(store, tmp_path, httpx_mock) as erp:
        asks()
        ref = await erp.create_customer(CUSTOMER, "customer-1")

    sent = httpx_mock.get_requests()[-1]
    assert ref.external_id == "8812"
    assert sent.headers["X-NetSuite-PropertyNameValidation"] == "Error"
    assert sent.headers["X-NetSuite-PropertyValueValidation"] == "Error"
    assert sent.headers["Authorization"] == "Bearer eyJ"
    assert json.loads(sent.content) == {
        "companyName": "Nordlicht",
        "subsidiary": {"id": "3"},
        "isPerson": False,
    }


async def test_a_record_whose_place_is_not_told_is_looked_up(
    store: Store, httpx_mock: HTTPXMock, tmp_path
) -> None:
    httpx_mock.add_response(url=NEW, status_code=204)
    httpx_mock.add_response(url=SUITEQL_URL, json={"items": [{"links": [], "id": "8812"}]})

    async with answered(store, tmp_path, httpx_mock) as erp:
        asks()
        ref = await erp.create_customer(CUSTOMER, "customer-1")

    assert ref.external_id == "8812"
    query = json.loads(httpx_mock.get_requests()[-1].content)["q"]
    assert query == "SELECT id FROM customer WHERE externalid = 'customer-1' ORDER BY id"


async def test_a_write_whose_idempotency_key_was_used_before_has_succeeded(
    store: Store, httpx_mock: HTTPXMock, tmp_path
) -> None:
    job = {"Location": f"{REST}/async/v1/job/77"}
    again = told("IDEMPOTENCY_ERROR") | {"title": "Conflict"}
    httpx_mock.add_response(url=NEW, status_code=400, json=again, headers=job)
    httpx_mock.add_response(url=SUITEQL_URL, json={"items": [{"links": [], "id": "8812"}]})

    async with answered(store, tmp_path, httpx_mock) as erp:
        asks()
        ref = await erp.create_customer(CUSTOMER, "customer-1")

    [row] = await rows(store)
    assert (ref.external_id, row.state, row.external_id) == ("8812", "done", "8812")


async def test_a_record_that_is_neither_told_nor_found_yet_stays_open(
    store: Store, httpx_mock: HTTPXMock, tmp_path
) -> None:
    httpx_mock.add_response(url=NEW, status_code=204)
    httpx_mock.add_response(url=SUITEQL_URL, json={"items": []})

    async with answered(store, tmp_path, httpx_mock) as erp:
        asks()
        with pytest.raises(Unanswered, match=r"netsuite\.UNNAMED"):
            await erp.create_customer(CUSTOMER, "customer-1")

    [row] = await rows(store)
    assert (row.state, row.lease, row.external_id) == ("sent", 0.0, None)


# An invalid login may be an overload


async def test_a_login_refused_after_success_is_tried_anew_once_then_doubted(
    store: Store, httpx_mock: HTTPXMock, tmp_path
) -> None:
    refused = told("INVALID_LOGIN", 401)
    httpx_mock.add_response(url=PLACE, status_code=204)
    httpx_mock.add_response(url=PLACE, status_code=401, json=refused, is_reusable=True)
    clock = Clock()

    async with answered(store, tmp_path, httpx_mock, clock=clock) as erp:
        asks(request_key="one")
        await erp.set_project_state("9001", "planned", "project-1")
        call = asks(request_key="two")
        with pytest.raises(Unavailable, match="overloaded") as doubted:
            await erp.set_project_state("9001", "active", "project-1")
        calls = [each["operation"] for each in call.calls]
        with pytest.raises(Unavailable, match="BREAKER_OPEN"):
            await erp.set_project_state("9001", "active", "project-1")
        clock.advance(31)
        with pytest.raises(Unavailable, match="INVALID_LOGIN"):
            await erp.set_project_state("9001", "active", "project-1")
        clock.advance(600)
        with pytest.raises(Misconfigured, match=r"netsuite\.INVALID_LOGIN"):
            await erp.set_project_state("9001", "active", "project-1")

    assert calls == ["PATCH /record/v1/job/{}", "sign in", "PATCH /record/v1/job/{}"]
    assert 1 <= doubted.value.retry_after <= 2
    assert {row.state for row in await rows(store)} == {"done", "refused"}


async def test_a_login_that_never_worked_is_misconfigured(
    store: Store, httpx_mock: HTTPXMock, tmp_path
) -> None:
    body = told("INVALID_LOGIN_ATTEMPT", 401)
    httpx_mock.add_response(url=PLACE, status_code=401, json=body, is_reusable=True)

    async with answered(store, tmp_path, httpx_mock, kind="oauth1") as erp:
        asks()
        with pytest.raises(Misconfigured, match="INVALID_LOGIN_ATTEMPT"):
            await erp.set_project_state("9001", "active", "project-1")

    assert len(httpx_mock.get_requests(url=PLACE)) == 2


# Signing in


@pytest.mark.parametrize(
    ("kind", "curve", "algorithm"),
    [(RSAKey, 2048, "PS256"), (ECKey, "P-256", "ES256"), (ECKey, "P-384", "ES384")],
)
def test_an_assertion_is_signed_as_its_certificate_asks(kind, curve, algorithm: str) -> None:
    key = kind.generate_key(curve)
    pem = key.as_pem(private=True).decode()
    known = {"client_id": "id", "certificate_id": "cert-1", "private_key": pem}

    asked = token_request(Account(HOST, HOST, "jwt", None, known), 1_000_000.7)

    made_of = asked.form["client_assertion"]
    claims = jwt.decode(made_of, key, algorithms=[algorithm]).claims
    assert asked.url == TOKEN_URL
    assert asked.form["grant_type"] == "client_credentials"
    assert jws.extract_compact(made_of.encode()).headers() == {
        "alg": algorithm,
        "typ": "JWT",
        "kid": "cert-1",
    }
    assert claims == {
        "iss": "id",
        "scope": ["rest_webservices"],
        "aud": TOKEN_URL,
        "iat": 1_000_000,
        "exp": 1_000_300,
    }
    assert "assertion" not in repr(asked)


async def test_the_form_has_no_client_id_and_no_secret(
    store: Store, httpx_mock: HTTPXMock, tmp_path
) -> None:
    httpx_mock.add_response(url=PLACE, status_code=204)

    async with answered(store, tmp_path, httpx_mock) as erp:
        asks()
        await erp.set_project_state("9001", "active", "project-1")

    [signed_in] = httpx_mock.get_requests(url=TOKEN_URL)
    form = parse_qs(signed_in.content.decode())
    assert form.keys() == {"grant_type", "client_assertion_type", "client_assertion"}
    assert "Authorization" not in signed_in.headers


@pytest.mark.parametrize("kind", ["jwt", "oauth1"])
async def test_credentials_that_lack_a_part_name_the_owner(
    store: Store, httpx_mock: HTTPXMock, tmp_path, kind: str
) -> None:
    async with answered(store, tmp_path, httpx_mock, kind=kind) as erp:
        (tmp_path / "sandboxes" / "credentials.json").write_bytes(b'{"netsuite": {}}')
        asks()
        with pytest.raises(Misconfigured, match=r"netsuite\.CREDENTIALS") as raised:
            await erp.set_project_state("9001", "active", "project-1")

    assert raised.value.owner == "integration"


async def test_a_realm_is_spelt_in_capitals_and_nothing_secret_is_sent(
    store: Store, httpx_mock: HTTPXMock, tmp_path
) -> None:
    httpx_mock.add_response(url=SUITEQL_URL, json={"items": []})

    async with answered(store, tmp_path, httpx_mock, kind="oauth1") as erp:
        known = tmp_path / "sandboxes" / "credentials.json"
        all_of_it = json.loads(known.read_bytes())
        all_of_it["netsuite"]["account"] = "30000-sb1"
        known.write_text(json.dumps(all_of_it))
        asks()
        assert await erp.find_customer("customer-1") is None

    sent = httpx_mock.get_requests()[-1].headers["Authorization"]
    assert sent.startswith("OAuth ")
    assert 'realm="30000_SB1"' in sent
    assert 'oauth_signature_method="HMAC-SHA256"' in sent
    for part in ("consumer_secret", "token_secret"):
        assert all_of_it["netsuite"][part] not in sent


def test_values_never_become_a_part_of_a_query() -> None:
    query = suiteql("name = {} AND x = {}", "O'Neil \\ {0}\n--", "b' OR 'x'='x")

    assert query == "name = 'O''Neil \\ {0} --' AND x = 'b'' OR ''x''=''x'"


def test_a_held_project_takes_no_time() -> None:
    assert booking("on_hold") == {
        "allowTime": False,
        "allowExpenses": False,
        "isInactive": False,
    }
