"""What people see of a deal that changed after it was won, and of its project."""

from __future__ import annotations

from typing import Any

from tests.firm import RUNS, Firm
from tests.systems import Deal, Record

CHANGES = RUNS.replace("deal-to-project", "deal-change")
ACTIVE, ON_HOLD, CANCELLED = 310, 400, 500


async def engaged(firm: Firm, **options: Any) -> tuple[Deal, dict[str, Any]]:
    """A deal whose project has begun, and its contract."""
    deal = firm.salesforce.wins_deal(**options)
    if options.get("price"):
        await firm.decides(await firm.work_item(deal, owner="delivery-director"), "approve")
    return deal, (await firm.run_of(deal))["result"]


async def changes_of(firm: Firm, deal: Deal) -> list[dict[str, Any]]:
    """The runs that looked into what became of a deal, the newest first."""
    answer = await firm.call("GET", CHANGES, params={"deal": deal.id})
    found: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
    return found


async def change_of(firm: Firm, deal: Deal, state: str) -> dict[str, Any]:
    """The last of these runs when it is in this state."""

    async def look() -> list[dict[str, Any]]:
        return await changes_of(firm, deal)

    return (await firm.see(look, lambda found: bool(found) and found[0]["state"] == state))[0]


async def change_id(firm: Firm, deal: Deal) -> str:
    """The id of the last of these runs."""
    return str((await changes_of(firm, deal))[0]["id"])


async def held(firm: Firm, deal: Deal) -> dict[str, Any]:
    """What is asked about a deal whose project is on hold."""
    await change_of(firm, deal, "waiting")
    items = await firm.work_items(owner="delivery-director")
    [item] = [each for each in items if each["record"]["external_id"] == deal.id]
    return item


def key_of(firm: Firm, deal: Deal) -> str:
    return str(firm.salesforce.record(deal.id)["TL_Project_Key__c"])


def places(firm: Firm, key: str) -> tuple[Record, Record]:
    """The project where it is planned and where it is booked."""
    return firm.kantata.project(key), firm.netsuite.job(key)


def stand(firm: Firm, key: str) -> tuple[int, str, bool]:
    """The project's state in the PSA and in the books, and whether time may be booked."""
    planned, booked = places(firm, key)
    return planned["status_key"], booked["entityStatus"]["id"], booked["allowTime"]


def reopens(firm: Firm, deal: Deal) -> None:
    """Somebody opens the deal again."""
    firm.salesforce.corrects(deal.id, stage="Negotiation/Review")
