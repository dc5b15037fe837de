"""What delivery and operations see of a project whose deal changed after it was won."""

from __future__ import annotations

from typing import Any

from tests.experience_apis.audience import journey, project
from tests.firm import Firm
from tests.process_apis.announced import lost
from tests.process_apis.changing import change_of, engaged, held, key_of
from tests.systems import Deal

ANEW = {"amount": "60000.00", "currency": "USD"}


async def seen(firm: Firm, deal: Deal, state: str) -> dict[str, Any]:
    """The deal's project once delivery sees it in this state."""
    key = key_of(firm, deal)

    async def look() -> dict[str, Any]:
        return await project(firm, key)

    return await firm.see(look, lambda found: bool(found["state"] == state))


async def test_a_project_whose_deal_was_lost_is_on_hold_and_active_once_it_is_won_again(
    firm: Firm,
) -> None:
    deal, _ = await engaged(firm, entity="DE")
    await seen(firm, deal, "active")

    await lost(firm, deal)

    await held(firm, deal)
    await seen(firm, deal, "on_hold")
    firm.salesforce.wins_again(deal)
    await seen(firm, deal, "active")


async def test_a_project_that_was_taken_back_is_cancelled(firm: Firm) -> None:
    deal, _ = await engaged(firm, entity="UK")
    key = key_of(firm, deal)

    await lost(firm, deal)

    async def look() -> dict[str, Any]:
        return await project(firm, key)

    found = await firm.see(look, lambda it: bool(it["state"] == "cancelled"))
    assert found["key"] == key


async def test_a_project_agreed_anew_has_its_new_budget_and_keeps_what_it_is_elsewhere(
    firm: Firm,
) -> None:
    deal, contract = await engaged(firm, entity="US")
    key = key_of(firm, deal)
    before = await project(firm, key)

    firm.salesforce.repeats(deal.options | {"price": "300"})

    async def look() -> dict[str, Any]:
        return await project(firm, key)

    after = await firm.see(look, lambda it: bool(it["budget"]["total"] == ANEW))
    assert before["budget"]["total"] == contract["versions"][0]["value"]
    assert after["budget"]["total"] == ANEW
    assert after["records"] == before["records"]
    assert [each["external_id"] for each in after["tasks"]] == [
        each["external_id"] for each in before["tasks"]
    ]


async def test_a_journey_tells_what_contract_and_project_are_worth_since_they_were_agreed_anew(
    firm: Firm,
) -> None:
    deal, _ = await engaged(firm, entity="US")
    firm.salesforce.repeats(deal.options | {"price": "300"})
    await change_of(firm, deal, "done")

    def worth(found: dict[str, Any]) -> dict[str, Any]:
        told = {"deal", "contract", "project"}
        return {
            each["system"]: each["amount"] for each in found["records"] if each["object"] in told
        }

    anew = dict.fromkeys(("salesforce", "throughline", "kantata", "netsuite"), ANEW)
    found = await firm.see(lambda: journey(firm, deal.id), lambda it: worth(it) == anew)
    assert found["value"] == ANEW
