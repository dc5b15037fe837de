"""Every problem that can be told has a page with cause and remedy, and the page is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from apis.gateway.guard import REFUSALS
from apis.portal.problems import LIKE_A_CODE, Problems, table
from apis.runtime.outside import VENDOR_CODES
from contracts.errors import ERRORS
from tests.architecture.tree import Project
from tests.gateway.bench import ISSUER, Bench
from tests.portal.raised import raised

TOLD = raised(Project(Path(__file__).parents[2]))
OAUTH = ("invalid_request", "invalid_client", "invalid_grant", "invalid_scope")
KNOWN = Problems(ISSUER)


def test_the_codes_are_found_where_they_are_told() -> None:
    known = {"rate-limited", "customer.credit-hold", "work-item.unknown", "deal.*-missing"}

    assert known <= TOLD.keys()
    assert len(TOLD) > 130


@pytest.mark.parametrize("code", sorted({*TOLD, *REFUSALS, *VENDOR_CODES.values(), *OAUTH}))
def test_every_code_has_a_cause_and_a_remedy(code: str) -> None:
    told = KNOWN.of(code) or KNOWN.of(code.replace("*", "x"))

    assert told is not None, f"{code} ({TOLD.get(code)}): add it to apis/problems.yaml"
    assert told.title
    assert told.cause, f"{code}: apis/problems.yaml says no cause"
    assert told.remedy
    assert told.owner


@pytest.mark.parametrize("code", ["rate-limited", "customer.credit-hold", "vendor.rejected"])
async def test_the_type_of_a_problem_leads_to_its_page(bench: Bench, code: str) -> None:
    page = await bench.http.get(f"/problems/{code}", headers={"accept": "text/html"})
    told = (
        await bench.http.get(f"/problems/{code}", headers={"accept": "application/json"})
    ).json()

    assert page.status_code == 200
    assert told["title"] in page.text
    assert told["example"]["code"] == code
    assert told["cause"]


async def test_a_problem_that_was_sent_names_a_page_that_is_there(bench: Bench) -> None:
    refused = (await bench.http.get("/experience/delivery/v1/projects")).json()

    page = await bench.http.get(refused["type"])

    assert page.status_code == 200
    assert refused["title"] in page.text


async def test_a_registered_type_is_linked(bench: Bench) -> None:
    page = await bench.http.get("/problems/rate-limited")

    assert 'href="https://iana.org/assignments/http-problem-types#quota-exceeded"' in page.text


@pytest.mark.parametrize("code", ["nonsense", "x.y", "UPPER", "a" * 200])
async def test_a_code_that_nobody_tells_says_so(bench: Bench, code: str) -> None:
    page = await bench.http.get(f"/problems/{code}")
    told = await bench.http.get(f"/problems/{code}", headers={"accept": "application/json"})

    assert page.status_code == 404
    assert "There is no such problem" in page.text
    assert told.status_code == 404
    assert told.headers["content-type"] == "application/json"


def test_what_a_page_says_of_a_class_is_what_is_sent() -> None:
    for code, row in table().problems.items():
        told = KNOWN.of(code.replace("*", "x"))
        assert told is not None
        assert told.status == (row.status or ERRORS[row.kind].status)
        assert told.example["status"] == told.status


def test_words_of_the_table_are_sentences() -> None:
    known = table()
    for code, row in (known.problems | known.tokens).items():
        assert LIKE_A_CODE.fullmatch(code.replace("*", "x"))
        assert re.match(r"[A-Z`]", row.cause), code
        assert row.cause.endswith("."), code
        assert not row.remedy.endswith("."), code
        assert not row.title.endswith("."), code
