"""The authorization server as its clients see it, one of them not written here."""

from __future__ import annotations

import asyncio
import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from authlib.oauth2.rfc7523 import private_key_jwt_sign
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata

from apis.gateway.client_authentication import ASSERTION, StoreOnce
from apis.runtime.migrations import lift
from apis.runtime.store import Store
from tests.gateway import forgery
from tests.gateway.bench import ISSUER, NOW, Bench

TOKEN = "/oauth/token"
T = NOW.timestamp()


def secured(found: dict[str, Any]) -> dict[str, str]:
    """Authlib wants https of every address, on loopback too."""
    return {
        name: value.replace("http:", "https:")
        for name, value in found.items()
        if isinstance(value, str)
    }


def form(assertion: str) -> dict[str, str]:
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION,
        "client_assertion": assertion,
    }


async def test_a_token_is_what_rfc_9068_says(bench: Bench) -> None:
    answer = await bench.http.post(
        TOKEN, data={"grant_type": "client_credentials"}, auth=("clerk", bench.secrets["clerk"])
    )

    body = answer.json()
    head, payload, _ = (
        json.loads(base64.urlsafe_b64decode(part + "==")) if n < 2 else part
        for n, part in enumerate(body["access_token"].split("."))
    )
    kid = bench.tokens.jwks()["keys"][0]["kid"]
    assert head == {"alg": "ES256", "typ": "at+jwt", "kid": kid}
    assert payload.pop("jti")
    assert payload == {
        "iss": ISSUER, "aud": ISSUER, "sub": "clerk", "client_id": "clerk",
        "scope": "catalog.read orders.read orders.write salesforce.read", "roles": ["finance"],
        "person": "clerk@example.com", "iat": int(T), "nbf": int(T), "exp": int(T) + 300,
    }  # fmt: skip
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 300)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"


async def test_a_token_opens_what_its_scope_says(bench: Bench) -> None:
    answer = await bench.http.post(
        TOKEN,
        data={"grant_type": "client_credentials", "scope": "orders.read"},
        auth=("clerk", bench.secrets["clerk"]),
    )
    headers = {"authorization": f"Bearer {answer.json()['access_token']}"}

    read = await bench.http.get("/process/orders/v3/orders", headers=headers)
    write = await bench.http.post("/process/orders/v3/orders", headers=headers, json={})

    assert (read.status_code, write.status_code) == (200, 403)


async def test_an_assertion_counts_once(bench: Bench) -> None:
    assertion = forgery.assertion(bench, "right")

    first = await bench.http.post(TOKEN, data=form(assertion))
    second = await bench.http.post(TOKEN, data=form(assertion))

    assert first.status_code == 200
    assert (second.status_code, second.json()["error"]) == (401, "invalid_client")


async def test_an_assertion_named_by_half_a_letter_counts_once_as_well(bench: Bench) -> None:
    assertion = forgery.assertion(bench, "jti-half")

    answers = [await bench.http.post(TOKEN, data=form(assertion)) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 401]


async def test_an_assertion_sent_twenty_times_at_once_counts_once(bench: Bench) -> None:
    assertion = forgery.assertion(bench, "right")

    answers = await asyncio.gather(
        *(bench.http.post(TOKEN, data=form(assertion)) for _ in range(20))
    )

    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 19


async def test_an_assertion_of_authlib_is_accepted(bench: Bench) -> None:
    bench.clock.set(datetime.now(UTC))  # Authlib knows the real time only, and asks for an hour
    claims = {"exp": int(bench.clock.timestamp()) + 60}
    assertion = private_key_jwt_sign(
        bench.robot,
        client_id="robot",
        token_endpoint=f"{ISSUER}{TOKEN}",
        alg="ES256",
        claims=claims,
    )

    answer = await bench.http.post(TOKEN, data=form(assertion))

    assert answer.status_code == 200, answer.text
    assert answer.json()["scope"] == "orders.read"


async def test_the_metadata_leads_to_everything(bench: Bench) -> None:
    found = (await bench.http.get("/.well-known/oauth-authorization-server")).json()

    assert found["issuer"] == ISSUER
    assert found["token_endpoint"] == f"{ISSUER}{TOKEN}"
    assert found["grant_types_supported"] == [
        "authorization_code", "client_credentials", "refresh_token",
    ]  # fmt: skip
    assert found["code_challenge_methods_supported"] == ["S256"]
    AuthorizationServerMetadata(found | secured(found)).validate()
    assert "private_key_jwt" in found["token_endpoint_auth_methods_supported"]
    keys = (await bench.http.get(found["jwks_uri"])).json()["keys"]
    assert [(key["kty"], key["crv"], key["use"], key["alg"]) for key in keys] == [
        ("EC", "P-256", "sig", "ES256")
    ]
    assert "d" not in keys[0]


async def test_a_name_is_new_once_until_it_is_forgotten(bench: Bench) -> None:
    once = StoreOnce(bench.store)

    assert await once.first("a", T + 60, T)
    assert not await once.first("a", T + 60, T + 1)
    assert await once.first("b", T + 60, T + 1)
    assert await once.first("a", T + 200, T + 61)


async def test_two_workers_share_one_memory_of_assertions(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/once.sqlite"
    stores = [Store(url), Store(url)]
    lift(stores[0])
    workers = [StoreOnce(store) for store in stores]

    answers = await asyncio.gather(
        *(worker.first(f"jti-{n}", T + 60, T) for n in range(10) for worker in workers)
    )

    assert answers.count(True) == 10
    for store in stores:
        store.close()
