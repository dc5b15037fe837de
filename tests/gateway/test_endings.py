"""Whoever uses an operation or a field that is to go is told so, once, with the earliest days."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from apis.gateway.documents import read_document
from tests.gateway.bench import HERE, ISSUER, Bench

POLICY = """
version: 1
plans: {internal: {rate: 100000/min}}
clients:
  clerk: {plan: internal, secret: home:clients.json, scopes: [notes.use]}
apis:
  process:
    notes:
      app: "notes:app"
      scopes: {notes.use: [findNotes, addNote, replaceNotes, dropNotes]}
      versions:
        1: {status: deprecated, since: 2026-10-15, sunset: 2027-06-30}
        2: {status: current}
"""
ROWS: list[dict[str, Any]] = yaml.safe_load((HERE / "endings.yaml").read_text())["rows"]
PAGE = f"{ISSUER}/portal/apis/process/notes#changelog"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    document = read_document(HERE / "foreign/ending.yaml")
    paths = document["paths"]
    documents = {
        target: {**document, "paths": {f"/{target}{path}": paths[path] for path in paths}}
        for target in ("process/notes/v1", "process/notes/v2")
    }
    bench = Bench(tmp_path, POLICY, documents)
    yield bench
    bench.store.close()


async def told(bench: Bench, row: dict[str, Any], major: int) -> tuple[list[str], list[str]]:
    """The values of `Deprecation` and of `Sunset`."""
    given = {} if "client" in row else bench.bearer("clerk")
    answer = await bench.http.request(
        row.get("method", "GET"),
        f"/process/notes/v{major}/notes?{row.get('query', '')}",
        json=row.get("body"),
        headers={**given, **row.get("headers", {})},
    )
    headers = answer.headers
    assert len(headers.get_list("link")) == len(headers.get_list("deprecation"))
    return headers.get_list("deprecation"), headers.get_list("sunset")


def wanted(days: list[date]) -> tuple[list[str], list[str]]:
    moments = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in days]
    ends = [each.replace(hour=23, minute=59, second=59) for each in moments[1:]]
    return (
        [f"@{int(each.timestamp())}" for each in moments[:1]],
        [format_datetime(each, usegmt=True) for each in ends],
    )


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
async def test_who_uses_what_is_deprecated_is_told_once_with_the_earliest_days(
    bench: Bench, row: dict[str, Any]
) -> None:
    assert await told(bench, row, 2) == wanted(row["current"])
    assert await told(bench, row, 1) == wanted(row["ending"])


async def test_an_answer_says_where_to_read_of_the_end_and_what_follows(bench: Bench) -> None:
    path = "/process/notes/v{}/notes?old=1"
    links = [
        (await bench.http.get(path.format(major), headers=bench.bearer("clerk"))).headers["link"]
        for major in (2, 1)
    ]

    read = 'type="text/html"'
    both = f'<{PAGE}>; rel="deprecation"; {read}, <{PAGE}>; rel="sunset"; {read}'
    on = f'<{ISSUER}/portal/apis/process/notes/v2>; rel="successor-version"; {read}'
    assert links == [both, f"{both}, {on}"]


def test_operations_of_which_nothing_is_deprecated_cost_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    assert bench.app.front.endings == {}
    bench.store.close()
