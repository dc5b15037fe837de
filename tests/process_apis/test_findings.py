"""A deal that is not ready waits for the person who can set it right, and then goes on."""

from __future__ import annotations

import re
from typing import Any

import pytest

from system_apis.salesforce.sandbox.examples import tax_id
from tests.firm import Firm

JARGON = re.compile(r"TL_|__c|SOQL|HTTP|null|None|\{|Opportunity|salesforce\.[A-Z]|[a-z]_[a-z]")


def readable(item: dict[str, Any]) -> bool:
    """Whether a finance person can read what is wrong, and how it is mended."""
    return not JARGON.search(f"{item['title']} {item['detail']} {item['remedy']}")


async def test_a_deal_without_tax_code_waits_for_finance_and_finishes_when_corrected(
    firm: Firm,
) -> None:
    deal = firm.salesforce.wins_deal(entity="DE", tax_code=None)

    item = await firm.work_item(deal, owner="finance-master-data")
    waiting = (await firm.run_of(deal, "waiting"))["waiting"]
    assert item["code"] == "customer.tax-code-missing"
    assert "no tax code" in item["detail"]
    assert "enter the tax code on the account" in item["remedy"]
    assert item["amount"] == {"amount": "42800.00", "currency": "EUR"}
    assert (item["entity"], item["step"]) == ("DE", "accepted_deal")
    record = item["record"]
    assert (record["system"], record["object"]) == ("salesforce", "customer")
    assert (record["external_id"], len(record["id"])) == (deal.customer_id, 26)
    assert record["url"].endswith(f"/{deal.customer_id}")
    assert item["errors"][0]["pointer"] == "/customer/tax_code"
    assert readable(item)
    assert (waiting["owner"], waiting["work_item_id"]) == ("finance-master-data", item["id"])

    firm.salesforce.corrects(deal.customer_id, tax_code="DE-VAT-19")
    decided = await firm.decides(item, "retry")

    assert decided.status_code == 200
    assert decided.json()["decision"]["actor"] == "demo-finance"
    run = await firm.run_of(deal)
    assert run["result"]["state"] == "active"
    accepted, asked = run["steps"][:2]
    assert (accepted["name"], accepted["state"], accepted["attempts"]) == (
        "accepted_deal",
        "done",
        2,
    )
    assert (asked["name"], asked["owner"]) == ("accepted_deal.decision", "finance-master-data")
    assert asked["decision"] == decided.json()["decision"]


CASES: list[Any] = [
    ("DE", {"tax_id": None}, "customer.tax-id-missing", {"tax_id": tax_id("DE", 70_001)}),
    ("DE", {"tax_id": "invalid"}, "customer.tax-id-invalid", {"tax_id": tax_id("DE", 70_002)}),
    ("UK", {"tax_id": "invalid"}, "customer.tax-id-invalid", {"tax_id": tax_id("UK", 70_003)}),
    ("US", {"tax_id": None}, "customer.tax-id-missing", {"tax_id": tax_id("US", 70_004)}),
    ("US", {"country": None}, "customer.country-missing", {"country": "United States"}),
    ("UK", {"po": None}, "deal.purchase-order-missing", {"purchase_order": "PO-77"}),
    ("US", {"sow": None}, "deal.sow-number-missing", {"sow": "SOW-77"}),
    ("US", {"billing_model": None}, "deal.billing-model-missing", {"billing_model": "retainer"}),
    ("US", {"entity": None}, "deal.entity-missing", {"entity": "US"}),
]


@pytest.mark.parametrize(("entity", "lacks", "code", "mended"), CASES)
async def test_what_a_deal_lacks_is_asked_of_its_owner_and_retry_sees_it(
    firm: Firm, entity: str, lacks: dict[str, Any], code: str, mended: dict[str, str]
) -> None:
    named = {"entity": entity} if "entity" not in lacks else {}
    deal = firm.salesforce.wins_deal(**named, **{k: v for k, v in lacks.items() if k != "entity"})
    if "entity" in lacks:
        firm.salesforce.corrects(deal.id, entity=None)
    owner = "finance-master-data" if code.startswith("customer.") else "sales-operations"

    item = await firm.work_item(deal, owner=owner)
    assert item["code"] == code
    assert item["amount"]["amount"] == "42800.00"
    assert readable(item)

    asked = deal.customer_id if code.startswith("customer.") else deal.id
    assert item["record"]["external_id"] == asked
    firm.salesforce.corrects(asked, **mended)
    await firm.decides(item, "retry")

    assert (await firm.run_of(deal))["state"] == "done"


async def test_a_region_that_the_books_do_not_list_is_found_before_anything_is_written(
    firm: Firm,
) -> None:
    deal = firm.salesforce.wins_deal(stage="Negotiation/Review")
    firm.salesforce.corrects(deal.id, TL_Region__c="APAC")
    firm.salesforce.wins_again(deal)

    item = await firm.work_item(deal, owner="integration")
    assert (item["code"], item["step"]) == ("mapping.unknown-value", "accepted_deal")
    assert "the region 'APAC' of the project is on no code list of netsuite" in item["detail"]
    assert readable(item)
    assert firm.salesforce.record(deal.customer_id)["TL_Customer_Key__c"] is None
    firm.salesforce.corrects(deal.id, TL_Region__c="AMER")
    await firm.decides(item, "retry")

    assert (await firm.run_of(deal))["state"] == "done"
