"""Whoever adopts a record by a slip of the hand takes nobody else's."""

from __future__ import annotations

import pytest

from tests.firm import Firm
from tests.process_apis.announced import lost
from tests.process_apis.changing import (
    change_of,
    engaged,
    held,
    key_of,
    places,
)
from tests.process_apis.test_known_customers import with_a_project

TAKEN = (409, "work-item.record-taken")


async def test_the_customer_of_another_deal_is_not_adopted(firm: Firm) -> None:
    other, contract = await engaged(firm, entity="DE")
    theirs = firm.netsuite.customer(f"customer-{contract['customer']['id']}")
    deal = firm.salesforce.wins_deal(entity="DE")
    del other
    name = firm.salesforce.record(deal.customer_id)["Name"]
    firm.netsuite.has_customer(name=name, entity="DE")
    item = await firm.work_item(deal, code="customer.match-unclear")

    told = await firm.decides(
        item, "adopt", record={"system": "netsuite", "external_id": theirs["id"]}
    )

    assert (told.status_code, told.json()["code"]) == TAKEN
    assert (await firm.work_item(deal, code="customer.match-unclear"))["id"] == item["id"]


@pytest.mark.parametrize(
    ("step", "system"), [("project_for", "kantata"), ("booked_project_for", "netsuite")]
)
async def test_the_project_of_another_deal_is_not_adopted(
    firm: Firm, step: str, system: str
) -> None:
    other, _ = await engaged(firm, entity="DE")
    planned, booked = places(firm, key_of(firm, other))
    deal, mine, _ = with_a_project(firm)
    if step == "booked_project_for":
        first = await firm.work_item(deal, step="project_for")
        await firm.decides(first, "adopt", record={"system": "kantata", "external_id": mine})
    item = await firm.work_item(deal, step=step)

    record = {"system": system, "external_id": (planned if system == "kantata" else booked)["id"]}
    told = await firm.decides(item, "adopt", record=record)

    assert (told.status_code, told.json()["code"]) == TAKEN
    assert places(firm, key_of(firm, other)) == (planned, booked)


async def test_a_job_of_another_debtor_is_asked_about_again(firm: Firm) -> None:
    deal, planned, booked = with_a_project(firm)
    stranger = firm.netsuite.has_customer(name=f"Stranger {deal.id} AG")
    wrong = firm.netsuite.has_job("Somebody else's", stranger)
    first = await firm.work_item(deal, step="project_for")
    await firm.decides(first, "adopt", record={"system": "kantata", "external_id": planned})
    item = await firm.work_item(deal, step="booked_project_for")

    await firm.decides(item, "adopt", record={"system": "netsuite", "external_id": wrong})

    again = await firm.work_item(deal, code="project.other-customer")
    await firm.decides(again, "adopt", record={"system": "netsuite", "external_id": booked})
    await firm.run_of(deal)
    assert firm.netsuite.job(key_of(firm, deal))["id"] == booked


async def test_a_deal_that_was_won_again_is_not_cancelled_by_an_older_question(firm: Firm) -> None:
    deal, _ = await engaged(firm, entity="US")
    await lost(firm, deal)
    item = await held(firm, deal)
    firm.netsuite.fails("job.update", "lock")
    firm.salesforce.repeats(deal.options | {"price": "300"})
    await firm.run_of(deal, "running", "queued", turn=2)

    told = await firm.decides(item, "abandon", by="demo-approver")

    assert (told.status_code, told.json()["code"]) == (409, "deal.won-again")
    firm.netsuite.works_again()
    await firm.run_of(deal, turn=2)
    await change_of(firm, deal, "done")
    assert firm.salesforce.record(deal.id)["TL_Project_Status__c"] == "active"
