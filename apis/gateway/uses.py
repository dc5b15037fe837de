"""When each secret, key and API key was last used: kept in memory, written off the request path.

What is shown may be a minute behind: a credential in use is one write a minute, not one a request.
"""

from __future__ import annotations

import asyncio
from math import inf

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Float, String

from apis.runtime.clock import Clock
from apis.runtime.log import get_logger
from apis.runtime.store import Store, put_all, table

AGAIN_S = 60.0
EVERY_S = 0.5
log = get_logger(__name__)

USES = table(
    "gateway",
    "credential_uses",
    Column("client", String(200), primary_key=True),
    Column("credential", String(500), primary_key=True),
    Column("used_at", Float, nullable=False),
)
"""A secret by its reference, a key by its kid (else its thumbprint), an API key by its id."""


class Uses:
    """The uses that this gateway saw, on their way into the table."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._noted: dict[tuple[str, str], float] = {}
        self._due: dict[tuple[str, str], float] = {}

    def note(self, client: str, credential: str) -> None:
        """Remember that it was used now, unless that was noted within the minute."""
        used, now = (client, credential), self._clock.timestamp()
        if abs(now - self._noted.get(used, -inf)) >= AGAIN_S:
            self._noted[used] = self._due[used] = now

    async def go(self) -> None:
        """Write what is new for as long as the process lives."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.close()

    async def close(self) -> None:
        """Write what is new if that can be; else with the next."""
        due, self._due = self._due, {}
        if not due:
            return
        try:
            await self._store.write(_written, due)
        except Exception as error:  # noqa: BLE001 - a lost database ends nothing
            self._due = due | self._due
            log.warning("uses.unwritten", error=type(error).__name__)


def _written(connection: Connection, due: dict[tuple[str, str], float]) -> None:
    rows = [
        {"client": client, "credential": credential, "used_at": at}
        for (client, credential), at in sorted(due.items())  # one order for all gateways
    ]
    put_all(connection, USES, rows)


def last_uses(connection: Connection) -> dict[tuple[str, str], float]:
    """When each credential was last used, by client and credential."""
    return {(row.client, row.credential): row.used_at for row in connection.execute(_EVERY)}


_EVERY = sa.select(USES)
