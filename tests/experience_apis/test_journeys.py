"""Where a deal is: found by any id, told in full, as operations reads it."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Any

from apis.runtime.store import Store
from contracts.canonical.money import Money
from tests.experience_apis.announced import activates_project, writes_record
from tests.experience_apis.audience import OPERATIONS, journey, waiting
from tests.firm import Firm
from tests.process_apis.announced import lost
from tests.process_apis.changing import change_of, engaged, held, key_of

HELD = {
    ("salesforce", "deal"): "lost",
    ("throughline", "contract"): "on_hold",
    ("kantata", "project"): "on_hold",
    ("netsuite", "project"): "on_hold",
}


async def test_any_id_of_any_system_finds_the_journey(firm: Firm, store: Store) -> None:
    deal = firm.salesforce.wins_deal()
    run = await firm.run_of(deal)
    project = await activates_project(store, run)
    contract, key = run["result"], firm.salesforce.record(deal.id)["TL_Project_Key__c"]

    for name in (
        *(deal.id, deal.customer_id, run["id"], key, project.key),
        *(contract["id"], contract["customer"]["id"], project.workspace, project.job),
    ):
        found = await journey(firm, name)

        assert found["source"] == deal.source, name
        assert found["where"]["run_id"] == run["id"]


async def test_a_later_deal_is_found_by_what_its_customer_is_in_psa_and_erp(firm: Firm) -> None:
    first = firm.salesforce.wins_deal(entity="DE")
    await firm.run_of(first)
    second = firm.salesforce.wins_deal(entity="DE", stage="Negotiation/Review")
    firm.salesforce.corrects(second.id, AccountId=first.customer_id)
    firm.salesforce.wins_again(second)
    await firm.run_of(second)
    key = firm.salesforce.record(second.id)["TL_Project_Key__c"]
    planned, booked = firm.kantata.project(key), firm.netsuite.job(key)

    async def newest(name: str) -> dict[str, Any]:
        async def look() -> dict[str, Any]:
            return await journey(firm, name)

        return await firm.see(look, lambda seen: bool(seen["source"] == second.source))

    for name in (planned["primary_workspace_group_id"], booked["parent"]["id"]):
        assert (await newest(name))["others"] == [first.source]
    assert (await journey(firm, planned["id"]))["source"] == second.source
    assert (await journey(firm, booked["id"]))["source"] == second.source


async def test_the_customer_in_the_books_that_a_deal_waits_for_finds_it(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(entity="DE", stage="Negotiation/Review")
    name = firm.salesforce.record(deal.customer_id)["Name"]
    known = [firm.netsuite.has_customer(name=name, credit_hold=True) for _ in range(2)]
    firm.salesforce.wins_again(deal)
    unclear = await firm.work_item(deal, code="customer.match-unclear")

    for external_id in known:
        assert (await journey(firm, external_id, "waiting"))["source"] == deal.source
    record = {"system": "netsuite", "external_id": known[1]}
    await firm.decides(unclear, "adopt", record=record)

    held = await firm.work_item(deal, code="customer.credit-hold")
    assert {name: held["record"][name] for name in record} == record
    assert (await journey(firm, known[1], "waiting"))["source"] == deal.source


async def test_what_is_on_hold_is_told_as_on_hold_in_every_system(firm: Firm) -> None:
    deal, _ = await engaged(firm, entity="DE")
    await lost(firm, deal)
    await held(firm, deal)

    async def look() -> dict[tuple[str, str], str]:
        found = await journey(firm, deal.id, "waiting", "done")
        return {(each["system"], each["object"]): each["state"] for each in found["records"]}

    await firm.see(look, lambda seen: {each: seen.get(each) for each in HELD} == HELD)


async def test_what_was_taken_back_is_told_as_cancelled(firm: Firm) -> None:
    firm.kantata.fails("workspace_resources.create", "lock")
    deal = firm.salesforce.wins_deal(entity="DE")
    item = await firm.work_item(deal, owner="resource-management")
    firm.kantata.works_again()
    await firm.decides(item, "abandon")
    await firm.run_of(deal, "abandoned")

    found = await journey(firm, deal.id, "abandoned")
    states = {each["object"]: each["state"] for each in found["records"]}
    assert (states["contract"], states["project"]) == ("cancelled", "cancelled")


async def test_a_project_that_a_system_did_not_take_back_is_not_told_as_cancelled_there(
    firm: Firm,
) -> None:
    deal, _ = await engaged(firm, entity="DE")
    await lost(firm, deal)
    asked = await held(firm, deal)
    firm.netsuite.removes("job", firm.netsuite.job(key_of(firm, deal))["id"])
    await firm.decides(asked, "abandon")
    await firm.decides(await firm.work_item(step="booked_project_for.undo"), "abandon")
    await change_of(firm, deal, "abandoned")

    found = await journey(firm, deal.id, "abandoned")
    states = {
        each["system"]: each["state"] for each in found["records"] if each["object"] == "project"
    }
    assert states == {"kantata": "cancelled", "netsuite": "on_hold"}


async def test_an_id_that_nothing_has_is_not_found(firm: Firm) -> None:
    answer = await firm.call("GET", f"{OPERATIONS}/journeys/006nobody")

    assert (answer.status_code, answer.json()["code"]) == (404, "journey.unknown")


async def test_a_journey_tells_what_exists_where_and_what_it_is_worth(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(entity="DE")
    await firm.run_of(deal)
    key = firm.salesforce.record(deal.id)["TL_Project_Key__c"]
    made = {"kantata": firm.kantata.project(key)["id"], "netsuite": firm.netsuite.job(key)["id"]}

    def whole(seen: dict[str, Any]) -> bool:
        shown = {each["system"] for each in seen["records"] if each["object"] == "project"}
        return shown >= made.keys()

    found = await firm.see(lambda: journey(firm, deal.id), whole)

    records = {(each["system"], each["object"]): each for each in found["records"]}
    worth = {"amount": "42800.00", "currency": "EUR"}
    sold, account = records["salesforce", "deal"], records["salesforce", "customer"]
    assert (sold["external_id"], sold["amount"], sold["state"]) == (deal.id, worth, "exists")
    assert sold["url"] == f"{firm.house.sandboxes['salesforce']}/{deal.id}"
    assert account["external_id"] == deal.customer_id
    assert account["key"] == f"customer-{account['id']}"
    assert records["throughline", "contract"]["amount"] == worth
    for system, external_id in made.items():
        record = records[system, "project"]
        assert (record["external_id"], record["amount"]) == (external_id, worth)
        assert record["key"] == key


async def test_what_was_taken_back_no_longer_exists(firm: Firm, store: Store) -> None:
    deal = firm.salesforce.wins_deal()
    run = await firm.run_of(deal)
    told = {"system": "kantata", "object": "task", "external_id": f"t{deal.id}", "key": "task-1"}
    await writes_record(store, run, operation="create", amount=Money(Decimal(1), "USD"), **told)
    await writes_record(store, run, operation="delete", undoes=True, **told)

    found = await firm.see(
        lambda: journey(firm, deal.id),
        lambda seen: any(each["state"] == "deleted" for each in seen["records"]),
    )

    assert [each["external_id"] for each in found["records"] if each["state"] == "deleted"] == [
        f"t{deal.id}"
    ]


async def test_a_state_that_a_write_set_holds_until_another_does(firm: Firm, store: Store) -> None:
    deal = firm.salesforce.wins_deal()
    run = await firm.run_of(deal)
    told = {"system": "kantata", "object": "project", "external_id": f"w{deal.id}"}
    for more in (
        {"operation": "create"},
        {"operation": "update", "state": "cancelled"},
        {"operation": "update"},
    ):
        await writes_record(store, run, **told, **more)

    found = await firm.see(
        lambda: journey(firm, deal.id),
        lambda seen: sum(f"w{deal.id}" in each["facts"].values() for each in seen["events"]) == 3,
    )

    [project] = (each for each in found["records"] if each["external_id"] == f"w{deal.id}")
    assert project["state"] == "cancelled"


async def test_a_journey_tells_every_call_in_the_order_it_was_made(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal()
    run = await firm.run_of(deal)

    made = [call | {"step": step["name"]} for step in run["steps"] for call in step["calls"]]
    found = await firm.see(
        lambda: journey(firm, deal.id), lambda seen: len(seen["calls"]) >= len(made)
    )
    calls = found["calls"]
    assert [{k: v for k, v in call.items() if k != "run_id"} for call in calls] == made
    assert all(one["at"] <= two["at"] for one, two in pairwise(calls))
    assert {call["system"] for call in calls} == {"salesforce", "kantata", "netsuite"}
    assert all(call["status"] and call["ms"] and call["operation"] for call in calls)


async def test_a_journey_tells_every_event_in_its_order(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal()
    await firm.run_of(deal)

    found = await firm.see(
        lambda: journey(firm, deal.id),
        lambda seen: {"run.ended", "project.activated"} <= {e["type"] for e in seen["events"]},
    )

    types = [each["type"] for each in found["events"]]
    assert types[:2] == ["deal.won", "run.started"]
    assert types.index("project.activated") < types.index("run.ended")
    told = {"customer.validated", "contract.activated", "project.activated", "vendor.called"}
    assert told < set(types)
    assert all(one["at"] <= two["at"] for one, two in pairwise(found["events"]))
    assert found["as_of"] == found["events"][-1]["at"]


async def test_a_parked_deal_says_where_it_waits_since_when_and_for_whom(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(tax_code=None)

    found = await waiting(firm, deal)

    item = await firm.work_item(deal)
    where, waits = found["where"], found["waiting"]
    assert (where["flow"], where["state"], where["step"]) == (
        *("deal_to_project", "waiting", "accepted_deal"),
    )
    assert where["since"] == waits["since"] == item["since"]
    assert (waits["owner"], waits["work_item_id"]) == ("finance-master-data", item["id"])
    assert (waits["title"], waits["remedy"]) == (item["title"], item["remedy"])
    assert (await journey(firm, item["id"], "waiting"))["source"] == deal.source


async def test_a_deal_that_goes_on_waits_for_nobody_any_more(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(tax_code=None)
    item = await firm.work_item(deal)
    firm.salesforce.corrects(deal.customer_id, tax_code="US-SERVICES")
    await firm.decides(item, "retry")

    found = await journey(firm, deal.id, "done")

    assert found["waiting"] is None
    decided = [each for each in found["events"] if each["type"] == "work-item.decided"]
    assert [each["facts"]["decision"] for each in decided] == ["retry"]


async def test_a_second_run_continues_the_journey_of_the_first(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(price=2000)
    item = await firm.work_item(deal, owner="delivery-director")
    await firm.decides(item, "reject")
    await firm.run_of(deal, "abandoned")
    await firm.starts(deal)

    found = await firm.see(
        lambda: journey(firm, deal.id, "waiting", "abandoned"),
        lambda seen: len(seen["runs"]) == 2 and seen["waiting"],
    )

    first, second = found["runs"]
    assert (first["state"], second["state"]) == ("abandoned", "waiting")
    assert first["kept"] == ["the deal keeps its number with us"]
    assert found["where"]["run_id"] == second["id"] == f"{first['id']}.2"


async def test_a_customers_id_finds_the_newest_deal_and_names_the_others(firm: Firm) -> None:
    first = firm.salesforce.wins_deal(entity="UK")
    await firm.run_of(first)
    second = firm.salesforce.wins_deal(entity="UK", stage="Negotiation/Review")
    firm.salesforce.corrects(second.id, AccountId=first.customer_id)
    firm.salesforce.wins_again(second)
    await firm.run_of(second)

    found = await firm.see(
        lambda: journey(firm, first.customer_id), lambda seen: len(seen["others"]) > 0
    )

    assert found["source"] == second.source
    assert found["others"] == [first.source]
