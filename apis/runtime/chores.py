"""What is done by a timer outside: when a backup and a proof of the audit ended last, with what.

A chore that never ends leaves its row as it is, which grows old: that is what is alerted on.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Integer, String

from apis.runtime.store import put_all, table

CHORES = table(
    "runtime",
    "chores",
    Column("name", String(40), primary_key=True),
    Column("ended_at", String(40), nullable=False),
    Column("findings", Integer, nullable=False),
)


def tell(connection: Connection, chore: str, at: datetime, findings: int = 0) -> None:
    """A chore came to its end, and found so much wrong."""
    row = {"name": chore, "ended_at": at.isoformat(), "findings": findings}
    put_all(connection, CHORES, [row])


def last(connection: Connection) -> dict[str, tuple[datetime, int]]:
    """When each chore ended last, and what it found."""
    query = sa.select(CHORES.c.name, CHORES.c.ended_at, CHORES.c.findings).order_by("name")
    rows = connection.execute(query)
    return {name: (datetime.fromisoformat(at), found) for name, at, found in rows}
