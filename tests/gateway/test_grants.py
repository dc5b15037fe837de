"""What people grant to clients: codes, refresh tokens, and the end of both."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
import yaml

from apis.gateway.grants import CODES, REFRESH_TOKENS
from tests.gateway.bench import ISSUER, Bench
from tests.gateway.portal import (
    BACKS,
    CHALLENGE,
    VERIFIER,
    Browser,
    asking,
    came_back,
    code_for,
    exchanged,
    posted,
    tokens_for,
)

ROWS = yaml.safe_load((Path(__file__).parent / "oauth/grants.yaml").read_text())
ORDERS = "/process/orders/v3/orders"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
async def test_a_client_gets_tokens_for_what_a_person_granted_and_for_nothing_else(
    bench: Bench, row: dict[str, Any]
) -> None:
    client = row.get("client", "portal")
    code = await code_for(bench, client, **row.get("ask", {}))
    known = {
        "secret": bench.secrets["portal"], "clerk": bench.secrets["clerk"],
        "other": bench.secrets["other"], "challenge": CHALLENGE, "code": code, "x129": "x" * 129,
    }  # fmt: skip
    sent: dict[str, Any] = {"grant_type": "authorization_code", "code": code}
    sent |= {"redirect_uri": row.get("ask", {}).get("redirect_uri", BACKS[client])}
    sent |= {"code_verifier": VERIFIER} | ({"client_id": "cli"} if client == "cli" else {})
    if row.get("then") == "refresh":
        known |= (await exchanged(bench, code, client)).json()
        if row.get("replay"):
            await exchanged(bench, code, client)
        sent = {"grant_type": "refresh_token", "refresh_token": known["refresh_token"]}
        sent |= {"client_id": "cli"} if client == "cli" else {}
    sent = {
        name: value for name, value in (sent | row.get("send", {})).items() if value is not None
    }
    fields = {name: value.format_map(known) for name, value in sent.items()}
    body = urlencode(fields, quote_via=(lambda text, *_: text) if row.get("raw") else quote)
    basic = row.get("basic", None if client == "cli" else ["portal", "{secret}"])
    auth = httpx.BasicAuth(*(part.format_map(known) for part in basic)) if basic else None
    bench.clock.advance(row.get("wait", 0))
    if "gone" in row:
        del bench.policy.gateway.people[row["gone"]]

    for _ in range(1 + bool(row.get("again"))):
        answer = await bench.http.post(
            "/oauth/token",
            content=body,
            headers={"content-type": "application/x-www-form-urlencoded"},
            auth=auth or httpx.USE_CLIENT_DEFAULT,
        )

    expect = {"status": 400, **row["expect"]} if "error" in row["expect"] else row["expect"]
    assert answer.status_code == expect["status"], answer.text
    assert answer.json().get("error") == expect.get("error")
    assert answer.headers["cache-control"] == "no-store"
    assert "scope" not in expect or answer.json()["scope"] == expect["scope"]


async def test_a_person_s_token_says_who_they_are_and_opens_only_their_rows(bench: Bench) -> None:
    tokens = await tokens_for(bench)

    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    context = (await bench.http.get(ORDERS, headers=headers)).json()["context"]

    assert (context["actor"], context["client"]) == ("ann", "portal")
    assert (context["person"], context["roles"]) == ("ann@example.com", ["partner"])
    assert context["rows"] == {"customers": ["C-1"]}


async def test_a_code_that_comes_again_ends_the_tokens_it_was_exchanged_for(bench: Bench) -> None:
    code = await code_for(bench)
    tokens = (await exchanged(bench, code)).json()
    headers = {"authorization": f"Bearer {tokens['access_token']}"}
    assert (await bench.http.get(ORDERS, headers=headers)).status_code == 200

    again = await exchanged(bench, code)

    assert again.json()["error"] == "invalid_grant"
    assert (await bench.http.get(ORDERS, headers=headers)).status_code == 401
    refresh = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
    assert (await posted(bench, "token", refresh)).json()["error"] == "invalid_grant"


async def test_a_refresh_token_that_comes_again_ends_its_whole_family(bench: Bench) -> None:
    first = await tokens_for(bench)
    refresh = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    second = (await posted(bench, "token", refresh)).json()
    assert second["refresh_token"] != first["refresh_token"]

    await posted(bench, "token", refresh)

    later = {"grant_type": "refresh_token", "refresh_token": second["refresh_token"]}
    assert (await posted(bench, "token", later)).json()["error"] == "invalid_grant"
    headers = {"authorization": f"Bearer {second['access_token']}"}
    assert (await bench.http.get(ORDERS, headers=headers)).status_code == 401


async def test_a_code_that_is_sent_ten_times_at_once_counts_once(bench: Bench) -> None:
    code = await code_for(bench)

    answers = await asyncio.gather(*(exchanged(bench, code) for _ in range(10)))

    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 9


async def test_what_is_kept_is_of_no_use_to_who_reads_the_database(bench: Bench) -> None:
    code = await code_for(bench)
    tokens = (await exchanged(bench, code)).json()

    kept = bench.store.read_now(
        lambda c: str([*c.execute(CODES.select()), *c.execute(REFRESH_TOKENS.select())])
    )

    assert code not in kept
    assert tokens["refresh_token"] not in kept


async def test_who_answers_is_told_with_the_code_and_with_a_refusal(bench: Bench) -> None:
    browser = Browser(bench)
    await browser.opens(asking())
    await browser.signs_in()

    denied = came_back(await browser.sends("deny"))
    refused = came_back(await browser.opens(asking(scope="admin")))

    assert denied.pop("error_description")
    assert denied == {"error": "access_denied", "state": "s-1", "iss": ISSUER}
    assert (refused["error"], refused["iss"]) == ("invalid_scope", ISSUER)
