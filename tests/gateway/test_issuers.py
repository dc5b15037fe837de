"""Whoever another issuer vouches for is admitted as the policy says, and nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from apis.gateway.app import gateway_app
from apis.gateway.compiled import compile_policy
from apis.gateway.documents import load_documents
from apis.gateway.policy import PolicyError, load_gateway
from apis.gateway.trust import AGAIN_S, EVERY_S, KEPT_S, Rings
from apis.runtime.clients import outgoing
from tests.gateway.bench import HERE, ISSUER, Bench, echo
from tests.gateway.issuer import OTHER, RSA, Provider, provider

GOOD = (HERE / "gateway.yaml").read_text()
TRUSTED = """
issuers:
  entra:
    issuer: {url}
    audience: api://throughline
    discovery: true
    algorithms: [RS256, PS256, ES256, EdDSA]
    plan: internal
    client: azp
    scopes: scp
    roles: {{claim: groups, map: {{g-finance: finance}}}}
    rows: {{customers: customers}}
"""
ROWS = "rows: {customers: customers}"
ORDERS = "/process/orders/v3/orders"
DEALS = "/system/salesforce/v1/deals/D-1"


class House:
    """A gateway that trusts a provider."""

    def __init__(self, bench: Bench, provider: Provider, **changes: str) -> None:
        self.bench = bench
        self.provider = provider
        self.http = outgoing()
        self.rings = Rings(self.http, bench.clock)
        text = GOOD + TRUSTED.format(url=provider.url)
        for right, wrong in changes.items():
            text = text.replace(right, wrong)
        policy = compile_policy(load_gateway(text), load_documents(HERE / "published"))
        edge = bench.edge._replace(rings=self.rings)
        app = gateway_app(policy, dict.fromkeys(policy.mounts, echo), edge)
        self.inside = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ISSUER)

    def token(self, case: dict[str, Any] | None = None) -> str:
        return self.provider.token(self.bench.clock.timestamp(), case)

    async def call(self, token: str, path: str = ORDERS) -> httpx.Response:
        return await self.inside.get(path, headers={"authorization": f"Bearer {token}"})


@pytest.fixture
async def house(bench: Bench) -> AsyncIterator[House]:
    async with provider() as made:
        house = House(bench, made)
        yield house
        await house.http.aclose()


async def test_what_the_issuer_says_becomes_what_the_policy_calls_it(house: House) -> None:
    answer = await house.call(house.token())

    context = answer.json()["context"]
    assert context["client"] == "entra:portal"
    assert context["actor"] == "entra:person-1"
    assert context["roles"] == ["finance"]
    assert context["rows"] == {"customers": ["C-1"]}
    assert set(context["scopes"]) == {"orders.read", "catalog.read"}


@pytest.mark.parametrize(("changes", "status"), [({}, 403), ({ROWS: "rows: all"}, 200)])
async def test_who_sees_a_part_of_the_firm_gets_no_scope_of_a_system(
    bench: Bench, changes: dict[str, str], status: int
) -> None:
    async with provider() as made:
        house = House(bench, made, **changes)
        token = house.token({"claims": {"scp": "orders.read salesforce.read"}})

        assert (await house.call(token, DEALS)).status_code == status
        assert (await house.call(token)).status_code == 200
        await house.http.aclose()


@pytest.mark.parametrize(
    ("claims", "rows"),
    [
        ({"customers": None}, {"customers": []}),
        ({"customers": []}, {"customers": []}),
        ({"customers": {"all": True}}, {"customers": []}),
        ({"customers": [7, None]}, {"customers": []}),
        ({"customers": "C-7"}, {"customers": ["C-7"]}),
        ({"customers": ["C-7", "C\ud800", "C\0", "C" * 129]}, {"customers": ["C-7"]}),
    ],
)
async def test_a_rule_that_finds_nothing_gives_no_rows(
    house: House, claims: dict[str, Any], rows: dict[str, Any]
) -> None:
    answer = await house.call(house.token({"claims": claims}))

    assert answer.json()["context"]["rows"] == rows


async def test_a_group_that_is_not_mapped_is_no_role(house: House) -> None:
    answer = await house.call(house.token({"claims": {"groups": ["finance", "g-unknown"]}}))

    assert "roles" not in answer.json()["context"]


async def test_a_scope_that_the_issuer_does_not_grant_is_refused(house: House) -> None:
    answer = await house.call(house.token({"claims": {"scp": "catalog.read"}}))

    assert answer.status_code == 403


RIGHT: dict[str, dict[str, Any]] = {
    "EC": {"key": "ec", "header": {"alg": "ES256"}},
    "EdDSA": {"key": "ed", "header": {"alg": "EdDSA"}},
    "PSS": {"header": {"alg": "PS256"}},
    "JWT": {"header": {"typ": "JWT"}},
    "with a thumbprint": {"header": {"x5t": "abc"}},
    "several audiences": {"claims": {"aud": ["x", "api://throughline"]}},
}


@pytest.mark.parametrize("case", RIGHT.values(), ids=RIGHT)
async def test_a_token_in_the_form_of_a_known_issuer_is_accepted(
    house: House, case: dict[str, Any]
) -> None:
    assert (await house.call(house.token(case))).status_code == 200


WRONG: dict[str, dict[str, Any]] = {
    "another audience": {"claims": {"aud": "api://other"}},
    "no audience": {"claims": {"aud": None}},
    "an audience in an object": {"claims": {"aud": {"api://throughline": 1}}},
    "another issuer": {"claims": {"iss": "https://evil.example"}},
    "our own issuer": {"claims": {"iss": ISSUER}},
    "an issuer with a slash more": {"claims": {"iss": "{url}/"}},
    "no issuer": {"claims": {"iss": None}},
    "an id token": {"header": {"typ": "id+jwt"}},
    "no type": {"header": {"typ": None}},
    "expired": {"claims": {"exp": 1}},
    "no expiry": {"claims": {"exp": None}},
    "an expiry in text": {"claims": {"exp": "9999999999"}},
    "for ever": {"claims": {"exp": 9_999_999_999}},
    "not yet": {"claims": {"nbf": 9_999_999_999}},
    "made tomorrow": {"claims": {"iat": 9_999_999_999}},
    "no subject": {"claims": {"sub": None}},
    "no client": {"claims": {"azp": None}},
    "a client of half a letter": {"claims": {"azp": "a\ud800"}},
    "a client with a control character": {"claims": {"azp": "a\0b"}},
    "a client too long to be kept": {"claims": {"azp": "a" * 129}},
    "a subject of half a letter": {"claims": {"sub": "a\ud800"}},
    "a subject too long to be kept": {"claims": {"sub": "a" * 129}},
    "made before all time": {"claims": {"iat": float("-inf")}},
    "made at no time": {"claims": {"iat": float("nan")}},
    "two clients": {"claims": {"azp": ["a", "b"]}},
    "a key that is too small": {"key": "small"},
    "a key that is not there": {"key": "other"},
    "a stranger's key under a known name": {"key": "other", "header": {"kid": RSA.kid}},
    "no key id": {"header": {"kid": None}},
    "a key in the header": {"header": {"jwk": OTHER.as_dict(private=False)}},
    "an address of keys": {"key": "other", "header": {"jku": "{url}/evil"}},
    "an address of certificates": {"key": "other", "header": {"x5u": "{url}/evil"}},
    "an unknown extension": {"header": {"crit": ["exp"]}},
    "a public key as a secret": {"header": {"alg": "HS256"}},
    "another way to sign": {"header": {"alg": "RS512"}},
}


def at(value: Any, url: str) -> Any:
    if isinstance(value, dict):
        return {name: at(held, url) for name, held in value.items()}
    return value.replace("{url}", url) if isinstance(value, str) else value


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
async def test_anything_else_is_refused(house: House, case: dict[str, Any]) -> None:
    answer = await house.call(house.token(at(case, house.provider.url)))

    assert answer.status_code == 401
    assert answer.json()["code"] == "invalid-token"
    assert set(house.provider.asked) <= {"/.well-known/openid-configuration", "/keys"}


async def test_a_token_that_was_changed_is_refused(house: House) -> None:
    head, payload, signature = house.token().split(".")
    middle = house.token({"claims": {"azp": "other"}}).split(".")[1]

    for token in (f"{head}.{middle}.{signature}", f"{head}.{payload}.", f"{head}.{payload}"):
        assert (await house.call(token)).status_code == 401


async def test_a_new_key_is_found_at_once_and_an_old_one_is_not_missed(house: House) -> None:
    before, after = house.token(), house.token({"key": "other"})
    assert (await house.call(before)).status_code == 200

    house.provider.keys = [OTHER]
    house.bench.clock.advance(AGAIN_S + 1)

    assert (await house.call(after)).status_code == 200
    assert (await house.call(before)).status_code == 401


async def test_unknown_keys_are_asked_for_once_a_minute(house: House) -> None:
    for _ in range(20):
        await house.call(house.token({"header": {"kid": "nobody"}}))

    assert house.provider.asked.count("/keys") == 1


async def test_the_last_good_keys_serve_while_the_issuer_is_away_for_a_day(house: House) -> None:
    await house.rings.look()
    house.provider.away = True
    house.bench.clock.advance(EVERY_S + 1)
    await house.rings.look()
    assert house.provider.asked.count("/.well-known/openid-configuration") == 2
    assert (await house.call(house.token())).status_code == 200

    house.bench.clock.advance(KEPT_S)

    assert (await house.call(house.token())).status_code == 401


@pytest.mark.parametrize(
    "said",
    [
        {"issuer": "https://evil.example"},
        {"jwks_uri": "http://10.0.0.1/keys"},
        {"jwks_uri": 7},
        {"jwks_uri": "https://[::1/keys"},
        {"jwks_uri": "https://keys.example:port/"},
    ],
)
async def test_metadata_that_is_not_the_issuers_own_is_not_believed(
    house: House, said: dict[str, Any]
) -> None:
    house.provider.said = said

    assert (await house.call(house.token())).status_code == 401


async def test_keys_that_are_none_do_not_stand_in_the_way_of_those_that_are(house: House) -> None:
    known = {"kid": "odd", "kty": "RSA"}
    house.provider.odd = [7, {"kty": ["RSA"], "kid": "odd"}, known, {**known, "n": 5}]

    assert (await house.call(house.token())).status_code == 200
    assert (await house.call(house.token({"header": {"kid": "odd"}}))).status_code == 401


async def test_a_set_without_any_key_leaves_the_last_one(house: House) -> None:
    await house.rings.look()
    house.provider.keys, house.provider.odd = [], [{"kty": ["RSA"], "kid": "odd"}]
    house.bench.clock.advance(EVERY_S + 1)
    await house.rings.look()

    assert (await house.call(house.token())).status_code == 200


async def test_keys_may_come_from_a_file(bench: Bench, tmp_path: Path) -> None:
    made = Provider()
    made.url = "https://login.example.com"
    file = tmp_path / "keys.json"
    file.write_text(f'{{"keys": [{httpx.Response(200, json=RSA.as_dict(private=False)).text}]}}')
    house = House(bench, made, **{"discovery: true": f"jwks: file:{file}"})

    assert (await house.call(house.token())).status_code == 200
    await house.http.aclose()


FINDINGS = [
    ("plan: internal\n    client", "plan: gold\n    client", "issuers.entra.plan: there is no"),
    ("issuer: https", "issuer: http", "issuers.entra.issuer: an https address is expected"),
    ("issuer: https://", "issuer: https://a:b@", "issuers.entra.issuer: an https address is"),
    ("discovery: true", "jwks: https://a:b@c.example/k", "issuers.entra.jwks: an https"),
    ("audience: api://throughline", 'audience: ""', "issuers.entra.audience: say what"),
    (
        "scopes: scp",
        "scopes: {claim: scp, map: {a: orders.raed}}",
        "scopes: no API grants orders.r",
    ),
    (
        "scopes: scp",
        "scopes: {claim: scp, map: {a: salesforce.read}}",
        "issuers.entra.scopes: salesforce.read opens all of a system: nobody with rows",
    ),
    ("  entra:", '  "a:b":', "issuers.a:b: a name has up to 50 plain characters and no colon"),
    ("discovery: true", "discovery: false", "issuers.entra.jwks: say where the keys are"),
    ("discovery: true", "jwks: http://a.example/k", "issuers.entra.jwks: an https address"),
    ("algorithms: [RS256,", "algorithms: [HS256,", "issuers.entra.algorithms.0"),
    ("rows: {customers: customers}", "rows: {}", "issuers.entra.rows: name claims"),
    ("    rows: {customers: customers}\n", "", "issuers.entra: `rows` is missing"),
    ("    client: azp\n", "", "issuers.entra: `client` is missing"),
]


@pytest.mark.parametrize(("right", "wrong", "told"), FINDINGS, ids=[row[2] for row in FINDINGS])
def test_a_mistake_refuses_the_start(right: str, wrong: str, told: str) -> None:
    text = GOOD + TRUSTED.format(url="https://login.example.com")
    assert right in text

    with pytest.raises(PolicyError) as refused:
        compile_policy(load_gateway(text.replace(right, wrong)), load_documents(HERE / "published"))

    assert told in str(refused.value)
