"""Many records in few calls: tasks, billing lines and staffing, each with its own outcome."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from contracts.canonical.billing import BillingLine
from contracts.canonical.identity import Ref
from contracts.canonical.project import Milestone, Task
from contracts.errors import Rejected, Transient
from tests.runtime.acme import asks, made, rows
from tests.system_apis.kantata.connected import on, over_http
from tests.system_apis.kantata.sandbox_tenant import in_process
from tests.system_apis.kantata.test_adapter import (
    EUROS,
    MILESTONES,
    TASKS,
    URL,
    requests,
    rollout,
)


@pytest.fixture
def store(store_url: str):
    with made(store_url) as store:
        yield store


@pytest.fixture
async def tenant(tmp_path):
    async with in_process(tmp_path) as tenant:
        yield tenant


@pytest.fixture
def psa(tenant, store, tmp_path):
    return over_http(on(URL, tenant.http, store, tmp_path))


async def test_tasks_come_under_their_parents_a_level_a_call(tenant, psa) -> None:
    asks()
    project = await rollout(psa)
    tasks = [
        Task(code="1.1", name="Blueprint", parent="1", planned_hours=Decimal("1.51")),
        Task(code="1", name="Design"),
        Task(code="9.1", name="Orphan", parent="9"),
    ]
    before = len(tenant.log)

    told = await psa.create_tasks(project, tasks, MILESTONES, "tasks-1")

    assert [bool(each.ok) for each in told] == [True, True, False, True]
    assert told[2].problem.code == "task.parent-missing"
    keys = [each["key"] for each in tenant.log[before:] if each["phase"] == "received"]
    assert keys == ["tasks-1-2,tasks-1-4", "tasks-1-1"]
    stories = {s["id"]: s for s in await tenant.lists("stories", include="parent")}
    child = stories[told[0].external_id]
    assert (child["parent_id"], child["time_estimate_in_minutes"]) == (told[1].external_id, 91)
    assert stories[told[3].external_id]["story_type"] == "milestone"


async def test_what_hangs_on_a_task_that_was_not_made_shares_its_problem(
    tenant, store, tmp_path
) -> None:
    tasks = [
        Task(code="1.1.1", name="Leaf", parent="1.1"),
        Task(code="1.1", name="Branch", parent="1"),
        Task(code="1", name="Root"),
        Task(code="a", name="A", parent="b"),
        Task(code="b", name="B", parent="a"),
    ]
    asks()
    project = await rollout(over_http(on(URL, tenant.http, store, tmp_path)))
    await tenant.meets("stories.create", "truncate", nth=1)
    psa = over_http(on(URL, tenant.http, store, tmp_path, batches={"stories": 1}))
    with pytest.raises(Transient):
        await psa.create_tasks(project, tasks, [], "tasks-1")
    await tenant.meets("stories.search", "hide", nth=1, seconds=30)

    told = await psa.create_tasks(project, tasks, [], "tasks-1")

    codes = [each.problem.code for each in told]
    assert codes == ["kantata.SEARCH_LAG"] * 3 + ["task.parent-missing"] * 2


async def test_each_record_gets_its_own_id_whatever_the_order_of_the_answer(tenant, psa) -> None:
    asks()
    project = await rollout(psa)

    told = await psa.create_tasks(project, TASKS, MILESTONES, "tasks-1")

    stories = {s["id"]: s["title"] for s in await tenant.lists("stories")}
    assert [stories[each.external_id] for each in told] == ["Design", "Build", "Design sign-off"]


async def test_a_line_waits_for_its_milestone_or_its_day(tenant, psa) -> None:
    asks()
    project = await rollout(psa)
    [story] = await psa.create_tasks(project, [], MILESTONES, "tasks-1")
    signed = Milestone(code="m1", name="Design sign-off", external_id=story.external_id)
    lines = [
        BillingLine(number=1, name="Sign-off", milestone="m1", total=EUROS),
        BillingLine(number=2, bill_on=date(2026, 9, 1), total=EUROS),
        BillingLine(number=3, milestone="m9", total=EUROS),
    ]

    told = await psa.create_billing_lines(project, lines, [signed], "billing-1")

    made_now = await tenant.lists("billing_milestones", include="story", order="created_at:asc")
    assert [
        (m["title"], m["amount_in_cents"], m["billing_type"], m["story_id"]) for m in made_now
    ] == [
        ("Sign-off", 2_140_000, "upon_completion", story.external_id),
        ("Billing 2", 2_140_000, "fixed_date", None),
    ]
    assert told[2].problem.code == "billing-line.milestone-missing"


async def test_a_role_is_a_resource_without_a_name(tenant, psa, store) -> None:
    asks()
    project = await rollout(psa)

    told = await psa.create_staffing_requests(
        project, requests(project, "CONS-SENIOR", "Astronaut"), "staffing-1"
    )

    listed = {"include_unnamed": "true", "include": "user,external_references"}
    [resource] = await tenant.lists("workspace_resources", **listed)
    assert (resource["user_id"], resource["role_name"]) == (None, "Senior Consultant")
    [reference] = (await tenant.state())["external_references"][1:]
    assert reference["external_message"] == "80 hours from 2026-04-15; skills SAP"
    assert told[1].problem.code == "mapping.unknown-value"
    assert "staffing-1-2" not in [row.key for row in await rows(store)]


async def test_what_was_cancelled_is_gone_and_may_be_made_again(tenant, psa) -> None:
    asks()
    project = await rollout(psa)
    lines = [BillingLine(number=n, total=EUROS) for n in (1, 2, 3)]
    told = await psa.create_billing_lines(project, lines, [], "billing-1")
    last = told[2].external_id
    await tenant.sets(invoiced=[told[1].external_id])

    asks(request_key="run-1/undo")
    ids = [told[1].external_id, last, last]
    gone = await psa.cancel_billing_lines(project, ids, "billing-1")

    assert [each.problem and each.problem.code for each in gone] == [
        "kantata.VALIDATION", None, None,
    ]  # fmt: skip
    assert await tenant.keys("billing_milestones") == ["billing-1-1", "billing-1-2"]
    asks(request_key="run-2/step")
    again = await psa.create_billing_lines(project, lines, [], "billing-1")
    assert [each.external_id for each in again[:2]] == [each.external_id for each in told[:2]]
    assert again[2].external_id != last


async def test_a_staffing_request_that_is_cancelled_frees_its_place(tenant, psa) -> None:
    asks()
    project = await rollout(psa)
    told = await psa.create_staffing_requests(
        project, requests(project, "CONS-CONSULTANT", "CONS-TRAINING"), "staffing-1"
    )
    ids = [each.external_id for each in told]

    gone = await psa.cancel_staffing_requests(project, ids, "staffing-1")

    assert [each.ok for each in gone] == [Ref(None, id_) for id_ in ids]
    assert await tenant.lists("workspace_resources", include_unnamed="true") == []


async def test_without_batches_there_is_a_call_a_record(tenant, store, tmp_path) -> None:
    await tenant.sets(no_batches=["stories"])
    psa = over_http(on(URL, tenant.http, store, tmp_path, batches={"stories": 1}))
    asks()
    project = await rollout(psa)
    before = len(tenant.log)

    told = await psa.create_tasks(project, TASKS, MILESTONES, "tasks-1")

    called = [each["key"] for each in tenant.log[before:] if each["phase"] == "received"]
    assert called == ["tasks-1-1", "tasks-1-2", "tasks-1-3"]
    assert all(each.ok for each in told)


async def test_more_than_a_call_takes_goes_out_in_several(tenant, psa) -> None:
    asks()
    project = await rollout(psa)
    tasks = [Task(code=str(n), name=f"Task {n}") for n in range(230)]
    before = len(tenant.log)

    told = await psa.create_tasks(project, tasks, [], "tasks-1")

    assert len({each.external_id for each in told}) == 230
    assert len(tenant.log[before:]) == 2 * 3


async def test_one_refused_record_refuses_its_batch_and_none_is_made(tenant, psa) -> None:
    asks()
    project = await rollout(psa)

    with pytest.raises(Rejected, match=r"kantata\.VALIDATION") as raised:
        await psa.create_tasks(project, [*TASKS, Task(code="3", name=" ")], [], "tasks-1")

    assert [each.pointer for each in raised.value.errors] == ["/title"]
    assert await tenant.lists("stories") == []
