"""What must be true of the product afterwards: a second, plain implementation of its promises.

Each invariant is a function of the facts; `plants.py` shows that each one can find something. What
must be true in the vendors is in `books.py`. The names I1, I2 ... are those of the specification.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

from tests.crash.facts import Facts, Found, Row
from tests.crash.harness import VENDORS

STEPS = (
    *("accepted_deal", "approver_of", "delivery_terms_for", "validated_customer", "customers_in"),
    *("customer_key_for", "billed_parent", "billed_customer", "contract_for"),
    *("delivered_customer", "project_for", "work_breakdown_for", "billing_schedule_for"),
    *("staffing_requests_for", "booked_project_for", "booked_schedule_for", "project_key_for"),
)
KEPT = (
    *("netsuite project", "kantata project", "Throughline contract", "netsuite billing schedule"),
    *("kantata task", "kantata customer", "netsuite customer", "salesforce customer"),
    *("it stays noted which customer of the books this is", "Throughline customer"),
    "the deal keeps its number with us",
)
NUMBERS = re.compile(r" \w*\d.*$")
EVENTS = (
    *("run.started", "customer.validated", "contract.activated", "project.activated", "run.ended"),
)
TERMINAL = ("SUCCESS", "CANCELLED")


def one_run(facts: Facts) -> Found:
    """I5: a won deal has one run, and it ended as it should."""
    for deal, state in facts.expected.items():
        runs = facts.runs.get(deal, [])
        if len(runs) != 1:
            yield deal, f"{len(runs)} runs, not one"
        elif runs[0]["state"] != state:
            yield deal, f"its run is {runs[0]['state']}, not {state}"


def chained(facts: Facts) -> Found:
    """I7: the sealed rows of each audit follow one another without a gap."""
    for tier in ("process", "system"):
        rows = [row for row in facts.tables[f"{tier}.audit"] if row["position"] is not None]
        rows.sort(key=lambda row: int(row["position"]))
        if [row["position"] for row in rows] != list(range(1, len(rows) + 1)):
            yield tier, "positions are not 1, 2, 3 ..."
        for before, after in pairwise(rows):
            if after["previous"] != before["hash"]:
                yield tier, f"row {after['position']} does not follow the one before"


def audited(facts: Facts) -> Found:
    """I7: one audit row per effect: each finished write, each start, each decision."""
    effects = Counter(
        (row["cause"], row["object"], row["key"], row["connection"])
        for row in facts.tables["system.audit"]
    )
    wanted: Counter[tuple[str, str, str, str]] = Counter()
    for row in facts.tables["system.writes"]:
        name = (row["cause"], row["object"], row["key"], row["connection"])
        wanted[name] += row["state"] in {"done", "undone"}
    for name in effects.keys() | wanted.keys():
        if effects[name] != wanted[name]:
            yield str(name), f"{effects[name]} audit rows for {wanted[name]} finished writes"
    rows = facts.tables["process.audit"]
    begun = Counter(row["key"] for row in rows if row["action"] == "run.started")
    for deal, runs in facts.runs.items():
        for run in runs:
            if begun[run["id"]] != 1:
                yield deal, f"{begun[run['id']]} audit rows for the start of {run['id']}"
    decided = Counter(row["key"] for row in rows if row["action"].startswith("work-item."))
    for item in facts.items:
        if decided[item["id"]] != (item["state"] == "decided"):
            yield item["id"], f"{decided[item['id']]} audit rows for an item {item['state']}"


def steps_explained(facts: Facts) -> Found:
    """I5: a finished run shows every step as often as it must be, done; an abandoned one is told.

    What it leaves behind is listed.
    """
    for deal in facts.ended("done"):
        steps = facts.run(deal).get("steps", [])
        names = [step["name"] for step in steps if not step["work_item_id"]]
        if tuple(names) != STEPS:
            yield deal, f"steps {names}"
        for step in steps:
            if step["state"] != "done":
                yield deal, f"step {step['name']} is {step['state']}"
            if step["work_item_id"] and not step["decision"]:
                yield deal, f"nobody decided {step['name']}"
    for deal in facts.ended("abandoned"):
        kept = [NUMBERS.sub("", each) for each in facts.run(deal).get("kept", ())]
        if tuple(kept) != KEPT:
            yield deal, f"it says that it keeps {kept}"


def golden_record(facts: Facts) -> Found:
    """I1: one golden id and one golden customer per account."""
    for deal in facts.expected:
        account = facts.sold[deal].ids["account"]
        ids = facts.goldens("customer", account)
        kept = [row for row in facts.tables["process.customers"] if row["id"] in ids]
        if len(ids) != 1 or len(kept) != 1:
            yield deal, f"account {account} has {len(ids)} golden ids, {len(kept)} records"


def contract(facts: Facts) -> Found:
    """I2: one contract per deal, under the id that follows from it, active or cancelled."""
    for deal, state in facts.expected.items():
        rows = facts.rows("process.contracts", deal)
        if [row["id"] for row in rows] != [facts.contract(deal)]:
            yield deal, f"{len(rows)} contracts, and not the deal's alone"
            continue
        wanted = "active" if state == "done" else "cancelled"
        if rows[0]["state"] != wanted:
            yield deal, f"the contract is {rows[0]['state']}, not {wanted}"


def explained(facts: Facts, vendor: str) -> Callable[[Row], list[Row]]:
    """Which of the ledger's rows a write in a vendor's log may come from."""
    known: dict[str, list[Row]] = {}
    for row in facts.tables["system.writes"]:
        if row["connection"] == vendor:
            known.setdefault(row["key"], []).append(row)
            known.setdefault(row["external_id"] or "?", []).append(row)

    def look(line: Row) -> list[Row]:
        names = line["key"].split(",") if line["key"] else [line["path"].rpartition("/")[2]]
        return [row for name in names for row in known.get(name, ())]

    return look


def writes_explained(facts: Facts) -> Found:
    """I8, I9: each write a vendor saw has an intent made before; repeats carry the same key."""
    for vendor in VENDORS:
        look = explained(facts, vendor)
        seen: dict[tuple[str, str, str], list[Row]] = {}
        for line in facts.written(vendor):
            seen.setdefault((line["method"], line["path"], line["key"] or ""), []).append(line)
        for (method, path, key), lines in seen.items():
            rows, bodies = look(lines[0]), {line["body_sha256"] for line in lines}
            if {row["key"] for row in rows} < {*(key.split(",") if key else ())} or not rows:
                yield path, f"no intent explains {method} {path} {key} at {vendor}"
            elif len(bodies) > (told_apart(rows) if key else len(rows)):
                yield path, f"{len(bodies)} different writes of one thing"
            elif moment(min(row["sent_at"] for row in rows)) > moment(lines[-1]["at"]):
                yield path, f"written at {lines[-1]['at']}, before it was intended"


def told_apart(rows: list[Row]) -> int:
    """How many different writes of one thing there may be: each run may change it, one makes it."""
    runs = {row["request_key"].partition("/")[0] for row in rows if row["operation"] != "create"}
    return max(1, len(runs))


def moment(text: str) -> str:
    """A moment in UTC as it sorts."""
    return text.replace("Z", "").partition("+")[0]


def ledger(facts: Facts) -> Found:
    """I9: what the ledger says is done was committed, once each; nothing is left in doubt."""
    for vendor in VENDORS:
        done = [line for line in facts.written(vendor) if line["committed"]]
        keys = {key for line in done for key in (line["key"] or "").split(",")}
        paths = {line["path"].rpartition("/")[2] for line in done}
        for row in facts.tables["system.writes"]:
            mine = row["connection"] == vendor and row["state"] in {"done", "undone"}
            if mine and row["key"] not in keys and row["external_id"] not in paths:
                yield row["key"], f"the ledger says done, {vendor} has never seen it"
    for deal, state in facts.expected.items():
        left = [r for r in facts.ledger(deal) if r["state"] not in {"done", "undone"}]
        for row in left:
            if state == "done" or (row["object"], row["state"]) != ("deal", "refused"):
                yield deal, f"the ledger leaves {row['object']} {row['key']} {row['state']}"
    creates = (row for row in facts.tables["system.writes"] if row["operation"] == "create")
    names = Counter((row["connection"], row["object"], row["key"]) for row in creates)
    for name, count in names.items():
        if count > 1:
            yield str(name), f"{count} intents for one thing"


def events_once(facts: Facts) -> Found:
    """I5: every event of a deal is in the log once, and nothing waits in an outbox."""
    for deal, state in facts.expected.items():
        told = Counter(name for name, _ in facts.events(deal))
        wanted = dict.fromkeys(EVENTS, 1)
        wanted["vendor.called"] = sum(
            row["state"] in {"done", "undone"} for row in facts.ledger(deal)
        )
        if state == "done":
            wanted["deal.won"] = 1
        else:
            wanted["project.activated"] = 0
        for name, count in wanted.items():
            if told[name] != count:
                yield deal, f"{name} is told {told[name]} times, not {count}"
    for tier in ("process", "system"):
        if left := len(facts.tables[f"{tier}.outbox"]):
            yield tier, f"{left} events were never logged"


def in_order(facts: Facts) -> Found:
    """I6: what a run tells of its deal is logged in the order in which it happened."""
    for deal in facts.expected:
        told = [name for name, _ in facts.events(deal) if name in EVENTS]
        if told != [name for name in EVENTS if name in told]:
            yield deal, f"logged in the order {told}"


def nothing_lost(facts: Facts) -> Found:
    """I5: every won deal has its run, and no work item is forgotten."""
    for one in facts.state[VENDORS[0]]["Opportunity"]:
        if one["IsWon"] and one["Id"] not in facts.runs:
            yield one["Id"], "won, and nobody knows of it"
    for item in facts.items:
        if item["state"] == "open":
            yield item["id"], f"still open: {item['code']} {item['detail']}"


def all_ended(facts: Facts) -> Found:
    """I12: when all is well again, no flow is left in a worker or waits for one."""
    for flow in facts.tables["flows"]:
        if flow["status"] not in TERMINAL:
            yield flow["workflow_uuid"], f"the engine left it {flow['status']}"


PROMISES = (
    *(one_run, steps_explained, golden_record, contract, writes_explained, ledger, events_once),
    *(in_order, audited, chained, nothing_lost, all_ended),
)


def calls_repeated(facts: Facts) -> int:
    """How often a write was sent that the vendor had got before."""
    return sum(
        count - 1
        for vendor in VENDORS
        for count in Counter(
            (line["method"], line["path"], line["key"], line["body_sha256"])
            for line in facts.written(vendor)
        ).values()
    )


def things(facts: Facts) -> Iterator[str]:
    """Names of what must exist once, each as often as it exists in the product."""
    for deal, runs in facts.runs.items():
        yield from (f"run of {deal}" for _ in runs)
        yield from (f"contract of {deal}" for _ in facts.rows("process.contracts", deal))
        account = facts.sold[deal].ids["account"]
        yield from (f"golden id {n} of {deal}" for n in {*facts.goldens("customer", account)})
        once = (*EVENTS, "deal.won")
        yield from (f"{name} of {deal}" for name, _ in facts.events(deal) if name in once)
