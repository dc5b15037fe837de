"""What an app refuses: named by pointers into the body and by the parameters' public names."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import pytest
from litestar import get, post
from litestar.params import FromQuery, JSONBody, QueryParameter

from apis.runtime.app import PROBLEM, App, make_app
from apis.runtime.clients import Local
from apis.runtime.context import Context, traceparent
from contracts.canonical.identity import Source
from contracts.errors import Rejected

ASKS = Context(actor="clerk", client="desk", request_id="r-1", traceparent=traceparent("a" * 32))


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of an order."""

    hours: int
    kind: Literal["fixed", "time"] = "time"


class Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is ordered for a deal."""

    deal: Source
    lines: list[Line] = []
    rates: dict[str, int] = {}
    due_at: datetime | None = None
    discount: Annotated[int, msgspec.Meta(le=100)] = 0


@post("/orders", operation_id="createOrder", status_code=200)
async def create_order(data: JSONBody[Order]) -> Order:
    """The order itself."""
    return data


@post("/lines", operation_id="createLines", status_code=200)
async def create_lines(data: JSONBody[list[Line]]) -> None:
    """Many at once."""
    del data


@get("/orders", operation_id="listOrders")
async def list_orders(
    changed_since: FromQuery[datetime],
    in_state: Annotated[Literal["open"] | None, QueryParameter(name="state")] = None,
) -> None:
    """Orders of a state."""
    del changed_since
    raise Rejected("order.not-yours", "ask the owner", status=403 if in_state is None else 422)


class Said(NamedTuple):
    """A problem with its status and media type."""

    status: int
    kind: str
    problem: dict[str, Any]

    @property
    def errors(self) -> list[tuple[str | None, str | None, str, str]]:
        """Where, what and in which words."""
        return [
            (each.get("pointer"), each.get("parameter"), each["code"], each["message"])
            for each in self.problem["errors"]
        ]


@pytest.fixture(scope="module")
def app() -> App:
    return make_app("Orders", version="1.0.0", routes=[create_order, create_lines, list_orders])


async def asked(app: App, method: str, path: str, query: str = "", body: Any = None) -> Said:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, headers, data = await Local(app)(method, path, query, sent, ASKS)
    return Said(status, dict(headers)[b"content-type"].decode(), json.loads(data))


DEAL = {"system": "salesforce", "external_id": "006A"}
BODIES: list[tuple[Any, str, str, str]] = [
    ({}, "/deal", "missing", "deal is missing"),
    ({"deal": {"system": "salesforce"}}, "/deal/external_id", "missing", "external_id is missing"),
    (
        {"deal": DEAL | {"external_id": 7}}, "/deal/external_id", "wrong-type",
        "external_id must be text, not a whole number",
    ),
    ({"deal": DEAL, "is_admin": 1}, "/is_admin", "unknown-field", "is_admin is not known here"),
    ({"deal": DEAL, "a/b~c": 1}, "/a~1b~0c", "unknown-field", "a/b~c is not known here"),
    ({"deal": DEAL, "a - b": 1}, "/a - b", "unknown-field", "a - b is not known here"),
    ({"deal": DEAL, "data.x": 1}, "/data.x", "unknown-field", "data.x is not known here"),
    (
        {"deal": DEAL, "x" * 999: 1}, "", "unknown-field",
        "a name of over 200 letters is not known here",
    ),
    (
        {"deal": DEAL, "lines": [{"hours": 1}, {"hours": "two"}]}, "/lines/1/hours", "wrong-type",
        "hours must be a whole number, not text",
    ),
    (
        {"deal": DEAL, "lines": [{"hours": 1, "kind": "gift"}]}, "/lines/0/kind", "unknown-value",
        "kind cannot be 'gift'",
    ),
    (
        {"deal": DEAL, "rates": {"senior": "much"}}, "/rates", "wrong-type",
        "an entry of rates must be a whole number, not text",
    ),
    (
        {"deal": DEAL, "due_at": "soon"}, "/due_at", "wrong-form",
        "due_at must be a moment such as 2026-01-31T09:00:00Z",
    ),
    (
        {"deal": DEAL, "discount": 101}, "/discount", "out-of-range",
        "discount must be a whole number <= 100",
    ),
    ([], "", "wrong-type", "the body must be an object, not a list"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "pointer", "code", "message"), BODIES, ids=str)
async def test_a_field_that_does_not_fit_is_named_by_its_place_in_the_body(
    app: App, body: Any, pointer: str, code: str, message: str
) -> None:
    said = await asked(app, "POST", "/orders", body=body)

    assert (said.status, said.kind) == (422, PROBLEM)
    assert said.errors == [(pointer, None, code, message)]
    assert said.problem["detail"] == message


async def test_a_place_in_a_list_of_records_begins_with_its_number(app: App) -> None:
    said = await asked(app, "POST", "/lines", body=[{"hours": 1}, {}])

    assert said.errors == [("/1/hours", None, "missing", "hours is missing")]


PARAMETERS = [
    ("", [("changed_since", "missing")]),
    ("changed_since=yesterday", [("changed_since", "wrong-form")]),
    ("changed_since=2026-01-31T09:00:00Z&state=gone", [("state", "unknown-value")]),
    ("changed_since=now&state=gone", [("changed_since", "wrong-form"), ("state", "unknown-value")]),
]


@pytest.mark.parametrize(("query", "found"), PARAMETERS)
async def test_a_parameter_is_named_as_its_caller_knows_it(
    app: App, query: str, found: list[tuple[str, str]]
) -> None:
    said = await asked(app, "GET", "/orders", query)

    assert said.status == 422
    assert [(name, code) for _, name, code, _ in said.errors] == found
    assert {pointer for pointer, *_ in said.errors} == {""}
    assert "in_state" not in json.dumps(said.problem)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not-found"),
        ("DELETE", "/orders", 405, "method-not-allowed"),
        ("POST", "/orders", 400, "bad-request"),
        ("POST", "/lines", 422, "validation-failed"),
    ],
)
async def test_what_the_framework_refuses_says_who_acts_and_how(
    app: App, method: str, path: str, status: int, code: str
) -> None:
    said = await asked(app, method, path, body=b"{" if status == 400 else None)

    assert (said.status, said.kind, said.problem["code"]) == (status, PROBLEM, code)
    assert (said.problem["owner"], said.problem["retryable"]) == ("caller", False)
    assert said.problem["remedy"]
    assert (said.problem["request_id"], said.problem["trace_id"]) == ("r-1", "a" * 32)


async def test_an_error_of_ours_keeps_its_class_for_the_next_tier(app: App) -> None:
    said = await asked(app, "GET", "/orders", "changed_since=2026-01-31T09:00:00Z")

    assert (said.status, said.problem["kind"]) == (403, "Rejected")
    assert said.problem["title"] == "You may not do this"


async def test_a_web_socket_is_closed(app: App) -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app({"type": "websocket", "path": "/orders"}, receive, send)

    assert sent == [{"type": "websocket.close", "code": 1008}]
