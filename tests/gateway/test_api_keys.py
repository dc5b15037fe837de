"""API keys, for tools that cannot do OAuth."""

from __future__ import annotations

import base64

import pytest

from apis.gateway import api_keys
from apis.gateway.api_keys import API_KEYS, Made
from apis.gateway.revocations import Revocations
from apis.gateway.uses import last_uses
from apis.runtime.store import find
from tests.gateway.bench import Bench

ORDERS = "/process/orders/v3/orders"
DAY_S = 86_400


@pytest.fixture
def key(bench: Bench) -> Made:
    return made_for(bench, "clerk")


def made_for(bench: Bench, client: str) -> Made:
    now = bench.clock.timestamp()
    scopes = frozenset({"orders.read"})
    return bench.store.write_now(api_keys.make, client, scopes, now, now + 30 * DAY_S)


def basic(name: str, key: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{name}:{key}".encode()).decode()}


async def status(bench: Bench, headers: dict[str, str], method: str = "GET") -> int:
    body: dict[str, str] | None = {} if method == "POST" else None
    return (await bench.http.request(method, ORDERS, headers=headers, json=body)).status_code


async def test_a_key_is_sent_in_any_of_three_ways(bench: Bench, key: Made) -> None:
    for headers in (
        {"authorization": f"Bearer {key.key}"}, {"x-api-key": key.key}, basic("clerk", key.key),
    ):  # fmt: skip
        assert await status(bench, headers) == 200


async def test_a_key_opens_its_scopes_for_its_client_and_no_more(bench: Bench, key: Made) -> None:
    answer = await bench.http.get(ORDERS, headers={"x-api-key": key.key})

    context = answer.json()["context"]
    assert (context["client"], context["scopes"]) == ("clerk", ["orders.read"])
    assert context["roles"] == ["finance"]
    assert await status(bench, {"x-api-key": key.key}, "POST") == 403


async def test_a_key_sees_the_rows_of_its_client(bench: Bench) -> None:
    answer = await bench.http.get(ORDERS, headers={"x-api-key": made_for(bench, "branch").key})

    assert answer.json()["context"]["rows"] == {"entities": ["DE"]}


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": "tlk_wrong"},
        {"x-api-key": ""},
        {"x-api-key": "x" * 4_000},
        {"authorization": "Bearer tlk_" + "A" * 43},
        {"authorization": "Basic !!!"},
        {"authorization": "ApiKey tlk_"},
    ],
    ids=str,
)
async def test_what_is_no_key_opens_nothing(bench: Bench, headers: dict[str, str]) -> None:
    assert await status(bench, headers) == 401


async def test_a_key_under_another_name_opens_nothing(bench: Bench, key: Made) -> None:
    assert await status(bench, basic("clerk", key.key)) == 200

    assert await status(bench, basic("reader", key.key)) == 401
    assert await status(bench, basic("", key.key)) == 401


async def test_a_key_ends_on_its_day(bench: Bench, key: Made) -> None:
    assert await status(bench, {"x-api-key": key.key}) == 200

    bench.clock.advance(30 * DAY_S + 1)

    assert await status(bench, {"x-api-key": key.key}) == 401


async def test_a_key_that_is_revoked_is_refused_at_the_next_look(bench: Bench, key: Made) -> None:
    assert await status(bench, {"x-api-key": key.key}) == 200

    assert bench.store.write_now(api_keys.end, key.id, bench.clock.timestamp())
    await Revocations(bench.store, bench.tokens).look()

    assert await status(bench, {"x-api-key": key.key}) == 401
    bench.clock.advance(DAY_S)
    assert await status(bench, {"x-api-key": key.key}) == 401


async def test_the_database_knows_when_a_key_was_used_but_not_the_key(
    bench: Bench, key: Made
) -> None:
    await status(bench, {"x-api-key": key.key})

    await bench.uses.close()
    used = bench.store.read_now(last_uses)
    assert used == {("clerk", key.id): pytest.approx(bench.clock.timestamp(), abs=60)}
    assert key.key not in str(bench.store.read_now(find, API_KEYS, id=key.id))


async def test_a_key_is_no_token_to_the_endpoints_of_tokens(bench: Bench, key: Made) -> None:
    await status(bench, {"authorization": f"Bearer {key.key}"})

    auth = ("clerk", bench.secrets["clerk"])
    asked = await bench.http.post("/oauth/introspect", data={"token": key.key}, auth=auth)
    await bench.http.post("/oauth/revoke", data={"token": key.key}, auth=auth)

    assert asked.json() == {"active": False}
    assert await status(bench, {"authorization": f"Bearer {key.key}"}) == 200
