"""`throughline audit verify`: every tier's audit against its chain and its signed heads."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from apis.runtime.audit import AUDIT, Finding, verify
from apis.runtime.clock import Clock, simulated_clock_url
from apis.runtime.migrations import versions
from apis.runtime.settings import Settings
from apis.runtime.store import Store

FOLLOWED_S = 0.5


def verified(settings: Settings) -> tuple[list[str], list[str]]:
    """What was looked at, a line a tier, and what is wrong with it."""
    clock = asyncio.run(set_clock())
    store = Store(settings.database_url)
    try:
        told, wrong = [], []
        at = store.read_now(versions)
        for tier in AUDIT if (key := public_key(settings.home / "audit.key")) else ():
            if not at[tier]:
                continue
            heads = settings.home / "audit" / f"{tier}.heads.jsonl"
            found = store.read_now(verify, tier, heads, key, clock.now())
            told.append(f"{tier}: {store.read_now(counted, tier)}")
            wrong += [line_of(finding) for finding in found]
        if key is None:
            rows = sum(store.read_now(sealed, tier) for tier in AUDIT if at[tier])
            wrong += [f"audit.key-missing: {rows} rows are sealed and the key is gone"] if rows else []
        return told, wrong
    finally:
        store.close()
