"""A deal that is not what was agreed any more: held, taken back or agreed anew."""

from __future__ import annotations

from typing import Any

from contracts.canonical.project import Task
from process_apis.amendments import with_known_ids
from tests.firm import Firm
from tests.process_apis.announced import lost
from tests.process_apis.changing import (
    ACTIVE,
    CANCELLED,
    ON_HOLD,
    change_id,
    change_of,
    changes_of,
    engaged,
    held,
    key_of,
    places,
    reopens,
    stand,
)

STAYS = "the customer stays known, whatever becomes of the deal"
BACK = "taken back; the record itself stays"


async def test_a_reopened_deal_puts_its_project_on_hold_until_it_is_won_again(firm: Firm) -> None:
    deal, contract = await engaged(firm, entity="DE")
    key = key_of(firm, deal)
    reopens(firm, deal)

    item = await held(firm, deal)

    assert stand(firm, key) == (ON_HOLD, "4", False)
    assert firm.salesforce.record(deal.id)["TL_Project_Status__c"] == "on hold"
    assert (item["code"], item["amount"]) == ("deal.on-hold", contract["versions"][0]["value"])
    planned, booked = places(firm, key)
    assert f"kantata {planned['id']}" in item["detail"]
    assert f"netsuite {booked['id']}" in item["detail"]

    firm.salesforce.wins_again(deal)

    again = await firm.run_of(deal, turn=2)
    assert again["result"] == contract
    assert (await change_of(firm, deal, "done"))["id"].endswith(":1")
    assert stand(firm, key) == (ACTIVE, "2", True)
    assert firm.salesforce.record(deal.id)["TL_Project_Status__c"] == "active"
    assert not [each for each in await firm.work_items() if each["id"] == item["id"]]


async def test_what_is_held_for_a_lost_deal_is_taken_back_when_somebody_abandons_it(
    firm: Firm,
) -> None:
    deal, contract = await engaged(firm, entity="DE")
    key = key_of(firm, deal)
    await lost(firm, deal)

    await firm.decides(await held(firm, deal), "abandon", by="demo-approver")

    run = await change_of(firm, deal, "abandoned")
    assert stand(firm, key) == (CANCELLED, "3", False)
    assert (firm.kantata.billing_lines(key), firm.kantata.staffing_requests(key)) == ([], [])
    assert firm.salesforce.record(deal.id)["TL_Project_Status__c"] == "cancelled"
    planned, booked = places(firm, key)
    stays = dict(each.split(": ", 1) for each in run["kept"] if ": " in each)
    assert stays[f"kantata project {planned['id']}"] == BACK
    assert stays[f"netsuite project {booked['id']}"] == BACK
    assert stays[f"salesforce deal {deal.id}"] == BACK
    assert stays[f"Throughline contract {contract['id']}"] == BACK
    assert stays[f"Throughline customer {contract['customer']['id']}"] == STAYS
    assert not [each for each in run["kept"] if "on hold" in each]


async def test_where_metadata_says_so_a_lost_deal_is_taken_back_at_once(firm: Firm) -> None:
    deal, _ = await engaged(firm, entity="UK")
    key = key_of(firm, deal)

    await lost(firm, deal)

    await change_of(firm, deal, "abandoned")
    assert stand(firm, key) == (CANCELLED, "3", False)
    assert firm.salesforce.record(deal.id)["TL_Project_Status__c"] == "cancelled"


async def test_while_one_system_refuses_to_take_a_project_back_the_deal_does_not_say_cancelled(
    firm: Firm,
) -> None:
    deal, _ = await engaged(firm, entity="UK")
    key = key_of(firm, deal)
    project = firm.kantata.project(key)["id"]
    firm.kantata.changes_project(project, archived=True)

    await lost(firm, deal)

    run = await change_of(firm, deal, "waiting")
    [item] = await firm.work_items(run_id=run["id"])
    assert item["step"] == "project_for.undo"
    assert firm.salesforce.record(deal.id)["TL_Project_Status__c"] == "active"

    firm.kantata.changes_project(project, archived=False)
    await firm.decides(item, "retry")

    await change_of(firm, deal, "abandoned")
    assert stand(firm, key) == (CANCELLED, "3", False)
    assert firm.salesforce.record(deal.id)["TL_Project_Status__c"] == "cancelled"


async def test_where_metadata_says_so_work_goes_on_while_a_deal_is_open_again(firm: Firm) -> None:
    deal, _ = await engaged(firm, entity="UK")
    key = key_of(firm, deal)

    reopens(firm, deal)

    await change_of(firm, deal, "done")
    assert stand(firm, key) == (ACTIVE, "2", True)


async def test_a_deal_priced_anew_is_its_contracts_next_version_and_all_systems_follow(
    firm: Firm,
) -> None:
    deal, contract = await engaged(firm, entity="US")
    key = key_of(firm, deal)

    firm.salesforce.repeats(deal.options | {"price": "300"})

    run = await change_of(firm, deal, "done")
    first, second = run["result"]["versions"]
    assert first == contract["versions"][0]
    assert (second["number"], second["reason"]) == (2, "amended")
    assert second["value"] == {"amount": "60000.00", "currency": "USD"}
    planned, booked = places(firm, key)
    assert (planned["price_in_cents"], booked["jobPrice"]) == (6_000_000, 60_000)
    assert len(await firm.runs_of(deal)) == 1


async def test_work_is_planned_as_it_was_sold_last_where_that_is_another(firm: Firm) -> None:
    deal, _ = await engaged(firm, entity="US")
    key = key_of(firm, deal)
    before = {each["id"]: each for each in firm.kantata.tasks(key)}
    line = firm.salesforce.line_of(deal)

    firm.salesforce.sells(line, Quantity=100)

    await change_of(firm, deal, "done")
    after = {each["id"]: each for each in firm.kantata.tasks(key)}
    assert before.keys() == after.keys()
    changed = [id_ for id_ in after if after[id_] != before[id_]]
    assert [after[id_]["time_estimate_in_minutes"] for id_ in changed] == [6_000]


async def test_a_fixed_price_agreed_anew_is_billed_as_agreed_anew(firm: Firm) -> None:
    deal, _ = await engaged(firm, entity="US", billing_model="fixed_price")
    key = key_of(firm, deal)
    before = firm.kantata.billing_lines(key)

    firm.salesforce.repeats(deal.options | {"price": "300"})
    await change_of(firm, deal, "done")

    lines = firm.kantata.billing_lines(key)
    assert len(lines) == len(before) > 0
    assert not {each["id"] for each in before} & {each["id"] for each in lines}
    assert sum(each["amount_in_cents"] for each in lines) == 6_000_000


async def test_a_retainer_that_ends_earlier_is_billed_to_its_new_end(firm: Firm) -> None:
    deal, _ = await engaged(firm, entity="DE", billing_model="retainer", end_on="2026-10-14")
    key = key_of(firm, deal)
    assert len(firm.kantata.billing_lines(key)) == 6

    firm.salesforce.corrects(deal.id, ends_on="2026-07-14")
    changed = await change_of(firm, deal, "done")

    assert [each["number"] for each in changed["result"]["versions"]] == [1, 2]
    assert len(firm.kantata.billing_lines(key)) == 3


async def test_what_is_agreed_anew_above_the_limit_is_approved_first(firm: Firm) -> None:
    deal, _ = await engaged(firm, entity="DE")
    key = key_of(firm, deal)
    firm.salesforce.repeats(deal.options | {"price": "2000"})

    await change_of(firm, deal, "waiting")
    item = await held(firm, deal)
    assert item["code"] == "deal.approval-needed"
    assert "agreed was 42,800.00 EUR" in item["detail"]
    assert firm.netsuite.job(key)["jobPrice"] == 42_800
    await firm.decides(item, "approve")

    _, second = (await change_of(firm, deal, "done"))["result"]["versions"]
    assert (second["approved_by"], second["value"]["amount"]) == ("demo-approver", "400000.00")
    assert firm.netsuite.job(key)["jobPrice"] == 400_000


async def test_what_is_rejected_leaves_the_contract_as_it_was(firm: Firm) -> None:
    deal, contract = await engaged(firm, entity="DE")
    key = key_of(firm, deal)
    firm.salesforce.repeats(deal.options | {"price": "2000"})

    await firm.decides(await held(firm, deal), "reject")

    item = await firm.work_item(
        code="deal.differs-from-contract", run_id=await change_id(firm, deal)
    )
    assert item["owner"] == "sales-operations"
    assert "400,000.00 EUR" in item["detail"]
    assert "worth 42,800.00 EUR" in item["detail"]
    assert stand(firm, key) == (ACTIVE, "2", True)
    assert firm.netsuite.job(key)["jobPrice"] == 42_800
    assert (await firm.runs_of(deal))[0]["result"] == contract


async def test_sales_is_asked_no_more_when_a_deal_that_was_not_agreed_is_set_back(
    firm: Firm,
) -> None:
    deal, contract = await engaged(firm, entity="DE")
    firm.salesforce.repeats(deal.options | {"price": "2000"})
    await firm.decides(await held(firm, deal), "reject")
    run_id = await change_id(firm, deal)
    await firm.work_item(code="deal.differs-from-contract", run_id=run_id)

    firm.salesforce.repeats(deal.options)

    async def asked() -> list[dict[str, Any]]:
        return await firm.work_items(run_id=run_id)

    assert await firm.see(asked, lambda items: items == []) == []
    again = await change_of(firm, deal, "done")
    assert again["id"] != run_id
    assert again["result"]["versions"] == contract["versions"]


async def test_a_price_that_can_be_agreed_after_one_that_was_not_is_agreed(firm: Firm) -> None:
    deal, _ = await engaged(firm, entity="DE")
    key = key_of(firm, deal)
    firm.salesforce.repeats(deal.options | {"price": "2000"})
    await firm.decides(await held(firm, deal), "reject")
    run_id = await change_id(firm, deal)
    await firm.work_item(code="deal.differs-from-contract", run_id=run_id)

    firm.salesforce.repeats(deal.options | {"price": "300"})

    _, second = (await change_of(firm, deal, "done"))["result"]["versions"]
    assert second["value"]["amount"] == "60000.00"
    assert firm.netsuite.job(key)["jobPrice"] == 60_000


async def test_a_deal_that_was_moved_to_another_customer_is_for_sales(firm: Firm) -> None:
    deal, contract = await engaged(firm, entity="DE")
    key = key_of(firm, deal)
    debtor = firm.netsuite.job(key)["parent"]
    other = firm.salesforce.wins_deal(entity="DE")
    await firm.run_of(other)

    firm.salesforce.corrects(deal.id, AccountId=other.customer_id)

    run = await change_of(firm, deal, "waiting")
    [item] = await firm.work_items(run_id=run["id"])
    assert (item["code"], item["owner"]) == ("deal.customer-changed", "sales-operations")
    assert firm.netsuite.job(key)["parent"] == debtor

    firm.salesforce.corrects(deal.id, AccountId=deal.customer_id)

    assert (await change_of(firm, deal, "done"))["result"]["customer"] == contract["customer"]


async def test_the_approver_of_a_deal_that_changes_is_asked_about_what_it_is_now(
    firm: Firm,
) -> None:
    deal = firm.salesforce.wins_deal(entity="DE", price=2000)
    first = await firm.work_item(deal, owner="delivery-director")

    firm.salesforce.repeats(deal.options | {"price": "3000"})

    async def asked() -> dict[str, Any]:
        return await firm.work_item(deal, owner="delivery-director")

    second = await firm.see(asked, lambda item: bool(item["id"] != first["id"]))
    assert (first["amount"]["amount"], second["amount"]["amount"]) == ("400000.00", "600000.00")
    assert (await firm.decides(first, "approve")).status_code == 409
    await firm.decides(second, "approve")
    [version] = (await firm.run_of(deal))["result"]["versions"]
    assert version["value"]["amount"] == "600000.00"


async def test_a_deal_lost_before_it_is_approved_is_nobodys_question_any_more(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(entity="DE", price=2000)
    await firm.work_item(deal, owner="delivery-director")

    await lost(firm, deal)

    run = await firm.run_of(deal, "abandoned")
    [asked] = [each for each in run["steps"] if each["name"] == "approval"]
    assert (asked["decision"]["decision"], asked["decision"]["actor"]) == ("reject", "svc:feed")
    assert await firm.work_items(run_id=run["id"]) == []
    assert await changes_of(firm, deal) == []


async def test_a_deal_lost_while_its_run_is_parked_is_taken_back(firm: Firm) -> None:
    firm.kantata.fails("workspace_resources.create", "lock")
    deal = firm.salesforce.wins_deal(entity="DE")
    [item] = await firm.in_time(lambda: firm.work_items_of(deal), minutes=5)
    assert item["step"] == "staffing_requests_for"
    firm.kantata.works_again()

    await lost(firm, deal)

    run = await firm.run_of(deal, "abandoned")
    undone = [each["name"] for each in run["steps"] if each["name"].endswith(".undo")]
    assert undone == ["billing_schedule_for.undo", "project_for.undo", "contract_for.undo"]
    assert await changes_of(firm, deal) == []


async def test_won_again_at_another_price_planning_and_books_have_the_new_one(firm: Firm) -> None:
    deal, _ = await engaged(firm, entity="US", billing_model="fixed_price")
    key = key_of(firm, deal)
    await lost(firm, deal)
    await held(firm, deal)

    firm.salesforce.repeats(deal.options | {"price": "300"})

    _, second = (await firm.run_of(deal, turn=2))["result"]["versions"]
    await change_of(firm, deal, "done")
    assert second["reason"] == "won again"
    planned, booked = places(firm, key)
    assert (planned["price_in_cents"], booked["jobPrice"]) == (6_000_000, 60_000)
    assert stand(firm, key) == (ACTIVE, "2", True)
    lines = firm.kantata.billing_lines(key)
    assert sum(each["amount_in_cents"] for each in lines) == 6_000_000


async def test_the_same_news_again_changes_nothing(firm: Firm) -> None:
    deal, _ = await engaged(firm, entity="US")
    firm.salesforce.corrects(deal.id, NextStep="call")
    firm.salesforce.repeats(deal.options | {"price": "300"})
    await change_of(firm, deal, "done")

    firm.salesforce.corrects(deal.id, NextStep="call again")
    await firm.run_of(firm.salesforce.wins_deal())

    assert len(await changes_of(firm, deal)) == 1
    assert len(await firm.runs_of(deal)) == 1


async def test_a_deal_that_moved_to_another_legal_entity_is_for_sales(firm: Firm) -> None:
    deal, contract = await engaged(firm, entity="DE")
    firm.salesforce.corrects(deal.id, entity="UK")

    run = await change_of(firm, deal, "waiting")

    [item] = await firm.work_items(run_id=run["id"])
    assert (item["code"], item["owner"]) == ("deal.legal-entity-changed", "sales-operations")
    firm.salesforce.corrects(deal.id, entity="DE")
    await firm.decides(item, "retry")
    assert (await change_of(firm, deal, "done"))["result"]["versions"] == contract["versions"]


def test_work_that_was_sold_before_another_line_is_not_planned_twice() -> None:
    there = [Task(code="1", name="Design", external_id="11"), Task(code="2", name="Build")]
    wanted = [Task(code="1", name="Coaching"), Task(code="2", name="Design")]

    assert [each.external_id for each in with_known_ids(wanted, there)] == [None, "11"]
