"""`throughline audit verify`: every tier's audit against its chain, marks and signed heads."""

from __future__ import annotations

import asyncio
import os
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from apis.runtime import chores
from apis.runtime.audit import AUDIT
from apis.runtime.audit_heads import heads_of, newest_of, public_key
from apis.runtime.audit_proof import Finding, begun, verify
from apis.runtime.clock import Clock, simulated_clock_url
from apis.runtime.migrations import has_table, versions
from apis.runtime.settings import Settings
from apis.runtime.store import Store
from contracts.errors import NotFound

NOT_YET = ", and none needs a mark: no worker of this release has sealed yet"


def verified(settings: Settings) -> tuple[list[str], list[Finding]]:
    """What each tier's audit holds, a line each, and what is wrong; changes nothing."""
    store = Store(settings.database_url, digest_key=settings.digest_key)
    try:
        told, wrong = store.read_now(looked_at, settings, asyncio.run(present()))
    finally:
        store.close()
    if not told and not wrong:
        place = store.engine.url.render_as_string(hide_password=True)
        raise NotFound(
            "audit.nothing",
            f"there is nothing to verify: no audit in {place}, no heads in {settings.audit_heads}",
            remedy="THROUGHLINE_DATABASE_URL and _HOME name them",
        )
    return told, wrong


def looked_at(
    connection: Connection, settings: Settings, now: datetime
) -> tuple[list[str], list[Finding]]:
    """The same, in one transaction; a tier that never had rows or heads has nothing to prove."""
    key, folder = public_key(settings.audit_key), settings.audit_heads
    told, wrong = [], []
    made = versions(connection)
    for tier, rows in AUDIT.items():
        heads = heads_of(folder, tier).exists() or newest_of(folder, tier).exists()
        if not has_table(connection, tier, rows.name):
            if made[tier] or heads:
                text = "the table of this audit is not there, and its rows with it"
                wrong.append(Finding(tier=tier, code="audit.cut", position=1, detail=text))
            continue
        count = connection.execute(sa.select(sa.func.count()).select_from(rows)).scalar_one()
        line = f"{tier}: {count} rows"
        if key is not None:
            wrong += verify(connection, tier, folder, key, now)
            if count and (since := begun(folder, tier, key)[0]) != 0:
                line += f", without marks up to row {since}" if since else NOT_YET
        elif count or heads:
            text = f"{settings.audit_key} is not there: nothing can be proved"
            wrong.append(Finding(tier=tier, code="audit.key-missing", detail=text))
        told.append(line)
    return told, wrong


def tell(settings: Settings, chore: str, findings: int = 0) -> None:
    """Leave where `/metrics` finds it that a chore ended; a database not lifted has no place."""
    store = Store(settings.database_url)
    try:
        if store.read_now(has_table, "runtime", chores.CHORES.name):
            store.write_now(chores.tell, chore, asyncio.run(present()), findings)
    finally:
        store.close()


async def present() -> datetime:
    """Now by the clock that the deployment follows."""
    clock = Clock()
    if url := simulated_clock_url(dict(os.environ)):
        await clock.look(url)
    return clock.now()
