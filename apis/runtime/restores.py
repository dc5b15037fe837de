"""Whether the database is an older one: what was written since, only the vendors know.

While a restore is marked, a create that the ledger does not know is looked for before it is sent.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Column, Connection, String

from apis.runtime.store import table

RESTORES = table(
    "system",
    "restores",
    Column("restored_at", String(40), primary_key=True),
    Column("taken_at", String(40), nullable=False),
    Column("ended_at", String(40)),
)


def mark(connection: Connection, at: datetime, taken_at: str) -> None:
    """From now on the ledger may lack what vendors have."""
    connection.execute(sa.insert(RESTORES).values(restored_at=at.isoformat(), taken_at=taken_at))


def restored_at(connection: Connection) -> datetime | None:
    """When the database was restored last, if that is not reconciled yet."""
    open_ = sa.select(sa.func.max(RESTORES.c.restored_at)).where(RESTORES.c.ended_at.is_(None))
    found: str | None = connection.execute(open_).scalar()
    return datetime.fromisoformat(found) if found else None


def end(connection: Connection, at: datetime) -> int:
    """The ledger knows all that vendors have; how many restores that ends."""
    open_ = sa.update(RESTORES).where(RESTORES.c.ended_at.is_(None))
    return connection.execute(open_.values(ended_at=at.isoformat())).rowcount
