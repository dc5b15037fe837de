"""The adapter on a connection, for tests: to a sandbox in this process, or to prepared answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
from pytest_httpx import HTTPXMock

from apis.runtime.app import make_app
from apis.runtime.clients import Local, client, outgoing
from apis.runtime.clock import Clock
from apis.runtime.metadata import Metadata
from apis.runtime.store import Store
from contracts.ports import Psa
from system_apis import psa
from system_apis.kantata.adapter import Kantata, adapter
from tests.system_apis.connections import SAMPLE, caller, kept, mapped

HOST = "https://api.kantata.test"
DATA = f"{HOST}/api/v1"
TOKEN_URL = f"{HOST}/oauth/token"


def on(
    url: str,
    http: httpx.AsyncClient,
    store: Store,
    home: Path,
    *,
    clock: Clock | None = None,
    batches: dict[str, int] | None = None,
    **mappings: Any,
) -> Kantata:
    """The adapter, with what the metadata maps otherwise (laid over the sample's)."""
    metadata = Metadata.load(SAMPLE)
    api = metadata.connections["kantata"].api
    if batches is not None:
        api = msgspec.structs.replace(api, batches=batches)
    calls = caller(
        "kantata",
        http,
        store,
        home,
        metadata=metadata,
        clock=clock,
        url=url,
        login_url=url,
        api=api,
    )
    return adapter(calls, mapped(metadata, "kantata", mappings))


def over_http(behind: Kantata) -> Psa:
    """The port as the process tier meets it: its client, its routes, this adapter."""
    app = make_app("a PSA", version="1.0.0", routes=psa.routes, dependencies={"psa": behind})
    return client(Psa, Local(app))


@asynccontextmanager
async def answered(store: Store, home: Path, mock: HTTPXMock) -> AsyncIterator[Kantata]:
    """The adapter, whose calls meet prepared answers."""
    kept(home, "kantata", {"client_id": "id", "client_secret": "s3cret"})
    grant = {"access_token": "abc123", "token_type": "bearer"}
    mock.add_response(url=TOKEN_URL, json=grant, is_optional=True, is_reusable=True)
    async with outgoing() as http:
        yield on(HOST, http, store, home)
