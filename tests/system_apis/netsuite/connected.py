"""The adapter on a connection, for tests: to a sandbox in this process, or to prepared answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from pytest_httpx import HTTPXMock

from apis.runtime.clients import outgoing
from apis.runtime.clock import Clock
from apis.runtime.metadata import Metadata, Owner
from apis.runtime.store import Store
from system_apis.netsuite.adapter import NetSuite, adapter
from tests.system_apis.connections import SAMPLE, caller, mapped
from tests.system_apis.netsuite.sandbox_account import known_credentials

HOST = "https://30000-sb1.suitetalk.api.netsuite.test"
REST = f"{HOST}/services/rest"
TOKEN_URL = f"{REST}/auth/oauth2/v1/token"
SUITEQL_URL = f"{REST}/query/v1/suiteql?limit=1000"


def on(
    url: str,
    http: httpx.AsyncClient,
    store: Store,
    home: Path,
    *,
    kind: str = "jwt",
    clock: Clock | None = None,
    ownership: Any = (),
    base: Any = None,
    **more: Any,
) -> NetSuite:
    """The adapter; what metadata maps or lets somebody own otherwise, other settings."""
    metadata = msgspec.structs.replace(
        Metadata.load(SAMPLE), ownership=msgspec.convert(ownership, tuple[Owner, ...])
    )
    known = metadata.connections["netsuite"]
    auth = msgspec.structs.replace(known.auth, kind=kind)
    calls = caller(
        "netsuite", http, store, home, metadata=metadata, clock=clock, url=url, auth=auth, **more
    )
    return adapter(calls, mapped(metadata, "netsuite", {"base": base or {}}))


@asynccontextmanager
async def answered(
    store: Store, home: Path, mock: HTTPXMock, **more: Any
) -> AsyncIterator[NetSuite]:
    """The adapter, signed in, whose calls meet prepared answers."""
    known_credentials(home)
    grant = {"access_token": "eyJ", "expires_in": "3600", "token_type": "bearer"}
    mock.add_response(url=TOKEN_URL, json=grant, is_optional=True, is_reusable=True)
    async with outgoing() as http:
        yield on(HOST, http, store, home, **more)
