"""What must be true in the vendors afterwards, worked out from what the seller entered.

CRM, PSA and ERP are looked at by their own names; nothing of the product's mappings is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from tests.crash.facts import Facts, Found, Row
from tests.crash.harness import VENDORS

CRM, PSA, ERP = VENDORS
OURS = {"TL_Customer_Key__c", "TL_Project_Key__c", "TL_Project_Status__c"}
SELLERS = {"Account": "account", "Opportunity": "deal"}
LEFT_OUT = {"StageName", "AccountId", "ParentId"}
"""What the story itself changes, and references that have a name in place of an id."""
SUBSIDIARIES = {"US": "1", "UK": "2", "DE": "3"}
SCHEDULES = {"time_and_materials": "21", "fixed_price": "22", "milestone": "23", "retainer": "24"}
IN_PROGRESS, NOT_AWARDED = "2", "3"
ACTIVE, CANCELLED = 310, 500
PARTIES = ("group", "account")
PLANNED = ("stories", "billing_milestones", "workspace_resources")
HALVES = ["Accepted", "On start"]
PHASES = {"Design": Decimal("0.3"), "Build": Decimal("0.7")}
"""How the sample firm delivers what it sells at a fixed price."""
THROTTLED = 429
MOST_AT_ONCE = {CRM: 20, PSA: 10, ERP: 5}
"""The budgets of the sample firm's connections."""


def keyed(facts: Facts, kind: str) -> dict[str, list[Row]]:
    """The PSA's records of a kind by the key of ours that they carry."""
    names = {str(e["id"]): e["service_model_ref"] for e in facts.state[PSA]["external_references"]}
    found: dict[str, list[Row]] = {}
    for record in facts.state[PSA][kind]:
        keys = {names[str(each)] for each in record["external_reference_ids"]}
        for key in keys or {""}:
            found.setdefault(key, []).append(record)
    return found


def booked(facts: Facts, kind: str) -> dict[str, list[Row]]:
    """The ERP's records of a kind by the key of ours that they carry."""
    found: dict[str, list[Row]] = {}
    for record in facts.state[ERP][kind]:
        found.setdefault(record.get("externalId") or "", []).append(record)
    return found


def alone(found: dict[str, list[Row]], wanted: set[str], what: str) -> Found:
    """Each key that must be there is on one record, and there is no other record."""
    for key in wanted | found.keys():
        count = len(found.get(key, ()))
        if count != (key in wanted):
            yield key or what, f"{count} {what}, not {int(key in wanted)}"


def one_customer(facts: Facts) -> Found:
    """I1: one customer per account in ERP and PSA, under its parent, and our key in the CRM."""
    parties = {facts.customer(deal, party) for deal in facts.expected for party in PARTIES}
    customers, groups = booked(facts, "customer"), keyed(facts, "workspace_groups")
    yield from alone(customers, parties, "customers in the ERP")
    yield from alone(groups, {facts.customer(deal) for deal in facts.expected}, "clients")
    accounts = {each["Id"]: each for each in facts.state[CRM]["Account"]}
    for deal in facts.expected:
        sold, key = facts.sold[deal], facts.customer(deal)
        told = [customers.get(facts.customer(deal, each), [{}])[0] for each in PARTIES]
        names = [sold.fields[each]["Name"] for each in PARTIES]
        if [each.get("companyName") for each in told] != names:
            yield deal, f"the ERP calls its customers {[each.get('companyName') for each in told]}"
        if told[1].get("parent", {}).get("id") != told[0].get("id"):
            yield deal, "in the ERP its customer is not under its parent"
        if {each.get("subsidiary", {}).get("id") for each in told} != {subsidiary(facts, deal)}:
            yield deal, "another subsidiary sells to its customer"
        if [each["name"] for each in groups.get(key, ())] != names[1:]:
            yield deal, "its client has another name in the PSA"
        if (carried := accounts[sold.ids["account"]]["TL_Customer_Key__c"]) != key:
            yield deal, f"its account carries {carried}, not {key}"


def subsidiary(facts: Facts, deal: str) -> str:
    """The ERP's id of the entity that sells."""
    return SUBSIDIARIES[facts.sold[deal].fields["deal"]["TL_Legal_Entity__c"]]


def one_project(facts: Facts) -> Found:
    """I2: one project per deal in PSA and ERP, worth what was sold, and its key on the deal."""
    wanted = {facts.project(deal) for deal in facts.expected}
    workspaces, jobs = keyed(facts, "workspaces"), booked(facts, "job")
    yield from alone(workspaces, wanted, "projects in the PSA")
    yield from alone(jobs, wanted, "projects in the ERP")
    groups, customers = keyed(facts, "workspace_groups"), booked(facts, "customer")
    for deal in facts.expected:
        key, customer = facts.project(deal), facts.customer(deal)
        amount, name = facts.amount(deal), facts.sold[deal].fields["deal"]["Name"]
        for space in workspaces.get(key, ()):
            found = (space["title"], Decimal(space["price_in_cents"]) / 100)
            if found != (name, amount):
                yield deal, f"planned as {found}"
            if space["primary_workspace_group_id"] != groups.get(customer, [{}])[0].get("id"):
                yield deal, "planned for another client"
        for job in jobs.get(key, ()):
            found = (job["companyName"], Decimal(str(job["jobPrice"])))
            if found != (name, amount):
                yield deal, f"booked as {found}"
            if job["parent"]["id"] != customers.get(customer, [{}])[0].get("id"):
                yield deal, "booked on another customer"
    deals = {each["Id"]: each for each in facts.state[CRM]["Opportunity"]}
    for deal in facts.ended("done"):
        told = (deals[deal]["TL_Project_Key__c"], deals[deal]["TL_Project_Status__c"])
        if told != (facts.project(deal), "active"):
            yield deal, f"the deal carries {told}"


def one_schedule(facts: Facts) -> Found:
    """I2: tasks, billing lines and roles once each; the lines add up to what was sold."""
    spaces = keyed(facts, "workspaces")
    stories, billing, resources = (by_project(facts, kind) for kind in PLANNED)
    for deal, state in facts.expected.items():
        space = str(spaces.get(facts.project(deal), [{"id": "?"}])[0]["id"])
        yield from work(facts, deal, stories.get(space, []))
        live = state == "done"
        bills = billing.get(space, [])
        if sorted(each["title"] for each in bills) != (HALVES if live else []):
            yield deal, f"billing lines {[each['title'] for each in bills]}"
        cents = sum(int(each["amount_in_cents"]) for each in bills)
        if cents != (facts.amount(deal) * 100 if live else 0):
            yield deal, f"billing lines add up to {cents} cents"
        asked = sorted(each["role_name"] for each in resources.get(space, []))
        if asked != (sorted(roles(facts, deal)) if live else []):
            yield deal, f"roles asked for {asked}"
    for job in facts.state[ERP]["job"]:
        if job.get("billingSchedule", {}).get("id") != SCHEDULES["fixed_price"]:
            yield job.get("externalId") or job["id"], "booked under another billing schedule"


def work(facts: Facts, deal: str, stories: list[Row]) -> Found:
    """Each phase of each line that was sold, with its hours, and the milestone of a fixed price."""
    sold = zip(roles(facts, deal), facts.lines(deal), strict=True)
    wanted: dict[str, int | None] = {"Accepted": None}
    for role, line in sold:
        minutes = Decimal(str(line["Quantity"])) * 60
        wanted |= {f"{role}: {phase}": int(minutes * PHASES[phase]) for phase in PHASES}
    found = [(each["title"], each.get("time_estimate_in_minutes")) for each in stories]
    if sorted(found, key=str) != sorted(wanted.items(), key=str):
        yield deal, f"planned work {found}"


def roles(facts: Facts, deal: str) -> list[str]:
    """Who does what was sold."""
    return [line["Description"].partition(",")[0] for line in facts.lines(deal)]


def by_project(facts: Facts, kind: str) -> dict[str, list[Row]]:
    """The PSA's records of a kind by the project they are in."""
    found: dict[str, list[Row]] = {}
    for record in facts.state[PSA][kind]:
        found.setdefault(str(record["workspace_id"]), []).append(record)
    return found


def taken_back(facts: Facts) -> Found:
    """I10: an abandoned run leaves no live project in PSA or ERP; a finished one leaves them so."""
    workspaces, jobs = keyed(facts, "workspaces"), booked(facts, "job")
    for deal, state in facts.expected.items():
        key, live = facts.project(deal), state == "done"
        planned = {each["status_key"] for each in workspaces.get(key, ())}
        if planned != {ACTIVE if live else CANCELLED}:
            yield deal, f"its project in the PSA is {planned}"
        open_ = {each["entityStatus"]["id"] for each in jobs.get(key, ())}
        if open_ != {IN_PROGRESS if live else NOT_AWARDED}:
            yield deal, f"its project in the ERP is {open_}"


def within_limits(facts: Facts) -> Found:
    """I11: never more calls at a vendor at once than its budget says; it has refused none."""
    for vendor, most in MOST_AT_ONCE.items():
        running = highest = 0
        for line in facts.log[vendor]:
            running += 1 if line["phase"] == "received" else -1
            highest = max(highest, running)
            if line.get("status") == THROTTLED:
                yield vendor, "it refused a call over its limit"
        if highest > most:
            yield vendor, f"{highest} calls at once, not {most}"


def owned_by_others(facts: Facts) -> Found:
    """I14: what the seller entered is as the seller entered it, but for our own fields."""
    for kind, part in SELLERS.items():
        records = {each["Id"]: each for each in facts.state[CRM][kind]}
        for deal, sold in facts.sold.items():
            record, entered = records[sold.ids[part]], sold.fields[part]
            for name in entered.keys() - OURS - LEFT_OUT:
                if record[name] != entered[name]:
                    yield deal, f"{kind} {name} is {record[name]}, entered as {entered[name]}"


BOOKS = (one_customer, one_project, one_schedule, taken_back, within_limits, owned_by_others)


def things(facts: Facts) -> Iterator[str]:
    """Names of what must exist once, each as often as it exists at a vendor."""
    psa, erp = facts.state[PSA], facts.state[ERP]
    yield from (f"client {each['name']}" for each in psa["workspace_groups"])
    yield from (f"project {each['title']}" for each in psa["workspaces"])
    yield from (f"task {each['workspace_id']} {each['title']}" for each in psa["stories"])
    for each in psa["billing_milestones"]:
        yield f"billing line {each['workspace_id']} {each['title']}"
    for each in psa["workspace_resources"]:
        yield f"role {each['workspace_id']} {each['role_name']}"
    yield from (f"debtor {each['companyName']}" for each in erp["customer"])
    yield from (f"job {each['companyName']}" for each in erp["job"])
