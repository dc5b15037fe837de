"""A connection of the sample metadata for tests: its caller, its mappings, its credentials."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec

from apis.runtime.clock import Clock
from apis.runtime.limits import MemoryLimiter
from apis.runtime.metadata import Metadata
from apis.runtime.permits import MemoryPermits
from apis.runtime.store import Store
from apis.runtime.vendor import VendorHttp
from system_apis.app import Home, caller_of

SAMPLE = Path("apis/entities.yaml")


def caller(
    vendor: str,
    http: httpx.AsyncClient,
    store: Store,
    home: Path,
    *,
    metadata: Metadata,
    clock: Clock | None = None,
    name: str | None = None,
    **changed: Any,
) -> VendorHttp:
    """What calls the vendor's connection, by another name or with some settings changed."""
    known = metadata.connections[vendor]
    connection = msgspec.structs.replace(known, transport="httpx", **changed)
    return caller_of(
        name or vendor,
        connection,
        metadata=metadata,
        home=Home(os.environ, home),
        store=store,
        clock=clock or Clock(),
        limiter=MemoryLimiter(),
        permits=MemoryPermits(connection.budgets.concurrency),
        http=http,
    )


def mapped(metadata: Metadata, vendor: str, layers: Mapping[str, Any]) -> Metadata:
    """The metadata with other mappings; fields and code lists in `base` replace the sample's."""
    sample = metadata.mappings[vendor]
    base = msgspec.to_builtins(sample.base)
    for name, overrides in layers.get("base", {}).items():
        known = base.setdefault(name, {})
        for part, given in overrides.items():
            known[part] = {**known.get(part, {}), **given}
    changed = msgspec.convert({**layers, "base": base}, type(sample))
    mappings = {**metadata.mappings, vendor: changed}
    return msgspec.structs.replace(metadata, mappings=mappings)


def kept(home: Path, vendor: str, credentials: Mapping[str, str]) -> None:
    """Credentials as the connection's reference finds them."""
    folder = home / "sandboxes"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "credentials.json"
    path.write_bytes(json.dumps({vendor: credentials}).encode())
    path.chmod(0o600)
