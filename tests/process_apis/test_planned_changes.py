"""A dry run of a deal that has a project lists the writes that the run would make, and no other."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from apis.runtime.store import Store
from apis.runtime.writes import WRITES
from tests.firm import RUNS, Firm
from tests.process_apis.announced import lost
from tests.process_apis.changing import CHANGES, change_of, engaged, held
from tests.systems import Deal

Written = list[tuple[str, str, str]]


async def planned(firm: Firm, path: str, deal: Deal) -> dict[str, Any]:
    """What a run of this flow would do for the deal."""
    asked = {"deal": deal.source}
    answer = await firm.call("POST", path, json=asked, params={"dry_run": "true"})
    plan: dict[str, Any] = answer.raise_for_status().json()
    return plan


def listed(plan: dict[str, Any]) -> Written:
    """The writes of a plan, in no order."""
    return sorted(
        (each["system"], each["operation"], json.dumps(each["body"], sort_keys=True))
        for each in plan["writes"]
    )


async def written(firm: Firm, run: dict[str, Any]) -> Written:
    """The writes that a run has made, in no order."""
    store = Store(firm.house.database_url, pool=1)
    mine = sa.select(WRITES).where(WRITES.c.request_key.startswith(run["id"] + "/"))
    rows = await store.read(lambda c: c.execute(mine).all())
    store.close()
    return sorted(
        (row.connection, f"{row.operation} {row.object}", json.dumps(body, sort_keys=True))
        for row in rows
        for body in [json.loads(row.after)]
    )


async def begins(firm: Firm, path: str, deal: Deal) -> None:
    """Somebody asks for a run."""
    (await firm.call("POST", path, json={"deal": deal.source})).raise_for_status()


async def test_of_a_deal_priced_anew_what_changes_in_the_systems_is_planned(
    quiet_firm: Firm,
) -> None:
    deal = quiet_firm.salesforce.wins_deal(entity="US", billing_model="fixed_price")
    await begins(quiet_firm, RUNS, deal)
    await quiet_firm.run_of(deal)
    quiet_firm.salesforce.repeats(deal.options | {"price": "300"})

    plan = await planned(quiet_firm, CHANGES, deal)

    await begins(quiet_firm, CHANGES, deal)
    run = await change_of(quiet_firm, deal, "done")
    assert plan["problems"] == []
    assert listed(plan) == await written(quiet_firm, run) != []


async def test_of_a_lost_deal_what_is_held_is_planned_and_who_is_asked(quiet_firm: Firm) -> None:
    deal = quiet_firm.salesforce.wins_deal(entity="DE")
    await begins(quiet_firm, RUNS, deal)
    await quiet_firm.run_of(deal)
    quiet_firm.salesforce.loses(deal)

    plan = await planned(quiet_firm, CHANGES, deal)

    await begins(quiet_firm, CHANGES, deal)
    run = await change_of(quiet_firm, deal, "waiting")
    assert [each["code"] for each in plan["problems"]] == ["deal.on-hold"]
    assert listed(plan) == await written(quiet_firm, run) != []


async def test_of_a_lost_deal_what_is_taken_back_is_planned(quiet_firm: Firm) -> None:
    deal = quiet_firm.salesforce.wins_deal(entity="UK", billing_model="milestone")
    await begins(quiet_firm, RUNS, deal)
    await quiet_firm.run_of(deal)
    quiet_firm.salesforce.loses(deal)

    plan = await planned(quiet_firm, CHANGES, deal)

    await begins(quiet_firm, CHANGES, deal)
    run = await change_of(quiet_firm, deal, "abandoned")
    assert plan["writes"][-1]["body"]["TL_Project_Status__c"] == "cancelled"
    assert listed(plan) == await written(quiet_firm, run)


async def test_of_a_deal_that_has_its_project_nothing_is_planned(quiet_firm: Firm) -> None:
    deal = quiet_firm.salesforce.wins_deal()
    await begins(quiet_firm, RUNS, deal)
    await quiet_firm.run_of(deal)

    plans = [await planned(quiet_firm, path, deal) for path in (RUNS, CHANGES)]

    assert [(plan["writes"], plan["problems"]) for plan in plans] == [([], [])] * 2


async def test_of_a_deal_whose_run_is_open_what_is_still_to_come_is_planned(
    quiet_firm: Firm,
) -> None:
    deal = quiet_firm.salesforce.wins_deal(entity="DE", billing_model="fixed_price")
    name = quiet_firm.salesforce.record(deal.id)["Name"]
    account = quiet_firm.salesforce.record(deal.customer_id)
    known = {"name": f"By hand {account['Name']}", "tax_id": account["TL_Tax_Id__c"]}
    customer = quiet_firm.netsuite.has_customer(**known)
    quiet_firm.netsuite.has_job(name, customer)
    await begins(quiet_firm, RUNS, deal)
    item = await quiet_firm.work_item(deal, step="booked_project_for")
    before = await written(quiet_firm, await quiet_firm.run_of(deal, "waiting"))

    plan = await planned(quiet_firm, RUNS, deal)

    assert (plan["run"]["state"], plan["run"]["waiting"]["work_item_id"]) == ("waiting", item["id"])
    assert [(each["system"], each["operation"]) for each in plan["writes"]] == [
        ("netsuite", "create project"),
        ("netsuite", "create billing-schedule"),
        ("salesforce", "update deal"),
    ]
    assert plan["problems"] == []
    await quiet_firm.decides(item, "retry")
    after = await written(quiet_firm, await quiet_firm.run_of(deal))
    assert listed(plan) == sorted(each for each in after if each not in before)


async def test_of_a_deal_that_was_approved_nobody_is_asked_again(quiet_firm: Firm) -> None:
    deal = quiet_firm.salesforce.wins_deal(entity="DE", price=2000)
    customer = quiet_firm.salesforce.record(deal.customer_id)
    quiet_firm.netsuite.has_customer(name=customer["Name"])
    await begins(quiet_firm, RUNS, deal)
    asked = await quiet_firm.work_item(deal, owner="delivery-director")
    plan = await planned(quiet_firm, RUNS, deal)
    assert [each["owner"] for each in plan["approvals"]] == ["delivery-director"]
    assert plan["run"]["waiting"]["work_item_id"] == asked["id"]
    await quiet_firm.decides(asked, "approve")
    await quiet_firm.work_item(deal, code="customer.match-unclear")

    plan = await planned(quiet_firm, RUNS, deal)

    assert plan["approvals"] == []
    assert [each["code"] for each in plan["problems"]] == ["customer.match-unclear"]


async def test_of_a_deal_won_again_what_exists_is_not_planned_again(firm: Firm) -> None:
    deal, _ = await engaged(firm, entity="DE", billing_model="fixed_price")
    await lost(firm, deal)
    await held(firm, deal)
    firm.salesforce.repeats(deal.options | {"price": "2000"})
    item = await firm.work_item(deal, code="deal.approval-needed")

    plan = await planned(firm, RUNS, deal)

    await firm.decides(item, "approve")
    run = await firm.run_of(deal, turn=2)
    assert not [each for each in plan["writes"] if each["operation"] == "create project"]
    assert listed(plan) == await written(firm, run) != []
