"""A sandbox org for tests: in this process, or as the process it is in life."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx

from apis.runtime.sandbox import make_sandbox

DATA = "/services/data/v62.0"
READY_S = 30


class Org:
    """A client with a token, and the back door."""

    def __init__(self, http: httpx.AsyncClient, home: Path) -> None:
        self.http, self.folder = http, home / "sandboxes"

    @property
    def credentials(self) -> dict[str, str]:
        known: dict[str, dict[str, str]] = json.loads(
            (self.folder / "credentials.json").read_bytes()
        )
        return known["salesforce"]

    @property
    def log(self) -> list[dict[str, Any]]:
        text = (self.folder / "salesforce.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    async def logs_in(self) -> httpx.Response:
        form = {"grant_type": "client_credentials", "client_id": self.credentials["client_id"]}
        form["client_secret"] = self.credentials["client_secret"]
        answer = await self.http.post("/services/oauth2/token", data=form)
        if answer.is_success:
            token = answer.json()["access_token"]
            self.http.headers["Authorization"] = f"Bearer {token}"
        return answer

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

    async def meets(self, operation: str, fault: str, **more: Any) -> None:
        plan = [{"operation": operation, "fault": fault, **more}]
        answer = await self.http.put("/__sandbox__/faults", json=plan)
        assert answer.status_code == 200, answer.text

    async def sets(self, **settings: Any) -> None:
        await self.http.put("/__sandbox__/settings", json=settings)

    async def waits(self, seconds: float) -> None:
        await self.http.put("/__clock__", json={"advance_s": seconds})


@asynccontextmanager
async def in_process(home: Path) -> AsyncIterator[Org]:
    """An org that is logged in to."""
    sandbox = make_sandbox("salesforce", home)
    transport = httpx.ASGITransport(app=sandbox)
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as http:
        org = Org(http, home)
        await org.logs_in()
        yield org
    sandbox.close()


@contextmanager
def own_process(home: Path, *arguments: str, **environment: str) -> Iterator[tuple[Org, Any]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "apis.runtime.sandbox", "salesforce", "--port", str(port)]
    surroundings = {**os.environ, "THROUGHLINE_HOME": str(home), **environment}
    with subprocess.Popen([*command, *arguments], env=surroundings) as running:
        try:
            deadline = time.monotonic() + READY_S
            while not listens(port):
                assert time.monotonic() < deadline, "the sandbox did not start"
                assert running.poll() is None, "the sandbox ended"
                time.sleep(0.02)
            url = f"http://127.0.0.1:{port}"
            yield Org(httpx.AsyncClient(base_url=url, trust_env=False), home), running
        finally:
            running.kill()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
