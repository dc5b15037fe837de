"""The bad-input catalogue: rows of `cases/*.yaml` as requests, and the law their answers keep."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from apis.gateway.guard import REFUSALS
from tests.gateway import forgery
from tests.gateway.keys import Keys

CASES = Path(__file__).parent / "cases"
CANARY = "secret-canary"
LIBRARIES = ("httptools", "joserfc", "litestar", "msgspec", "sqlalchemy", "uvicorn")
NEVER = (*LIBRARIES, CANARY, "Traceback", "Exception", "SELECT ", '.py", line', "apis/", "/home/")
Case = dict[str, Any]


class Request(NamedTuple):
    """What a row sends."""

    method: str
    target: str
    headers: list[tuple[bytes, bytes]]
    parts: list[bytes]
    """The body; more than one are sent as chunks."""


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes
    reads: int = 0

    def json(self) -> Any:
        return json.loads(self.body)


def rows(*, raw: bool | None = None) -> list[Any]:
    """Every row as a test's parameter; `raw` takes those alone that are (or are not) bytes."""
    found = []
    for path in sorted(CASES.glob("*.yaml")):
        group = yaml.safe_load(path.read_text())
        base = {**group["request"], "expect": group["expect"], "group": path.stem}
        base["control"] = {**base, **next(row for row in group["rows"] if is_control(row))}
        found += [
            pytest.param({**base, **row}, id=f"{path.stem}: {row['name']}")
            for row in group["rows"]
            if raw is None or raw == ("raw" in row)
        ]
    return found


def is_control(row: Case) -> bool:
    """Whether a row is a good request."""
    return "(control)" in row["name"]


def filled(keys: Keys, text: str) -> str:
    values: dict[str, Any] = {
        "host": lambda: keys.issuer.removeprefix("http://"),
        "right": keys.token,
        "secret": lambda: keys.secrets["clerk"],
        "dots": lambda: "." * 7000,
        "long": lambda: "x" * 9_000,
        "huge": lambda: "x" * 65_536,
        "x9000": lambda: "x" * 9_000,
        "x100000": lambda: "x" * 100_000,
        "thousand": lambda: "&".join(f"a{n}=" for n in range(1_000)),
    }
    for name, value in values.items():
        if f"{{{name}}}" in text:
            text = text.replace(f"{{{name}}}", value())
    return text


def request_of(keys: Keys, case: Case) -> Request:
    """The request a row describes."""
    body = body_of(keys, case)
    count, size = case.get("chunks", (1, 0))
    parts = [b"x" * size] * count if size else [body]
    target = filled(keys, case["path"])
    return Request(case.get("method", "GET"), target, headers_of(keys, case, body), parts)


def raw_of(keys: Keys, case: Case, part: str) -> bytes:
    """The bytes of a row, put together from the pieces its group names."""
    text: str = case.get(part, "")
    for name, piece in case["pieces"].items():
        text = text.replace(f"{{{name}}}", piece)
    return filled(keys, text).encode("latin-1")


def body_of(keys: Keys, case: Case) -> bytes:  # noqa: PLR0911 - one way each
    if "json" in case:
        return json.dumps(case["json"]).encode()
    if "hex" in case:
        return bytes.fromhex(case["hex"].replace(" ", ""))
    if "keys" in case:
        members = [f'"k{n}":0' for n in range(case["keys"])]
        members += members[-1:] if case.get("twice") else []
        return f"{{{','.join(members)}}}".encode()
    if "body" in case:
        return filled(keys, case["body"]).encode()
    if "repeat" in case:
        before, times, middle, after, more, *end = case["repeat"]
        return (before * times + middle + after * more + "".join(end)).encode()
    if "assertion" in case:
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        made = forgery.assertion(keys, case["assertion"])
        form = f"grant_type=client_credentials&client_assertion_type={kind}"
        return f"{form}&client_assertion={made}{case.get('and', '')}".encode()
    return b""


def headers_of(keys: Keys, case: Case, body: bytes) -> list[tuple[bytes, bytes]]:
    headers = {"host": filled(keys, "{host}")}
    if "json" in case:
        headers["content-type"] = "application/json"
    if body:
        headers["content-length"] = str(len(body))
    if "chunks" in case:
        headers["transfer-encoding"] = "chunked"
    if "token" in case:
        headers["authorization"] = f"Bearer {forgery.token(keys, case['token'])}"
    elif "authorization" in case:
        headers["authorization"] = filled(keys, case["authorization"])
    elif "basic" in case:
        pair = filled(keys, case["basic"]).encode()
        headers["authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    elif case.get("client"):
        headers["authorization"] = f"Bearer {keys.token(case['client'])}"
    headers |= case.get("headers", {})
    more = [(name, filled(keys, value)) for name, value in case.get("more", [])]
    more += [(f"x-{n}", "1") for n in range(case.get("many", 0))]
    more += [("x-same", "x" * 2000) for _ in range(case.get("many_same", 0))]
    pairs = [(name, value) for name, value in headers.items() if value is not None] + more
    return [(name.encode(), str(value).encode()) for name, value in pairs]


def check(answer: Answer, expect: Mapping[str, Any], keys: Keys) -> None:
    """The general law, and what the row says besides."""
    assert answer.status == expect["status"], answer.body[:300]
    for name, value in expect.get("headers", {}).items():
        assert answer.headers[name] == value.replace("{issuer}", keys.issuer)
    assert not answer.headers.keys() & set(expect.get("absent", []))
    assert answer.headers["x-request-id"]
    assert answer.headers["traceparent"].startswith("00-")
    told = answer.body.decode()
    assert not [word for word in (*NEVER, *keys.secrets.values()) if word in told]
    if "code" in expect:
        check_problem(answer, expect, keys.issuer)
    if "error" in expect:
        assert answer.json()["error"] == expect["error"]
        assert answer.headers["cache-control"] == "no-store"
    if "scope" in expect:
        assert answer.json()["scope"] == expect["scope"]
    if "empty" in expect:
        assert answer.body == b""


def check_problem(answer: Answer, expect: Mapping[str, Any], issuer: str) -> None:
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert problem["code"] == expect["code"]
    row = REFUSALS.get(expect["code"])
    assert problem["type"] == ((row and row.type) or f"{issuer}/problems/{expect['code']}")
    assert problem["status"] == answer.status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["trace_id"] == answer.headers["traceparent"].split("-")[1]
    assert [name for name in ("title", "owner", "remedy") if not problem.get(name)] == []
    assert "kind" not in problem
    assert expect.get("problem", {}).items() <= problem.items()
    for told, wanted in zip(problem.get("errors", ()), expect.get("errors", ()), strict=False):
        assert wanted.items() <= told.items()
    assert len(problem.get("errors", ())) >= len(expect.get("errors", ()))
    if "pointer" in expect:
        assert [error["pointer"] for error in problem["errors"]] == [expect["pointer"]]
    if problem["code"] in REFUSALS:
        assert problem["title"] == REFUSALS[problem["code"]].title
