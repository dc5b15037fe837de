"""The firm that the flow tests live in: people at the CRM, people at the work queue, and time."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx

from tests.house import House
from tests.systems import Deal, Kantata, NetSuite, Salesforce

T = TypeVar("T")
PATIENCE_S = 30.0
LOOK_S = 0.04
RUNS = "/process/deal-to-project/v1/runs"
ITEMS = "/process/work-queue/v1/work-items"
ROLES = {
    "finance-master-data": "demo-finance",
    "delivery-director": "demo-approver",
    "sales-operations": "demo-sales",
    "delivery-operations": "demo-delivery",
}


def concerns(item: dict[str, Any], deal: Deal) -> bool:
    """Whether a work item that no run of it has opened is about a deal or its customer."""
    return item["record"]["external_id"] in deal[:2]


class Firm:
    """What people see and do, through the gateway alone."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.salesforce = Salesforce(house)
        self.kantata = Kantata(house)
        self.netsuite = NetSuite(house)
        self.systems = (self.salesforce, self.kantata, self.netsuite)
        self._http = httpx.AsyncClient(base_url=house.gateway, trust_env=False, timeout=30)
        self._secrets = json.loads((house.home / "clients.json").read_text())
        self._tokens: dict[str, str] = {}

    async def close(self) -> None:
        """Go home; tomorrow nothing is wrong with any system."""
        for system in self.systems:
            system.works_again()
        await self._http.aclose()

    def later(self, *, seconds: float = 0, minutes: float = 0, hours: float = 0) -> None:
        """Time passes for everybody at once."""
        self.salesforce.later(seconds + 60 * minutes + 3600 * hours)

    async def call(
        self, method: str, path: str, *, by: str = "demo", key: str | None = None, **more: Any
    ) -> httpx.Response:
        """A call as one of the demo clients; a token that ended, be it on its way, is renewed."""
        own = {"Idempotency-Key": f'"{key}"'} if key else {}
        for _ in range(3):
            token = self._tokens.get(by) or await self._sign_in(by)
            bearer = {"Authorization": f"Bearer {token}"}
            answer = await self._http.request(method, path, headers=bearer | own, **more)
            if answer.status_code != 401:
                break
            self._tokens.pop(by, None)
        return answer

    async def _sign_in(self, client: str) -> str:
        secret = self._secrets[client]["client_secret"]
        asked = {"grant_type": "client_credentials"}
        answer = await self._http.post("/oauth/token", data=asked, auth=(client, secret))
        token: str = answer.raise_for_status().json()["access_token"]
        self._tokens[client] = token
        return token

    async def starts(self, deal: Deal, *, by: str = "demo", **query: str) -> httpx.Response:
        """Someone asks for the deal's run."""
        return await self.call("POST", RUNS, by=by, json={"deal": deal.source}, params=query)

    async def runs_of(self, deal: Deal) -> list[dict[str, Any]]:
        """All runs of a deal, the newest first."""
        answer = await self.call("GET", RUNS, params={"deal": deal.id})
        found: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
        return found

    async def run_of(self, deal: Deal, *states: str, turn: int = 1) -> dict[str, Any]:
        """The deal's run when it is done, or in one of these states."""
        wanted = states or ("done",)

        async def look() -> dict[str, Any]:
            runs = await self.runs_of(deal)
            return runs[0] if runs else {"state": "none", "id": ""}

        def good(run: dict[str, Any]) -> bool:
            return run["state"] in wanted and f":{turn}" in run["id"]

        return await self.see(look, good)

    async def in_time(self, look: Callable[[], Awaitable[list[T]]], **step: float) -> list[T]:
        """What is looked for, once there is any, while time passes in steps."""

        async def later() -> list[T]:
            self.later(**step)
            return await look()

        return await self.see(later, bool)

    async def work_items_of(self, deal: Deal) -> list[dict[str, Any]]:
        """Open work items of the deal's newest run."""
        runs = await self.runs_of(deal)
        return await self.work_items(run_id=runs[0]["id"]) if runs else []

    async def all_done(self, *deals: Deal) -> list[dict[str, Any]]:
        """The deals' runs if all are done, else nothing: to look at while time passes."""
        newest = [(await self.runs_of(deal))[:1] for deal in deals]
        runs = [run for each in newest for run in each if run["state"] == "done"]
        return runs if len(runs) == len(deals) else []

    async def work_items(self, **asked: str) -> list[dict[str, Any]]:
        """Open work items."""
        answer = await self.call("GET", ITEMS, params={"state": "open"} | asked)
        found: list[dict[str, Any]] = answer.raise_for_status().json()["items"]
        return found

    async def work_item(self, about: Deal | None = None, **wanted: str) -> dict[str, Any]:
        """The open work item with these members, of this deal if one is given."""

        async def look() -> list[dict[str, Any]]:
            asked = {"owner": wanted["owner"]} if "owner" in wanted else {}
            if about is not None and (runs := await self.runs_of(about)):
                asked["run_id"] = runs[0]["id"]
            return [
                item
                for item in await self.work_items(**asked)
                if all(item[name] == value for name, value in wanted.items())
                and (about is None or "run_id" in asked or concerns(item, about))
            ]

        return (await self.see(look, bool))[0]

    async def decides(
        self, item: dict[str, Any], decision: str, *, by: str | None = None, **more: Any
    ) -> httpx.Response:
        """Someone with the right role decides."""
        person = by or ROLES.get(item["owner"], "demo")
        body = {"decision": decision, "comment": "seen"} | more
        return await self.call("POST", f"{ITEMS}/{item['id']}/decisions", by=person, json=body)

    async def see(
        self,
        look: Callable[[], Awaitable[T]],
        good: Callable[[T], bool],
        patience_s: float = PATIENCE_S,
    ) -> T:
        """What is looked at, once it is as it should be."""
        end = time.monotonic() + patience_s
        while not good(found := await look()):
            assert time.monotonic() < end, f"never happened; last seen: {found}"
            await asyncio.sleep(LOOK_S)
        return found
