"""A sandbox tenant for tests, in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.system_apis.sandboxes import BackDoor, reached

DATA = "/api/v1"


class Tenant(BackDoor):
    """A client with a token, and the back door."""

    vendor = "kantata"

    async def logs_in(self, **changed: str) -> httpx.Response:
        form = {"grant_type": "client_credentials", **self.credentials, **changed}
        return self.signed_in(await self.http.post("/oauth/token", data=form))

    async def call(self, method: str, path: str, body: Any = None, **params: Any) -> httpx.Response:
        return await self.http.request(method, f"{DATA}/{path}", json=body, params=params)

    async def gets(self, path: str, **params: Any) -> dict[str, Any]:
        answer = await self.call("GET", path, **params)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def lists(self, kind: str, **params: Any) -> list[dict[str, Any]]:
        answer = await self.gets(kind, **params)
        return [answer[each["key"]][each["id"]] for each in answer["results"]]

    async def makes(self, kind: str, **fields: Any) -> str:
        one = {"stories": "story"}.get(kind, kind[:-1])
        answer = await self.call("POST", kind, {one: fields})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["results"][0]["id"])

    async def keys(self, kind: str) -> list[str]:
        """The keys of ours that records of a kind carry, in the order of their ids."""
        state = await self.state()
        refs = {r["id"]: r["service_model_ref"] for r in state["external_references"]}
        records = sorted(state[kind], key=lambda record: int(record["id"]))
        return [refs[id_] for record in records for id_ in record["external_reference_ids"]]


@asynccontextmanager
async def in_process(home: Path) -> AsyncIterator[Tenant]:
    """A tenant that is logged in to."""
    async with reached("kantata", home) as http:
        tenant = Tenant(http, home)
        await tenant.logs_in()
        yield tenant
