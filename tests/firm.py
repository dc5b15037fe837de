"""The firm that the flow tests live in: people at the CRM, people at the work queue, and time."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

import httpx

from tests.house import House

T = TypeVar("T")
PATIENCE_S = 30.0
LOOK_S = 0.04
RUNS = "/process/deal-to-project/v1/runs"
ITEMS = "/process/work-queue/v1/work-items"
DATA = "/services/data/v62.0"
ROLES = {"finance-master-data": "demo-finance", "delivery-director": "demo-approver"}
FIELDS = {
    "tax_code": "TL_Tax_Code__c",
    "tax_id": "TL_Tax_Id__c",
    "customer_key": "TL_Customer_Key__c",
    "country": "BillingCountry",
    "stage": "StageName",
    "entity": "TL_Legal_Entity__c",
    "purchase_order": "TL_PO_Number__c",
    "sow": "TL_SOW_Number__c",
    "billing_model": "TL_Billing_Model__c",
    "name": "Name",
    "amount": "Amount",
}
NUMBERS = itertools.count(1)


class Deal(NamedTuple):
    """A deal as the CRM knows it."""

    id: str
    customer_id: str
    options: dict[str, str]

    @property
    def source(self) -> dict[str, str]:
        """The pointer to it."""
        return {"system": "salesforce", "external_id": self.id}


class Salesforce:
    """The people who sell, and what can go wrong on their side."""

    def __init__(self, house: House) -> None:
        self._url, self._http = house.sandbox, house.http
        self._log = house.home / "sandboxes" / "salesforce.jsonl"
        known = json.loads((house.home / "sandboxes" / "credentials.json").read_text())
        self._account = known["salesforce"]
        self._token = "none"

    def wins_deal(self, **options: Any) -> Deal:
        """A deal of its own number; an option that is None is left out, as in `tax_code=None`."""
        given = {"entity": "US", "n": str(next(NUMBERS))} | options
        asked = {name: "missing" if value is None else str(value) for name, value in given.items()}
        return self.repeats(asked)

    def repeats(self, options: dict[str, str]) -> Deal:
        """The calls of an example, sent as a client of Salesforce sends them."""
        place = f"{self._url}/__sandbox__/examples/won-deal"
        ids: dict[str, str] = {}
        for call in self._http.get(place, params=options).raise_for_status().json():
            answer = self._call(call["method"], call["path"], call["body"]).json()
            parts = answer["compositeResponse"]
            assert all(part["httpStatusCode"] < 300 for part in parts), parts
            ids |= {part["referenceId"]: part["body"]["id"] for part in parts}
        return Deal(ids["deal"], ids["account"], options)

    def corrects(self, record: str, **fields: Any) -> None:
        """Someone sets fields of an account or a deal right."""
        kind = "Account" if record.startswith("001") else "Opportunity"
        body = {FIELDS.get(name, name): value for name, value in fields.items()}
        self._call("PATCH", f"{DATA}/sobjects/{kind}/{record}", body).raise_for_status()

    def loses(self, deal: Deal) -> None:
        """The deal is lost."""
        self.corrects(deal.id, stage="Closed Lost")

    def wins_again(self, deal: Deal) -> None:
        """The deal is won after all."""
        self.corrects(deal.id, stage="Closed Won")

    def line_of(self, deal: Deal) -> str:
        """The id of the deal's first line."""
        lines = self.state()["OpportunityLineItem"]
        return str(next(line["Id"] for line in lines if line["OpportunityId"] == deal.id))

    def removes(self, kind: str, record: str) -> None:
        """Someone deletes a record."""
        self._call("DELETE", f"{DATA}/sobjects/{kind}/{record}", None).raise_for_status()

    def fault(self, operation: str, fault: str, **more: Any) -> None:
        """From now on this goes wrong."""
        self.faults([{"operation": operation, "fault": fault, **more}])

    def faults(self, plan: list[dict[str, Any]]) -> None:
        """From now on all this goes wrong."""
        self._put("faults", plan)

    def works_again(self) -> list[dict[str, Any]]:
        """Nothing goes wrong any more; answers what did."""
        told: list[dict[str, Any]] = self._http.get(f"{self._url}/__sandbox__/faults").json()
        self._put("faults", [])
        return told

    def state(self) -> dict[str, list[dict[str, Any]]]:
        """Every record of the org."""
        told: dict[str, list[dict[str, Any]]] = self._http.get(
            f"{self._url}/__sandbox__/state"
        ).json()
        return told

    def record(self, external_id: str) -> dict[str, Any]:
        """One account or deal as it is now."""
        kind = "Account" if external_id.startswith("001") else "Opportunity"
        return next(each for each in self.state()[kind] if each["Id"] == external_id)

    def calls(self) -> list[dict[str, Any]]:
        """Every call so far: what came in, and what became of it."""
        calls: dict[int, dict[str, Any]] = {}
        for line in self._log.read_text().splitlines():
            told = json.loads(line)
            calls[told["n"]] = calls.get(told["n"], {}) | told
        return list(calls.values())

    def effects(self, external_id: str) -> list[dict[str, Any]]:
        """The writes on one record that were committed."""
        return [
            call
            for call in self.calls()
            if call.get("committed") and str(call["path"]).endswith(external_id)
        ]

    def now(self) -> str:
        """The time of everybody."""
        return str(self._http.get(f"{self._url}/__clock__").json()["now"])

    def later(self, seconds: float) -> None:
        """Time passes for everybody."""
        self._http.put(f"{self._url}/__clock__", json={"advance_s": seconds}).raise_for_status()

    def _put(self, door: str, body: Any) -> None:
        self._http.put(f"{self._url}/__sandbox__/{door}", json=body).raise_for_status()

    def _call(self, method: str, path: str, body: Any) -> httpx.Response:
        for _ in range(2):
            headers = {"Authorization": f"Bearer {self._token}"}
            answer = self._http.request(method, self._url + path, json=body, headers=headers)
            if answer.status_code != 401:
                break
            asked = {"grant_type": "client_credentials"} | {
                name: self._account[name] for name in ("client_id", "client_secret")
            }
            signed_in = self._http.post(f"{self._url}/services/oauth2/token", data=asked)
            self._token = signed_in.raise_for_status().json()["access_token"]
        return answer


class Firm:
    """What people see and do, through the gateway alone."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.salesforce = Salesforce(house)
        self._http = httpx.AsyncClient(base_url=house.gateway, trust_env=False, timeout=30)
        self._secrets = json.loads((house.home / "clients.json").read_text())
        self._tokens: dict[str, str] = {}

    async def close(self) -> None:
        """Go home."""
        await self._http.aclose()

    def later(self, *, seconds: float = 0, minutes: float = 0, hours: float = 0) -> None:
        """Time passes for everybody at once."""
        self.salesforce.later(seconds + 60 * minutes + 3600 * hours)

    async def call(
        self, method: str, path: str, *, by: str = "demo", **more: Any
    ) -> httpx.Response:
        """A call as one of the demo clients; an expired token is renewed."""
        for _ in range(2):
            if by not in self._tokens:
                await self._sign_in(by)
            bearer = {"Authorization": f"Bearer {self._tokens[by]}"}
            answer = await self._http.request(method, path, headers=bearer, **more)
            if answer.status_code != 401:
                break
            del self._tokens[by]
        return answer

    async def _sign_in(self, client: str) -> None:
        secret = self._secrets[client]["client_secret"]
        asked = {"grant_type": "client_credentials"}
        answer = await self._http.post("/oauth/token", data=asked, auth=(client, secret))
        self._tokens[client] = answer.raise_for_status().json()["access_token"]

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
                and (about is None or item["record"]["external_id"] == about.id)
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
