"""What happened, gathered from the sandboxes, the public API and the tables without an API.

It trusts nothing of the product: what the seller entered is what was really sold.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from tests.crash.harness import ITEMS, RUNS, VENDORS, Firm, Sold

TABLES = (
    *("process.contracts", "process.customers", "process.xref", "process.audit", "system.audit"),
    *("system.writes", "runtime.event_log", "process.outbox", "system.outbox"),
)
WRITES = ("create", "update", "upsert", "delete")
PEOPLES = ("composite.update", "token.create")
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
Row = dict[str, Any]
Found = Iterator[tuple[str, str]]


@dataclass
class Facts:
    """Everything the invariants look at; `expected` says how each deal must have ended."""

    expected: dict[str, str]
    sold: dict[str, Sold]
    log: dict[str, list[Row]]
    state: dict[str, dict[str, list[Row]]]
    runs: dict[str, list[Row]]
    items: list[Row]
    tables: dict[str, list[Row]] = field(default_factory=dict)

    def ended(self, state: str) -> list[str]:
        """The deals that must have ended so."""
        return [deal for deal, told in self.expected.items() if told == state]

    def run(self, deal: str) -> Row:
        """The only run of a deal, or an empty one."""
        return (self.runs.get(deal) or [{}])[0]

    def events(self, deal: str) -> list[tuple[str, Row]]:
        """The logged events that belong to a deal, in their order."""
        rows = self.tables["runtime.event_log"]
        return [(row["type"], row) for row in rows if deal in row["body"]]

    def rows(self, table: str, deal: str) -> list[Row]:
        """The rows of a table that name a deal."""
        return [row for row in self.tables[table] if deal in json.dumps(row, default=str)]

    def ledger(self, deal: str) -> list[Row]:
        """The ledger's rows that the deal's run has caused."""
        return [row for row in self.tables["system.writes"] if deal in row["request_key"]]

    def written(self, vendor: str) -> list[Row]:
        """The product's writes as a sandbox saw them, with what became of each."""
        done = {line["n"]: line for line in self.log[vendor] if line["phase"] == "done"}
        return [
            line | {"committed": False} | done.get(line["n"], {})
            for line in self.log[vendor]
            if line["phase"] == "received" and line["operation"].rpartition(".")[2] in WRITES
            if line["operation"] not in PEOPLES
            if vendor != VENDORS[0] or line["key"] is not None  # without a key: the sellers'
        ]

    def amount(self, deal: str) -> Decimal:
        """What was sold, line by line."""
        lines = [(str(line["Quantity"]), str(line["UnitPrice"])) for line in self.lines(deal)]
        return sum((Decimal(many) * Decimal(price) for many, price in lines), Decimal(0))

    def lines(self, deal: str) -> list[Row]:
        """The lines that were sold."""
        return [self.sold[deal].fields[name] for name in ("line1", "line2")]

    def customer(self, deal: str, party: str = "account") -> str:
        """The business key of the deal's customer or of its parent."""
        return f"customer-{self.golden('customer', self.sold[deal].ids[party])}"

    def project(self, deal: str) -> str:
        """The business key of the deal's project, which follows from the deal."""
        return f"project-{child('project', self.contract(deal))}"

    def schedule(self, deal: str) -> str:
        """The id of the deal's billing schedule."""
        return child("billing-schedule", self.contract(deal))

    def contract(self, deal: str) -> str:
        """The id of the deal's contract."""
        return child("contract", self.golden("deal", deal))

    def golden(self, kind: str, external_id: str) -> str:
        """Our id of a record of the CRM, or `?`."""
        return next(iter(self.goldens(kind, external_id)), "?")

    def goldens(self, kind: str, external_id: str) -> list[str]:
        """Our ids of a record of the CRM; there must be one."""
        named = (kind, VENDORS[0], external_id)
        return [
            row["id"]
            for row in self.tables["process.xref"]
            if (row["object"], row["connection"], row["external_id"]) == named
            if row["valid_to"] is None
        ]


def gathered(firm: Firm) -> Facts:
    """The facts as they are now."""
    runs: dict[str, list[Row]] = {}
    for deal in firm.expected:
        runs[deal] = firm.ask("GET", RUNS, params={"deal": deal}).json()["items"]
    items, cursor = [], None
    while True:
        page = firm.ask("GET", ITEMS, params={"cursor": cursor} if cursor else {}).json()
        items += page["items"]
        if not (cursor := page.get("next")):
            break
    facts = Facts(
        expected=dict(firm.expected),
        sold=dict(firm.sold),
        log={vendor: firm.log(vendor) for vendor in VENDORS},
        state={vendor: firm.door(vendor, "state") for vendor in VENDORS},
        runs=runs,
        items=items,
    )
    facts.tables = read_tables(firm.database_url)
    facts.tables["runtime.event_log"].sort(key=lambda row: int(row["seq"]))
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
