"""The vendors of the tests' firm: people who work in each system, and what can go wrong there."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

import httpx

from apis.runtime.sign_in import Account, TokenRequest
from system_apis.netsuite.vendor import token_request
from tests.house import House

Record = dict[str, Any]
DATA = "/services/data/v62.0"
BOOKS = "/services/rest/record/v1"
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
    "ends_on": "TL_End_Date__c",
    "name": "Name",
    "amount": "Amount",
}
BOOK_FIELDS = {"name": "companyName", "tax_id": "vatRegNumber", "key": "externalId"}
SUBSIDIARIES = {"US": "1", "UK": "2", "DE": "3"}
TAX_ITEMS = {"US": "13", "UK": "12", "DE": "11"}
COUNTRIES = {"US": "US", "UK": "GB", "DE": "DE"}
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


class System:
    """One vendor's sandbox: what is in it, what was asked of it, what goes wrong."""

    NAME: ClassVar[str]

    def __init__(self, house: House) -> None:
        self._url, self._http = house.sandboxes[self.NAME], house.http
        self._log = house.home / "sandboxes" / f"{self.NAME}.jsonl"
        known = json.loads((house.home / "sandboxes" / "credentials.json").read_text())
        self._account: dict[str, str] = known[self.NAME]
        self._token = "none"

    def fails(self, operation: str, fault: str, **more: Any) -> None:
        """From now on this goes wrong."""
        self.faults([{"operation": operation, "fault": fault, **more}])

    def faults(self, plan: list[Record]) -> None:
        """From now on all this goes wrong."""
        self._put("faults", plan)

    def fired(self) -> int:
        """How often what goes wrong has gone wrong so far."""
        return sum(int(fault.get("fired", 0)) for fault in self.planned())

    def planned(self) -> list[Record]:
        """What goes wrong, and how often each has."""
        plan: list[Record] = self._look("faults")
        return plan

    def works_again(self) -> list[Record]:
        """Nothing goes wrong any more; answers what did."""
        told = self.planned()
        self._put("faults", [])
        return told

    def latency(self, milliseconds: int) -> None:
        """From now on every call takes so long."""
        self._put("latency", {"ms": milliseconds})

    def set(self, **switches: Any) -> None:
        """Turn the vendor's switches (its README lists them)."""
        self._put("settings", switches)

    def state(self) -> dict[str, list[Record]]:
        """Every record, by the vendor's names."""
        told: dict[str, list[Record]] = self._look("state")
        return told

    def calls(self) -> list[Record]:
        """Every call so far: what came in, and what became of it."""
        calls: dict[int, Record] = {}
        for line in self._log.read_text().splitlines():
            told = json.loads(line)
            calls[told["n"]] = calls.get(told["n"], {}) | told
        return list(calls.values())

    def busiest(self) -> int:
        """The most calls that were under way at once."""
        return at_once(json.loads(line) for line in self._log.read_text().splitlines())

    def effects(self, name: str) -> list[Record]:
        """The writes on the record of that id or business key that were committed."""
        return [
            call
            for call in self.calls()
            if call.get("committed")
            and name in {*str(call["path"]).split("/"), *str(call["key"] or "").split(",")}
        ]

    def now(self) -> str:
        """The time of everybody."""
        return str(self._http.get(f"{self._url}/__clock__").json()["now"])

    def _look(self, door: str) -> Any:
        return self._http.get(f"{self._url}/__sandbox__/{door}").raise_for_status().json()

    def _put(self, door: str, body: Any) -> None:
        self._http.put(f"{self._url}/__sandbox__/{door}", json=body).raise_for_status()

    def _example(self, name: str, options: dict[str, str]) -> list[httpx.Response]:
        """The calls of an example, sent as a client of the vendor sends them."""
        place = f"{self._url}/__sandbox__/examples/{name}"
        calls = self._http.get(place, params=options).raise_for_status().json()
        return [self._call(call["method"], call["path"], call["body"]) for call in calls]

    def _call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        for _ in range(2):
            headers = {"Authorization": f"Bearer {self._token}"}
            answer = self._http.request(method, self._url + path, json=body, headers=headers)
            if answer.status_code != 401:
                break
            asked = self._signing_in()
            signed_in = self._http.post(asked.url, data=dict(asked.form)).raise_for_status()
            self._token = signed_in.json()["access_token"]
        assert answer.is_success, answer.text
        return answer

    def _signing_in(self) -> TokenRequest:
        """What is posted for a token."""
        raise NotImplementedError

    def _by_secret(self, path: str) -> TokenRequest:
        form = {name: self._account[name] for name in ("client_id", "client_secret")}
        return TokenRequest(self._url + path, {"grant_type": "client_credentials", **form})


class Salesforce(System):
    """The people who sell."""

    NAME = "salesforce"

    def wins_deal(self, **options: Any) -> Deal:
        """A deal of its own number; an option that is None is left out, as in `tax_code=None`."""
        given = {"entity": "US", "n": str(next(NUMBERS))} | options
        asked = {name: "missing" if value is None else str(value) for name, value in given.items()}
        return self.repeats(asked)

    def repeats(self, options: dict[str, str]) -> Deal:
        """The deal of these options; the same ones are the same deal."""
        ids: dict[str, str] = {}
        for answer in self._example("won-deal", options):
            parts = answer.json()["compositeResponse"]
            assert all(part["httpStatusCode"] < 300 for part in parts), parts
            ids |= {part["referenceId"]: part["body"]["id"] for part in parts}
        return Deal(ids["deal"], ids["account"], options)

    def corrects(self, record: str, **fields: Any) -> None:
        """Someone sets fields of an account or a deal right."""
        kind = "Account" if record.startswith("001") else "Opportunity"
        body = {FIELDS.get(name, name): value for name, value in fields.items()}
        self._call("PATCH", f"{DATA}/sobjects/{kind}/{record}", body)

    def has_contact(self, deal: Deal, name: str, role: str) -> str:
        """Someone at the customer plays a part in the deal; answers their id."""
        who = {"LastName": name, "Email": f"{name.lower()}@customer.example"}
        body = who | {"AccountId": deal.customer_id}
        made = str(self._call("POST", f"{DATA}/sobjects/Contact", body).json()["id"])
        part = {"OpportunityId": deal.id, "ContactId": made, "Role": role}
        self._call("POST", f"{DATA}/sobjects/OpportunityContactRole", part)
        return made

    def has_account(self, name: str, **fields: Any) -> str:
        """Someone has made an account by hand; answers its id."""
        body = {FIELDS.get(key, key): value for key, value in fields.items()} | {"Name": name}
        return str(self._call("POST", f"{DATA}/sobjects/Account", body).json()["id"])

    def loses(self, deal: Deal) -> None:
        """The deal is lost."""
        self.corrects(deal.id, stage="Closed Lost")

    def wins_again(self, deal: Deal) -> None:
        """The deal is won after all."""
        self.corrects(deal.id, stage="Closed Won")

    def sells(self, line: str, **fields: Any) -> None:
        """A line of a deal is sold otherwise; the names are Salesforce's."""
        self._call("PATCH", f"{DATA}/sobjects/OpportunityLineItem/{line}", fields)

    def line_of(self, deal: Deal) -> str:
        """The id of the deal's first line."""
        lines = self.state()["OpportunityLineItem"]
        return str(next(line["Id"] for line in lines if line["OpportunityId"] == deal.id))

    def removes(self, kind: str, record: str) -> None:
        """Someone deletes a record."""
        self._call("DELETE", f"{DATA}/sobjects/{kind}/{record}")

    def record(self, external_id: str) -> Record:
        """One account or deal as it is now."""
        kind = "Account" if external_id.startswith("001") else "Opportunity"
        return next(each for each in self.state()[kind] if each["Id"] == external_id)

    def later(self, seconds: float) -> None:
        """Time passes for everybody."""
        self._http.put(f"{self._url}/__clock__", json={"advance_s": seconds}).raise_for_status()

    def _signing_in(self) -> TokenRequest:
        return self._by_secret("/services/oauth2/token")


USER = 11
"""A consultant of the tenant."""


class Kantata(System):
    """The people who deliver."""

    NAME = "kantata"

    def customer(self, key: str) -> Record:
        """The one group that carries our key."""
        return self._keyed("workspace_groups", key)

    def project(self, key: str) -> Record:
        """The one project that carries our key."""
        return self._keyed("workspaces", key)

    def tasks(self, project: str) -> list[Record]:
        """The tasks and milestones of the project of this key."""
        return self._of("stories", project)

    def billing_lines(self, project: str) -> list[Record]:
        """What will be billed of the project of this key, and when."""
        return self._of("billing_milestones", project)

    def staffing_requests(self, project: str) -> list[Record]:
        """The roles that the project of this key waits for."""
        return self._of("workspace_resources", project)

    def has_customer(self, name: str) -> str:
        """Someone has made a group by hand, without our key; answers its id."""
        return self._made("customer", name)

    def has_project(self, name: str) -> str:
        """Someone has made a project by hand, without our key; answers its id."""
        return self._made("project", name)

    def has_invoiced(self, line: str) -> None:
        """Finance has invoiced a billing line, so nobody deletes it any more."""
        told = self._look("settings").get("invoiced", [])
        self._put("settings", {"invoiced": [*told, line]})

    def changes_project(self, id_: str, **fields: Any) -> None:
        """Someone changes a project; the names are Kantata's."""
        self._call("PUT", f"/api/v1/workspaces/{id_}", {"workspace": fields})

    def staffs(self, resource: str) -> None:
        """Somebody is found for a role."""
        body = {"workspace_resource": {"user_id": USER}}
        self._call("PUT", f"/api/v1/workspace_resources/{resource}", body)

    def _made(self, example: str, name: str) -> str:
        [answer] = self._example(example, {"name": name})
        return str(answer.json()["results"][0]["id"])

    def _keyed(self, kind: str, key: str) -> Record:
        state = self.state()
        ours = {r["id"] for r in state["external_references"] if r["service_model_ref"] == key}
        [found] = (r for r in state[kind] if ours & set(r["external_reference_ids"]))
        return found

    def _of(self, kind: str, project: str) -> list[Record]:
        home = self.project(project)["id"]
        return [record for record in self.state()[kind] if record["workspace_id"] == home]

    def _signing_in(self) -> TokenRequest:
        return self._by_secret("/oauth/token")


class NetSuite(System):
    """The people who keep the books."""

    NAME = "netsuite"

    def customer(self, key: str) -> Record:
        """The one customer that carries our key."""
        [found] = (each for each in self.state()["customer"] if each.get("externalId") == key)
        return found

    def job(self, key: str) -> Record:
        """The one job that carries our key."""
        [found] = (each for each in self.state()["job"] if each.get("externalId") == key)
        return found

    def has_customer(self, *, name: str, entity: str = "DE", **fields: Any) -> str:
        """Someone has made a customer, such as `tax_id=..., credit_hold=True`; answers its id.

        It can be billed, but for what is None, as in `taxItem=None`.
        """
        body = {"subsidiary": {"id": SUBSIDIARIES[entity]}, "taxItem": {"id": TAX_ITEMS[entity]}}
        body |= {"addressBook": addressed(COUNTRIES[entity])} | booked(name=name, **fields)
        given = {name: value for name, value in body.items() if value is not None}
        made = self._call("POST", f"{BOOKS}/customer", given)
        return made.headers["Location"].rpartition("/")[2]

    def has_job(self, name: str, customer: str, **fields: Any) -> str:
        """Someone has made a project of a customer, without our key; answers its id."""
        parent = {"parent": {"id": customer}}
        made = self._call("POST", f"{BOOKS}/job", {"companyName": name} | parent | fields)
        return made.headers["Location"].rpartition("/")[2]

    def corrects(self, customer: str, **fields: Any) -> None:
        """Someone sets fields of a customer right, such as `tax_id=...` or `credit_hold=False`."""
        self._call("PATCH", f"{BOOKS}/customer/{customer}", booked(**fields))

    def removes(self, kind: str, record: str) -> None:
        """Someone deletes a record."""
        self._call("DELETE", f"{BOOKS}/{kind}/{record}")

    def _signing_in(self) -> TokenRequest:
        now = datetime.fromisoformat(self.now()).timestamp()
        asked = token_request(Account(self._url, self._url, "jwt", None, self._account), now)
        assert isinstance(asked, TokenRequest)
        return asked


def at_once(lines: Iterable[Record]) -> int:
    """The most calls of a sandbox's log that had come in and were not done."""
    return max(itertools.accumulate(1 if line["phase"] == "received" else -1 for line in lines))


def addressed(country: str) -> Record:
    """An address book with the address that bills go to."""
    return {"items": [{"defaultBilling": True, "addressBookAddress": {"country": {"id": country}}}]}


def booked(*, credit_hold: bool | None = None, **fields: Any) -> Record:
    """Fields of a customer by NetSuite's names; what has no name of ours is NetSuite's already."""
    body: Record = {BOOK_FIELDS.get(name, name): value for name, value in fields.items()}
    if credit_hold is not None:
        body["creditHoldOverride"] = {"id": "ON" if credit_hold else "OFF"}
    return body
