"""A deal that is sold a second time: one contract, and in it what was agreed last."""

from __future__ import annotations

from typing import Any

from tests.firm import Firm
from tests.process_apis.announced import lost


def worth(version: dict[str, Any]) -> str:
    return str(version["value"]["amount"])


async def test_won_lost_and_won_again_is_a_second_run_and_no_second_contract(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal()
    first = await firm.run_of(deal)
    key = firm.salesforce.record(deal.id)["TL_Project_Key__c"]

    await lost(firm, deal)
    firm.salesforce.wins_again(deal)

    second = await firm.run_of(deal, turn=2)
    assert second["id"] != first["id"]
    assert second["result"] == first["result"]
    assert firm.salesforce.record(deal.id)["TL_Project_Key__c"] == key


async def test_won_again_at_another_price_the_contract_has_what_the_director_approved(
    firm: Firm,
) -> None:
    deal = firm.salesforce.wins_deal(entity="DE")
    first = await firm.run_of(deal)
    await lost(firm, deal)

    firm.salesforce.repeats(deal.options | {"price": "2000"})
    item = await firm.work_item(deal, owner="delivery-director")
    decided = await firm.decides(item, "approve")

    contract = (await firm.run_of(deal, turn=2))["result"]
    before, now = contract["versions"]
    assert contract["id"] == first["result"]["id"]
    assert before == first["result"]["versions"][0]
    assert (worth(before), worth(now)) == ("42800.00", "400000.00")
    assert sum(float(line["total"]["amount"]) for line in now["lines"]) == 400000
    assert (now["number"], now["reason"]) == (2, "won again")
    assert now["approved_by"] == "demo-approver"
    assert now["approved_at"] == decided.json()["decision"]["at"]
    assert now["approval_limit"] == {"amount": "100000.00", "currency": "EUR"}


async def test_won_again_with_another_purchase_order_the_contract_names_the_new_one(
    firm: Firm,
) -> None:
    deal = firm.salesforce.wins_deal(entity="UK")
    await firm.run_of(deal)
    await lost(firm, deal)

    firm.salesforce.corrects(deal.id, purchase_order="PO-AGAIN")
    firm.salesforce.wins_again(deal)

    contract = (await firm.run_of(deal, turn=2))["result"]
    assert (contract["state"], contract["purchase_order"]) == ("active", "PO-AGAIN")
    assert [version["number"] for version in contract["versions"]] == [1, 2]


async def test_abandoned_priced_anew_and_started_again_the_contract_has_the_new_price(
    firm: Firm,
) -> None:
    firm.salesforce.fails("Opportunity.update", "lock")
    deal = firm.salesforce.wins_deal()
    [item] = await firm.in_time(lambda: firm.work_items_of(deal), minutes=5)
    firm.salesforce.works_again()
    await firm.decides(item, "abandon", by="demo")
    await firm.run_of(deal, "abandoned")

    firm.salesforce.repeats(deal.options | {"price": "100"})
    await firm.starts(deal)

    contract = (await firm.run_of(deal))["result"]
    assert contract["state"] == "active"
    assert [worth(version) for version in contract["versions"]] == ["42800.00", "20000.00"]
