"""Whoever asks for a page that is none, or gives work to nobody, is told what is wrong."""

from __future__ import annotations

import pytest

from tests.firm import ITEMS, Firm

PROCESS = "/process/deal-to-project/v1"
LISTINGS = [
    f"{PROCESS}/runs",
    f"{PROCESS}/backfills",
    ITEMS,
    "/experience/operations/v1/work-items",
    "/experience/delivery/v2/projects",
]


@pytest.mark.parametrize("cursor", ["", "page-2", "2026-01-01T00:00:00+00:00", "2026-01-01~x"])
@pytest.mark.parametrize("listing", LISTINGS)
async def test_a_cursor_that_is_no_pages_next_is_refused_by_its_name(
    firm: Firm, listing: str, cursor: str
) -> None:
    answer = await firm.call("GET", listing, params={"cursor": cursor})

    [error] = answer.json()["errors"]
    assert (answer.status_code, error["parameter"]) == (422, "cursor")


@pytest.mark.parametrize("queue", [ITEMS, "/experience/operations/v1/work-items"])
@pytest.mark.parametrize("nobody", ["", "nobody", "kim@", "kim frey@northline.example"])
async def test_work_is_given_to_a_person_by_their_address(
    firm: Firm, queue: str, nobody: str
) -> None:
    refused = await firm.call("PUT", f"{queue}/wi-1/assignee", json={"assignee": nobody})

    [error] = refused.json()["errors"]
    assert (refused.status_code, error["pointer"]) == (422, "/assignee")
