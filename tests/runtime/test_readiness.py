"""A gateway is as ready as the processes behind it, and asks them sparingly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from pytest_httpx import HTTPXMock

from apis.runtime.readiness import Peers, telling

PLACES = {"process": "http://127.0.0.1:8102", "system/salesforce": "http://127.0.0.1:8101/"}
PROCESS, SYSTEM = "http://127.0.0.1:8102/readyz", "http://127.0.0.1:8101/readyz"


@pytest.fixture
async def peers() -> AsyncIterator[Peers]:
    async with httpx.AsyncClient() as http:
        yield Peers(PLACES, http)


async def test_all_parts_are_ready(peers: Peers, httpx_mock: HTTPXMock) -> None:
    httpx_mock.add_response(url=PROCESS)
    httpx_mock.add_response(url=SYSTEM, status_code=404)  # of a release that does not say yet

    assert await peers.unready() == []


async def test_the_part_that_is_not_ready_is_named(peers: Peers, httpx_mock: HTTPXMock) -> None:
    httpx_mock.add_response(url=PROCESS, status_code=503)
    httpx_mock.add_exception(httpx.ReadTimeout("late"), url=SYSTEM)

    assert await peers.unready() == ["process is not ready", "system/salesforce does not answer"]


async def test_however_often_we_are_asked_the_parts_are_asked_once_a_second(
    peers: Peers, httpx_mock: HTTPXMock
) -> None:
    httpx_mock.add_response(url=PROCESS)
    httpx_mock.add_response(url=SYSTEM)

    for _ in range(5):
        assert await peers.unready() == []

    assert len(httpx_mock.get_requests()) == len(PLACES)


async def test_a_part_says_whether_it_is_ready_and_serves_the_rest_as_before() -> None:
    missing: list[str] = []

    async def apps(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def ready() -> list[str]:
        return missing

    transport = httpx.ASGITransport(telling(apps, ready))
    async with httpx.AsyncClient(transport=transport, base_url=PLACES["process"]) as http:
        good = await http.get("/readyz")
        missing.append("database: OperationalError")
        bad = await http.get("/readyz")
        other = await http.get("/process/deal-to-project/v1/runs")

    assert (good.status_code, bad.status_code, other.status_code) == (200, 503, 404)
    assert bad.json()["detail"] == "Not ready: database: OperationalError."
    assert bad.headers["content-type"] == "application/problem+json"
