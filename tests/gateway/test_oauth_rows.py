"""What a browser brings to the authorization server, and what it says of tokens: rows of data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.gateway import forgery
from tests.gateway.bench import Bench

ROWS = Path(__file__).parent / "oauth"
FORGED = ("right", "foreign-key", "expired", "alg-none")


def rows() -> list[Any]:
    found = []
    for name in ("authorize", "introspection"):
        group = yaml.safe_load((ROWS / f"{name}.yaml").read_text())
        base = {**group["request"], "expect": group["expect"]}
        found += [
            pytest.param({**base, **row}, id=f"{name}: {row['name']}") for row in group["rows"]
        ]
    return found


def filled(bench: Bench, text: str) -> str:
    known = {**bench.secrets, "secret": bench.secrets["clerk"], "x100000": "x" * 100_000}
    known |= {name: forgery.token(bench, name) for name in FORGED if f"{{{name}}}" in text}
    return re.sub("{([a-z0-9-]+)}", lambda found: known[found[1]], text)


@pytest.mark.parametrize("row", rows())
async def test_a_request_gets_the_answer_its_row_expects(bench: Bench, row: dict[str, Any]) -> None:
    expect = row["expect"]
    basic = filled(bench, row.get("basic", "")).split(":")
    auth = httpx.BasicAuth(*basic) if row.get("basic") else httpx.USE_CLIENT_DEFAULT

    answer = await bench.http.request(
        row["method"],
        row["path"],
        content=filled(bench, row.get("body", "")),
        headers=row.get("headers"),
        auth=auth,
    )

    assert answer.status_code == expect["status"], answer.text
    for name, value in expect.get("headers", {}).items():
        assert answer.headers[name] == value
    assert not answer.headers.keys() & set(expect.get("absent", []))
    assert "evil.example" not in answer.text
    if "code" in expect:
        assert answer.json()["code"] == expect["code"]
    if "error" in expect:
        assert answer.json()["error"] == expect["error"]
    if "member" in expect:
        assert expect["member"].items() <= answer.json().items()
    if "only" in expect:
        assert answer.json() == expect["only"]


def test_most_rows_of_oauth_are_refusals() -> None:
    cases = yaml.safe_load((ROWS.parent / "cases/oauth.yaml").read_text())["rows"]
    grants = yaml.safe_load((ROWS / "grants.yaml").read_text())
    names = [row.id for row in rows()] + [row["name"] for row in (*cases, *grants)]

    refused = [name for name in names if "(control)" not in name]

    assert len(names) >= 200
    assert len(refused) >= 2 * len(names) / 3
