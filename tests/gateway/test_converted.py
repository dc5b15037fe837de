"""What passes through the wrapper of an older major beside whole JSON bodies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from apis.gateway.guard import Header, Receive, Scope, Send
from tests.experience_apis.side_by_side import SideBySide

V1 = "experience/delivery/v1"


class Inside:
    """The newest major: it keeps what it was asked, and answers in parts."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, bytes]] = []
        self.kind = b"application/json"
        self.parts = [
            b'{"items": [{"id": "P-1", "proj',
            b'ect_manager": "kim"}], ',
            b'"next": "c"}',
        ]
        self.more: list[Header] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        self.asked.append((scope["path"], scope["query_string"]))
        headers = [(b"Content-Type", self.kind), *self.more]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for part in self.parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def both(store_url: str, tmp_path: Path) -> AsyncIterator[SideBySide]:
    side = SideBySide(tmp_path, store_url)
    yield side
    await side.close()


@pytest.fixture
def inside() -> Inside:
    return Inside()


@pytest.fixture
def old(both: SideBySide, inside: Inside) -> httpx.AsyncClient:
    """Asks the older major behind all that the gateway does before."""
    both.target = inside
    both.serve()
    transport = httpx.ASGITransport(both.app.front.targets[V1])
    return httpx.AsyncClient(transport=transport, base_url="http://inside")


async def test_an_answer_in_parts_is_told_whole_with_its_new_length(old: httpx.AsyncClient) -> None:
    answer = await old.get("/projects")

    assert answer.json() == {"items": [{"id": "P-1", "manager": "kim"}], "next": "c"}
    assert answer.headers["content-length"] == str(len(answer.content))


async def test_what_is_not_json_passes_as_it_is(old: httpx.AsyncClient, inside: Inside) -> None:
    inside.kind, inside.parts = b"text/csv", [b"id;project_manager\n", b"P-1;\xff\n"]

    answer = await old.get("/projects")

    assert answer.content == b"id;project_manager\nP-1;\xff\n"
    assert answer.headers["content-type"] == "text/csv"


async def test_links_lead_to_the_version_that_was_asked(
    old: httpx.AsyncClient, inside: Inside
) -> None:
    v2 = "https://api.example/experience/delivery/v2/projects?cursor=c"
    inside.more = [(b"Link", f'<{v2}>; rel="next"'.encode()), (b"Location", v2.encode())]

    answer = await old.get("/projects", params={"customer": "a b&c", "cursor": "x=="})

    assert answer.headers["link"] == f'<{v2.replace("/v2/", "/v1/")}>; rel="next"'
    assert answer.headers["location"] == v2.replace("/v2/", "/v1/")
    assert inside.asked == [("/projects", b"customer_id=a+b%26c&cursor=x%3D%3D")]


@pytest.mark.parametrize("major", [1, 2])
async def test_a_method_that_no_major_has_is_refused_alike(both: SideBySide, major: int) -> None:
    answer = await both.http.head(
        f"/experience/delivery/v{major}/projects", headers=both.bearer("clerk")
    )

    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
