"""A token that is revoked is refused everywhere, before it ends by itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import Connection

from apis.gateway.revocations import Revocations, revoke
from apis.gateway.tokens import Tokens, signing_keys
from apis.runtime.clock import Clock
from apis.runtime.migrations import lift
from apis.runtime.store import Store
from tests.gateway.bench import ISSUER, Bench
from tests.gateway.portal import posted, tokens_for

ORDERS = "/process/orders/v3/orders"


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = Store(store_url)
    lift(store)
    yield store
    store.close()


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


async def test_the_tokens_of_who_was_taken_out_of_the_policy_are_not_active(bench: Bench) -> None:
    given = await tokens_for(bench)
    asked = [{"token": given[name]} for name in ("access_token", "refresh_token")]
    before = [(await posted(bench, "introspect", each, "portal")).json() for each in asked]

    bench.oauth.gateway = msgspec.structs.replace(bench.oauth.gateway, people={})

    after = [(await posted(bench, "introspect", each, "portal")).json() for each in asked]
    assert [each["active"] for each in before] == [True, True]
    assert after == [{"active": False}] * 2


async def test_a_worker_that_starts_knows_it_before_it_serves_anybody(bench: Bench) -> None:
    token = bench.token("reader")
    await posted(bench, "revoke", {"token": token}, "reader")

    tokens, _ = another_worker(bench)

    assert tokens.verify(token.encode()) is None


async def test_another_worker_refuses_it_as_soon_as_it_looks(bench: Bench) -> None:
    tokens, revocations = another_worker(bench)
    token = bench.token("reader")
    assert tokens.verify(token.encode())

    await posted(bench, "revoke", {"token": token}, "reader")
    await revocations.look()

    assert tokens.verify(token.encode()) is None


async def test_a_worker_that_saw_many_does_not_miss_the_first_after_they_were_forgotten(
    bench: Bench,
) -> None:
    tokens, revocations = another_worker(bench)
    for _ in range(3):
        await posted(bench, "revoke", {"token": bench.token("reader")}, "reader")
    await revocations.look()

    bench.clock.advance(1_000)
    token = bench.token("reader")
    assert tokens.verify(token.encode())
    await posted(bench, "revoke", {"token": token}, "reader")
    await revocations.look()

    assert tokens.verify(token.encode()) is None


async def test_a_worker_misses_none_of_two_that_are_revoked_at_once(
    store: Store, tmp_path: Path
) -> None:
    clock = Clock()
    tokens = Tokens(signing_keys(None, tmp_path), issuer=ISSUER, clock=clock)
    revocations, until = Revocations(store, tokens), clock.timestamp() + 600
    begun, may_end = threading.Event(), threading.Event()

    def slowly(connection: Connection) -> None:
        revoke(connection, "first", 0, until)
        begun.set()
        may_end.wait(10)

    first = asyncio.create_task(store.write(slowly))
    await asyncio.to_thread(begun.wait, 10)
    second = asyncio.create_task(store.write(revoke, "second", 0, until))
    await asyncio.wait([second], timeout=0.2)
    await revocations.look()
    may_end.set()
    await asyncio.gather(first, second)
    await revocations.look()

    assert tokens._revoked.keys() == {"first", "second"}


async def test_a_worker_that_starts_later_knows_what_was_revoked(bench: Bench) -> None:
    revoked = [bench.token("reader") for _ in range(2)]
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
