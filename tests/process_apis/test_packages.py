"""What the sample firm sells becomes a project by its templates; nothing is planned by guessing."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import get_args

import pytest

from apis.runtime.metadata import Metadata
from contracts.canonical.contract import cards_for, rate_of, template_of
from contracts.canonical.deal import BillingModel
from system_apis.salesforce.sandbox.examples import ENTITIES, PRODUCTS
from tests.firm import RUNS, Firm

SAMPLE = Metadata.load(Path("apis/entities.yaml"))
WON_ON = date(2026, 3, 31)


@pytest.mark.parametrize("entity", ENTITIES)
@pytest.mark.parametrize("model", get_args(BillingModel))
@pytest.mark.parametrize("package", [code for code, *_ in PRODUCTS])
def test_every_package_of_the_sandbox_has_a_template_and_a_rate(
    package: str, model: BillingModel, entity: str
) -> None:
    seller = ENTITIES[entity]
    [card] = cards_for(SAMPLE.rate_cards, entity, None)

    assert template_of(SAMPLE.templates, package, model, entity, WON_ON)
    assert rate_of(card, package, seller.region, seller.currency, WON_ON)
    assert seller.tax_code in SAMPLE.entities[entity].tax_codes


async def test_a_german_fixed_price_is_planned_and_billed_by_its_own_template(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(entity="DE", billing_model="fixed_price", lines=1)

    await firm.run_of(deal)

    project = firm.salesforce.record(deal.id)["TL_Project_Key__c"]
    named = "Principal Consultant: "
    minutes = {
        each["title"]: each.get("time_estimate_in_minutes") for each in firm.kantata.tasks(project)
    }
    assert minutes == {
        f"{named}Design": 24 * 60,
        f"{named}Build": 48 * 60,
        f"{named}Acceptance test": 8 * 60,
        "Design signed off": None,
        "Accepted": None,
    }
    lines = firm.kantata.billing_lines(project)
    assert {each["title"]: each["amount_in_cents"] for each in lines} == {
        "On start": 600_000,
        "Design signed off": 600_000,
        "Accepted": 800_000,
    }


async def test_the_contract_keeps_the_sold_rate_beside_the_card(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(entity="DE", lines=1)

    run = await firm.run_of(deal)

    [line] = run["result"]["versions"][0]["lines"]
    assert line["unit_price"] == {"amount": "250.00", "currency": "EUR"}
    assert line["card_rate"] == {"amount": "265.00", "currency": "EUR"}
    assert line["discount_percent"] == "5.66"
    for path in (f"{RUNS}/{run['id']}", f"{RUNS}?deal={deal.id}"):
        told = await firm.call("GET", path, by="demo-finance")
        assert "unit_price" in told.text
        assert "card_rate" not in told.text
        assert "265.00" not in told.text


async def test_a_package_that_no_template_takes_waits_for_resource_management(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(entity="UK", close_on="2023-12-29", lines=1)

    item = await firm.work_item(deal, owner="resource-management")
    assert item["code"] == "package.template-missing"
    assert "sells CONS-PRINCIPAL in UK, billed by time and materials" in item["detail"]
    assert item["entity"] == "UK"
    firm.salesforce.corrects(deal.id, CloseDate="2026-03-31")
    await firm.decides(item, "retry")

    assert (await firm.run_of(deal))["result"]["state"] == "active"
