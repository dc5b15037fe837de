"""What must be true afterwards: a second, plain implementation that trusts nothing of the product.

It reads the sandbox's log and state, the public API, and by SQL the tables that have no API. Each
invariant is a function of the facts; `plants.py` shows that each one can find something.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import sqlalchemy as sa

from tests.crash.harness import ITEMS, RUNS, Firm

STEPS = (
    *("accepted_deal", "approver_of", "delivery_terms_for", "validated_customer"),
    *("customer_key_for", "contract_for", "project_key_for"),
)
ONCE = ("run.started", "customer.validated", "contract.activated", "run.ended")
TABLES = (
    *("process.contracts", "process.customers", "process.xref", "process.audit", "system.audit"),
    *("system.writes", "runtime.event_log", "process.outbox", "system.outbox"),
)
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
Row = dict[str, Any]
Found = Iterator[tuple[str, str]]


@dataclass
class Facts:
    """Everything the invariants look at; `expected` says how each deal must have ended."""

    expected: dict[str, str]
    accounts: dict[str, str]
    log: list[Row]
    state: dict[str, list[Row]]
    runs: dict[str, list[Row]]
    items: list[Row]
    tables: dict[str, list[Row]] = field(default_factory=dict)

    def run(self, deal: str) -> Row:
        """The only run of a deal, or an empty one."""
        return (self.runs.get(deal) or [{}])[0]

    def events(self, deal: str) -> Iterator[tuple[str, Row]]:
        """The logged events that belong to a deal."""
        for row in self.tables["runtime.event_log"]:
            if deal in row["body"]:
                yield row["type"], json.loads(row["body"])

    def rows(self, table: str, deal: str) -> list[Row]:
        """The rows of a table that name a deal."""
        return [row for row in self.tables[table] if deal in json.dumps(row, default=str)]

    def written(self) -> list[Row]:
        """The product's writes as the sandbox saw them, with what became of each."""
        done = {line["n"]: line for line in self.log if line["phase"] == "done"}
        ours = (line for line in self.log if line["phase"] == "received" and line["key"])
        return [line | done.get(line["n"], {}) for line in ours if line["method"] == "PATCH"]


def gathered(firm: Firm, expected: dict[str, str]) -> Facts:
    """The facts as they are now."""
    path = firm.home / "sandboxes/salesforce.jsonl"
    state = firm.http.get(f"{firm.url('sandbox')}/__sandbox__/state").json()
    runs: dict[str, list[Row]] = {}
    for deal in expected:
        runs[deal] = firm.ask("GET", RUNS, params={"deal": deal}).json()["items"]
    items, cursor = [], None
    while True:
        page = firm.ask("GET", ITEMS, params={"cursor": cursor} if cursor else {}).json()
        items += page["items"]
        if not (cursor := page.get("next")):
            break
    log = [json.loads(line) for line in path.read_text().splitlines()]
    facts = Facts(expected, firm.accounts, log, state, runs, items)
    facts.tables = read_tables(firm.database_url)
    return facts


def read_tables(url: str) -> dict[str, list[Row]]:
    """The tables without an API, as plain rows; the engine's flows under `flows`."""
    sqlite = url.startswith("sqlite")
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    names = {name: name.replace(".", "_") if sqlite else name for name in TABLES}
    names["flows"] = "workflow_status" if sqlite else "dbos.workflow_status"
    with engine.connect() as connection:
        told = {name: rows_in(connection, real) for name, real in names.items()}
    engine.dispose()
    return told


def rows_in(connection: sa.Connection, table: str) -> list[Row]:
    """A table's rows."""
    asked = f"select * from {table}"  # noqa: S608 - one of the names above
    return [dict(row) for row in connection.exec_driver_sql(asked).mappings()]


def child(kind: str, parent: str) -> str:
    """An id that follows from its parent: 26 letters of a hash."""
    number = int(hashlib.sha256(f"{kind}\x00{parent}\x001".encode()).hexdigest(), 16) >> 126
    letters = ""
    for _ in range(26):
        number, rest = divmod(number, 32)
        letters = ALPHABET[rest] + letters
    return letters


def golden(facts: Facts, kind: str, external_id: str) -> list[str]:
    """Our ids of a record; there must be one."""
    rows = facts.tables["process.xref"]
    mine = [r for r in rows if (r["object"], r["external_id"]) == (kind, external_id)]
    return [row["id"] for row in mine if row["valid_to"] is None]


def one_run(facts: Facts) -> Found:
    """A won deal has one run, and it ended as it should."""
    for deal, state in facts.expected.items():
        runs = facts.runs.get(deal, [])
        if len(runs) != 1:
            yield deal, f"{len(runs)} runs, not one"
        elif runs[0]["state"] != state:
            yield deal, f"its run is {runs[0]['state']}, not {state}"


def steps_explained(facts: Facts) -> Found:
    """A finished run shows every step once, done, and a call where a call was needed."""
    for deal, state in facts.expected.items():
        steps = facts.run(deal).get("steps", [])
        names = [step["name"] for step in steps if not step["work_item_id"]]
        if state == "done" and tuple(names) != STEPS:
            yield deal, f"steps {names}"
        for step in steps if state == "done" else ():
            if step["state"] != "done":
                yield deal, f"step {step['name']} is {step['state']}"
            if step["work_item_id"] and not step["decision"]:
                yield deal, f"nobody decided {step['name']}"
        if len(names) != len(set(names)):
            yield deal, f"a step is shown twice: {names}"


def customer_key(facts: Facts) -> Found:
    """One golden customer per account, and its key on the account."""
    for deal in facts.expected:
        account = facts.accounts[deal]
        ids = golden(facts, "customer", account)
        if len(ids) != 1:
            yield deal, f"account {account} has {len(ids)} golden ids"
            continue
        kept = [row for row in facts.tables["process.customers"] if row["id"] == ids[0]]
        if len(kept) != 1:
            yield deal, f"{len(kept)} golden customers for one account"
        keys = [a["TL_Customer_Key__c"] for a in facts.state["Account"] if a["Id"] == account]
        if keys != [f"customer-{ids[0]}"]:
            yield deal, f"the account carries {keys}, not customer-{ids[0]}"


def contract(facts: Facts) -> Found:
    """One contract per deal, under the id that follows from the deal, active or cancelled."""
    for deal, state in facts.expected.items():
        rows = facts.rows("process.contracts", deal)
        ids = golden(facts, "deal", deal)
        if len(rows) != 1 or len(ids) != 1:
            yield deal, f"{len(rows)} contracts, {len(ids)} golden ids"
            continue
        if rows[0]["id"] != child("contract", ids[0]):
            yield deal, f"contract {rows[0]['id']} is not the deal's"
        wanted = "active" if state == "done" else "cancelled"
        if rows[0]["state"] != wanted:
            yield deal, f"the contract is {rows[0]['state']}, not {wanted}"


def project_key(facts: Facts) -> Found:
    """The deal carries the one project key that follows from its contract."""
    for deal, state in facts.expected.items():
        ids = golden(facts, "deal", deal)
        wanted = f"project-{child('project', child('contract', ids[0]))}" if ids else "?"
        for one in facts.state["Opportunity"] if state == "done" else ():
            told = (one["TL_Project_Key__c"], one["TL_Project_Status__c"])
            if one["Id"] == deal and told != (wanted, "contracted"):
                yield deal, f"the deal carries {told}, not {wanted}"


def writes_explained(facts: Facts) -> Found:
    """Each write the vendor saw has one ledger row, made before; repeats carry the same key."""
    rows = {(row["object"], row["key"]): row for row in facts.tables["system.writes"]}
    words = {"Account": "customer", "Opportunity": "deal"}
    seen: dict[str, set[tuple[str, str]]] = {}
    for line in facts.written():
        kind, record = line["path"].split("/")[-2:]
        row = rows.get((words[kind], line["key"]))
        if row is None:
            yield record, f"no ledger row explains {line['method']} {line['path']} {line['key']}"
        elif row["state"] == "done" and not any(
            each["committed"] for each in facts.written() if each["key"] == line["key"]
        ):
            yield record, f"the ledger says done, the vendor never committed {line['key']}"
        seen.setdefault(record, set()).add((line["key"], line["body_sha256"]))
    for record, kinds in seen.items():
        if len(kinds) > 1:
            yield record, f"{len(kinds)} different writes of one thing"
    known = {line["key"] for line in facts.written() if line.get("committed")}
    for row in facts.tables["system.writes"]:
        if row["state"] == "done" and row["key"] not in known:
            yield row["key"], "the ledger says done, the vendor has never seen it"


def ledger(facts: Facts) -> Found:
    """A finished run left exactly its two writes in the ledger, both done."""
    for deal, state in facts.expected.items():
        rows = [row for row in facts.tables["system.writes"] if deal in row["request_key"]]
        done = Counter(row["object"] for row in rows if row["state"] == "done")
        if state == "done" and (done != {"customer": 1, "deal": 1} or len(rows) > done.total()):
            yield deal, f"ledger {[(r['object'], r['state']) for r in rows]}"


def events_once(facts: Facts) -> Found:
    """Every event of a deal is in the log once, and nothing waits in an outbox."""
    for deal, state in facts.expected.items():
        told = Counter(name for name, _ in facts.events(deal))
        wanted = dict.fromkeys(ONCE, 1) | {"vendor.called": 2}
        if state == "done":
            wanted["deal.won"] = 1
        else:
            wanted["vendor.called"] = 1
        for name, count in wanted.items():
            if told[name] != count:
                yield deal, f"{name} is told {told[name]} times, not {count}"
    for tier in ("process", "system"):
        if left := len(facts.tables[f"{tier}.outbox"]):
            yield tier, f"{left} events were never logged"


def audited(facts: Facts) -> Found:
    """One audit row per effect: each finished write, each start, each decision; chained whole."""
    effects = Counter(
        (row["cause"], row["object"], row["key"]) for row in facts.tables["system.audit"]
    )
    for row in facts.tables["system.writes"]:
        told = effects.pop((row["cause"], row["object"], row["key"]), 0)
        if told != (row["state"] == "done"):
            yield row["key"], f"{told} audit rows for a write that is {row['state']}"
    for extra in effects:
        yield str(extra), "an audit row without a ledger row"
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


def chained(facts: Facts) -> Found:
    """The sealed rows of each audit follow one another without a gap."""
    for tier in ("process", "system"):
        rows = [row for row in facts.tables[f"{tier}.audit"] if row["position"] is not None]
        rows.sort(key=lambda row: int(row["position"]))
        if [row["position"] for row in rows] != list(range(1, len(rows) + 1)):
            yield tier, "positions are not 1, 2, 3 ..."
        for before, after in pairwise(rows):
            if after["previous"] != before["hash"]:
                yield tier, f"row {after['position']} does not follow the one before"


def nothing_lost(facts: Facts) -> Found:
    """Every won deal has its run, no flow is left in a worker, no work item is forgotten."""
    for one in facts.state["Opportunity"]:
        if one["IsWon"] and one["Id"] not in facts.runs:
            yield one["Id"], "won, and nobody knows of it"
    for flow in facts.tables["flows"]:
        if flow["status"] in ("PENDING", "ENQUEUED", "ERROR"):
            yield flow["workflow_uuid"], f"the engine left it {flow['status']}"
    for item in facts.items:
        if item["state"] == "open":
            yield item["id"], f"still open: {item['code']} {item['detail']}"


INVARIANTS: dict[str, Callable[[Facts], Found]] = {
    each.__name__: each
    for each in (
        *(one_run, steps_explained, customer_key, contract, project_key, writes_explained),
        *(ledger, events_once, audited, chained, nothing_lost),
    )
}


def violations(facts: Facts) -> list[tuple[str, str, str]]:
    """Every violation: which invariant, which record, what is wrong."""
    return [(name, *found) for name, look in INVARIANTS.items() for found in look(facts)]


def calls_repeated(facts: Facts) -> int:
    """How often a write was sent that the vendor had got before."""
    sent = Counter((line["path"], line["key"]) for line in facts.written())
    return sum(count - 1 for count in sent.values())


def effects_repeated(facts: Facts) -> int:
    """How many things exist more than once that must exist once."""
    counts = [len(golden(facts, "customer", facts.accounts[deal])) for deal in facts.expected]
    counts += [len(facts.rows("process.contracts", deal)) for deal in facts.expected]
    counts += [len(runs) for runs in facts.runs.values()]
    for deal in facts.expected:
        told = Counter(name for name, _ in facts.events(deal))
        counts += [told[name] for name in (*ONCE, "deal.won")]
    keys: dict[str, set[str]] = {}
    for line in facts.written():
        if line.get("committed"):
            keys.setdefault(line["path"], set()).add(line["key"])
    counts += [len(each) for each in keys.values()]
    counts += Counter((r["cause"], r["key"]) for r in facts.tables["system.audit"]).values()
    return sum(max(0, count - 1) for count in counts)
