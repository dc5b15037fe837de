"""The bad-input catalogue as data: `cases/*.yaml`, one row a request and its expected answer."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest
import yaml

from apis.gateway.guard import REFUSALS, Message
from tests.gateway import forgery
from tests.gateway.bench import Bench

CASES = Path(__file__).parent / "cases"
NEVER = ("Traceback", "secret-canary", "joserfc", "msgspec", "sqlalchemy", '.py", line')


def rows() -> list[Any]:
    found = []
    for path in sorted(CASES.glob("*.yaml")):
        group = yaml.safe_load(path.read_text())
        base = {**group["request"], "expect": group["expect"]}
        found += [
            pytest.param({**base, **row}, id=f"{path.stem}: {row['name']}") for row in group["rows"]
        ]
    return found


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes
    reads: int

    def json(self) -> Any:
        return json.loads(self.body)


def filled(bench: Bench, text: str) -> str:
    values: dict[str, Any] = {
        "right": bench.token,
        "secret": lambda: bench.secrets["clerk"],
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


def body_of(bench: Bench, case: dict[str, Any]) -> bytes:  # noqa: PLR0911 - one way each
    if "json" in case:
        return json.dumps(case["json"]).encode()
    if "hex" in case:
        return bytes.fromhex(case["hex"].replace(" ", ""))
    if "keys" in case:
        return json.dumps({f"k{n}": 0 for n in range(case["keys"])}).encode()
    if "body" in case:
        return filled(bench, case["body"]).encode()
    if "repeat" in case:
        before, times, middle, after, more, *end = case["repeat"]
        return (before * times + middle + after * more + "".join(end)).encode()
    if "assertion" in case:
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        made = forgery.assertion(bench, case["assertion"])
        form = f"grant_type=client_credentials&client_assertion_type={kind}"
        return f"{form}&client_assertion={made}{case.get('and', '')}".encode()
    return b""


def headers_of(bench: Bench, case: dict[str, Any], body: bytes) -> list[tuple[bytes, bytes]]:
    headers = {"host": "127.0.0.1:8080"}
    if "json" in case:
        headers["content-type"] = "application/json"
    if body:
        headers["content-length"] = str(len(body))
    if "chunks" in case:
        headers["transfer-encoding"] = "chunked"
    if "token" in case:
        headers["authorization"] = f"Bearer {forgery.token(bench, case['token'])}"
    elif "authorization" in case:
        headers["authorization"] = filled(bench, case["authorization"])
    elif "basic" in case:
        pair = filled(bench, case["basic"]).encode()
        headers["authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    elif case.get("client"):
        headers["authorization"] = f"Bearer {bench.token(case['client'])}"
    headers |= case.get("headers", {})
    more = [(name, filled(bench, value)) for name, value in case.get("more", [])]
    more += [(f"x-{n}", "1") for n in range(case.get("many", 0))]
    more += [("x-same", "x" * 2000) for _ in range(case.get("many_same", 0))]
    pairs = [(name, value) for name, value in headers.items() if value is not None] + more
    return [(name.encode(), str(value).encode()) for name, value in pairs]


async def call(bench: Bench, case: dict[str, Any]) -> Answer:
    body = body_of(bench, case)
    headers = headers_of(bench, case, body)
    path, _, query = filled(bench, case["path"]).partition("?")
    count, size = case.get("chunks", (1, 0))
    parts = [b"x" * size] * count if size else [body]
    sent: list[Message] = []
    reads = 0

    async def receive() -> Message:
        nonlocal reads
        reads += 1
        if case.get("unread"):
            pytest.fail("the body was read")
        return {
            "type": "http.request", "body": parts[reads - 1], "more_body": reads < len(parts)
        }  # fmt: skip

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": case.get("method", "GET"),
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8080),
    }
    await bench.app(scope, receive, send)
    assert [each["type"] for each in sent] == ["http.response.start", "http.response.body"]
    answered = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], answered, sent[1]["body"], reads)


@pytest.mark.parametrize("case", rows())
async def test_a_request_gets_the_answer_the_catalogue_expects(
    bench: Bench, case: dict[str, Any]
) -> None:
    expect = case["expect"]

    answer = await call(bench, case)

    assert answer.status == expect["status"], answer.body[:300]
    for name, value in expect.get("headers", {}).items():
        assert answer.headers[name] == value
    assert not answer.headers.keys() & set(expect.get("absent", []))
    assert answer.headers["x-request-id"]
    assert answer.headers["traceparent"].startswith("00-")
    assert not [word for word in NEVER if word in answer.body.decode()]
    if "code" in expect:
        check_problem(answer, expect)
    if "error" in expect:
        assert answer.json()["error"] == expect["error"]
        assert answer.headers["cache-control"] == "no-store"
    if "scope" in expect:
        assert answer.json()["scope"] == expect["scope"]
    if "operation" in expect:
        assert bench.log[-1]["operation"] == expect["operation"]
    if "empty" in expect:
        assert answer.body == b""
    if "reads" in expect:
        assert answer.reads == expect["reads"]
    assert len(bench.log) == 1
    assert bench.log[0]["status"] == answer.status


def check_problem(answer: Answer, expect: dict[str, Any]) -> None:
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert problem["code"] == expect["code"]
    assert problem["type"] == f"http://127.0.0.1:8080/problems/{expect['code']}"
    assert problem["status"] == answer.status
    assert problem["title"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["trace_id"] == answer.headers["traceparent"].split("-")[1]
    assert problem.get("remedy") or problem["code"] not in REFUSALS
    assert "kind" not in problem
    assert expect.get("problem", {}).items() <= problem.items()
    for told, wanted in zip(problem.get("errors", ()), expect.get("errors", ()), strict=False):
        assert wanted.items() <= told.items()
    assert len(problem.get("errors", ())) >= len(expect.get("errors", ()))
    if "pointer" in expect:
        assert [error["pointer"] for error in problem["errors"]] == [expect["pointer"]]


def test_the_catalogue_is_as_long_as_it_says() -> None:
    assert len(rows()) >= 300


async def test_after_all_refusals_a_good_request_still_works(bench: Bench) -> None:
    for row in rows():
        await call(bench, row.values[0])

    control = {"path": "/process/orders/v3/orders", "client": "clerk"}
    assert (await call(bench, control)).status == 200
