"""The oracle's own test: defects planted into the facts of a clean run must each be found.

A plant spoils a copy of the facts and names the invariant that has to notice.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable

from tests.crash.oracle import INVARIANTS, Facts, violations

Spoil = Callable[[Facts, str], None]


def _account(facts: Facts, deal: str) -> dict[str, object]:
    return next(a for a in facts.state["Account"] if a["Id"] == facts.accounts[deal])


def _deal(facts: Facts, deal: str) -> dict[str, object]:
    return next(o for o in facts.state["Opportunity"] if o["Id"] == deal)


def _write(facts: Facts, deal: str) -> dict[str, object]:
    received = (line for line in facts.log if line["phase"] == "received")
    return next(line for line in received if deal in line["path"] and line["key"])


def _again(rows: list[dict[str, object]], **changed: object) -> None:
    rows.append(rows[-1] | changed)


def second_run(facts: Facts, deal: str) -> None:
    facts.runs[deal].append(facts.runs[deal][0] | {"id": "another"})


def lost_run(facts: Facts, deal: str) -> None:
    facts.runs[deal].clear()


def missing_step(facts: Facts, deal: str) -> None:
    facts.run(deal)["steps"].pop(2)


def other_customer_key(facts: Facts, deal: str) -> None:
    _account(facts, deal)["TL_Customer_Key__c"] = "customer-OTHER"


def second_customer(facts: Facts, deal: str) -> None:
    account = facts.accounts[deal]
    _again(facts.tables["process.xref"], object="customer", external_id=account, id="2")


def second_contract(facts: Facts, deal: str) -> None:
    rows = facts.tables["process.contracts"]
    rows.append(facts.rows("process.contracts", deal)[0] | {"id": "another"})


def other_project_key(facts: Facts, deal: str) -> None:
    _deal(facts, deal)["TL_Project_Key__c"] = "project-OTHER"


def unexplained_write(facts: Facts, deal: str) -> None:
    line = _write(facts, deal)
    line["key"] = "project-NOBODYS"


def changed_repeat(facts: Facts, deal: str) -> None:
    line = _write(facts, deal) | {"n": 10**6, "body_sha256": "0"}
    facts.log += [line, {"n": 10**6, "phase": "done", "committed": True}]


def forgotten_intent(facts: Facts, deal: str) -> None:
    rows = facts.tables["system.writes"]
    next(row for row in rows if deal in row["request_key"])["state"] = "sent"


def lost_event(facts: Facts, deal: str) -> None:
    rows = facts.tables["runtime.event_log"]
    rows.remove(next(r for r in rows if r["type"] == "contract.activated" and deal in r["body"]))


def double_event(facts: Facts, deal: str) -> None:
    rows = facts.tables["runtime.event_log"]
    rows.append(
        next(r for r in rows if r["type"] == "run.ended" and deal in r["body"]) | {"id": "2"}
    )


def stuck_outbox(facts: Facts, deal: str) -> None:
    facts.tables["process.outbox"].append({"id": deal, "body": json.dumps({})})


def missing_audit(facts: Facts, deal: str) -> None:
    rows = facts.tables["system.audit"]
    rows.remove(next(row for row in rows if deal in (row["cause"] or "")))


def double_audit(facts: Facts, deal: str) -> None:
    del deal
    _again(facts.tables["system.audit"])


def broken_chain(facts: Facts, deal: str) -> None:
    del deal
    rows = facts.tables["process.audit"]
    rows.remove(next(row for row in rows if row["position"] == 1))


def unknown_deal(facts: Facts, deal: str) -> None:
    facts.state["Opportunity"].append(_deal(facts, deal) | {"Id": "006UNKNOWN"})


def orphaned_flow(facts: Facts, deal: str) -> None:
    del deal
    facts.tables["flows"][0] = facts.tables["flows"][0] | {"status": "PENDING"}


PLANTS: dict[Spoil, str] = {
    second_run: "one_run", lost_run: "one_run", missing_step: "steps_explained",
    other_customer_key: "customer_key", second_customer: "customer_key",
    second_contract: "contract", other_project_key: "project_key",
    unexplained_write: "writes_explained", changed_repeat: "writes_explained",
    forgotten_intent: "ledger", lost_event: "events_once", double_event: "events_once",
    stuck_outbox: "events_once", missing_audit: "audited", double_audit: "audited",
    broken_chain: "chained", unknown_deal: "nothing_lost", orphaned_flow: "nothing_lost",
}  # fmt: skip


def self_test(facts: Facts) -> list[str]:
    """What the oracle does not see, and what it sees where nothing is."""
    deal = next(deal for deal, state in facts.expected.items() if state == "done")
    wrong = [f"clean facts: {name}: {where}: {what}" for name, where, what in violations(facts)]
    wrong += [f"no defect is planted for {name}" for name in set(INVARIANTS) - set(PLANTS.values())]
    for spoil, invariant in PLANTS.items():
        spoilt = copy.deepcopy(facts)
        spoil(spoilt, deal)
        if invariant not in {name for name, _, _ in violations(spoilt)}:
            wrong.append(f"{spoil.__name__} is not seen by {invariant}")
    return wrong
