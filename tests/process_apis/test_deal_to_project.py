"""A won deal becomes a customer, a contract and a project key: as the business reads it."""

from __future__ import annotations

import pytest

from tests.firm import RUNS, Firm


@pytest.mark.parametrize(("entity", "currency"), [("US", "USD"), ("UK", "GBP"), ("DE", "EUR")])
async def test_a_won_deal_becomes_customer_contract_and_project_key(
    firm: Firm, entity: str, currency: str
) -> None:
    deal = firm.salesforce.wins_deal(entity=entity)

    run = await firm.run_of(deal)

    contract = run["result"]
    value = contract["versions"][0]["value"]
    assert (contract["state"], contract["entity"]) == ("active", entity)
    assert value == {"amount": "42800.00", "currency": currency}
    account, opportunity = firm.salesforce.record(deal.customer_id), firm.salesforce.record(deal.id)
    assert account["TL_Customer_Key__c"] == f"customer-{contract['customer']['id']}"
    assert opportunity["TL_Project_Key__c"].startswith("project-")
    assert opportunity["TL_Project_Status__c"] == "active"


@pytest.mark.parametrize("model", ["time_and_materials", "fixed_price", "milestone", "retainer"])
async def test_each_billing_model_is_kept_as_it_was_sold(firm: Firm, model: str) -> None:
    deal = firm.salesforce.wins_deal(billing_model=model)

    run = await firm.run_of(deal)

    assert run["result"]["billing_model"] == model


async def test_a_system_that_wins_no_deals_is_refused_before_any_run(firm: Firm) -> None:
    body = {"deal": {"system": "kantata", "external_id": "20003"}}

    answer = await firm.call("POST", RUNS, json=body)

    told = answer.json()
    assert (answer.status_code, told["errors"][0]["pointer"]) == (422, "/deal/system")
    assert told["detail"] == "deals are won in salesforce, not in what is named here"
