"""What vendor sandboxes stand on: tokens, attempts that are undone, numbers, answers that drift."""

from __future__ import annotations

import gzip
from base64 import b64encode
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from apis.runtime.sandbox import Kit
from apis.runtime.sandbox_faults import BOMB, FLOOD, Drift, Fault, spoiled
from apis.runtime.sandbox_sessions import Sessions
from apis.runtime.sandbox_wire import Answer, Call, Refusal, received


@pytest.fixture
def kit(tmp_path: Path):
    kit = Kit("acme", tmp_path)
    yield kit
    kit.db.close()


class NoError(Refusal):
    def answer(self) -> Answer:
        return Answer(422, b"no")


def call(authorization: str = "", body: bytes = b"") -> Call:
    headers = {"authorization": authorization, "host": "acme.test:9"}
    return Call("POST", "/token", {}, headers, body, scheme="https")


def test_a_token_lives_until_its_time_comes_or_it_is_ended(kit: Kit) -> None:
    sessions = Sessions(kit)
    sessions.begin("short", 60)
    for token in ("long", "ended", "killed"):
        sessions.begin(token)
    sessions.end("ended")
    sessions.kill(call("Bearer killed"))
    assert [sessions.alive(each) for each in ("short", "long", "ended", "killed", "other")] == [
        *(True, True, False, False, False)
    ]

    kit.clock.advance(61)
    again = Sessions(kit)
    assert [again.alive(each) for each in ("short", "long")] == [False, True]
    again.clear()
    assert not again.alive("long")


def test_a_refused_attempt_is_undone_and_others_are_not(kit: Kit) -> None:
    kit.db.execute("CREATE TABLE things (name TEXT)")

    def adds(name: str) -> Answer:
        kit.db.execute("INSERT INTO things VALUES (?)", [name])
        if name == "bad":
            raise NoError
        return Answer(201)

    kit.db.execute("BEGIN")
    told = [kit.attempt(partial(adds, name)).status for name in ("a", "bad", "b")]
    kit.db.execute("COMMIT")

    assert told == [201, 422, 201]
    assert kit.db.execute("SELECT name FROM things").fetchall() == [("a",), ("b",)]


def test_a_number_is_given_once(kit: Kit) -> None:
    assert [kit.next("order", 7), kit.next("order", 7), kit.next("line")] == [7, 8, 1]


def test_a_client_is_known_by_header_or_form() -> None:
    basic = b64encode(b"me%2B:s%3Acret").decode()
    form = call(body=b"client_id=you&client_secret=a+b")

    assert call(f"Basic {basic}").client({}) == ("me+", "s:cret")
    assert form.client(form.form) == ("you", "a b")
    assert call("Basic ???").client({"client_id": "you"}) == ("", "")
    assert form.origin == "https://acme.test:9"


def test_an_answer_drifts_as_the_vendor_says() -> None:
    drift = Drift(renamed={"name": "title"}, gone=frozenset({"count"}))
    body = msgspec.json.encode({"count": 1, "items": [{"name": "A", "price": 2.5, "open": True}]})

    assert msgspec.json.decode(drift.of(body)) == {
        "items": [{"title": "A", "price": "2.5", "open": True}]
    }
    assert drift.of(b"") == b""


@pytest.mark.parametrize(
    ("kind", "status", "size"),
    [
        *(("truncate", 201, 3), ("empty", 200, 0), ("error-as-success", 200, 6)),
        *(("redirect", 302, 0), ("flood", 201, FLOOD + 6), ("drip", 201, 26)),
    ],
)
def test_an_answer_is_spoiled(kind: str, status: int, size: int) -> None:
    answer = spoiled(
        Fault(operation="*", fault=kind),
        Answer(201, b"answer"),
        Drift(renamed={}, gone=frozenset()),
    )

    assert (answer.status, len(answer.body)) == (status, size)


def test_a_bomb_is_small_until_it_is_unpacked() -> None:
    fault, drift = Fault(operation="*", fault="bomb"), Drift(renamed={}, gone=frozenset())

    answer = spoiled(fault, Answer(204), drift)

    assert (answer.status, answer.headers["content-encoding"]) == (200, "gzip")
    assert len(answer.body) < BOMB / 100
    assert len(gzip.decompress(answer.body)) == BOMB


@pytest.mark.parametrize(("end", "whole"), [("http.request", True), ("http.disconnect", False)])
async def test_half_a_request_is_none(end: str, whole: bool) -> None:  # noqa: FBT001 - a case
    scope = {
        "method": "POST",
        "path": "/token",
        "query_string": b"",
        "headers": [],
        "scheme": "http",
    }
    parts = [{"type": "http.request", "body": b"half", "more_body": True}, {"type": end}]

    async def receive() -> Any:
        return parts.pop(0)

    assert (await received(scope, receive) is not None) == whole
