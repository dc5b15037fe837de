"""A token that is revoked is refused everywhere, before it ends by itself."""

from __future__ import annotations

from apis.gateway.revocations import LAST, Revocations
from apis.gateway.tokens import Tokens, signing_keys
from tests.gateway.bench import ISSUER, Bench
from tests.gateway.portal import posted, tokens_for

ORDERS = "/process/orders/v3/orders"


def another_worker(bench: Bench) -> tuple[Tokens, Revocations]:
    tokens = Tokens(signing_keys(None, bench.home), issuer=ISSUER, clock=bench.clock)
    return tokens, Revocations(bench.store, tokens)


async def test_a_client_ends_its_access_token(bench: Bench) -> None:
    bearer = bench.bearer("reader")
    assert (await bench.http.get(ORDERS, headers=bearer)).status_code == 200

    token = bearer["authorization"].removeprefix("Bearer ")
    answer = await posted(bench, "revoke", {"token": token}, "reader")

    assert (answer.status_code, answer.json()) == (200, {})
    assert (await bench.http.get(ORDERS, headers=bearer)).status_code == 401
    asked = await posted(bench, "introspect", {"token": token}, "reader")
    assert asked.json() == {"active": False}
    assert (await bench.http.get(ORDERS, headers=bench.bearer("reader"))).status_code == 200


async def test_another_worker_refuses_it_as_soon_as_it_looks(bench: Bench) -> None:
    tokens, revocations = another_worker(bench)
    token = bench.token("reader")
    assert tokens.verify(token.encode())

    await posted(bench, "revoke", {"token": token}, "reader")
    await revocations.look()

    assert tokens.verify(token.encode()) is None


async def test_a_worker_that_starts_later_knows_what_was_revoked(bench: Bench) -> None:
    revoked = [bench.token("reader") for _ in range(LAST // 50)]
    for token in revoked:
        await posted(bench, "revoke", {"token": token}, "reader")

    tokens, revocations = another_worker(bench)
    await revocations.look()

    assert [tokens.verify(token.encode()) for token in revoked] == [None] * len(revoked)


async def test_a_stranger_cannot_end_a_token(bench: Bench) -> None:
    token = bench.token("clerk")

    answer = await posted(bench, "revoke", {"token": token}, "reader")

    assert answer.status_code == 200
    assert bench.tokens.verify(token.encode())


async def test_a_refresh_token_takes_all_that_came_of_its_grant_with_it(bench: Bench) -> None:
    tokens = await tokens_for(bench)
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    known = {"token": tokens["refresh_token"]}
    assert (await posted(bench, "introspect", known)).json()["sub"] == "ann"

    await posted(bench, "revoke", known)

    assert (await posted(bench, "introspect", known)).json() == {"active": False}
    assert (await bench.http.get(ORDERS, headers=headers)).status_code == 401
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert (await posted(bench, "token", refresh)).json()["error"] == "invalid_grant"


async def test_asking_about_a_used_refresh_token_ends_nothing(bench: Bench) -> None:
    first = await tokens_for(bench)
    refresh = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    second = (await posted(bench, "token", refresh)).json()

    asked = await posted(bench, "introspect", {"token": first["refresh_token"]})

    assert asked.json() == {"active": False}
    later = {"grant_type": "refresh_token", "refresh_token": second["refresh_token"]}
    assert (await posted(bench, "token", later)).status_code == 200


async def test_what_was_revoked_is_forgotten_when_it_would_have_ended(bench: Bench) -> None:
    await posted(bench, "revoke", {"token": bench.token("reader")}, "reader")
    assert bench.tokens._revoked

    bench.clock.advance(1_000)
    await posted(bench, "revoke", {"token": bench.token("reader")}, "reader")

    assert len(bench.tokens._revoked) == 1
