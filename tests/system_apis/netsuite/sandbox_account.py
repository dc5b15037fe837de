"""A sandbox account for tests, in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from apis.runtime.clock import Clock
from apis.runtime.sandbox_files import credentials
from apis.runtime.sign_in import Account as Signing
from system_apis.netsuite.sandbox.login import fresh_credentials
from system_apis.netsuite.vendor import token_request
from tests.system_apis.sandboxes import URL, BackDoor, reached

RECORD = "/services/rest/record/v1"
STRICT = {"X-NetSuite-PropertyNameValidation": "Error"}


def known_credentials(home: Path) -> dict[str, str]:
    """What the sandbox of this home accepts."""
    folder = home / "sandboxes"
    folder.mkdir(parents=True, exist_ok=True)
    return credentials(folder, "netsuite", fresh_credentials)


class Account(BackDoor):
    """A client with a token, and the back door."""

    vendor = "netsuite"

    def __init__(self, http: httpx.AsyncClient, home: Path, clock: Clock) -> None:
        super().__init__(http, home)
        self.clock = clock

    async def logs_in(self, **changed: str) -> httpx.Response:
        known = {**self.credentials, **changed}
        asked = token_request(Signing(URL, URL, "jwt", None, known), self.clock.timestamp())
        return self.signed_in(await self.http.post(asked.url, data=dict(asked.form)))

    async def call(
        self, method: str, path: str, body: Any = None, params: Any = None, **headers: str
    ) -> httpx.Response:
        path = path if path.startswith(("/", "http:")) else f"{RECORD}/{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.request(method, path, json=body, params=params, headers=named)

    async def makes(self, kind: str, key: str, **fields: Any) -> str:
        """The internal id of a record made at an external id."""
        answer = await self.call("PUT", f"{kind}/eid:{key}", fields)
        assert answer.status_code == 204, answer.text
        return answer.headers["Location"].rpartition("/")[2]

    async def customer(self, key: str = "customer-1", **fields: Any) -> str:
        return await self.makes(
            "customer", key, **{"companyName": "Nordlicht GmbH", "subsidiary": {"id": "3"}} | fields
        )

    async def reads(self, path: str) -> dict[str, Any]:
        answer = await self.call("GET", path, params={"expandSubResources": "true"})
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def query(self, q: str, **params: Any) -> httpx.Response:
        headers = {"Prefer": "transient"}
        return await self.http.post(
            "/services/rest/query/v1/suiteql", json={"q": q}, params=params, headers=headers
        )

    async def finds(self, q: str) -> list[dict[str, Any]]:
        answer = await self.query(q)
        assert answer.status_code == 200, answer.text
        return [{k: v for k, v in row.items() if k != "links"} for row in answer.json()["items"]]

    async def waits(self, seconds: float) -> None:
        await super().waits(seconds)
        self.clock.advance(seconds)


@asynccontextmanager
async def in_process(home: Path) -> AsyncIterator[Account]:
    """An account that is logged in to."""
    async with reached("netsuite", home) as http:
        account = Account(http, home, Clock())
        assert (await account.logs_in()).is_success
        yield account
