"""The adapter on a connection, for tests: to a sandbox in this process, or to prepared answers."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from pytest_httpx import HTTPXMock

from apis.runtime.clients import outgoing
from apis.runtime.clock import Clock
from apis.runtime.limits import MemoryLimiter, MemoryPermits
from apis.runtime.metadata import Metadata, Owner
from apis.runtime.store import Store
from system_apis.app import Home, caller_of
from system_apis.salesforce.adapter import Salesforce, adapter

HOST = "https://acme.my.salesforce.test"
DATA = f"{HOST}/services/data/v62.0"
TOKEN_URL = f"{HOST}/services/oauth2/token"
SAMPLE = Path("apis/entities.yaml")


def on(
    url: str,
    http: httpx.AsyncClient,
    store: Store,
    home: Path,
    *,
    ownership: Any = (),
    **mappings: Any,
) -> Salesforce:
    """The adapter, with what the metadata maps or lets somebody own otherwise."""
    metadata = msgspec.structs.replace(
        Metadata.load(SAMPLE), ownership=msgspec.convert(ownership, tuple[Owner, ...])
    )
    connection = msgspec.structs.replace(
        metadata.connections["salesforce"], url=url, login_url=url, transport="httpx"
    )
    return adapter(
        caller_of(
            "salesforce",
            connection,
            metadata=metadata,
            home=Home(os.environ, home),
            store=store,
            clock=Clock(),
            limiter=MemoryLimiter(),
            permits=MemoryPermits(20),
            http=http,
        ),
        mapped(metadata, mappings),
    )


def mapped(metadata: Metadata, layers: dict[str, Any]) -> Metadata:
    """The metadata with other mappings of this connection."""
    hint = next(f.type for f in msgspec.structs.fields(Metadata) if f.name == "mappings")
    return msgspec.structs.replace(metadata, mappings=msgspec.convert({"salesforce": layers}, hint))


@asynccontextmanager
async def answered(store: Store, home: Path, mock: HTTPXMock) -> AsyncIterator[Salesforce]:
    """The adapter, signed in, whose calls meet prepared answers."""
    folder = home / "sandboxes"
    folder.mkdir(parents=True, exist_ok=True)
    known = folder / "credentials.json"
    known.write_bytes(b'{"salesforce": {"client_id": "id", "client_secret": "s3cret"}}')
    known.chmod(0o600)
    grant = {"access_token": "00D!AQ", "instance_url": HOST, "token_type": "Bearer"}
    mock.add_response(url=TOKEN_URL, json=grant, is_optional=True, is_reusable=True)
    async with outgoing() as http:
        yield on(HOST, http, store, home)
