"""What exists of a deal in each system, found in the sandboxes by the keys we gave."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from apis.console.sandboxes import TITLES
from apis.console.terminal import Existing
from apis.console.winning import Sold
from contracts.canonical.contract import Contract
from contracts.canonical.money import Money
from contracts.runs import Run

SIGN_IN = "sign in"
CENTS = 100
Record = Mapping[str, Any]
State = Mapping[str, Sequence[Record]]


class Keys(NamedTuple):
    """The business keys under which a deal's records are found in every system."""

    customer: str | None
    project: str | None


def keys_of(sold: Sold) -> Keys:
    """The keys that Throughline wrote on the account and the deal."""
    account, deal = sold.records["account"], sold.records["deal"]
    return Keys(account.get("TL_Customer_Key__c"), deal.get("TL_Project_Key__c"))


def in_salesforce(sold: Sold) -> list[Existing]:
    """The account and the deal."""
    account, deal = sold.records["account"], sold.records["deal"]
    return [
        Existing(TITLES["salesforce"], "customer", str(account["Id"]), None, str(account["Name"])),
        Existing(TITLES["salesforce"], "deal", sold.deal_id, sold.value, str(deal["Name"])),
    ]


def in_throughline(run: Run, sold: Sold) -> list[Existing]:
    """The golden record of the customer, and the contract."""
    contract = msgspec.convert(run.result, Contract)
    agreed = contract.current
    customer = f"{sold.records['account']['Name']}, golden record"
    name = f"{contract.name}, version {agreed.number}, {contract.state}"
    return [
        Existing("Throughline", "customer", contract.customer.id or "", None, customer),
        Existing("Throughline", "contract", contract.id, agreed.value, name),
    ]


def in_kantata(state: State, keys: Keys) -> Iterator[Existing]:
    """The client, the project, and what hangs on the project."""
    keyed = {str(r["id"]): r["service_model_ref"] for r in state["external_references"]}

    def of(kind: str, key: str | None) -> list[Record]:
        """The records that carry the key."""
        return [
            record
            for record in state[kind]
            if key and key in {keyed.get(id_) for id_ in record["external_reference_ids"]}
        ]

    for group in of("workspace_groups", keys.customer):
        yield existing("kantata", "customer", group, None, "name")
    for project in of("workspaces", keys.project):
        unit, currency = project.get("currency_base_unit") or CENTS, project["currency"]
        budget = amount(project.get("price_in_cents"), currency, unit)
        yield existing("kantata", "project", project, budget, "title")
        mine = {
            kind: sorted(
                (each for each in state[kind] if each["workspace_id"] == project["id"]),
                key=lambda each: int(each["id"]),
            )
            for kind in ("stories", "billing_milestones", "workspace_resources")
        }
        for story in mine["stories"]:
            yield existing("kantata", story["story_type"], story, None, "title")
        for line in mine["billing_milestones"]:
            value = amount(line.get("amount_in_cents"), currency, unit)
            yield existing("kantata", "billing line", line, value, "title")
        for request in mine["workspace_resources"]:
            yield existing("kantata", "staffing request", request, None, "role_name")


def in_netsuite(state: State, keys: Keys) -> Iterator[Existing]:
    """The customer below its parents, the job, and the billing schedule that the job follows."""
    customers = {str(each["id"]): each for each in state["customer"]}
    symbols = {str(each["id"]): str(each["symbol"]) for each in state["currency"]}
    key = keys.customer or ""
    above = [each for each in customers.values() if each.get("externalId") == key]
    while above and "parent" in above[-1]:
        above.append(customers[str(above[-1]["parent"]["id"])])
    for n, customer in enumerate(above):
        yield existing(
            "netsuite", "customer" if n == 0 else "its parent", customer, None, "companyName"
        )
    for job in state["job"]:
        if not keys.project or job.get("externalId") != keys.project:
            continue
        symbol = symbols.get(str((job.get("currency") or {}).get("id")))
        price = amount(job.get("jobPrice"), symbol, 1)
        yield existing("netsuite", "project", job, price, "companyName")
        if schedule := job.get("billingSchedule"):
            followed = schedule | {"id": job["id"]}  # it is the job's: what it names is a template
            yield existing("netsuite", "billing schedule", followed, None, "refName")


READERS: dict[str, Callable[[State, Keys], Iterator[Existing]]] = {
    "kantata": in_kantata,
    "netsuite": in_netsuite,
}


def existing(vendor: str, what: str, record: Record, value: Money | None, name: str) -> Existing:
    """A record of a vendor as a row."""
    return Existing(TITLES[vendor], what, str(record["id"]), value, str(record.get(name) or ""))


def amount(number: Any, currency: str | None, unit: int) -> Money | None:
    """Money, from a number of the smallest part of a currency that has `unit` of them."""
    if number is None or currency is None:
        return None
    return Money(Decimal(str(number)) / unit, currency)


def calls_by_system(run: Run, systems: Sequence[str]) -> dict[str, int]:
    """How often the steps of a run called each system, signing in aside."""
    made = [call.system for step in run.steps for call in step.calls if call.operation != SIGN_IN]
    return {name: made.count(name) for name in dict.fromkeys((*systems, *made))}
