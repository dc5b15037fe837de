"""The bad-input catalogue against gateway processes, by bytes on a socket, on either store.

Two gateways (Redis, in production form) take turns: a row and the good requests around it go to one
and to the other.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.catalogue import CANARY, Case, body_of, check, rows
from tests.gateway.front import Front, opened
from tests.servers import Servers, drop_database, flush, fresh_database

FORMS = {
    "embedded": [("sqlite", 1)],
    "production": [("postgresql", 1), ("postgresql", 2), ("sqlite", 2)],
}
ORDERS = "/process/orders/v3/orders"
MOST_EXCEPTIONS = 4


@pytest.fixture(scope="module", params=FORMS[os.environ.get("THROUGHLINE_TEST_FORM", "embedded")])
def front(
    request: pytest.FixtureRequest,
    production: Servers | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Front]:
    store, count = request.param
    home: Path = tmp_path_factory.mktemp("front")
    url, redis = f"sqlite:///{home}/throughline.sqlite", None
    if production is not None:
        redis = production.redis_url.rpartition("/")[0] + "/2"  # others may be running
        flush(redis)
        if store == "postgresql":
            url = fresh_database(production.database_url)
    with opened(home, url, redis, count) as front:
        yield front
    if production is not None and store == "postgresql":
        drop_database(production.database_url, url)


def good(front: Front, case: Case) -> None:
    """The good request of a row's group is served, whatever was asked before it."""
    answer = front.asks(case["control"])
    assert answer.status // 100 == 2, answer.body[:300]


@pytest.mark.parametrize("case", rows(raw=False))
def test_a_row(front: Front, case: Case) -> None:
    expect = case["expect"] | case.get("wire", {})
    good(front, case)
    calls, began = len(front.tier.calls), time.perf_counter()

    answer = front.asks(case)

    front.took(began, f"{case['group']}: {case['name']}")
    check(answer, expect, front)
    reached = len(front.tier.calls) - calls
    assert reached == (1 if case["group"] == "problems" else reached if answer.status < 400 else 0)
    good(front, case)


@pytest.mark.parametrize("case", rows(raw=True))
def test_bytes_that_are_no_request_get_one_answer_and_the_end(front: Front, case: Case) -> None:
    good(front, case)
    calls = len(front.tier.calls)

    answers = front.says(case)

    if "statuses" in case["expect"]:
        assert [each.status for each in answers] == case["expect"]["statuses"]
    else:
        [answer] = answers
        check(answer, case["expect"], front)
        assert answer.headers["connection"] == "close"
        assert len(front.tier.calls) == calls
    good(front, case)


def test_an_assertion_counts_once_whichever_process_is_asked(front: Front) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    case = {"method": "POST", "path": "/oauth/token", "headers": form, "assertion": "right"}
    once = {**case, "body": body_of(front, case).decode()}

    answers = [front.asks(once) for _ in range(2 * len(front.wires))]

    assert [each.status for each in answers] == [200, *[401] * (len(answers) - 1)]
    assert answers[-1].json()["error"] == "invalid_client"


def test_a_plan_is_one_plan_on_all_processes_whoever_claims_to_ask(front: Front) -> None:
    burst = [
        {"path": ORDERS, "client": "slow", "more": [["x-forwarded-for", f"192.0.2.{n}"]]}
        for n in range(12)
    ]

    answers = [front.asks(case) for case in burst]

    assert [each.status for each in answers] == [200] * 5 + [429] * 7
    expect = {"status": 429, "code": "rate-limited"}
    for answer in answers[5:]:
        check(answer, expect, front)
        assert int(answer.headers["retry-after"]) >= 1
        assert {"ratelimit", "ratelimit-policy"} <= answer.headers.keys()


def test_few_ambiguities_pass_the_parser() -> None:
    assert sum("exception" in row.values[0] for row in rows(raw=True)) <= MOST_EXCEPTIONS


def test_nothing_of_a_secret_is_in_the_logs(front: Front) -> None:
    told = front.told()

    assert not [name for name, secret in front.secrets.items() if secret in told]
    assert CANARY not in told
    slowest = [f"{s * 1000:.0f} ms {name}" for s, name in sorted(front.slowest)[-5:]]
    print(f"{len(front.slowest)} rows; the slowest:", *slowest, sep="\n  ")  # noqa: T201 - figures
