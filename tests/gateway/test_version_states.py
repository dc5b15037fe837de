"""A version's life goes on, in every gateway, from what was promised of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from apis.gateway.compiled import compile_policy
from apis.gateway.documents import load_documents
from apis.gateway.policy import Gateway, PolicyError, load_gateway
from apis.gateway.version_states import Lives, grace_findings, states
from apis.runtime.audit import AUDIT
from apis.runtime.migrations import lift
from apis.runtime.serving import DOCUMENTS
from apis.runtime.store import Store
from tests.gateway.bench import GATEWAY, NOW

STEPS = yaml.safe_load((Path(__file__).parent / "version_steps.yaml").read_text())
TARGET = "process/orders/v3"
ENDING = {"status": "deprecated", "since": "2026-11-01", "sunset": "2027-06-30"}


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = Store(store_url)
    lift(store)
    yield store
    store.close()


def policy(version: dict[str, Any] | None) -> Gateway:
    """The policy with this as the third major, or without one."""
    lines = "" if version is None else f"3: {json.dumps(version, default=str)}"
    return load_gateway(GATEWAY.replace("3: {status: current}", lines))


def taken(store: Store, *versions: dict[str, Any] | None, today: date | None = None) -> None:
    """Policies that a gateway starts with, one after the other; the last on a day."""
    for version in versions[:-1]:
        Lives(store).take(policy(version), NOW)
    at = datetime.combine(today, time(), UTC) if today else NOW
    Lives(store).take(policy(versions[-1]), at)


def audited(store: Store) -> list[Any]:
    rows = AUDIT["gateway"]
    wanted = sa.select(rows.c.key, rows.c.actor, rows.c.action, rows.c.detail)
    found = store.read_now(lambda connection: connection.execute(wanted.order_by(rows.c.seq)).all())
    return [row for row in found if row.key == TARGET]


@pytest.mark.parametrize("step", STEPS, ids=[step["name"] for step in STEPS])
def test_a_version_takes_its_step_or_keeps_the_gateway_from_starting(
    store: Store, step: dict[str, Any]
) -> None:
    before = step["before"] if isinstance(step["before"], list) else [step["before"]]
    taken(store, *before)
    today = step.get("today")
    known, rows = store.read_now(states).get(TARGET), audited(store)

    if "refused" not in step:
        taken(store, step["after"], today=today)
        if step["after"]:
            assert store.read_now(states)[TARGET].status == step["after"]["status"]
        return

    with pytest.raises(PolicyError) as refused:
        taken(store, step["after"], today=today)
    [told] = refused.value.mistakes
    assert re.match(r"gateway\.yaml:\d+: apis\.process\.orders\.versions\.3", told)
    assert step["refused"] in told
    assert store.read_now(states).get(TARGET) == known
    assert audited(store) == rows


def test_what_is_blocked_goes_on_from_what_it_was(store: Store) -> None:
    blocked = {"status": "blocked"}
    taken(store, {"status": "current"}, blocked)
    with pytest.raises(PolicyError, match="current -> retired"):
        taken(store, {"status": "retired"})
    taken(store, ENDING, blocked)

    with pytest.raises(PolicyError, match="announced for 2027-06-30"):
        taken(store, ENDING | {"sunset": "2027-06-01"})
    with pytest.raises(PolicyError, match="may not just go"):
        taken(store, None)
    taken(store, ENDING)


def test_a_retired_version_that_left_the_file_does_not_come_back(store: Store) -> None:
    taken(store, {"status": "retired"}, None)

    with pytest.raises(PolicyError, match="what is retired stays so"):
        taken(store, {"status": "current"})


def test_a_fresh_database_takes_the_file_as_it_is_and_check_tells_what_ends_too_soon(
    store: Store,
) -> None:
    short = policy(ENDING | {"sunset": "2026-12-24"})
    Lives(store).take(short, NOW)
    Lives(store).take(short, NOW)

    [(place, told)] = grace_findings(short, {})
    assert place == ("apis", "process", "orders", "versions", 3, "sunset")
    assert told == "53 days after `since`; at least 180 are promised"


def test_a_preview_is_checked_by_its_own_grace(store: Store) -> None:
    ending = ENDING | {"sunset": "2026-12-24"}
    taken(store, {"status": "preview"}, ending)

    assert list(grace_findings(policy(ending), store.read_now(states))) == []


def test_two_gateways_that_start_at_once_record_a_change_once(store: Store, store_url: str) -> None:
    taken(store, {"status": "current"})
    other = Store(store_url)

    with ThreadPoolExecutor(2) as both:
        list(both.map(lambda each: taken(each, ENDING), (store, other)))
    other.close()

    [first, second] = audited(store)
    assert (first.actor, first.action) == ("operator", "version.changed")
    assert json.loads(first.detail) == {"before": None, "after": {"status": "current"}}
    assert json.loads(second.detail) == {"before": {"status": "current"}, "after": ENDING}


def test_a_served_version_that_nothing_leads_on_from_keeps_the_gateway_from_starting() -> None:
    sample = load_gateway(Path("gateway.yaml").read_text())

    with pytest.raises(PolicyError, match=r"does not lead .*getProject.* to v2"):
        compile_policy(sample, load_documents(DOCUMENTS), conversions={})
