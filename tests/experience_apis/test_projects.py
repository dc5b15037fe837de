"""The projects of delivery: listed, found by any id, and how they are."""

from __future__ import annotations

from datetime import date
from typing import Any

from apis.runtime.store import Store
from contracts.canonical.identity import Source
from contracts.canonical.project import Milestone, Task
from contracts.events import ProjectChanged
from tests.experience_apis.announced import activates_project, announce
from tests.experience_apis.audience import DELIVERY, project
from tests.firm import Firm
from tests.process_apis.changing import held


async def test_any_id_finds_the_project_with_what_it_is_in_each_system(
    firm: Firm, store: Store
) -> None:
    run = await firm.run_of(firm.salesforce.wins_deal(entity="DE"))
    made = await activates_project(
        store,
        run,
        starts_on=date(2026, 3, 2),
        tasks=(Task(code="1", name="Blueprint"),),
        milestones=(Milestone(code="M1", name="Blueprint accepted"),),
    )

    found = await project(firm, made.id)

    told = found
    assert (told["key"], told["entity"], told["state"]) == (made.key, "DE", "active")
    assert told["budget"]["total"] == {"amount": "42800.00", "currency": "EUR"}
    assert (told["starts_on"], told["activated_at"]) == ("2026-03-02", run["ended_at"])
    assert ([t["name"] for t in found["tasks"]], len(found["milestones"])) == (["Blueprint"], 1)
    assert [(each["system"], each["external_id"]) for each in found["records"]] == [
        ("kantata", made.workspace),
        ("netsuite", made.job),
    ]
    for name in (made.key, made.workspace, made.job, made.number):
        assert (await project(firm, name))["id"] == made.id


async def test_projects_are_listed_by_entity_state_and_customer(firm: Firm, store: Store) -> None:
    run = await firm.run_of(firm.salesforce.wins_deal(entity="UK"))
    made = await activates_project(store, run)
    await project(firm, made.id)

    async def ids(**asked: str) -> list[str]:
        answer = await firm.call("GET", f"{DELIVERY}/projects", params=asked)
        return [each["id"] for each in answer.raise_for_status().json()["items"]]

    assert made.id in await ids(customer_id=run["result"]["customer"]["id"])
    assert made.id in await ids(entity="UK", state="active")
    assert made.id not in await ids(entity="US")
    assert made.id not in await ids(entity="UK", state="cancelled")


async def test_a_long_list_comes_in_pages(firm: Firm, store: Store) -> None:
    run = await firm.run_of(firm.salesforce.wins_deal())
    made = [await activates_project(store, run) for _ in range(51)]
    await project(firm, made[-1].id)
    asked = {"customer_id": run["result"]["customer"]["id"]}

    first = (await firm.call("GET", f"{DELIVERY}/projects", params=asked)).json()
    rest = await firm.call("GET", f"{DELIVERY}/projects", params=asked | {"cursor": first["next"]})

    seen = [each["id"] for each in (*first["items"], *rest.json()["items"])]
    assert (len(first["items"]), rest.json()["next"]) == (50, None)
    assert {each.id for each in made} < set(seen)
    assert len(seen) == len(set(seen)) == len(made) + 1, "the run's own project is there as well"


async def test_a_healthy_project_has_its_budget_and_has_burnt_nothing_yet(
    firm: Firm, store: Store
) -> None:
    run = await firm.run_of(firm.salesforce.wins_deal())
    made = await activates_project(store, run)

    health = await project(firm, made.id, "/health")

    assert health["budget"]["total"] == {"amount": "42800.00", "currency": "USD"}
    assert health["burn"] == {
        "amount": {"amount": "0.00", "currency": "USD"},
        "hours": "0",
        "entries": 0,
        "as_of": run["ended_at"],
    }
    assert health["open_work_items"] == []


async def test_the_health_of_a_project_names_what_waits_for_people(
    firm: Firm, store: Store
) -> None:
    deal = firm.salesforce.wins_deal()
    run = await firm.run_of(deal)
    made = await activates_project(store, run)
    firm.salesforce.loses(deal)
    waits = await held(firm, deal)
    firm.salesforce.corrects(deal.customer_id, tax_code=None)
    firm.salesforce.wins_again(deal)
    taxless = await firm.work_item(deal, owner="finance-master-data")

    async def look() -> dict[str, Any]:
        return await project(firm, made.id, "/health")

    health = await firm.see(look, lambda seen: len(seen["open_work_items"]) > 1)

    assert {(each["id"], each["owner"]) for each in health["open_work_items"]} == {
        (waits["id"], "delivery-director"),
        (taxless["id"], "finance-master-data"),
    }


async def test_a_project_whose_run_was_abandoned_is_cancelled(firm: Firm, store: Store) -> None:
    deal = firm.salesforce.wins_deal()
    run = await firm.run_of(deal)
    made = await activates_project(store, run)
    await project(firm, made.id)
    source = Source("salesforce", deal.id)
    told = ProjectChanged(id=made.id, state="cancelled", source=source, run_id=run["id"])

    await announce(store, "process", "project.changed", told, run)

    async def look() -> dict[str, Any]:
        return await project(firm, made.id)

    assert (await firm.see(look, lambda seen: seen["state"] != "active"))["state"] == "cancelled"


async def test_a_project_nobody_knows_is_not_found(firm: Firm) -> None:
    for more in ("", "/health"):
        answer = await firm.call("GET", f"{DELIVERY}/projects/P-nobody{more}")

        assert (answer.status_code, answer.json()["code"]) == (404, "project.unknown")
