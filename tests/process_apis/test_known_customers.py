"""Customers that the books know already: what they lack to bill a deal is asked for first."""

from __future__ import annotations

from typing import Any

import pytest

from tests.firm import Firm
from tests.systems import Deal, addressed

FINANCE = "finance-master-data"


def sold_to(firm: Firm, **known: Any) -> tuple[Deal, str]:
    """A German deal, and its customer as somebody entered it in the books before."""
    deal = firm.salesforce.wins_deal(entity="DE", stage="Negotiation/Review")
    tax_id = firm.salesforce.record(deal.customer_id)["TL_Tax_Id__c"]
    booked = firm.netsuite.has_customer(name=f"By Hand {deal.id} AG", tax_id=tax_id, **known)
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
