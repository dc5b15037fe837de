"""What the `netsuite` client, unchanged, sees in the sandbox; and assertions by another library."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from netsuite import Config, NetSuiteRestApi, TokenAuth
from netsuite.exceptions import NetsuiteAPIRequestError

# the client uses httpx and oauthlib as older releases of them wanted
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
ROOT = Path(__file__).parents[2]
TOKEN = "/services/rest/auth/oauth2/v1/token"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ACME = {"companyName": "Nordlicht GmbH", "subsidiary": {"id": "3"}, "currency": {"id": "4"}}
OURS = """
import json, sys
from apis.runtime.sign_in import Account
from system_apis.netsuite.vendor import token_request
url, known, now = json.load(sys.stdin)
print(token_request(Account(url, url, "jwt", None, known), now).form["client_assertion"])
"""


@pytest.fixture
def sandbox(netsuite_process):
    netsuite_process.back_door("POST", "/__sandbox__/reset")
    return netsuite_process


@pytest.fixture
def asks(sandbox, monkeypatch) -> Callable[..., Any]:
    """Runs one call of the client, whose host is the sandbox."""
    monkeypatch.setenv("SSL_CERT_FILE", sandbox.authority)
    known = sandbox.credentials

    def ask(work: Callable[[NetSuiteRestApi], Awaitable[Any]], **changed: str) -> Any:
        auth = {
            "consumer_key": known["consumer_key"],
            "consumer_secret": known["consumer_secret"],
            "token_id": known["token_id"],
            "token_secret": known["token_secret"],
            **changed,
        }
        account = auth.pop("account", known["account"])
        api = NetSuiteRestApi(Config(account=account, auth=TokenAuth(**auth)))
        api.hostname = sandbox.address
        return asyncio.run(work(api))

    return ask


@pytest.fixture
def customer(asks) -> str:
    """The id of a customer made at an external id."""
    asks(lambda api: api.put("/record/v1/customer/eid:customer-1", json=ACME))
    return asks(lambda api: api.get("/record/v1/customer/eid:customer-1"))["id"]


# The client


def test_upserts_and_reads_a_customer(asks, customer):
    again = asks(lambda api: api.put("/record/v1/customer/eid:customer-1", json={"phone": "+49"}))

    known = asks(lambda api: api.get(f"/record/v1/customer/{customer}"))
    assert again is None
    assert known["externalId"] == "customer-1"
    assert (known["companyName"], known["phone"]) == ("Nordlicht GmbH", "+49")
    assert known["currency"]["refName"] == "EUR"
    assert known["links"][0]["rel"] == "self"


def test_the_place_of_what_was_made_is_told(asks):
    answer = asks(lambda api: api.request("POST", "/record/v1/customer", json=ACME))

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Location"].rpartition("/")[2].isdecimal()


def test_changes_and_deletes(asks, customer):
    path = f"/record/v1/customer/{customer}"

    asks(lambda api: api.patch(path, json={"vatRegNumber": "DE136695976"}))
    assert asks(lambda api: api.get(path))["vatRegNumber"] == "DE136695976"
    asks(lambda api: api.delete(path))

    with pytest.raises(NetsuiteAPIRequestError) as gone:
        asks(lambda api: api.get(path))
    assert gone.value.status_code == 404


def test_queries_by_page(asks):
    for n in range(3):
        asks(lambda api, n=n: api.put(f"/record/v1/customer/eid:c-{n}", json=ACME))
    query = "SELECT id, externalId, companyName, isInactive FROM customer ORDER BY id"

    first = asks(lambda api: api.suiteql(query, limit=2))
    rest = asks(lambda api: api.suiteql(query, limit=2, offset=2))

    assert (first["count"], first["hasMore"], first["totalResults"]) == (2, True, 3)
    assert [row["externalid"] for row in first["items"] + rest["items"]] == ["c-0", "c-1", "c-2"]
    assert {type(value) for name, value in rest["items"][0].items() if name != "links"} == {str}
    assert (rest["items"][0]["isinactive"], rest["hasMore"]) == ("F", False)


def test_special_characters_are_signed_as_they_are_sent(asks, customer):
    found = asks(
        lambda api: api.get(
            f"/record/v1/customer/{customer}",
            params={"fields": "companyName,externalId", "x": "ä +&="},
        )
    )

    assert found.keys() == {"links", "companyName", "externalId"}


def test_a_misspelt_field_is_refused_by_the_header_that_the_client_sends(asks):
    with pytest.raises(NetsuiteAPIRequestError) as refused:
        asks(lambda api: api.put("/record/v1/customer/eid:c-1", json={**ACME, "compnyName": "x"}))

    told = json.loads(refused.value.response_text)
    assert (refused.value.status_code, told["title"]) == (400, "Bad Request")
    assert told["o:errorDetails"][0]["o:errorPath"] == "compnyName"


@pytest.mark.parametrize("part", ["consumer_secret", "token_secret", "token_id", "account"])
def test_wrong_credentials_are_no_login(asks, part):
    with pytest.raises(NetsuiteAPIRequestError) as refused:
        asks(lambda api: api.suiteql("SELECT id FROM customer"), **{part: "wrong"})

    assert refused.value.status_code == 401
    assert "INVALID_LOGIN_ATTEMPT" in refused.value.response_text


def test_too_many_calls_and_maintenance_are_told_by_status(asks, sandbox):
    for fault, status in (("throttle", 429), ("maintenance", 503)):
        sandbox.meets("customer.search", fault, nth=1, seconds=0.01)
        with pytest.raises(NetsuiteAPIRequestError) as refused:
            asks(lambda api: api.suiteql("SELECT id FROM customer"))
        assert refused.value.status_code == status


# Assertions


@pytest.fixture
def session(sandbox) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = sandbox.authority
        yield session


def grant(session, url: str, assertion: str) -> requests.Response:
    form = {"grant_type": "client_credentials", "client_assertion_type": JWT_BEARER}
    return session.post(url + TOKEN, data={**form, "client_assertion": assertion})


@pytest.mark.parametrize(("which", "algorithm"), [("", "ES256"), ("rsa_", "PS256")])
def test_our_assertion_holds_for_another_library_and_for_the_sandbox(
    sandbox, session, which, algorithm
):
    known = dict(sandbox.credentials)
    known |= {name: known[which + name] for name in ("private_key", "certificate_id")}
    given = json.dumps([sandbox.url, known, time.time()])
    python = str(ROOT / ".venv/bin/python")
    made = subprocess.run(
        [python, "-c", OURS], input=given, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()

    key = load_pem_private_key(known["private_key"].encode(), None).public_key()
    claims = jwt.decode(made, key, algorithms=[algorithm], audience=sandbox.url + TOKEN)
    header = jwt.get_unverified_header(made)
    assert (header["typ"], header["kid"]) == ("JWT", known["certificate_id"])
    assert claims["iss"] == known["client_id"]
    assert claims["scope"] == ["rest_webservices"]
    assert 0 < claims["exp"] - claims["iat"] < 3600
    granted = grant(session, sandbox.url, made)
    assert granted.status_code == 200, granted.text
    assert granted.json()["token_type"] == "bearer"


@pytest.mark.parametrize(("which", "algorithm"), [("", "ES256"), ("rsa_", "PS256")])
def test_an_assertion_of_another_library_is_taken(sandbox, session, which, algorithm):
    known, now = sandbox.credentials, int(time.time())
    claims = {
        "iss": known["client_id"],
        "scope": ["rest_webservices"],
        "aud": sandbox.url + TOKEN,
        "iat": now,
        "exp": now + 300,
    }
    headers = {"kid": known[f"{which}certificate_id"]}
    made = jwt.encode(claims, known[f"{which}private_key"], algorithm=algorithm, headers=headers)

    token = grant(session, sandbox.url, made).json()["access_token"]

    answer = session.post(
        f"{sandbox.url}/services/rest/query/v1/suiteql",
        json={"q": "SELECT symbol FROM currency WHERE id = 4"},
        headers={"Authorization": f"Bearer {token}", "Prefer": "transient"},
    )
    assert answer.json()["items"] == [{"links": [], "symbol": "EUR"}]


def test_rs256_is_not_taken(sandbox, session):
    known, now = sandbox.credentials, int(time.time())
    claims = {"iss": known["client_id"], "scope": "rest_webservices", "iat": now, "exp": now + 60}
    claims["aud"] = sandbox.url + TOKEN
    headers = {"kid": known["rsa_certificate_id"]}
    made = jwt.encode(claims, known["rsa_private_key"], algorithm="RS256", headers=headers)

    refused = grant(session, sandbox.url, made)

    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
