"""Both ways to sign in, and how each is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from system_apis.netsuite.sandbox.login import JWT_BEARER, TOKEN
from system_apis.netsuite.signature import signed
from tests.system_apis.netsuite.sandbox_account import Account, in_process
from tests.system_apis.sandboxes import URL

QUERY = "/services/rest/query/v1/suiteql"
ASK = {"q": "SELECT id FROM subsidiary ORDER BY id"}


@pytest.fixture
async def account(tmp_path: Path) -> AsyncIterator[Account]:
    async with in_process(tmp_path) as account:
        yield account


async def asserts(
    account: Account, *, alg: str = "PS256", form: Any = None, **changed: Any
) -> tuple[int, str]:
    """The status and error of a sign-in whose assertion says something else."""
    known = account.credentials
    rsa = alg[:2] in {"PS", "RS"}
    kind, which = (RSAKey, "rsa_") if rsa else (ECKey, "")
    key = kind.import_key(known[f"{which}private_key"])
    now = int(account.clock.timestamp())
    claims = {"iss": known["client_id"], "scope": "restlets,rest_webservices", "aud": URL + TOKEN}
    times = {"iat": now, "exp": now + 3599}
    header = {"alg": alg, "kid": known[f"{which}certificate_id"]}
    header |= {name: changed.pop(name) for name in ("kid",) if name in changed}
    made = jwt.encode(header, {**claims, **times, **changed}, key, algorithms=[alg])
    given = {"grant_type": "client_credentials", "client_assertion_type": JWT_BEARER}
    answer = await account.http.post(
        TOKEN, data={**given, "client_assertion": made, **(form or {})}
    )
    return answer.status_code, answer.json().get("error", "")


async def test_an_assertion_of_either_kind_is_taken(account: Account) -> None:
    assert await asserts(account, alg="PS256") == (200, "")
    assert await asserts(account, alg="ES256") == (200, "")


@pytest.mark.parametrize(
    "changed",
    [
        {"alg": "RS256"},
        {"kid": "unknown"},
        {"iss": "somebody"},
        {"scope": ["restlets"]},
        {"aud": URL},
        {"exp": 2_000_000_000},
        {"iat": 1, "exp": 3600},
        {"form": {"client_assertion": "x.y.z"}},
    ],
    ids=str,
)
async def test_another_assertion_is_not(account: Account, changed: dict[str, Any]) -> None:
    assert await asserts(account, **changed) == (401, "invalid_client")


async def test_an_assertion_is_taken_from_a_process_that_has_not_heard_of_a_jump_of_the_clock(
    account: Account,
) -> None:
    before = int(account.clock.timestamp())
    old: dict[str, Any] = {"iat": before - 600, "exp": before - 300}
    assert await asserts(account, **old) == (401, "invalid_client")

    await account.waits(600)

    assert await asserts(account, iat=before, exp=before + 300) == (200, "")


async def test_a_grant_that_is_not_known_is_refused(account: Account) -> None:
    assert await asserts(account, form={"grant_type": "password"}) == (
        400,
        "unsupported_grant_type",
    )
    assert (await asserts(account, form={"client_assertion_type": "?"}))[1] == "invalid_request"


async def test_a_token_lives_for_an_hour(account: Account) -> None:
    assert (await account.logs_in()).json()["expires_in"] == "3600"

    await account.waits(3599)
    alive = await account.query(ASK["q"])
    await account.waits(2)
    dead = await account.query(ASK["q"])

    assert (alive.status_code, dead.status_code) == (200, 401)
    assert dead.json()["o:errorDetails"][0]["o:errorCode"] == "INVALID_LOGIN"


async def signs(at: Account, /, path: str = f"{QUERY}?limit=2", **changed: Any) -> int:
    """The status of a query whose signature was made with other parts."""
    known = {**at.credentials, **changed}
    now = changed.get("now", at.clock.timestamp())
    made = signed(known, changed.get("method", "POST"), URL + changed.get("url", path), now)
    headers = {"Prefer": "transient", **made}
    return (await at.http.post(path, json=ASK, headers=headers)).status_code


async def test_a_signed_request_needs_no_token(account: Account) -> None:
    account.http.headers.pop("Authorization")

    assert await signs(account) == 200
    assert await signs(account, account="30000-sb1") == 200
    assert await signs(account, path=f"{QUERY}?limit=2&offset=0") == 200


@pytest.mark.parametrize(
    "changed",
    [
        {"consumer_key": "x"},
        {"consumer_secret": "x"},
        {"token_id": "x"},
        {"token_secret": "x"},
        {"account": "30001_SB1"},
        {"now": 1_000_000_000},
        {"method": "GET"},
        {"url": f"{QUERY}?limit=3"},
    ],
    ids=str,
)
async def test_a_signature_of_anything_else_is_no_login(
    account: Account, changed: dict[str, Any]
) -> None:
    assert await signs(account, **changed) == 401


async def test_a_signed_request_is_taken_once(account: Account) -> None:
    made = signed(account.credentials, "POST", URL + QUERY, account.clock.timestamp())
    headers = {"Prefer": "transient", **made}

    answers = [await account.http.post(QUERY, json=ASK, headers=headers) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 401]
    assert "INVALID_LOGIN_ATTEMPT" in answers[1].text
