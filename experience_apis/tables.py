"""The read models of the experience tier, built from events alone."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Connection, Integer, String, Table, Text

from apis.runtime.events import SEQUENCE
from apis.runtime.store import merge_all, table

JOURNEYS = table(
    "experience",
    "journeys",
    Column("subject", String(220), primary_key=True),
    Column("system", String(80), nullable=False),
    Column("record", String(120), nullable=False),
    Column("entity", String(40), index=True),
    Column("customer", String(26), index=True),
    Column("name", Text),
    Column("amount", String(40)),
    Column("currency", String(3)),
    Column("began_at", String(40), nullable=False),
)
"""What goes on its way: a record of a system, such as a deal, as `<system>:<external id>`."""
RUNS = table(
    "experience",
    "runs",
    Column("id", String(200), primary_key=True),
    Column("subject", String(220), nullable=False, index=True),
    Column("flow", String(80), nullable=False),
    Column("state", String(20), nullable=False),
    Column("since", String(40), nullable=False),
    Column("began_at", String(40), nullable=False),
    Column("ended_at", String(40)),
    Column("requester", String(200)),
    Column("waiting", Text),
    Column("kept", Text),
)
STEPS = table(
    "experience",
    "steps",
    Column("run_id", String(200), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("body", Text, nullable=False),
)
RECORDS = table(
    "experience",
    "records",
    Column("subject", String(220), primary_key=True),
    Column("system", String(80), primary_key=True),
    Column("object", String(80), primary_key=True),
    Column("external_id", String(120), primary_key=True),
    Column("id", String(64)),
    Column("key", String(80)),
    Column("amount", String(40)),
    Column("currency", String(3)),
    Column("state", String(12)),
    Column("at", String(40), nullable=False),
)
"""What exists where; `subject` is the journey or the run that said so, without a state if that is
as it was."""
HAPPENINGS = table(
    "experience",
    "happenings",
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("subject", String(220), nullable=False, index=True),
    Column("type", String(80), nullable=False),
    Column("at", String(40), nullable=False),
    Column("facts", Text, nullable=False),
)
NAMES = table(
    "experience",
    "names",
    Column("name", String(220), primary_key=True),
    Column("subject", String(220), primary_key=True),
)
"""Any id that anything of a journey has anywhere, and whose it is."""
WORK_ITEMS = table(
    "experience",
    "work_items",
    Column("id", String(64), primary_key=True),
    Column("run_id", String(200), index=True),
    Column("entity", String(40), index=True),
    Column("customer", String(26), index=True),
    Column("state", String(12), nullable=False),
    Column("body", Text, nullable=False),
)
PROJECTS = table(
    "experience",
    "projects",
    Column("id", String(26), primary_key=True),
    Column("run_id", String(200), index=True),
    Column("key", String(80), index=True),
    Column("entity", String(40), index=True),
    Column("customer", String(26), index=True),
    Column("state", String(20), nullable=False, index=True),
    Column("activated_at", String(40), nullable=False, index=True),
    Column("changed_at", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("records", Text, nullable=False),
)


def put(connection: Connection, into: Table, key: dict[str, Any], /, **values: Any) -> None:
    """Change the row of this key, or make it; what is None is not known and changes nothing."""
    merge_all(connection, into, [key | values])
