"""Taking back what was made, and answers that do not say what was."""

from __future__ import annotations

from functools import partial
from typing import Any

import httpx
import pytest
from pytest_httpx import HTTPXMock

from apis.runtime.store import Store
from apis.runtime.vendor import Errors
from apis.runtime.wire import Body, Unanswered, classified
from apis.runtime.writes import Write
from contracts.canonical.identity import Ref
from contracts.errors import Conflict, NotFound
from tests.runtime.acme import (
    ACME,
    HOST,
    THINGS,
    TOKEN_URL,
    Shelf,
    acme,
    asks,
    hands_out_tokens,
    made,
    rows,
)

KEY = "project-7"
FOR_EVER: dict[str, Any] = {"is_reusable": True, "is_optional": True}


@pytest.fixture
def store(store_url: str):
    with made(store_url) as store:
        yield store


async def test_only_the_create_of_what_was_deleted_is_undone(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    shelf = Shelf(httpx_mock)
    httpx_mock.add_response(url=f"{THINGS}/thing-1", method="DELETE", status_code=204)

    async with acme(store) as vendor:
        asks()
        for key in ("a", "b"):
            write = Write(object="thing", key=key, find=partial(shelf.find, key))
            await vendor.http.write(write, "POST", "/things", body={"key": key})
        asks(request_key="run-1/undo")
        write = Write(object="thing", key="b", kind="delete", undoes=True)
        await vendor.http.write(write, "DELETE", "/things/{}", "thing-1")

    states = {(row.key, row.operation): row.state for row in await rows(store)}
    assert states == {("a", "create"): "undone", ("b", "create"): "done", ("b", "delete"): "done"}


async def test_what_is_gone_need_not_be_deleted_unless_it_still_shows(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    hands_out_tokens(httpx_mock)
    gone = {"code": "GONE", "message": "no such thing"}
    httpx_mock.add_response(url=f"{THINGS}/thing-1", status_code=404, json=gone, **FOR_EVER)
    seen: list[Ref | None] = [None, Ref(None, "thing-1")]

    async def still() -> Ref | None:
        return seen.pop(0)

    async with acme(store) as vendor:
        write = Write(object="thing", key=KEY, kind="delete", find=still)
        asks()
        first = await vendor.http.write(write, "DELETE", "/things/{}", "thing-1")
        asks(request_key="run-2/step")
        with pytest.raises(NotFound):
            await vendor.http.write(write, "DELETE", "/things/{}", "thing-1")

    assert first == Ref(None, "thing-1")
    assert sorted(row.state for row in await rows(store)) == ["done", "refused"]


async def test_a_create_that_names_no_record_is_a_lost_reply(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=THINGS, method="POST", json={"shape": "another"})

    async with acme(store) as vendor:
        asks()
        with pytest.raises(Unanswered, match=r"acme\.UNNAMED"):
            await vendor.http.write(Write(object="thing", key=KEY), "POST", "/things", body={})

    [row] = await rows(store)
    assert (row.state, row.lease) == ("sent", 0.0)


async def test_a_batch_may_ask_for_more_in_its_answer(store: Store, httpx_mock: HTTPXMock) -> None:
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=f"{THINGS}?include=keys", json=["thing-1"])

    async with acme(store) as vendor:
        asks()
        told = await vendor.http.write_many(
            [Write(object="thing", key=KEY)],
            "POST",
            "/things",
            bodies=[{}],
            pack=lambda each: each,
            outcomes=lambda answer: [Ref(None, each) for each in answer],
            params={"include": "keys"},
        )

    assert told == [Ref(None, "thing-1")]


async def test_a_token_without_a_host_is_for_the_connections_own(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    grant = httpx.Response(200, json={"access_token": "abc", "host": ""})
    httpx_mock.add_callback(lambda _: grant, url=TOKEN_URL)
    httpx_mock.add_response(url=THINGS, json={})

    async with acme(store) as vendor:
        asks()
        await vendor.http.get("/things")

    assert str(httpx_mock.get_requests()[-1].url).startswith(HOST)


def test_a_vendor_without_codes_names_its_errors_itself() -> None:
    def told(status: int, body: Any) -> tuple[str, str, list[str]]:
        return ("TAKEN" if "taken" in body["text"] else ""), f"{status} {body['text']}", ["name"]

    errors = Errors(code="", detail="", classes=ACME.errors.classes, told=told)

    error = classified("acme", errors, Body(422, {}, {"text": "name is taken"}))

    assert isinstance(error, Conflict)
    assert (error.code, error.detail) == ("acme.TAKEN", "422 name is taken")
    assert [each.pointer for each in error.errors] == ["/name"]
