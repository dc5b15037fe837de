"""A deal that sales moves to another customer while its run waits for somebody."""

from __future__ import annotations

from typing import Any

from tests.firm import Firm
from tests.systems import Deal

MOVED = "deal.customer-changed"


async def half_way(firm: Firm) -> tuple[Deal, str, dict[str, Any]]:
    """A deal whose run waits after half of its writes: for a job that was made by hand."""
    deal = firm.salesforce.wins_deal(entity="DE", stage="Negotiation/Review")
    account = firm.salesforce.record(deal.customer_id)
    known = {"name": f"By hand {account['Name']}", "tax_id": account["TL_Tax_Id__c"]}
    customer = firm.netsuite.has_customer(**known)
    job = firm.netsuite.has_job(firm.salesforce.record(deal.id)["Name"], customer)
    firm.salesforce.wins_again(deal)
    return deal, job, await firm.work_item(deal, step="booked_project_for")


def another(firm: Firm) -> str:
    """An account of another company."""
    return firm.salesforce.wins_deal(entity="DE", stage="Negotiation/Review").customer_id


async def test_a_deal_moved_while_its_run_waits_is_asked_of_sales_before_anything_is_written(
    firm: Firm,
) -> None:
    deal, job, item = await half_way(firm)
    other = another(firm)
    firm.salesforce.corrects(deal.id, AccountId=other)
    before = firm.netsuite.state(), firm.kantata.state()

    await firm.decides(item, "adopt", record={"system": "netsuite", "external_id": job})

    moved = await firm.work_item(deal, code=MOVED)
    assert (moved["owner"], moved["step"]) == ("sales-operations", "booked_project_for")
    assert moved["adopts"] is None
    for name in (firm.salesforce.record(deal.customer_id)["Name"], other):
        assert name in moved["detail"]
    assert (firm.netsuite.state(), firm.kantata.state()) == before


async def test_moved_back_the_run_goes_on_as_it_was_decided_before(firm: Firm) -> None:
    deal, job, item = await half_way(firm)
    firm.salesforce.corrects(deal.id, AccountId=another(firm))
    await firm.decides(item, "adopt", record={"system": "netsuite", "external_id": job})
    moved = await firm.work_item(deal, code=MOVED)

    firm.salesforce.corrects(deal.id, AccountId=deal.customer_id)
    await firm.decides(moved, "retry")

    run = await firm.run_of(deal)
    key = firm.salesforce.record(deal.id)["TL_Project_Key__c"]
    assert run["result"]["customer"]["external_id"] == deal.customer_id
    assert firm.netsuite.job(key)["id"] == job


async def test_abandoned_and_started_again_its_project_does_not_become_the_other_customers(
    firm: Firm,
) -> None:
    deal, _, item = await half_way(firm)
    firm.salesforce.corrects(deal.id, AccountId=another(firm))
    await firm.decides(item, "retry")
    await firm.decides(await firm.work_item(deal, code=MOVED), "abandon")
    await firm.run_of(deal, "abandoned")

    await firm.starts(deal)

    moved = await firm.work_item(deal, code=MOVED)
    assert (moved["owner"], moved["step"]) == ("sales-operations", "same_customer")
    firm.salesforce.corrects(deal.id, AccountId=deal.customer_id)
    await firm.decides(moved, "retry")
    by_hand = await firm.work_item(deal, code="project.made-by-hand")  # still nobody's
    await firm.decides(by_hand, "retry")
    run = await firm.run_of(deal)
    assert run["result"]["customer"]["external_id"] == deal.customer_id


async def test_a_deal_moved_before_anything_was_made_is_the_other_customers(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(entity="DE", tax_code=None)
    item = await firm.work_item(deal, code="customer.tax-code-missing")
    other = another(firm)

    firm.salesforce.corrects(deal.id, AccountId=other)
    await firm.decides(item, "retry")

    run = await firm.run_of(deal)
    customer = run["result"]["customer"]
    group = firm.kantata.customer(f"customer-{customer['id']}")["id"]
    key = firm.salesforce.record(deal.id)["TL_Project_Key__c"]
    assert customer["external_id"] == other
    assert str(firm.kantata.project(key)["primary_workspace_group_id"]) == group
