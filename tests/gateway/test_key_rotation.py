"""The key that signs is changed while tokens of the last one are in use."""

from __future__ import annotations

import base64
import json

from joserfc.jwk import KeySet

from apis.gateway.tokens import LEEWAY_S, LONGEST_S, SEEN_S, rotated, signing_keys
from tests.gateway.bench import Bench

ORDERS = "/process/orders/v3/orders"


def kid_of(token: str) -> str:
    return str(json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))["kid"])


def rotates(bench: Bench) -> tuple[str, str]:
    kids = rotated(None, bench.home, bench.clock.timestamp())
    bench.tokens.use(signing_keys(None, bench.home))
    return kids


def published(bench: Bench) -> list[str]:
    return [str(key["kid"]) for key in bench.tokens.jwks()["keys"]]


async def test_a_new_key_is_published_before_it_signs(bench: Bench) -> None:
    new, old = rotates(bench)

    assert published(bench) == [new, old]
    assert kid_of(bench.token()) == old

    bench.clock.advance(SEEN_S + 1)

    assert kid_of(bench.token()) == new


async def test_tokens_of_the_old_key_are_good_until_they_end(bench: Bench) -> None:
    before = bench.bearer()
    new, _ = rotates(bench)
    bench.clock.advance(SEEN_S + 1)

    assert (await bench.http.get(ORDERS, headers=before)).status_code == 200
    assert (await bench.http.get(ORDERS, headers=bench.bearer())).status_code == 200

    bench.clock.advance(LONGEST_S + LEEWAY_S + 10)

    assert published(bench) == [new]
    assert (await bench.http.get(ORDERS, headers=before)).status_code == 401


async def test_an_old_key_that_was_stolen_opens_nothing_after_its_end(bench: Bench) -> None:
    stolen = bench.tokens.signer
    rotates(bench)
    bench.clock.advance(SEEN_S + LONGEST_S + LEEWAY_S + 10)

    bench.tokens.use(KeySet([stolen]))
    forged = bench.token()
    bench.tokens.use(signing_keys(None, bench.home))

    assert bench.tokens.verify(forged.encode()) is None


async def test_a_second_rotation_lets_go_of_what_has_ended(bench: Bench) -> None:
    first, _ = rotates(bench)
    bench.clock.advance(SEEN_S + LONGEST_S + LEEWAY_S + 10)

    second, followed = rotates(bench)

    assert followed == first
    assert [key.kid for key in signing_keys(None, bench.home).keys] == [second, first]
    assert (bench.home / "signing.json").stat().st_mode & 0o777 == 0o600


async def test_two_rotations_in_a_row_lose_no_token(bench: Bench) -> None:
    before = bench.bearer()

    rotates(bench)
    rotates(bench)

    assert (await bench.http.get(ORDERS, headers=before)).status_code == 200
    assert (await bench.http.get(ORDERS, headers=bench.bearer())).status_code == 200
