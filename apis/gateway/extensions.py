"""Clients that are served beyond the sunset of a version, for some days: recorded once for all."""

from __future__ import annotations

from datetime import date, datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Date, Float, String, Text

from apis.gateway.lifecycle import last_second
from apis.runtime.audit import record
from apis.runtime.clock import Clock
from apis.runtime.store import Store, put_all, table
from apis.runtime.watching import watch

LOOK_S = 1.0
EVERYBODY = "*"

EXTENSIONS = table(
    "gateway",
    "version_extensions",
    Column("target", String(200), primary_key=True),
    Column("client", String(200), primary_key=True),
    Column("until", Date, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", String(200), nullable=False),
    Column("at", Float(53), nullable=False),
)


class Extension(NamedTuple):
    """More time for a client, or for everybody (`*`): to the end of a day."""

    target: str
    client: str
    until: date
    reason: str
    actor: str
    at: float


def extensions(connection: Connection) -> list[Extension]:
    """All that were ever given and not replaced."""
    ordered = sa.select(EXTENSIONS).order_by(EXTENSIONS.c.target, EXTENSIONS.c.client)
    return [Extension(*row) for row in connection.execute(ordered)]


def extend(connection: Connection, given: Extension, now: datetime) -> None:
    """Give more time from now on, in the place of what was given before; the audit says so."""
    put_all(connection, EXTENSIONS, [given._asdict()])
    detail = {"client": given.client, "until": str(given.until), "reason": given.reason}
    record(
        connection, "gateway", at=now, actor=given.actor, action="version.extended",
        object="version", key=given.target, detail=detail,
    )  # fmt: skip


def end(connection: Connection, target: str, client: str, actor: str, now: datetime) -> bool:
    """Take more time back; whether there was any."""
    mine = sa.and_(EXTENSIONS.c.target == target, EXTENSIONS.c.client == client)
    if connection.execute(sa.delete(EXTENSIONS).where(mine)).rowcount == 0:
        return False
    record(
        connection, "gateway", at=now, actor=actor, action="version.extension-ended",
        object="version", key=target, detail={"client": client},
    )  # fmt: skip
    return True


class Extensions:
    """What this gateway knows of them: all there are, before it serves anybody."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._ends: dict[str, dict[str, float]] = {}
        self._take(store.read_now(extensions))

    async def go(self) -> None:
        """Look for as long as the process lives."""
        await watch("extensions", self.look, LOOK_S)

    async def look(self) -> None:
        """Take what was given since."""
        self._take(await self._store.read(extensions))

    def extended(self, target: str, client: str | None) -> bool:
        """Whether a version is served beyond its end to a client, or with None to anybody."""
        ends = self._ends.get(target)
        if not ends:
            return False
        until = (
            max(ends.values())
            if client is None
            else max(ends.get(client, 0), ends.get(EVERYBODY, 0))
        )
        return self._clock.timestamp() <= until

    def _take(self, rows: list[Extension]) -> None:
        ends: dict[str, dict[str, float]] = {}
        for row in rows:
            ends.setdefault(row.target, {})[row.client] = last_second(row.until).timestamp()
        self._ends = ends
