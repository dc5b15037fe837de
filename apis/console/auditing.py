"""`throughline audit verify`: every tier's audit against its chain and its signed heads."""

from __future__ import annotations

import asyncio
import os
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from sqlalchemy import Connection

from apis.runtime.audit import AUDIT, Finding, verify
from apis.runtime.clock import Clock, simulated_clock_url
from apis.runtime.migrations import versions
from apis.runtime.settings import Settings
from apis.runtime.store import Store


def verified(settings: Settings) -> tuple[list[str], list[Finding]]:
    """What each tier's audit holds, a line each, and what is wrong; changes nothing."""
    store = Store(settings.database_url)
    try:
        return store.read_now(looked_at, settings.home, asyncio.run(present()))
    finally:
        store.close()


def looked_at(connection: Connection, home: Path, now: datetime) -> tuple[list[str], list[Finding]]:
    """The same, in one transaction; a tier without tables has nothing to look at."""
    key = public_key(home / "audit.key")
    told, wrong = [], []
    made = versions(connection)
    for tier, rows in AUDIT.items():
        if not made[tier]:
            continue
        count = connection.execute(sa.select(sa.func.count()).select_from(rows)).scalar_one()
        told.append(f"{tier}: {count} rows")
        if key is not None:
            heads = home / "audit" / f"{tier}.heads.jsonl"
            wrong += verify(connection, tier, heads, key, now)
        elif count:
            text = f"{home / 'audit.key'} is not there: nothing can be proved"
            wrong.append(Finding(tier=tier, code="audit.key-missing", detail=text))
    return told, wrong


def public_key(path: Path) -> Ed25519PublicKey | None:
    """Our half that checks signatures, or None where nothing was ever signed."""
    if not path.exists():
        return None
    key = load_pem_private_key(path.read_bytes(), password=None)
    return key.public_key() if isinstance(key, Ed25519PrivateKey) else None


async def present() -> datetime:
    """Now by the clock that the deployment follows."""
    clock = Clock()
    if url := simulated_clock_url(dict(os.environ)):
        await clock.look(url)
    return clock.now()
