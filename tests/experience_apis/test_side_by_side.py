"""A client of delivery v1 and one of v2, side by side on one store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.experience_apis.side_by_side import (
    EXAMPLES,
    POLICY,
    V1,
    Example,
    SideBySide,
)
from tests.gateway.bench import ISSUER

FROZEN = EXAMPLES / "experience/delivery/v1"
BROWNOUT = "sunset: 2027-06-30, brownouts: [{at: 2026-12-01T10:00Z, minutes: 30}]"


@pytest.fixture
async def both(store_url: str, tmp_path: Path) -> AsyncIterator[SideBySide]:
    side = SideBySide(tmp_path, store_url)
    yield side
    await side.close()


@pytest.mark.parametrize("example", V1, ids=[each.name for each in V1])
async def test_version_1_answers_to_the_byte_what_it_always_did(
    both: SideBySide, example: Example
) -> None:
    answer = await both.get(1, example.path, example.query)

    assert answer.status_code == example.status
    assert answer.content + b"\n" == (FROZEN / f"{example.name}.json").read_bytes()
    assert answer.headers["content-length"] == str(len(answer.content))


async def test_the_next_page_of_version_1_is_found_by_its_cursor(both: SideBySide) -> None:
    first = (await both.get(1, "/projects")).json()

    last = await both.get(1, "/projects", {"cursor": first["next"]})

    assert last.content + b"\n" == (FROZEN / "projects-last-page.json").read_bytes()


async def test_version_2_says_the_same_in_its_own_words(both: SideBySide) -> None:
    listed = await both.get(2, "/projects", {"customer_id": "01JALFA0000000000000000000"})
    one = (await both.get(2, "/projects/P-1")).json()
    health = (await both.get(2, "/projects/P-1/health")).json()

    assert [each["id"] for each in listed.json()["items"]] == ["P-3", "P-2", "P-1"]
    assert (one["id"], one["project_manager"]) == ("P-1", "kim@northline.example")
    assert one["budget"]["total"] == {"amount": "42800.10", "currency": "EUR"}
    assert health["burn"]["amount"] == {"amount": "0.00", "currency": "EUR"}
    refused = await both.get(2, "/projects", {"customer": "x"})
    assert (refused.status_code, refused.json()["errors"][0]["parameter"]) == (422, "customer")


@pytest.mark.parametrize(
    ("path", "status"), [("/projects", 200), ("/projects/nobody", 404), ("/nowhere", 404)]
)
async def test_every_answer_of_a_deprecated_version_says_until_when(
    both: SideBySide, path: str, status: int
) -> None:
    answer = await both.get(1, path)

    page = f"{ISSUER}/portal/apis/experience/delivery#changelog"
    assert answer.status_code == status
    assert answer.headers["deprecation"] == "@1793577600"
    assert answer.headers["sunset"] == "Wed, 30 Jun 2027 23:59:59 GMT"
    assert answer.headers["link"] == (
        f'<{page}>; rel="deprecation"; type="text/html", <{page}>; rel="sunset"; type="text/html", '
        f'<{ISSUER}/portal/apis/experience/delivery/v2>; rel="successor-version"; type="text/html"'
    )
    assert "deprecation" not in (await both.get(2, path)).headers


async def test_after_its_sunset_version_1_is_gone_and_version_2_goes_on(both: SideBySide) -> None:
    both.clock.set(datetime(2027, 7, 1, tzinfo=UTC))

    gone = await both.get(1, "/projects")

    assert (gone.status_code, gone.json()["code"]) == (410, "version-retired")
    assert (await both.get(2, "/projects")).status_code == 200


async def test_a_brown_out_rehearses_the_end_and_says_how_long(
    store_url: str, tmp_path: Path
) -> None:
    both = SideBySide(tmp_path, store_url, POLICY.replace("sunset: 2027-06-30", BROWNOUT))
    told = []
    for minute in (59, 0, 29, 30):
        both.clock.set(datetime(2026, 12, 1, 9 if minute == 59 else 10, minute, tzinfo=UTC))
        answer = await both.get(1, "/projects/P-2")
        told.append((answer.status_code, answer.headers.get("retry-after")))
    await both.close()

    assert told == [(200, None), (410, "1800"), (410, "60"), (200, None)]
