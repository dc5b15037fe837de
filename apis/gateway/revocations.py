"""What was revoked before its end: written with the request that revokes, read by every worker."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, Connection, Float, Integer, String

from apis.gateway.tokens import Tokens
from apis.runtime.store import Store, insert_new, table
from apis.runtime.watching import watch

LOOK_S = 0.25
LOCK = 7_401_002

REVOCATIONS = table(
    "gateway",
    "revocations",
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("expires_at", Float, nullable=False, index=True),
    sqlite_autoincrement=True,  # else an empty table begins at 1, below what workers have seen
)


def revoke(connection: Connection, name: str, now: float, until: float) -> None:
    """Tell every worker that this is no longer good; it would end then. What has ended is gone."""
    if connection.dialect.name == "postgresql":
        # workers go by number: none may become visible after a higher one
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
    connection.execute(sa.delete(REVOCATIONS).where(REVOCATIONS.c.expires_at < now))
    insert_new(connection, REVOCATIONS, name=name, expires_at=until)


class Revocations:
    """What this worker knows of them: all there are, before it serves anybody."""

    def __init__(self, store: Store, tokens: Tokens) -> None:
        self._store = store
        self._tokens = tokens
        self._seen = 0
        self._take(store.read_now(_since, 0))

    async def go(self) -> None:
        """Look for as long as the process lives; a database that is lost is asked again."""
        await watch("revocations", self.look, LOOK_S)

    async def look(self) -> None:
        """Take what was revoked since."""
        self._take(await self._store.read(_since, self._seen))

    def _take(self, rows: list[Any]) -> None:
        if rows:
            self._seen = rows[-1].seq
            self._tokens.revoke({row.name: row.expires_at for row in rows})


def _since(connection: Connection, seq: int) -> list[Any]:
    wanted = sa.select(REVOCATIONS).where(REVOCATIONS.c.seq > seq).order_by(REVOCATIONS.c.seq)
    return list(connection.execute(wanted))
