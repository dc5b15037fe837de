"""Who sees what: scopes open an API, rows say which part of the firm is in it."""

from __future__ import annotations

import pytest

from apis.runtime.store import Store
from tests.experience_apis.announced import activates_project
from tests.experience_apis.audience import DELIVERY, OPERATIONS, journey, project, waiting
from tests.firm import ITEMS, RUNS, Firm

BACKFILLS = "/process/deal-to-project/v1/backfills"
STRANGERS = ("another-customer", "nobody")


async def test_a_client_of_one_entity_sees_its_journeys_and_projects_only(
    firm: Firm, store: Store
) -> None:
    german = firm.salesforce.wins_deal(entity="DE")
    british = firm.salesforce.wins_deal(entity="UK")
    runs = [await firm.run_of(each) for each in (german, british)]
    ours, theirs = [await activates_project(store, run) for run in runs]
    for made in (ours, theirs):
        await project(firm, made.id)
    assert (await journey(firm, british.id))["entity"] == "UK"
    assert (await journey(firm, german.id, by="only-germany"))["entity"] == "DE"

    projects = f"{DELIVERY}/projects"
    for path, status in (
        (f"{OPERATIONS}/journeys/{british.id}", 404),
        (f"{OPERATIONS}/journeys/{runs[1]['id']}", 404),
        (f"{projects}/{ours.id}", 200),
        (f"{projects}/{theirs.id}", 404),
        (f"{projects}/{theirs.key}/health", 404),
    ):
        answer = await firm.call("GET", path, by="only-germany")
        assert answer.status_code == status, path
    listed = (await firm.call("GET", projects, by="only-germany")).json()["items"]
    assert {each["entity"] for each in listed} == {"DE"}


async def test_a_client_of_one_entity_handles_its_work_items_only(firm: Firm) -> None:
    german = firm.salesforce.wins_deal(entity="DE", tax_code=None)
    british = firm.salesforce.wins_deal(entity="UK", tax_code=None)
    ours, theirs = [await firm.work_item(each) for each in (german, british)]
    for deal in (german, british):
        await waiting(firm, deal)
    queue = f"{OPERATIONS}/work-items"

    listed = (await firm.call("GET", queue, by="only-germany", params={"state": "open"})).json()

    ids = {each["id"] for each in listed["items"]}
    assert ours["id"] in ids
    assert theirs["id"] not in ids
    for method, more, body in (
        ("GET", "", None),
        ("PUT", "/assignee", {"assignee": "kim@northline.example"}),
        ("POST", "/comments", {"text": "seen"}),
        ("POST", "/decisions", {"decision": "abandon"}),
    ):
        answer = await firm.call(
            method, f"{queue}/{theirs['id']}{more}", by="only-germany", json=body
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "work-item.unknown")
    own = f"{queue}/{ours['id']}"
    noted = await firm.call(
        "POST", f"{own}/comments", by="only-germany", json={"text": "we look into it"}
    )
    assert (noted.status_code, noted.json()["comments"][0]["actor"]) == (201, "only-germany")


async def test_a_client_of_one_entity_sees_its_part_of_runs_and_of_the_queue(firm: Firm) -> None:
    german, british = [
        firm.salesforce.wins_deal(entity=each, tax_code=None) for each in ("DE", "UK")
    ]
    ours, theirs = [await firm.work_item(each) for each in (german, british)]

    for path, status in (
        (f"{ITEMS}/{ours['id']}", 200),
        (f"{ITEMS}/{theirs['id']}", 404),
        (f"{RUNS}/{ours['run_id']}", 200),
        (f"{RUNS}/{theirs['run_id']}", 404),
        (f"{BACKFILLS}", 403),
    ):
        answer = await firm.call("GET", path, by="only-germany")
        assert answer.status_code == status, path
    for path in (f"{RUNS}?deal={british.id}", f"{ITEMS}?run_id={theirs['run_id']}"):
        assert (await firm.call("GET", path, by="only-germany")).json()["items"] == []
    asked = await firm.starts(british, by="only-germany", dry_run="true")
    assert (asked.status_code, asked.json()["code"]) == (404, "deal.unknown")
    assert (await firm.starts(german, by="only-germany")).json()["id"] == ours["run_id"]


@pytest.mark.parametrize("client", STRANGERS)
async def test_a_client_of_other_customers_sees_nothing_of_this_one(
    firm: Firm, store: Store, client: str
) -> None:
    deal = firm.salesforce.wins_deal(tax_code=None)
    await waiting(firm, deal)
    done = firm.salesforce.wins_deal()
    made = await activates_project(store, await firm.run_of(done))
    await project(firm, made.id)
    await journey(firm, done.id)

    for path in (
        f"{OPERATIONS}/journeys/{deal.id}",
        f"{OPERATIONS}/journeys/{done.id}",
        f"{DELIVERY}/projects/{made.id}",
    ):
        assert (await firm.call("GET", path, by=client)).status_code == 404
    for path in (f"{OPERATIONS}/work-items", f"{DELIVERY}/projects"):
        assert (await firm.call("GET", path, by=client)).json()["items"] == []


@pytest.mark.parametrize(
    ("path", "client"),
    [
        (f"{OPERATIONS}/journeys/x", "demo-partner"),
        (f"{OPERATIONS}/work-items", "demo-partner"),
        (f"{DELIVERY}/projects", "demo-partner"),
        (f"{DELIVERY}/projects/x/health", "demo-finance"),
    ],
)
async def test_without_the_scope_there_is_no_way_in(firm: Firm, path: str, client: str) -> None:
    answer = await firm.call("GET", path, by=client)

    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient-scope")


async def test_both_audiences_are_in_the_catalog_with_owner_and_version(firm: Firm) -> None:
    listed = (await firm.call("GET", "/catalog")).json()["apis"]

    apis = {each["api"]: each for each in listed if each["tier"] == "experience"}
    assert {name: each["owner"] for name, each in apis.items()} == {
        "operations": "operations",
        "delivery": "delivery-operations",
    }
    for each in apis.values():
        version = each["versions"][0]
        assert version["version"] == "v1"
