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
from apis.runtime.metadata import Metadata, Owner
from apis.runtime.store import Store
from system_apis.salesforce.adapter import Salesforce, adapter
from tests.system_apis.connections import SAMPLE, caller, kept, mapped

HOST = "https://acme.my.salesforce.test"
DATA = f"{HOST}/services/data/v62.0"
TOKEN_URL = f"{HOST}/services/oauth2/token"


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
    calls = caller("salesforce", http, store, home, metadata=metadata, url=url, login_url=url)
    return adapter(calls, mapped(metadata, "salesforce", mappings))


@asynccontextmanager
async def answered(store: Store, home: Path, mock: HTTPXMock) -> AsyncIterator[Salesforce]:
    """The adapter, signed in, whose calls meet prepared answers."""
    kept(home, "salesforce", {"client_id": "id", "client_secret": "s3cret"})
    grant = {"access_token": "00D!AQ", "instance_url": HOST, "token_type": "Bearer"}
    mock.add_response(url=TOKEN_URL, json=grant, is_optional=True, is_reusable=True)
    async with outgoing() as http:
        yield on(HOST, http, store, home)
