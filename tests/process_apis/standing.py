"""What stands in the three systems, the ledger and the audit after deals were won: each once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import sqlalchemy as sa

from apis.runtime.store import Store
from apis.runtime.writes import WRITES
from tests.firm import Firm
from tests.systems import Deal

Record = dict[str, Any]
State = dict[str, list[Record]]
OURS = {  # what only we write on a deal and its account, and what follows from any write
    *("TL_Customer_Key__c", "TL_Project_Key__c", "TL_Project_Status__c"),
    *("LastModifiedById", "LastModifiedDate", "SystemModstamp"),
}
TOLD = ("code", "title", "detail", "owner", "remedy")
MADE = {"workspaces": 1, "stories": 6, "billing_milestones": 2, "workspace_resources": 2}
"""Of a deal billed by milestones with two lines: two tasks each, and two milestones."""


async def finish(firm: Firm, deals: list[Deal], **step: float) -> list[Record]:
    """All runs are done: while all wait time passes in steps; whoever is asked has said *retry*.

    Answers what was asked, all of which says whom and what to do.
    """
    asked: list[Record] = []
    done: set[str] = set()

    async def look() -> bool:
        for deal in deals:
            if deal.id in done:
                continue
            runs = await firm.runs_of(deal)
            if runs and runs[0]["state"] == "done":
                done.add(deal.id)
            elif not runs or runs[0]["state"] != "waiting":
                firm.later(seconds=1)
                return False
        for item in await firm.work_items() if len(done) < len(deals) else ():
            if item["run_id"] and any(deal.id in item["run_id"] for deal in deals):
                asked.append(item)
                await firm.decides(item, "retry")
        firm.later(**step)
        return len(done) == len(deals)

    await firm.see(look, bool, patience_s=240)
    assert all(all(item[name] for name in TOLD) for item in asked), asked
    return asked


async def stand_once(firm: Firm, deals: list[Deal], won: State) -> None:
    """Each deal is done in one run; what it needs is in CRM, PSA and ERP once, and true to it."""
    crm, psa, erp = (system.state() for system in firm.systems)
    keyed = references(psa)
    for deal in deals:
        [run] = await firm.runs_of(deal)
        assert run["state"] == "done", run
        customer = f"customer-{run['result']['customer']['id']}"
        sold = one(crm["Opportunity"], Id=deal.id)
        project = sold["TL_Project_Key__c"]
        assert sold["TL_Project_Status__c"] == "active"
        assert one(crm["Account"], Id=deal.customer_id)["TL_Customer_Key__c"] == customer
        stands_in_psa(psa, keyed, project, run["result"]["name"])
        stands_in_erp(erp, customer, project, run["result"]["name"])
    assert max(Counter(keyed[kind, id_] for kind, id_ in keyed).values()) == 1
    assert only_ours(won, crm, {each for deal in deals for each in deal[:2]})
    await explained(firm, deals)


def stands_in_psa(psa: State, keyed: dict[tuple[str, str], str], key: str, name: str) -> None:
    """One project of that name, which carries the key, and all that belongs to it, keyed."""
    project = one(psa["workspaces"], title=name)
    assert keyed["workspaces", project["id"]] == key
    group = one(psa["workspace_groups"], id=project["primary_workspace_group_id"])
    assert one(psa["workspace_groups"], name=group["name"]) == group
    for kind, count in MADE.items():
        mine = [each for each in psa[kind] if project["id"] in {each["id"], of(each)}]
        assert len(mine) == count, (kind, mine)
        assert all((kind, each["id"]) in keyed for each in mine)


def stands_in_erp(erp: State, customer: str, project: str, name: str) -> None:
    """One customer with the key, under one parent, and one job of it with a schedule."""
    debtor = one(erp["customer"], externalId=customer)
    assert one(erp["customer"], companyName=debtor["companyName"]) == debtor
    parent = one(erp["customer"], id=debtor["parent"]["id"])
    assert one(erp["customer"], companyName=parent["companyName"]) == parent
    job = one(erp["job"], externalId=project)
    assert one(erp["job"], companyName=name) == job
    assert job["parent"]["id"] == debtor["id"]
    assert job["billingSchedule"]["id"]


def references(psa: State) -> dict[tuple[str, str], str]:
    """Our key on each record of the PSA."""
    keys = {each["id"]: each["service_model_ref"] for each in psa["external_references"]}
    return {
        (kind, record["id"]): keys[id_]
        for kind in (*MADE, "workspace_groups")
        for record in psa[kind]
        for id_ in record["external_reference_ids"]
        if id_ in keys
    }


def of(record: Record) -> str:
    """The project that a record belongs to."""
    return str(record.get("workspace_id"))


def one(records: list[Record], **wanted: str) -> Record:
    """The one record with these members."""
    found = [r for r in records if all(r.get(name) == each for name, each in wanted.items())]
    assert len(found) == 1, f"{len(found)} records have {wanted}"
    return found[0]


def only_ours(before: State, after: State, ids: set[str]) -> bool:
    """Whether nothing of an account or a deal changed that belongs to the CRM."""

    def theirs(state: State) -> list[Record]:
        return [
            {name: value for name, value in record.items() if name not in OURS}
            for kind in ("Account", "Opportunity")
            for record in state[kind]
            if record["Id"] in ids
        ]

    return theirs(before) == theirs(after)


async def explained(firm: Firm, deals: list[Deal]) -> None:
    """Every keyed write that a vendor committed has a ledger row, and every row is settled."""
    store = Store(firm.house.database_url, pool=1)
    rows = await store.read(lambda c: c.execute(sa.select(WRITES)).all())
    store.close()
    known = {(row.connection, row.key) for row in rows}
    for system in firm.systems[1:]:  # in the CRM people write as well
        for call in system.calls():
            keys = str(call["key"] or "").split(",") if call.get("committed") else ()
            assert all((system.NAME, key) in known for key in keys if key), call
    mine = [row for row in rows if any(deal.id in row.request_key for deal in deals)]
    left = {(row.object, row.key, row.state) for row in mine if row.state != "done"}
    assert not left, f"the ledger does not know what became of {left}"
