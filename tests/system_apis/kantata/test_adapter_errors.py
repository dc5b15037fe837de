"""Each row of Kantata's error table, as it arrives, and the requests as they are sent."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest
from pytest_httpx import HTTPXMock

from apis.runtime.store import Store
from apis.runtime.wire import Unanswered, error_for
from contracts.canonical.project import Task
from contracts.errors import (
    Conflict,
    Misconfigured,
    NotFound,
    Rejected,
    Throttled,
    ThroughlineError,
    Transient,
    Unavailable,
)
from system_apis.kantata.vendor import KANTATA
from tests.runtime.acme import asks, made, rows
from tests.system_apis.kantata.connected import DATA, TOKEN_URL, answered

pytestmark = pytest.mark.one_form  # what an error means knows no store
PLACE = f"{DATA}/workspaces/812"
STORIES = f"{DATA}/stories?include=external_references"
NO_SEARCH: dict[str, Any] = {"results": [], "workspaces": {}}


@pytest.fixture
def store(store_url: str):
    with made(store_url) as store:
        yield store


def told(kind: str, message: str = "no", field: str | None = None) -> dict[str, Any]:
    error = {"type": kind, "message": message} | ({"field": field} if field else {})
    return {"errors": [error]}


TABLE: list[tuple[int, Any, type[ThroughlineError], str]] = [
    (422, told("validation", "Please give your project a title"), Rejected, "VALIDATION"),
    (422, told("validation", "SOW-1 has already been entered"), Conflict, "ALREADY_ENTERED"),
    (422, told("validation", "Name has already been taken"), Conflict, "ALREADY_TAKEN"),
    (422, told("validation", "This record is Locked"), Conflict, "LOCKED"),
    (422, None, Rejected, "VALIDATION"),
    (400, told("system"), Misconfigured, "BAD_REQUEST"),
    (401, told("oauth", "Invalid OAuth 2 Request"), Misconfigured, "INVALID_TOKEN"),
    (403, told("system"), Misconfigured, "FORBIDDEN"),
    (409, told("system"), Rejected, "409"),
    (429, told("system", "Too many requests"), Throttled, "TOO_MANY_REQUESTS"),
    (429, None, Throttled, "TOO_MANY_REQUESTS"),
    (503, told("system", "unavailable"), Unavailable, "UNAVAILABLE"),
    (503, None, Unanswered, "503"),
    (504, told("system", "timed out"), Unanswered, "TIMEOUT"),
    (500, told("system"), Unanswered, "500"),
    (500, {"errors": "odd"}, Unanswered, "500"),
    (502, None, Unanswered, "502"),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row[0]} {row[3]} {row[2].__name__}")
async def test_an_error_arrives_as_the_class_that_says_who_acts(
    store: Store, httpx_mock: HTTPXMock, tmp_path, row
) -> None:
    status, body, kind, code = row
    httpx_mock.add_response(url=PLACE, status_code=status, json=body, is_reusable=True)

    async with answered(store, tmp_path, httpx_mock) as psa:
        asks()
        with pytest.raises(kind) as raised:
            await psa.set_project_state("812", "active", "project-1")

    assert (type(raised.value), raised.value.code) == (kind, f"kantata.{code}")


def test_every_name_of_the_table_is_classed_as_it_says() -> None:
    for code, kind in KANTATA.errors.classes.items():
        error = error_for("kantata", KANTATA.errors, code, "", status=422)
        assert type(error) is kind


async def test_all_refused_fields_are_the_evidence(
    store: Store, httpx_mock: HTTPXMock, tmp_path
) -> None:
    title = {"type": "validation", "message": "Please give your project a title", "field": "title"}
    role = {"type": "validation", "message": "Please select a role", "field": "creator_role"}
    httpx_mock.add_response(url=PLACE, status_code=422, json={"errors": [title, role]})

    async with answered(store, tmp_path, httpx_mock) as psa:
        asks()
        with pytest.raises(Rejected) as raised:
            await psa.set_project_state("812", "active", "project-1")

    assert [each.pointer for each in raised.value.errors] == ["/title", "/creator_role"]
    assert raised.value.detail == "Please give your project a title; Please select a role"


async def test_a_missing_project_is_looked_up_before_it_is_called_gone(
    store: Store, httpx_mock: HTTPXMock, tmp_path
) -> None:
    httpx_mock.add_response(url=PLACE, status_code=404, json=told("system"))
    look_up = f"{DATA}/workspaces?include_archived=true&only=812"
    httpx_mock.add_response(url=look_up, json=NO_SEARCH)

    async with answered(store, tmp_path, httpx_mock) as psa:
        asks()
        with pytest.raises(NotFound, match=r"kantata\.NOT_FOUND"):
            await psa.set_project_state("812", "active", "project-1")


async def test_a_call_carries_a_token_that_is_kept_for_ever(
    store: Store, httpx_mock: HTTPXMock, tmp_path
) -> None:
    answer = {"results": [{"key": "workspaces", "id": "812"}], "workspaces": {"812": {}}}
    httpx_mock.add_response(url=PLACE, method="PUT", json=answer, is_reusable=True)

    async with answered(store, tmp_path, httpx_mock) as psa:
        for step in ("run-1/a", "run-1/b"):
            asks(request_key=step)
            await psa.set_project_state("812", "active", "project-1")

    signed_in, sent, _ = httpx_mock.get_requests()
    form = {"grant_type": ["client_credentials"], "client_id": ["id"], "client_secret": ["s3cret"]}
    assert parse_qs(signed_in.content.decode()) == form
    assert sent.headers["Authorization"] == "Bearer abc123"
    assert json.loads(sent.content) == {"workspace": {"status_key": 310}}
    assert KANTATA.token_age_s == float("inf")


async def test_a_revoked_token_costs_one_more_sign_in(
    store: Store, httpx_mock: HTTPXMock, tmp_path
) -> None:
    answer = {"results": [{"key": "workspaces", "id": "812"}], "workspaces": {"812": {}}}
    httpx_mock.add_response(url=PLACE, status_code=401, json=told("oauth"))
    httpx_mock.add_response(url=PLACE, json=answer)

    async with answered(store, tmp_path, httpx_mock) as psa:
        asks()
        await psa.set_project_state("812", "active", "project-1")

    assert len(httpx_mock.get_requests(url=TOKEN_URL)) == 2


async def test_a_task_that_is_not_in_the_answer_is_not_known(
    store: Store, httpx_mock: HTTPXMock, tmp_path
) -> None:
    reference = {"id": "7", "service_name": "throughline", "service_model_ref": "k-2"}
    answer = {
        "results": [{"key": "stories", "id": "9911"}],
        "stories": {"9911": {"id": "9911", "external_reference_ids": ["7"]}},
        "external_references": {"7": reference},
    }
    httpx_mock.add_response(url=STORIES, method="POST", json=answer)

    async with answered(store, tmp_path, httpx_mock) as psa:
        asks()
        tasks = [Task(code=str(n), name=f"T{n}") for n in (1, 2)]
        first, second = await psa.create_tasks("812", tasks, [], "k")

    assert (first.problem and first.problem.code) == "kantata.UNEXPECTED"
    assert second.external_id == "9911"
    assert [(row.key, row.state) for row in await rows(store)] == [("k-1", "sent"), ("k-2", "done")]
    [_, sent] = httpx_mock.get_requests()
    [story, _] = json.loads(sent.content)["stories"]
    assert story == {
        "title": "T1",
        "billable": True,
        "story_type": "task",
        "workspace_id": 812,
        "external_reference": {
            "service_name": "throughline",
            "service_model": "Task",
            "service_model_ref": "k-1",
            "status": "successful",
        },
    }


@pytest.mark.parametrize(
    "answer", [{"workspaces": {}}, {"results": [{"key": "workspaces", "id": "1"}]}, []]
)
async def test_an_answer_without_its_records_is_drift(
    store: Store, httpx_mock: HTTPXMock, tmp_path, answer
) -> None:
    httpx_mock.add_response(json=answer, method="GET")

    async with answered(store, tmp_path, httpx_mock) as psa:
        asks()
        with pytest.raises(Misconfigured, match=r"kantata\.UNEXPECTED"):
            await psa.find_project("project-1")


async def test_a_refused_sign_in_is_for_the_integration(
    store: Store, httpx_mock: HTTPXMock, tmp_path
) -> None:
    refused = {"error": "invalid_client", "error_description": "Client authentication failed"}
    httpx_mock.add_response(url=TOKEN_URL, status_code=401, json=refused)

    async with answered(store, tmp_path, httpx_mock) as psa:
        asks()
        with pytest.raises(Misconfigured, match=r"kantata\.invalid_client"):
            await psa.find_project("project-1")


def test_the_table_has_no_class_that_a_step_would_retry_at_once() -> None:
    assert not any(kind is Transient for kind in KANTATA.errors.classes.values()), (
        "a Transient by name would be taken for a refusal"
    )
