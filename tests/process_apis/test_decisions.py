"""Who may decide what, and what becomes of a deal that is approved, rejected or abandoned."""

from __future__ import annotations

import pytest

from tests.firm import ITEMS, Firm


@pytest.mark.parametrize(("entity", "currency"), [("US", "USD"), ("UK", "GBP"), ("DE", "EUR")])
async def test_a_deal_above_its_entitys_limit_waits_for_the_delivery_director(
    firm: Firm, entity: str, currency: str
) -> None:
    deal = firm.salesforce.wins_deal(entity=entity, price=2000)

    item = await firm.work_item(deal, owner="delivery-director")
    assert item["code"] == "deal.approval-needed"
    assert item["amount"] == {"amount": "400000.00", "currency": currency}
    assert firm.salesforce.record(deal.id)["TL_Project_Key__c"] is None
    await firm.decides(item, "approve")

    assert (await firm.run_of(deal))["result"]["state"] == "active"


async def test_who_is_asked_for_an_approval_reads_value_limit_and_seller(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(entity="DE", price=2000)

    item = await firm.work_item(deal, owner="delivery-director")

    sold_by = firm.salesforce.record(deal.id)["OwnerId"]
    users = firm.salesforce.state()["User"]
    seller = next(user["Email"] for user in users if user["Id"] == sold_by)
    assert f"sold by {seller}" in item["detail"]
    assert "is worth 400,000.00 EUR" in item["detail"]
    assert "above the limit of 100,000.00 EUR in DE" in item["detail"]


async def test_an_approval_is_evidence_on_the_contract_and_a_step_of_the_run(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(entity="DE", price=2000)
    item = await firm.work_item(deal, owner="delivery-director")
    waits = (await firm.run_of(deal, "waiting"))["steps"][-1]
    assert (waits["name"], waits["owner"]) == ("approval", "delivery-director")
    assert (waits["state"], waits["ended_at"], waits["calls"]) == ("waiting", None, [])
    assert (waits["work_item_id"], waits["decision"]) == (item["id"], None)

    decided = await firm.decides(item, "approve", comment="staffed from March")

    run = await firm.run_of(deal)
    version = run["result"]["versions"][0]
    told = decided.json()["decision"]
    assert (version["approved_by"], version["approved_at"]) == ("demo-approver", told["at"])
    assert version["approval_limit"] == {"amount": "100000.00", "currency": "EUR"}
    assert [step["name"] for step in run["steps"]][:4] == [
        *("accepted_deal", "approver_of", "approval", "delivery_terms_for"),
    ]
    step = run["steps"][2]
    assert (step["state"], step["attempts"], step["started_at"]) == ("done", 1, waits["started_at"])
    assert step["ended_at"] == told["at"]
    assert step["decision"] == told
    assert (told["actor"], told["comment"]) == ("demo-approver", "staffed from March")


async def test_a_deal_below_its_limit_has_no_approval_to_show(firm: Firm) -> None:
    run = await firm.run_of(firm.salesforce.wins_deal())

    version = run["result"]["versions"][0]
    assert (version["approved_by"], version["approved_at"], version["approval_limit"]) == (
        *(None, None, None),
    )
    assert not [step for step in run["steps"] if step["work_item_id"]]


async def test_who_asked_for_a_deal_cannot_approve_it(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(price=2000, stage="Negotiation/Review")
    await firm.starts(deal, by="demo-approver")
    not_won = await firm.work_item(deal, code="deal.not-won")
    firm.salesforce.wins_again(deal)
    await firm.decides(not_won, "retry", by="demo")
    item = await firm.work_item(deal, owner="delivery-director")

    own = await firm.decides(item, "approve", by="demo-approver")

    assert (own.status_code, own.json()["code"]) == (403, "work-item.own-request")


async def test_another_role_cannot_approve(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(price=2000)
    item = await firm.work_item(deal, owner="delivery-director")

    for other in ("demo", "demo-finance"):
        refused = await firm.decides(item, "approve", by=other)
        assert (refused.status_code, refused.json()["code"]) == (403, "work-item.not-yours")

    assert (await firm.run_of(deal, "waiting"))["state"] == "waiting"


async def test_a_partner_sees_no_work_items(firm: Firm) -> None:
    refused = await firm.call("GET", "/process/work-queue/v1/work-items", by="demo-partner")

    assert refused.status_code == 403


@pytest.mark.parametrize("decision", ["retry", "abandon", "adopt"])
async def test_an_approval_is_given_or_refused_and_nothing_else(firm: Firm, decision: str) -> None:
    deal = firm.salesforce.wins_deal(price=2000)
    item = await firm.work_item(deal, owner="delivery-director")

    refused = await firm.decides(item, decision)

    told = refused.json()
    assert (refused.status_code, told["code"]) == (422, "work-item.decision-not-offered")
    assert told["remedy"] == "decide one of: approve, reject"
    assert (await firm.work_item(deal, owner="delivery-director"))["id"] == item["id"]


async def test_a_work_item_says_who_decided_what_when_and_why(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(price=2000)
    item = await firm.work_item(deal, owner="delivery-director")

    await firm.decides(item, "approve", comment="a customer for years")

    alone = (await firm.call("GET", f"{ITEMS}/{item['id']}")).json()
    [listed] = await firm.work_items(run_id=item["run_id"], state="decided")
    decision = alone["decision"]
    assert listed == alone
    assert decision.pop("at") >= item["since"]
    assert decision == {
        "decision": "approve",
        "actor": "demo-approver",
        "person": None,
        "comment": "a customer for years",
    }


async def test_a_second_decision_is_a_conflict(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(price=2000)
    item = await firm.work_item(deal, owner="delivery-director")
    await firm.decides(item, "approve")

    again = await firm.decides(item, "approve")

    assert (again.status_code, again.json()["code"]) == (409, "work-item.already-decided")


async def test_a_rejected_deal_is_abandoned_with_the_reason_and_lists_what_stays(
    firm: Firm,
) -> None:
    deal = firm.salesforce.wins_deal(price=2000)
    item = await firm.work_item(deal, owner="delivery-director")

    decided = await firm.decides(item, "reject", comment="too large for the team")

    run = await firm.run_of(deal, "abandoned")
    assert decided.json()["decision"]["comment"] == "too large for the team"
    assert run["kept"] == ["the deal keeps its number with us"]
    assert firm.salesforce.record(deal.id)["TL_Project_Key__c"] is None


async def test_abandon_takes_the_contract_back_and_the_deal_names_no_project(firm: Firm) -> None:
    firm.salesforce.fails("Opportunity.update", "lock")
    deal = firm.salesforce.wins_deal()
    item = await firm.in_time(lambda: firm.work_items_of(deal), minutes=5)
    firm.salesforce.works_again()
    await firm.decides(item[0], "abandon", by="demo")

    run = await firm.run_of(deal, "abandoned")

    states = {step["name"]: step["state"] for step in run["steps"]}
    assert states["contract_for.undo"] == "done"
    stays = [kept.partition(":")[0] for kept in run["kept"]]
    assert f"salesforce customer {deal.customer_id}" in stays
    assert any(each.startswith("Throughline contract ") for each in stays)
    left = firm.salesforce.record(deal.id)
    assert (left["TL_Project_Key__c"], left["TL_Project_Status__c"]) == (None, None)


async def test_after_an_abandoned_run_a_start_is_a_new_one(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(price=2000)
    item = await firm.work_item(deal, owner="delivery-director")
    await firm.decides(item, "reject")
    first = await firm.run_of(deal, "abandoned")

    answer = await firm.starts(deal)

    assert answer.status_code == 202
    assert answer.json()["id"] == f"{first['id']}.2"
    second = await firm.work_item(deal, owner="delivery-director")
    await firm.decides(second, "approve")
    assert (await firm.run_of(deal))["id"] == f"{first['id']}.2"


async def test_a_start_answers_where_the_run_is_and_a_done_run_as_it_ended(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal()

    begun = await firm.starts(deal)
    place = await firm.call("GET", begun.headers["Location"])
    run = await firm.run_of(deal)
    again = await firm.starts(deal)

    assert (begun.status_code, place.status_code) == (202, 200)
    assert place.json()["id"] == run["id"]
    assert again.status_code == 200
    assert (again.json()["id"], again.json()["state"]) == (run["id"], "done")


async def test_a_deal_nobody_knows_waits_for_sales(firm: Firm) -> None:
    known = firm.salesforce.wins_deal()
    gone = known._replace(id=known.id[:-6] + "zzzAAA")

    await firm.starts(gone)

    [item] = await firm.in_time(lambda: firm.work_items_of(gone), seconds=5)
    assert (item["code"], item["owner"]) == ("deal.not-found", "sales-operations")
