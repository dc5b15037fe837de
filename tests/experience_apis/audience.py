"""What an audience asks, through the gateway alone."""

from __future__ import annotations

from typing import Any

from tests.firm import Firm
from tests.systems import Deal

OPERATIONS = "/experience/operations/v1"
DELIVERY = "/experience/delivery/v2"


async def journey(firm: Firm, name: str, *states: str, by: str = "demo") -> dict[str, Any]:
    """The journey an id is part of, once its newest run is as far as that."""
    wanted = states or ("done",)

    async def look() -> dict[str, Any]:
        answer = await firm.call("GET", f"{OPERATIONS}/journeys/{name}", by=by)
        return answer.json() if answer.status_code == 200 else {"code": answer.json()["code"]}

    def good(found: dict[str, Any]) -> bool:
        return bool(found.get("where")) and found["where"]["state"] in wanted

    return await firm.see(look, good)


async def waiting(firm: Firm, deal: Deal) -> dict[str, Any]:
    """The deal's journey once it waits for a person whose item is known."""

    async def look() -> dict[str, Any]:
        return await journey(firm, deal.id, "waiting")

    return await firm.see(look, lambda found: bool(found["waiting"]["title"]))


async def project(firm: Firm, name: str, more: str = "", by: str = "demo") -> dict[str, Any]:
    """What delivery sees of a project, once it is there."""

    async def look() -> dict[str, Any]:
        answer = await firm.call("GET", f"{DELIVERY}/projects/{name}{more}", by=by)
        return answer.json() if answer.status_code == 200 else {}

    return await firm.see(look, bool)
