"""The oracle's own test: defects planted into the facts of clean runs must each be found.

A plant spoils a copy of the facts and names the invariant that has to notice.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from tests.crash.books import BOOKS, CRM, ERP, PSA, booked, by_project, keyed
from tests.crash.facts import Facts, Found, Row
from tests.crash.oracle import PROMISES

Spoil = Callable[[Facts, str], None]
INVARIANTS: dict[str, Callable[[Facts], Found]] = {
    each.__name__: each for each in (*PROMISES, *BOOKS)
}


def violations(facts: Facts) -> list[tuple[str, str, str]]:
    """Every violation: which invariant, which record, what is wrong."""
    return [(name, *found) for name, look in INVARIANTS.items() for found in look(facts)]


def _account(facts: Facts, deal: str) -> Row:
    account = facts.sold[deal].ids["account"]
    return next(each for each in facts.state[CRM]["Account"] if each["Id"] == account)


def _deal(facts: Facts, deal: str) -> Row:
    return next(each for each in facts.state[CRM]["Opportunity"] if each["Id"] == deal)


def _job(facts: Facts, deal: str) -> Row:
    return booked(facts, "job")[facts.project(deal)][0]


def _space(facts: Facts, deal: str) -> Row:
    return keyed(facts, "workspaces")[facts.project(deal)][0]


def _parts(facts: Facts, kind: str, deal: str) -> list[Row]:
    return by_project(facts, kind)[_space(facts, deal)["id"]]


def _write(facts: Facts, vendor: str, key: str) -> Row:
    received = (line for line in facts.log[vendor] if line["phase"] == "received")
    return next(line for line in received if key in (line["key"] or "") and "eid" not in key)


def second_run(facts: Facts, deal: str) -> None:
    facts.runs[deal].append(facts.runs[deal][0] | {"id": "another"})


def lost_run(facts: Facts, deal: str) -> None:
    facts.runs[deal].clear()


def missing_step(facts: Facts, deal: str) -> None:
    facts.run(deal)["steps"].pop(2)


def untold_rest(facts: Facts, deal: str) -> None:
    del deal
    facts.run(facts.ended("abandoned")[0])["kept"].pop()


def second_golden_id(facts: Facts, deal: str) -> None:
    rows, account = facts.tables["process.xref"], facts.sold[deal].ids["account"]
    rows.append(next(row for row in rows if row["external_id"] == account) | {"id": "2"})


def second_contract(facts: Facts, deal: str) -> None:
    rows = facts.tables["process.contracts"]
    rows.append(facts.rows("process.contracts", deal)[0] | {"id": "another"})


def unexplained_write(facts: Facts, deal: str) -> None:
    _write(facts, CRM, facts.project(deal))["key"] = "project-NOBODYS"


def unexplained_batch(facts: Facts, deal: str) -> None:
    _write(facts, PSA, facts.schedule(deal))["key"] += ",billing-line-NOBODYS-3"


def changed_repeat(facts: Facts, deal: str) -> None:
    line = _write(facts, ERP, facts.project(deal)) | {"n": 10**6, "body_sha256": "0"}
    facts.log[ERP] += [line, {"n": 10**6, "phase": "done", "committed": True}]


def late_intent(facts: Facts, deal: str) -> None:
    for row in facts.ledger(deal):
        row["sent_at"] = "2999-01-01T00:00:00+00:00"


def forgotten_intent(facts: Facts, deal: str) -> None:
    facts.ledger(deal)[0]["state"] = "sent"


def boast(facts: Facts, deal: str) -> None:
    key = facts.ledger(deal)[0] | {"key": "customer-UNSEEN", "external_id": "0"}
    facts.tables["system.writes"].append(key)


def lost_event(facts: Facts, deal: str) -> None:
    facts.tables["runtime.event_log"].remove(_event(facts, deal, "project.activated"))


def double_event(facts: Facts, deal: str) -> None:
    facts.tables["runtime.event_log"].append(_event(facts, deal, "run.ended") | {"id": "2"})


def early_event(facts: Facts, deal: str) -> None:
    row = _event(facts, deal, "run.ended")
    facts.tables["runtime.event_log"].remove(row)
    facts.tables["runtime.event_log"].insert(0, row)


def _event(facts: Facts, deal: str, name: str) -> Row:
    return next(row for kind, row in facts.events(deal) if kind == name)


def stuck_outbox(facts: Facts, deal: str) -> None:
    facts.tables["process.outbox"].append({"id": deal, "body": json.dumps({})})


def missing_audit(facts: Facts, deal: str) -> None:
    rows = facts.tables["system.audit"]
    rows.remove(next(row for row in rows if deal in (row["cause"] or "")))


def double_audit(facts: Facts, deal: str) -> None:
    del deal
    facts.tables["system.audit"].append(facts.tables["system.audit"][-1])


def broken_chain(facts: Facts, deal: str) -> None:
    del deal
    rows = facts.tables["process.audit"]
    rows.remove(next(row for row in rows if row["position"] == 1))


def unknown_deal(facts: Facts, deal: str) -> None:
    facts.state[CRM]["Opportunity"].append(_deal(facts, deal) | {"Id": "006UNKNOWN"})


def orphaned_flow(facts: Facts, deal: str) -> None:
    del deal
    facts.tables["flows"][0] = facts.tables["flows"][0] | {"status": "PENDING"}


def second_debtor(facts: Facts, deal: str) -> None:
    customer = booked(facts, "customer")[facts.customer(deal)][0]
    facts.state[ERP]["customer"].append(customer | {"id": "9", "externalId": None})


def orphaned_debtor(facts: Facts, deal: str) -> None:
    booked(facts, "customer")[facts.customer(deal)][0].pop("parent")


def second_client(facts: Facts, deal: str) -> None:
    client = keyed(facts, "workspace_groups")[facts.customer(deal)][0]
    facts.state[PSA]["workspace_groups"].append(client | {"id": "9"})


def other_customer_key(facts: Facts, deal: str) -> None:
    _account(facts, deal)["TL_Customer_Key__c"] = "customer-OTHER"


def second_project(facts: Facts, deal: str) -> None:
    facts.state[PSA]["workspaces"].append(_space(facts, deal) | {"id": "9"})


def lost_job(facts: Facts, deal: str) -> None:
    facts.state[ERP]["job"].remove(_job(facts, deal))


def one_cent_less(facts: Facts, deal: str) -> None:
    _space(facts, deal)["price_in_cents"] -= 1


def other_project_key(facts: Facts, deal: str) -> None:
    _deal(facts, deal)["TL_Project_Key__c"] = "project-OTHER"


def second_task(facts: Facts, deal: str) -> None:
    facts.state[PSA]["stories"].append(_parts(facts, "stories", deal)[0] | {"id": "9"})


def one_cent_unbilled(facts: Facts, deal: str) -> None:
    _parts(facts, "billing_milestones", deal)[0]["amount_in_cents"] -= 1


def second_bill(facts: Facts, deal: str) -> None:
    first = _parts(facts, "billing_milestones", deal)[0]
    facts.state[PSA]["billing_milestones"].append(first | {"id": "9"})


def nobody_asked_for(facts: Facts, deal: str) -> None:
    resource = _parts(facts, "workspace_resources", deal)[0]
    facts.state[PSA]["workspace_resources"].remove(resource)


def other_schedule(facts: Facts, deal: str) -> None:
    _job(facts, deal)["billingSchedule"]["id"] = "21"


def live_after_all(facts: Facts, deal: str) -> None:
    del deal
    _job(facts, facts.ended("abandoned")[0])["entityStatus"]["id"] = "2"


def planned_after_all(facts: Facts, deal: str) -> None:
    del deal
    _space(facts, facts.ended("abandoned")[0])["status_key"] = 310


def crowd(facts: Facts, deal: str) -> None:
    del deal
    facts.log[ERP] += [{"n": 10**6 + n, **_RECEIVED} for n in range(6)]


_RECEIVED: dict[str, Any] = {"phase": "received", "operation": "job.search", "key": None}


def renamed_account(facts: Facts, deal: str) -> None:
    _account(facts, deal)["Name"] = "Somebody else"


PLANTS: dict[Spoil, str] = {
    second_run: "one_run", lost_run: "one_run", missing_step: "steps_explained",
    untold_rest: "steps_explained", second_golden_id: "golden_record",
    second_contract: "contract", unexplained_write: "writes_explained",
    unexplained_batch: "writes_explained", changed_repeat: "writes_explained",
    late_intent: "writes_explained", forgotten_intent: "ledger", boast: "ledger",
    lost_event: "events_once", double_event: "events_once", stuck_outbox: "events_once",
    early_event: "in_order", missing_audit: "audited", double_audit: "audited",
    broken_chain: "chained", unknown_deal: "nothing_lost", orphaned_flow: "all_ended",
    second_debtor: "one_customer", orphaned_debtor: "one_customer",
    second_client: "one_customer", other_customer_key: "one_customer",
    second_project: "one_project", lost_job: "one_project", one_cent_less: "one_project",
    other_project_key: "one_project", second_task: "one_schedule",
    one_cent_unbilled: "one_schedule", second_bill: "one_schedule",
    nobody_asked_for: "one_schedule", other_schedule: "one_schedule",
    live_after_all: "taken_back", planned_after_all: "taken_back",
    crowd: "within_limits", renamed_account: "owned_by_others",
}  # fmt: skip


def self_test(facts: Facts) -> list[str]:
    """What the oracle does not see, and what it sees where nothing is."""
    deal = facts.ended("done")[0]
    wrong = [f"clean facts: {name}: {where}: {what}" for name, where, what in violations(facts)]
    wrong += [f"no defect is planted for {name}" for name in set(INVARIANTS) - set(PLANTS.values())]
    for spoil, invariant in PLANTS.items():
        spoilt = copy.deepcopy(facts)
        spoil(spoilt, deal)
        if not any(INVARIANTS[invariant](spoilt)):
            wrong.append(f"{spoil.__name__} is not seen by {invariant}")
    return wrong
