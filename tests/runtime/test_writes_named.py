"""How a record that was written is named: in the body, in its address, or only by our key."""

from __future__ import annotations

import pytest
from pytest_httpx import HTTPXMock

from apis.runtime.store import Store
from apis.runtime.wire import Unanswered
from apis.runtime.writes import Write
from contracts.canonical.identity import Ref
from tests.runtime.acme import THINGS, acme, asks, hands_out_tokens, made, rows

MINE = f"{THINGS}/eid:project-7"


@pytest.fixture
def store(store_url: str):
    with made(store_url) as store:
        yield store


def named(*answers: Ref | None) -> Write:
    """A write whose look-ups answer these, one by one."""
    left = list(answers)

    async def find() -> Ref | None:
        return left.pop(0)

    return Write(object="thing", key="project-7", find=find)


async def test_the_address_of_the_record_names_it(store: Store, httpx_mock: HTTPXMock) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    place = {"Location": "https://acme.test/api/v1/things/42/"}
    httpx_mock.add_response(url=f"{MINE}?replace=lines", status_code=204, headers=place)

    async with acme(store) as vendor:
        ref = await vendor.http.write(
            named(), "PUT", "/things/eid:{}", "project-7", params={"replace": "lines"}, body={}
        )

    assert ref == Ref(None, "42")


@pytest.mark.parametrize("status", [200, 202])
async def test_our_key_in_the_path_is_not_its_id_nor_is_the_address_of_a_job(
    store: Store, httpx_mock: HTTPXMock, status: int
) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    place = {"Location": "https://acme.test/jobs/1"} if status == 202 else {}
    httpx_mock.add_response(url=MINE, status_code=status, headers=place, json={})

    async with acme(store) as vendor:
        write = named(Ref(None, "42"))
        ref = await vendor.http.write(write, "PUT", "/things/eid:{}", "project-7", body={})

    assert ref == Ref(None, "42")


async def test_its_id_in_the_path_names_it_where_nothing_else_does(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=f"{THINGS}/42", status_code=204)

    async with acme(store) as vendor:
        ref = await vendor.http.write(named(), "PATCH", "/things/{}", "42", body={})

    assert ref == Ref(None, "42")


async def test_a_record_that_is_not_seen_yet_is_looked_up_later(
    store: Store, httpx_mock: HTTPXMock
) -> None:
    asks()
    hands_out_tokens(httpx_mock)
    httpx_mock.add_response(url=MINE, status_code=204)
    write = named(None, Ref(None, "42"))

    async with acme(store) as vendor:
        with pytest.raises(Unanswered, match=r"acme\.UNNAMED"):
            await vendor.http.write(write, "PUT", "/things/eid:{}", "project-7", body={})
        ref = await vendor.http.write(write, "PUT", "/things/eid:{}", "project-7", body={})

    assert ref == Ref(None, "42")
    assert len(httpx_mock.get_requests(url=MINE)) == 1
    [row] = await rows(store)
    assert (row.state, row.external_id) == ("done", "42")
