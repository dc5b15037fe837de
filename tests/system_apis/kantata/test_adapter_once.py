"""Kantata has no idempotency: whatever becomes of an answer, nothing is made twice or lost."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from apis.runtime.clock import Clock
from apis.runtime.store import Store
from contracts.canonical.billing import BillingLine
from contracts.canonical.project import Project
from contracts.errors import Conflict, Throttled, ThroughlineError, Transient, error_of
from contracts.ports import Outcome
from tests.runtime.acme import asks, made, rows
from tests.system_apis.kantata.connected import on, over_http
from tests.system_apis.kantata.sandbox_tenant import Tenant, in_process
from tests.system_apis.kantata.test_adapter import (
    ELBTAL,
    EUROS,
    MILESTONES,
    ROLLOUT,
    TASKS,
    URL,
    requests,
    rollout,
)

LINES = [BillingLine(number=n, total=EUROS) for n in (1, 2)]
CREATES: list[tuple[str, Callable[[Any, str], Awaitable[Any]], int]] = [
    ("workspace_groups", lambda psa, _: psa.upsert_customer("k", ELBTAL), 1),
    ("workspaces", lambda psa, _: psa.create_project(ROLLOUT, "k"), 1),
    ("stories", lambda psa, at: psa.create_tasks(at, TASKS, MILESTONES, "k"), 3),
    ("billing_milestones", lambda psa, at: psa.create_billing_lines(at, LINES, [], "k"), 2),
    (
        "workspace_resources",
        lambda psa, at: psa.create_staffing_requests(
            at, requests(at, "CONS-TRAINING", "CONS-TRAINING"), "k"
        ),
        2,
    ),
]
LOST = ("timeout-after-commit", "truncate")
ids = pytest.mark.parametrize("create", CREATES, ids=lambda create: create[0])


class House:
    """A tenant, the port on it and the clock of the product."""

    def __init__(self, tenant: Tenant, store: Store, home: Any) -> None:
        self.tenant, self.store, self.clock = tenant, store, Clock()
        self.psa = over_http(on(URL, tenant.http, store, home, clock=self.clock))
        self.at = ""

    async def tries(self, create: Any) -> Any:
        """One attempt of a step: what it got, or the error that the step would meet."""
        asks(request_key="run-1/step")
        got = await create[1](self.psa, self.at)
        for each in got if isinstance(got, list) else ():
            if each.problem is not None:
                raise error_of(each.problem)
        return got

    async def records(self, kind: str) -> list[Any]:
        return [each for each in (await self.tenant.state())[kind] if each["id"] != self.at]


@pytest.fixture
async def house(store_url: str, tmp_path):
    with made(store_url) as store:
        async with in_process(tmp_path) as tenant:
            house = House(tenant, store, tmp_path)
            asks(request_key="run-0/step")
            house.at = await rollout(house.psa, "before")
            yield house


@ids
@pytest.mark.parametrize("fault", [*LOST, "error", "html", "drift"])
async def test_what_was_made_without_our_hearing_of_it_is_adopted(house, create, fault) -> None:
    kind, _, count = create
    await house.tenant.meets(f"{kind}.create", fault, nth=1, seconds=0)

    first: Any = None
    with contextlib.suppress(Transient):
        first = await house.tries(create)
    if fault in {"error", "html"}:  # it said no after all: nobody can know, so we wait
        with pytest.raises(Throttled, match="SEARCH_LAG"):
            await house.tries(create)
        house.clock.advance(61)
    second = await house.tries(create)

    assert len(await house.records(kind)) == count
    known = [row for row in await rows(house.store) if row.key != "before"]
    assert {(row.state, row.external_id is not None) for row in known} == {("done", True)}
    assert first in (None, second)


@ids
async def test_a_record_that_a_search_does_not_show_yet_is_waited_for(house, create) -> None:
    kind, _, count = create
    await house.tenant.meets(f"{kind}.create", "timeout-after-commit", nth=1, seconds=0)
    with pytest.raises(Transient):
        await house.tries(create)
    await house.tenant.meets(f"{kind}.search", "hide", nth=1, seconds=30)

    with pytest.raises(Throttled, match="SEARCH_LAG"):
        await house.tries(create)
    await house.tenant.waits(31)
    await house.tries(create)

    assert len(await house.records(kind)) == count


@ids
async def test_what_was_never_made_is_sent_again_once(house, create) -> None:
    kind, _, count = create
    await house.tenant.meets(f"{kind}.create", "timeout-before-commit", nth=1, seconds=0)

    with pytest.raises(Transient):
        await house.tries(create)
    with pytest.raises(Throttled, match="SEARCH_LAG"):
        await house.tries(create)
    house.clock.advance(61)
    await house.tries(create)

    assert len(await house.records(kind)) == count


@ids
async def test_throttling_and_maintenance_leave_nothing_open(house, create) -> None:
    kind, _, count = create
    await house.tenant.meets(f"{kind}.create", "throttle", nth=1)

    with pytest.raises(Throttled, match=r"kantata\.TOO_MANY_REQUESTS") as raised:
        await house.tries(create)
    await house.tries(create)

    assert raised.value.retry_after == 1
    assert len(await house.records(kind)) == count


@ids
async def test_the_same_step_twice_and_another_run_find_what_exists(house, create) -> None:
    kind, _, count = create

    first = await house.tries(create)
    again = await house.tries(create)
    asks(request_key="run-2/step")
    other = await create[1](house.psa, house.at)

    assert first == again == other
    assert len(await house.records(kind)) == count


async def test_a_batch_of_which_a_part_is_there_is_completed(house) -> None:
    await house.tenant.meets("stories.create", "timeout-before-commit", nth=1, seconds=0)
    create = CREATES[2]
    with pytest.raises(Transient):
        await house.tries(create)
    ours = {"service_name": "throughline", "service_model": "Task", "service_model_ref": "k-2"}
    story = {"title": "Build", "workspace_id": house.at, "external_reference": ours}
    there = await house.tenant.makes("stories", **story)

    house.clock.advance(61)
    told: list[Outcome] = await house.tries(create)

    assert told[1].external_id == there
    assert sorted(await house.tenant.keys("stories")) == ["k-1", "k-2", "k-3"]


async def test_a_lost_batch_is_looked_up_in_one_call(house) -> None:
    await house.tenant.meets("stories.create", "timeout-after-commit", nth=1, seconds=0)
    create = CREATES[2]
    with pytest.raises(Transient):
        await house.tries(create)
    before = len(house.tenant.log)

    await house.tries(create)

    called = [e["operation"] for e in house.tenant.log[before:] if e["phase"] == "received"]
    assert called == ["stories.search"]


@pytest.mark.parametrize("fault", ["timeout-before-commit", "timeout-after-commit"])
async def test_a_lost_answer_to_a_change_or_a_cancellation_is_made_good(house, fault) -> None:
    lines = await house.tries(CREATES[3])
    gone = [each.external_id for each in lines]

    changes: dict[str, Callable[[], Awaitable[Any]]] = {
        "workspaces.update": lambda: house.psa.set_project_state(house.at, "active", "k"),
        "billing_milestones.delete": lambda: house.psa.cancel_billing_lines(house.at, gone, "k"),
    }
    for operation, change in changes.items():
        await house.tenant.meets(operation, fault, nth=1, seconds=0)
        asks(request_key=f"run-1/{operation}")
        with pytest.raises(ThroughlineError):
            await change()
        asks(request_key=f"run-1/{operation}")
        await change()

    state = await house.tenant.state()
    assert state["billing_milestones"] == []
    assert state["workspaces"][0]["status"]["key"] == 310
    assert {row.state for row in await rows(house.store)} == {"done", "undone"}


async def test_two_records_with_one_key_are_for_a_person(house) -> None:
    ours = {"service_name": "throughline", "service_model": "Project", "service_model_ref": "k"}
    for _ in range(2):
        await house.tenant.makes("workspaces", title="Twin", external_reference=ours)
    asks()

    with pytest.raises(Conflict, match=r"kantata\.SEVERAL"):
        await house.psa.find_project("k")


async def test_another_systems_reference_is_not_ours(house) -> None:
    theirs = {"service_name": "salesforce", "service_model": "x", "service_model_ref": "k"}
    await house.tenant.makes("workspaces", title="Other", external_reference=theirs)
    asks()

    assert await house.psa.find_project("k") is None
    assert (await house.psa.create_project(Project(name="P"), "k")).external_id
