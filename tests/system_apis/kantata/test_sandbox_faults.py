"""The sandbox misbehaves on request, and writes down what it did."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.system_apis.kantata.sandbox_tenant import Tenant, in_process

OURS = {"service_name": "throughline", "service_model": "X", "service_model_ref": "k-1"}


@pytest.fixture
async def tenant(tmp_path: Path) -> AsyncIterator[Tenant]:
    async with in_process(tmp_path) as tenant:
        yield tenant


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("throttle", 429, "system"),
        ("error", 500, "system"),
        ("lock", 422, "validation"),
        ("expire-token", 401, "oauth"),
        ("maintenance", 503, "system"),
    ],
)
async def test_the_second_create_meets_the_fault_and_nothing_is_written(
    tenant: Tenant, fault: str, status: int, kind: str
) -> None:
    await tenant.meets("workspaces.create", fault, nth=2, seconds=0.001)

    await tenant.makes("workspaces", title="A")
    answer = await tenant.call("POST", "workspaces", {"workspace": {"title": "B"}})
    await tenant.waits(1)
    await tenant.logs_in()

    assert answer.status_code == status
    assert answer.json()["errors"][0]["type"] == kind
    assert answer.headers["x-request-id"]
    assert not {"retry-after", "ratelimit-limit"} & answer.headers.keys()
    assert len(await tenant.lists("workspaces")) == 1


async def test_maintenance_lasts_by_the_clock_and_for_all_calls(tenant: Tenant) -> None:
    await tenant.meets("roles.search", "maintenance", nth=1, seconds=600)

    during = [await tenant.call("GET", "roles"), await tenant.logs_in()]
    await tenant.waits(601)

    assert [answer.status_code for answer in during] == [503, 503]
    assert await tenant.lists("roles")


async def test_a_hidden_record_is_kept_from_search_only(tenant: Tenant) -> None:
    await tenant.meets("workspaces.create", "hide", nth=1, seconds=30)

    id_ = await tenant.makes("workspaces", title="A")
    at_once = await tenant.lists("workspaces", only=id_)
    read = await tenant.gets(f"workspaces/{id_}")
    await tenant.waits(31)

    assert at_once == []
    assert read["workspaces"][id_]["title"] == "A"
    assert len(await tenant.lists("workspaces")) == 1


async def test_an_answer_can_break_off_drift_or_be_html(tenant: Tenant) -> None:
    await tenant.meets("workspaces.create", "truncate", nth=1)
    cut = await tenant.call("POST", "workspaces", {"workspace": {"title": "A", "price": 5}})
    await tenant.meets("workspaces.search", "drift", nth=1)
    drifted = (await tenant.call("GET", "workspaces")).json()
    await tenant.meets("*", "html", nth=1)
    page = await tenant.call("GET", "workspaces")

    with pytest.raises(json.JSONDecodeError):
        cut.json()
    [workspace] = drifted["workspaces"].values()
    assert (workspace["subject"], workspace["price_in_cents"]) == ("A", "500")
    assert not {"meta", "count"} & drifted.keys()
    assert (page.status_code, page.headers["content-type"]) == (502, "text/html")


async def test_a_named_route_has_its_own_rate_and_says_nothing_of_when(tenant: Tenant) -> None:
    await tenant.sets(rate_limits={"workspaces.*": "2/min"})

    answers = [await tenant.call("GET", "workspaces") for _ in range(3)]
    other = await tenant.call("GET", "roles")
    await tenant.waits(61)
    later = await tenant.call("GET", "workspaces")

    assert [each.status_code for each in [*answers, other, later]] == [200, 200, 429, 200, 200]
    assert "retry-after" not in answers[2].headers


async def test_over_three_minutes_nobody_knows(tenant: Tenant) -> None:
    await tenant.sets(over_time="workspaces.create")

    answer = await tenant.call("POST", "workspaces", {"workspace": {"title": "A"}})

    assert answer.status_code == 504
    assert len(await tenant.lists("workspaces")) == 1


async def test_every_call_is_logged_before_and_after(tenant: Tenant) -> None:
    project = await tenant.makes("workspaces", title="P", external_reference=OURS)
    stories = [
        {"title": "S", "workspace_id": int(project), "external_reference": OURS},
        {"title": "T", "workspace_id": int(project)},
    ]
    await tenant.call("POST", "stories", {"stories": stories})
    await tenant.call("PUT", f"workspaces/{project}", {"workspace": {"status_key": 999}})
    await tenant.call("GET", "stories")
    await tenant.call("DELETE", f"workspaces/{project}.json")

    lines = tenant.log[2:]
    received = [line for line in lines if line["phase"] == "received"]
    done = [line for line in lines if line["phase"] == "done"]
    assert [(r["operation"], r["key"]) for r in received] == [
        ("workspaces.create", "k-1"),
        ("stories.create", "k-1"),
        ("workspaces.update", None),
        ("stories.search", None),
        ("workspaces.delete", None),
    ]
    assert [(d["committed"], d["status"]) for d in done] == [
        (True, 200),
        (True, 200),
        (False, 422),
        (False, 200),
        (True, 204),
    ]
    assert (await tenant.state())["stories"] == []


async def test_the_state_holds_every_record_and_whose_it_is(tenant: Tenant) -> None:
    project = await tenant.makes("workspaces", title="P", external_reference=OURS)
    await tenant.makes("stories", title="S", workspace_id=int(project))

    state = await tenant.state()

    [story] = state["stories"]
    [reference] = state["external_references"]
    assert story["workspace_id"] == project
    assert state["workspaces"][0]["external_reference_ids"] == [reference["id"]]
    assert reference["service_model_ref"] == "k-1"
