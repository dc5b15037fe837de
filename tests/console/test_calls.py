"""The gateway as the console calls it."""

from __future__ import annotations

import json

import httpx
import pytest
from pytest_httpx import HTTPXMock

from apis.console.calls import Calls, Place, Proof, calling, run_path
from contracts.canonical.identity import Source
from contracts.errors import Conflict, NotFound, Rejected, Transient, Unavailable

BASE = "http://127.0.0.1:8080"
DEMO = Proof("demo", "s")
RUNS = f"{BASE}/process/deal-to-project/v1/runs"
CHANGES = f"{BASE}/process/deal-change/v1/runs"
JOURNEYS = f"{BASE}/experience/operations/v1/journeys"
ITEMS = f"{BASE}/process/work-queue/v1/work-items"
RUN = {"id": "deal_to_project:salesforce:006A:1", "flow": "deal_to_project", "state": "done"}
ITEM = {
    "id": "wi-1",
    "code": "a.b",
    "title": "t",
    "owner": "integration",
    "since": "2026-04-01T12:00:00Z",
}


def grants(httpx_mock: HTTPXMock, token: str) -> None:
    httpx_mock.add_response(url=f"{BASE}/oauth/token", json={"access_token": token})


async def test_a_run_is_asked_for_with_a_token(httpx_mock: HTTPXMock) -> None:
    grants(httpx_mock, "t1")
    httpx_mock.add_response(url=BASE + run_path(RUN["id"]), json=RUN)

    async with calling(Place(BASE), DEMO) as calls:
        run = await calls.find(RUN["id"])

    assert run.state == "done"
    sent = httpx_mock.get_requests()
    assert sent[0].headers["Authorization"].startswith("Basic ")
    assert sent[1].headers["Authorization"] == "Bearer t1"


async def test_a_token_that_ran_out_is_replaced_once(httpx_mock: HTTPXMock) -> None:
    grants(httpx_mock, "t1")
    httpx_mock.add_response(url=f"{RUNS}?deal=006A", status_code=401)
    grants(httpx_mock, "t2")
    httpx_mock.add_response(url=f"{RUNS}?deal=006A", json={"items": [RUN]})
    httpx_mock.add_response(url=f"{CHANGES}?deal=006A", json={"items": []})

    async with calling(Place(BASE), DEMO) as calls:
        run = await calls.find("006A")

    assert run.id == RUN["id"]
    assert httpx_mock.get_requests()[-1].headers["Authorization"] == "Bearer t2"


async def test_of_a_deals_runs_the_one_that_waits_for_a_person_comes_first(
    httpx_mock: HTTPXMock,
) -> None:
    wait = {"since": "2026-04-01T12:00:00Z", "owner": "delivery-director", "work_item_id": "wi-1"}
    hold = {"id": "deal_change:salesforce:006A:1", "flow": "deal_change", "state": "waiting"}
    grants(httpx_mock, "t1")
    httpx_mock.add_response(url=f"{RUNS}?deal=006A", json={"items": [RUN]})
    httpx_mock.add_response(url=f"{CHANGES}?deal=006A", json={"items": [hold | {"waiting": wait}]})

    async with calling(Place(BASE), DEMO) as calls:
        run = await calls.find("006A")

    assert run.id == hold["id"]


async def test_a_deal_without_a_run_is_not_found(httpx_mock: HTTPXMock) -> None:
    grants(httpx_mock, "t1")
    httpx_mock.add_response(url=f"{RUNS}?deal=006B", json={"items": []})
    httpx_mock.add_response(url=f"{CHANGES}?deal=006B", json={"items": []})
    unknown = {"status": 404, "code": "journey.unknown", "kind": "NotFound"}
    httpx_mock.add_response(url=f"{JOURNEYS}/006B", status_code=404, json=unknown)

    async with calling(Place(BASE), DEMO) as calls:
        with pytest.raises(NotFound):
            await calls.find("006B")


async def test_a_project_of_any_system_leads_to_the_run_of_its_deal(httpx_mock: HTTPXMock) -> None:
    grants(httpx_mock, "t1")
    httpx_mock.add_response(url=f"{RUNS}?deal=1003", json={"items": []})
    httpx_mock.add_response(url=f"{CHANGES}?deal=1003", json={"items": []})
    httpx_mock.add_response(url=f"{JOURNEYS}/1003", json={"where": {"run_id": RUN["id"]}})
    httpx_mock.add_response(url=BASE + run_path(RUN["id"]), json=RUN)

    async with calling(Place(BASE), DEMO) as calls:
        run = await calls.find("1003")

    assert run.id == RUN["id"]


async def test_every_page_of_work_items_is_read(httpx_mock: HTTPXMock) -> None:
    grants(httpx_mock, "t1")
    httpx_mock.add_response(url=f"{ITEMS}?state=open", json={"items": [ITEM], "next": "c"})
    httpx_mock.add_response(
        url=f"{ITEMS}?state=open&cursor=c", json={"items": [ITEM | {"id": "wi-2"}]}
    )

    async with calling(Place(BASE), DEMO) as calls:
        items = await calls.work_items()

    assert [item.id for item in items] == ["wi-1", "wi-2"]


async def test_a_refused_decision_arrives_as_its_error(httpx_mock: HTTPXMock) -> None:
    grants(httpx_mock, "t1")
    problem = {"status": 409, "code": "work-item.already-decided", "detail": "somebody was quicker"}
    httpx_mock.add_response(url=f"{ITEMS}/wi-1/decisions", status_code=409, json=problem)

    async with calling(Place(BASE), DEMO) as calls:
        with pytest.raises(Conflict, match="already-decided"):
            await calls.decide("wi-1", "adopt", record=Source("salesforce", "001A"))

    sent = json.loads(httpx_mock.get_requests()[-1].content)
    assert sent["record"] == {"system": "salesforce", "external_id": "001A"}


async def test_a_gateway_that_is_not_there_is_a_sentence(httpx_mock: HTTPXMock) -> None:
    httpx_mock.add_exception(httpx.ConnectError("refused"))

    async with httpx.AsyncClient() as http:
        with pytest.raises(Unavailable) as told:
            await Calls(BASE, "demo", "s", http).token()

    assert told.value.detail == f"nothing answers at {BASE}"


async def test_a_gateway_that_lets_nobody_in_says_what_to_compare(httpx_mock: HTTPXMock) -> None:
    invalid = {"error": "invalid_client"}
    httpx_mock.add_response(url=f"{BASE}/oauth/token", status_code=401, json=invalid)

    async with calling(Place(BASE), DEMO) as calls:
        with pytest.raises(Rejected, match="does not let the client 'demo' in") as told:
            await calls.token()

    assert "THROUGHLINE_GATEWAY" in str(told.value.remedy)


async def test_a_gateway_that_is_not_ready_is_not_taken_for_another_program(
    httpx_mock: HTTPXMock,
) -> None:
    problem = {"status": 503, "code": "unavailable", "detail": "The database is away."}
    httpx_mock.add_response(url=f"{BASE}/oauth/token", status_code=503, json=problem)

    async with calling(Place(BASE), DEMO) as calls:
        with pytest.raises(Transient, match="The database is away"):
            await calls.token()


async def test_a_gateway_at_another_address_hears_its_own_name(httpx_mock: HTTPXMock) -> None:
    token = "http://10.1.2.3:8080/oauth/token"
    httpx_mock.add_response(url=token, json={"access_token": "t1"})

    async with calling(Place("http://10.1.2.3:8080", "api.example.com"), DEMO) as calls:
        await calls.token()

    assert httpx_mock.get_requests()[0].headers["host"] == "api.example.com"
