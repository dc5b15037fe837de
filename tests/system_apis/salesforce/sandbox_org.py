"""A sandbox org for tests: in this process, or as the process it is in life."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.system_apis.sandboxes import BackDoor, reached, running

DATA = "/services/data/v62.0"


class Org(BackDoor):
    """A client with a token, and the back door."""

    vendor = "salesforce"

    async def logs_in(self) -> httpx.Response:
        form = {"grant_type": "client_credentials", "client_id": self.credentials["client_id"]}
        form["client_secret"] = self.credentials["client_secret"]
        return self.signed_in(await self.http.post("/services/oauth2/token", data=form))

    async def call(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> httpx.Response:
        path = path if path.startswith("/") else f"{DATA}/{path}"
        return await self.http.request(method, path, json=body, headers=headers)

    async def creates(self, kind: str, **fields: Any) -> str:
        answer = await self.call("POST", f"sobjects/{kind}", fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def finds(self, soql: str) -> list[dict[str, Any]]:
        answer = await self.query(soql)
        assert answer.status_code == 200, answer.text
        return [{k: v for k, v in r.items() if k != "attributes"} for r in answer.json()["records"]]

    async def query(self, soql: str) -> httpx.Response:
        return await self.http.get(f"{DATA}/query", params={"q": soql})

    async def wins_deal(self, **options: Any) -> dict[str, str]:
        """The ids of the records, by their name in the example."""
        example = "/__sandbox__/examples/won-deal"
        [call] = (await self.http.get(example, params=options)).json()
        answer = await self.call(call["method"], call["path"], call["body"])
        parts = answer.json()["compositeResponse"]
        assert all(part["httpStatusCode"] < 300 for part in parts), parts
        return {part["referenceId"]: part["body"]["id"] for part in parts}


@asynccontextmanager
async def in_process(home: Path) -> AsyncIterator[Org]:
    """An org that is logged in to."""
    async with reached("salesforce", home) as http:
        org = Org(http, home)
        await org.logs_in()
        yield org


@contextmanager
def own_process(home: Path, *arguments: str, **environment: str) -> Iterator[tuple[Org, Any]]:
    with running("salesforce", home, *arguments, **environment) as (url, process):
        yield Org(httpx.AsyncClient(base_url=url, trust_env=False), home), process
