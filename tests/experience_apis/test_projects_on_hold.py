"""A project on hold whose deal was won again in vain: whom it waits for, wherever people look."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.experience_apis.audience import OPERATIONS, project
from tests.firm import Firm
from tests.process_apis.announced import lost
from tests.process_apis.changing import change_id, engaged, held, key_of
from tests.systems import Deal


async def won_again_in_vain(firm: Firm) -> tuple[Deal, dict[str, Any]]:
    """A deal that is lost, won again and rejected; its project stays on hold: who is asked."""
    deal, _ = await engaged(firm, entity="DE")
    await lost(firm, deal)
    first = await held(firm, deal)
    firm.salesforce.repeats(deal.options | {"price": "2000"})
    item = await firm.work_item(deal, code="deal.approval-needed")
    await firm.decides(item, "reject")
    await firm.run_of(deal, "abandoned", turn=2)

    async def asked() -> list[dict[str, Any]]:
        items = await firm.work_items(run_id=await change_id(firm, deal))
        return [each for each in items if each["id"] != first["id"]]

    [hold] = await firm.see(asked, bool)
    return deal, hold


async def test_delivery_reads_why_a_project_is_on_hold_and_whom_it_waits_for(firm: Firm) -> None:
    deal, hold = await won_again_in_vain(firm)

    async def look() -> dict[str, Any]:
        return await project(firm, key_of(firm, deal), "/health")

    def told_of(found: dict[str, Any]) -> bool:
        return bool((found["on_hold"] or {}).get("work_item_id") == hold["id"])

    found = await firm.see(look, told_of)

    assert found["state"] == "on_hold"
    told = found["on_hold"]
    assert (told["work_item_id"], told["owner"]) == (hold["id"], "delivery-director")
    assert "is won in salesforce after its project began" in told["why"]
    assert told["remedy"].startswith("set the deal right and start its run again, or abandon")


async def test_a_project_that_is_worked_on_is_not_on_hold(firm: Firm) -> None:
    deal, _ = await engaged(firm, entity="DE")

    assert (await project(firm, key_of(firm, deal), "/health"))["on_hold"] is None


async def test_operations_see_first_what_waits_for_a_person_whatever_ended_since(
    firm: Firm,
) -> None:
    deal, hold = await won_again_in_vain(firm)

    async def look() -> dict[str, Any]:
        found: dict[str, Any] = (await firm.call("GET", f"{OPERATIONS}/journeys/{deal.id}")).json()
        return found

    def over(found: dict[str, Any]) -> bool:
        told = [run["state"] for run in found["runs"]].count("abandoned") == 1
        return told and (found["waiting"] or {}).get("work_item_id") == hold["id"]

    found = await firm.see(look, over)

    assert found["where"]["run_id"] == await change_id(firm, deal)
    assert found["waiting"]["work_item_id"] == hold["id"]


async def test_the_journey_in_the_terminal_begins_with_what_waits_and_names_the_other_runs(
    firm: Firm,
) -> None:
    deal, hold = await won_again_in_vain(firm)
    runs = [await change_id(firm, deal), *(run["id"] for run in await firm.runs_of(deal))]

    code, told = await asyncio.to_thread(firm.house.says, "journey", deal.id)

    places = [told.index(run) for run in runs]
    assert (code, places) == (0, sorted(places))
    assert f"work item {hold['id']}" in told
