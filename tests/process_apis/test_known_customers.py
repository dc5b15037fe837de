"""Customers that the books know already: what they lack to bill a deal is asked for first."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.firm import Firm
from tests.systems import Deal, addressed

FINANCE = "finance-master-data"


def sold_to(firm: Firm, **known: Any) -> tuple[Deal, str]:
    """A German deal, and its customer as somebody entered it in the books before."""
    deal = firm.salesforce.wins_deal(entity="DE", stage="Negotiation/Review")
    account = firm.salesforce.record(deal.customer_id)
    name, tax_id = f"By hand {account['Name']}", account["TL_Tax_Id__c"]
    booked = firm.netsuite.has_customer(name=name, tax_id=tax_id, **known)
    firm.salesforce.wins_again(deal)
    return deal, booked


def nothing_written(firm: Firm, deal: Deal) -> bool:
    """No vendor has heard of the deal or has our key on its customer."""
    marked = firm.salesforce.record(deal.customer_id)["TL_Customer_Key__c"]
    titles = [each["title"] for each in firm.kantata.state()["workspaces"]]
    return marked is None and firm.salesforce.record(deal.id)["Name"] not in titles


@pytest.mark.parametrize(
    ("code", "lacks", "entered"),
    [
        ("customer.tax-code-missing", {"taxItem": None}, {"taxItem": {"id": "11"}}),
        (
            "customer.billing-address-missing",
            {"addressBook": None},
            {"addressBook": addressed("DE")},
        ),
    ],
)
async def test_what_the_books_lack_to_send_an_invoice_is_asked_of_finance_before_anything(
    firm: Firm, code: str, lacks: dict[str, Any], entered: dict[str, Any]
) -> None:
    deal, known = sold_to(firm, **lacks)

    item = await firm.work_item(deal, owner=FINANCE)
    assert item["code"] == code
    assert f"({known}) in netsuite" in item["detail"]
    assert nothing_written(firm, deal)
    firm.netsuite.corrects(known, **entered)
    await firm.decides(item, "retry")

    await firm.run_of(deal)
    key = firm.salesforce.record(deal.customer_id)["TL_Customer_Key__c"]
    assert firm.netsuite.customer(key)["id"] == known


async def test_a_customer_of_another_legal_entity_is_found_before_anything_is_written(
    firm: Firm,
) -> None:
    deal, known = sold_to(firm, entity="UK", addressBook=addressed("DE"))

    item = await firm.work_item(deal, owner=FINANCE)
    assert item["code"] == "customer.other-entity"
    assert "billed by UK, and the deal is sold by DE" in item["detail"]
    assert nothing_written(firm, deal)
    firm.netsuite.corrects(known, subsidiary={"id": "3"})
    await firm.decides(item, "retry")

    assert (await firm.run_of(deal))["state"] == "done"


async def test_a_customer_who_is_billed_in_another_currency_is_found_before_anything_is_written(
    firm: Firm,
) -> None:
    deal, _ = sold_to(firm, currency={"id": "5"})

    item = await firm.work_item(deal, owner=FINANCE)
    assert item["code"] == "customer.other-currency"
    assert "billed in CHF, and the deal is in EUR" in item["detail"]
    assert nothing_written(firm, deal)
    await firm.decides(item, "retry")  # the euro is among the customer's currencies now

    assert (await firm.run_of(deal))["state"] == "done"


def with_a_project(firm: Firm) -> tuple[Deal, str, str]:
    """A deal of a customer in the books whose project somebody made by hand, in both systems."""
    deal = firm.salesforce.wins_deal(entity="DE", stage="Negotiation/Review")
    name = f"Rollout {deal.id}"
    firm.salesforce.corrects(deal.id, name=name)
    account = firm.salesforce.record(deal.customer_id)
    known = {"name": f"By hand {account['Name']}", "tax_id": account["TL_Tax_Id__c"]}
    customer = firm.netsuite.has_customer(**known)
    planned = firm.kantata.has_project(name)
    booked = firm.netsuite.has_job(name, customer, jobPrice=900)
    firm.kantata.changes_project(planned, currency="EUR", price=1000)
    firm.salesforce.wins_again(deal)
    return deal, planned, booked


def made_for(firm: Firm, deal: Deal) -> tuple[list[str], list[str]]:
    """The projects of the deal's name in both systems."""
    name = firm.salesforce.record(deal.id)["Name"]
    planned = [each["id"] for each in firm.kantata.state()["workspaces"] if each["title"] == name]
    booked = [each["id"] for each in firm.netsuite.state()["job"] if each["companyName"] == name]
    return planned, booked


async def test_a_project_that_was_made_by_hand_is_adopted_in_place_of_a_second_one(
    firm: Firm,
) -> None:
    deal, planned, booked = with_a_project(firm)

    first = await firm.work_item(deal, step="project_for")
    assert (first["code"], first["adopts"]) == ("project.made-by-hand", "kantata")
    assert planned in first["detail"]
    await firm.decides(first, "adopt", record={"system": "kantata", "external_id": planned})
    second = await firm.work_item(deal, step="booked_project_for")
    assert (second["code"], second["adopts"]) == ("project.made-by-hand", "netsuite")
    await firm.decides(second, "adopt", record={"system": "netsuite", "external_id": booked})
    run = await firm.run_of(deal)

    key = firm.salesforce.record(deal.id)["TL_Project_Key__c"]
    workspace, job = firm.kantata.project(key), firm.netsuite.job(key)
    assert (workspace["id"], job["id"]) == (planned, booked)
    assert (workspace["price_in_cents"], job["jobPrice"]) == (4_280_000, 42800)
    assert len(firm.kantata.staffing_requests(key)) == 2
    assert made_for(firm, deal) == ([planned], [booked])
    told = [each for step in run["steps"] for each in step["overwrote"]]
    prices = [each for each in told if each["field"].endswith(("price", "jobPrice"))]
    was = [(each["external_id"], Decimal(each["before"])) for each in prices]
    assert was == [(planned, Decimal(1000)), (booked, Decimal(900))]


async def test_a_job_made_by_hand_under_another_name_is_known_by_its_purchase_order(
    firm: Firm,
) -> None:
    deal = firm.salesforce.wins_deal(entity="DE", stage="Negotiation/Review")
    firm.salesforce.corrects(deal.id, purchase_order="PO-4711")
    account = firm.salesforce.record(deal.customer_id)
    name, tax_id = f"By hand {account['Name']}", account["TL_Tax_Id__c"]
    customer = firm.netsuite.has_customer(name=name, tax_id=tax_id)
    order = {"custentity_tl_purchase_order": "po-4711"}
    booked = firm.netsuite.has_job(f"By hand {deal.id}", customer, **order)
    firm.netsuite.has_job(f"Another {deal.id}", customer, custentity_tl_purchase_order="PO-1")
    firm.salesforce.wins_again(deal)

    item = await firm.work_item(deal, step="booked_project_for")
    assert (item["code"], item["adopts"]) == ("project.made-by-hand", "netsuite")
    assert f"made by hand: {booked} (it carries purchase order PO-4711)" in item["detail"]
    await firm.decides(item, "adopt", record={"system": "netsuite", "external_id": booked})
    await firm.run_of(deal)

    assert firm.netsuite.job(firm.salesforce.record(deal.id)["TL_Project_Key__c"])["id"] == booked


async def test_who_retries_wants_a_project_beside_the_one_made_by_hand(firm: Firm) -> None:
    deal, planned, booked = with_a_project(firm)

    for step in ("project_for", "booked_project_for"):
        await firm.decides(await firm.work_item(deal, step=step), "retry")
    await firm.run_of(deal)

    key = firm.salesforce.record(deal.id)["TL_Project_Key__c"]
    assert firm.kantata.project(key)["id"] != planned
    assert firm.netsuite.job(key)["id"] != booked


async def test_a_project_adopted_by_a_wrong_number_is_asked_for_again(firm: Firm) -> None:
    deal, planned, _ = with_a_project(firm)

    item = await firm.work_item(deal, code="project.made-by-hand")
    await firm.decides(item, "adopt", record={"system": "kantata", "external_id": "999999"})
    missing = await firm.work_item(deal, code="project.not-found")
    assert missing["adopts"] == "kantata"
    await firm.decides(missing, "adopt", record={"system": "kantata", "external_id": planned})

    await firm.decides(await firm.work_item(deal, step="booked_project_for"), "retry")
    await firm.run_of(deal)
    assert made_for(firm, deal)[0] == [planned]
