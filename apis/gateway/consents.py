"""That a client agreed in writing that a version goes: kept here, not in somebody's mail."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Float, String, Text

from apis.runtime.store import table

CONSENTS = table(
    "gateway",
    "consents",
    Column("client", String(200), primary_key=True),
    Column("target", String(200), primary_key=True),
    Column("reason", Text, nullable=False),
    Column("by", String(200), nullable=False),
    Column("agreed_at", Float(53), nullable=False),
)


def agreed(connection: Connection, target: str) -> dict[str, dict[str, Any]]:
    """What was agreed about a version, by client."""
    rows = connection.execute(sa.select(CONSENTS).where(CONSENTS.c.target == target)).mappings()
    return {row["client"]: dict(row) for row in rows}
