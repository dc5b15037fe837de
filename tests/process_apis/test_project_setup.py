"""A won deal stands in CRM, PSA and ERP, once, and is taken back from all of them."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest

from tests.firm import Firm
from tests.systems import Deal

MOST_CALLS = {"salesforce": 3, "kantata": 6, "netsuite": 5}
MODELS = ("time_and_materials", "fixed_price", "milestone", "retainer")
CENTS = 100


async def finished(firm: Firm, deal: Any) -> tuple[dict[str, Any], str, str]:
    """The run of a deal when it is done, and our keys of its customer and project."""
    run = await firm.run_of(deal)
    key = firm.salesforce.record(deal.id)["TL_Project_Key__c"]
    return run, f"customer-{run['result']['customer']['id']}", key


@pytest.mark.parametrize("entity", ["US", "UK", "DE"])
@pytest.mark.parametrize("model", MODELS)
async def test_a_won_deal_stands_in_all_three_systems(firm: Firm, entity: str, model: str) -> None:
    deal = firm.salesforce.wins_deal(entity=entity, billing_model=model)

    run, customer, project = await finished(firm, deal)

    value = Decimal(run["result"]["versions"][0]["value"]["amount"])
    workspace, job = firm.kantata.project(project), firm.netsuite.job(project)
    assert workspace["title"] == job["companyName"] == run["result"]["name"]
    assert workspace["price_in_cents"] == value * CENTS
    assert Decimal(str(job["jobPrice"])) == value
    assert workspace["primary_workspace_group_id"] == firm.kantata.customer(customer)["id"]
    assert job["parent"]["id"] == firm.netsuite.customer(customer)["id"]
    lines = firm.kantata.billing_lines(project)
    billed = sum(line["amount_in_cents"] for line in lines)
    assert billed == (0 if model == "time_and_materials" else value * CENTS)
    assert len(firm.kantata.staffing_requests(project)) == 2
    assert firm.salesforce.record(deal.id)["TL_Project_Status__c"] == "active"


async def test_a_first_deal_needs_few_calls(firm: Firm) -> None:
    run, _, _ = await finished(firm, firm.salesforce.wins_deal(billing_model="milestone"))

    calls = Counter(
        call["system"]
        for step in run["steps"]
        for call in step["calls"]
        if call["operation"] != "sign in"
    )
    assert all(calls[system] <= most for system, most in MOST_CALLS.items()), calls


async def test_a_customer_that_the_books_know_by_its_tax_number_is_adopted(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(entity="DE", stage="Negotiation/Review")
    account = firm.salesforce.record(deal.customer_id)
    name, tax_id = f"By hand {account['Name']}", account["TL_Tax_Id__c"]
    known = firm.netsuite.has_customer(name=name, tax_id=tax_id)
    firm.salesforce.wins_again(deal)

    _, customer, _ = await finished(firm, deal)

    assert firm.netsuite.customer(customer)["id"] == known


async def test_a_customer_of_the_same_name_is_asked_of_a_steward(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(entity="DE", stage="Negotiation/Review")
    name = firm.salesforce.record(deal.customer_id)["Name"]
    known = firm.netsuite.has_customer(name=name)
    firm.salesforce.wins_again(deal)

    item = await firm.work_item(deal, owner="finance-master-data")
    assert item["code"] == "customer.match-unclear"
    assert "the name is the same" in item["detail"]
    await firm.decides(item, "adopt", record={"system": "netsuite", "external_id": known})

    _, customer, _ = await finished(firm, deal)
    assert firm.netsuite.customer(customer)["id"] == known


async def test_a_customer_on_credit_hold_waits_until_finance_releases_it(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(entity="DE", stage="Negotiation/Review")
    account = firm.salesforce.record(deal.customer_id)
    name, tax_id = f"Slow {account['Name']}", account["TL_Tax_Id__c"]
    known = firm.netsuite.has_customer(name=name, tax_id=tax_id, credit_hold=True)
    firm.salesforce.wins_again(deal)

    item = await firm.work_item(deal, owner="finance-master-data")
    assert item["code"] == "customer.credit-hold"
    firm.netsuite.corrects(known, credit_hold=False)
    await firm.decides(item, "retry")

    assert (await firm.run_of(deal))["state"] == "done"


async def test_abandon_takes_back_what_the_systems_got(firm: Firm) -> None:
    firm.kantata.fails("workspace_resources.create", "lock")
    deal = firm.salesforce.wins_deal(entity="DE", billing_model="milestone")
    item = await firm.work_item(deal, owner="resource-management")
    firm.kantata.works_again()

    await firm.decides(item, "abandon", comment="the customer withdrew")

    run = await firm.run_of(deal, "abandoned")
    name = firm.salesforce.record(deal.id)["Name"]
    [workspace] = (each for each in firm.kantata.state()["workspaces"] if each["title"] == name)
    assert workspace["status"]["key"] == 500
    assert not [
        line
        for line in firm.kantata.state()["billing_milestones"]
        if line["workspace_id"] == workspace["id"]
    ]
    debtors = [kept for kept in run["kept"] if kept.startswith("netsuite customer ")]
    assert [kept.partition(": ")[2] for kept in debtors] == [
        "a customer in the books is never deleted, it may have a history"
    ]


async def test_an_undo_given_up_half_way_lists_the_lines_that_are_left_alone(firm: Firm) -> None:
    firm.kantata.fails("workspace_resources.create", "lock")
    deal = firm.salesforce.wins_deal(entity="DE", billing_model="milestone")
    item = await firm.work_item(deal, owner="resource-management")
    firm.kantata.works_again()
    first, second = billed_in(firm, deal)
    firm.kantata.has_invoiced(first)

    await firm.decides(item, "abandon")
    refused = await firm.work_item(deal, step="billing_schedule_for.undo")
    await firm.decides(refused, "abandon", comment="it is invoiced")

    kept = (await firm.run_of(deal, "abandoned"))["kept"]
    assert billed_in(firm, deal) == [first]
    assert f"kantata billing line {first}: not taken back, it is invoiced" in kept
    assert not [each for each in kept if second in each]


def billed_in(firm: Firm, deal: Deal) -> list[str]:
    """The billing lines of a deal's project."""
    name = firm.salesforce.record(deal.id)["Name"]
    state = firm.kantata.state()
    [home] = (each["id"] for each in state["workspaces"] if each["title"] == name)
    return [line["id"] for line in state["billing_milestones"] if line["workspace_id"] == home]
