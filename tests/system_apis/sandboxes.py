"""A vendor's sandbox for tests, in this process or in its own, and its back door."""

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
from tests.servers import free_port

URL = "http://sandbox"
READY_S = 30


class BackDoor:
    """What every sandbox offers to tests, whichever vendor it imitates."""

    vendor: str

    def __init__(self, http: httpx.AsyncClient, home: Path) -> None:
        self.http, self.folder = http, home / "sandboxes"

    @property
    def credentials(self) -> dict[str, str]:
        known = json.loads((self.folder / "credentials.json").read_bytes())
        return dict(known[self.vendor])

    @property
    def log(self) -> list[dict[str, Any]]:
        text = (self.folder / f"{self.vendor}.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def signed_in(self, answer: httpx.Response) -> httpx.Response:
        """The answer of a token endpoint; its token is sent from now on."""
        if answer.is_success:
            self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return answer

    async def state(self) -> dict[str, list[dict[str, Any]]]:
        return dict((await self.http.get("/__sandbox__/state")).json())

    async def meets(self, operation: str, fault: str, **more: Any) -> None:
        plan = [{"operation": operation, "fault": fault, **more}]
        answer = await self.http.put("/__sandbox__/faults", json=plan)
        assert answer.status_code == 200, answer.text

    async def sets(self, **settings: Any) -> None:
        await self.http.put("/__sandbox__/settings", json=settings)

    async def slow(self, ms: int) -> None:
        await self.http.put("/__sandbox__/latency", json={"ms": ms})

    async def waits(self, seconds: float) -> None:
        await self.http.put("/__clock__", json={"advance_s": seconds})


@asynccontextmanager
async def reached(vendor: str, home: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the sandbox of this home."""
    sandbox = make_sandbox(vendor, home)
    transport = httpx.ASGITransport(app=sandbox)
    async with httpx.AsyncClient(transport=transport, base_url=URL) as http:
        yield http
    sandbox.close()


@contextmanager
def running(
    vendor: str, home: Path, *arguments: str, **environment: str
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The sandbox as the process it is in life: its address, and the process."""
    port = free_port()
    command = [sys.executable, "-m", "apis.runtime.sandbox", vendor, "--port", str(port)]
    surroundings = {**os.environ, "THROUGHLINE_HOME": str(home), **environment}
    with subprocess.Popen([*command, *arguments], env=surroundings) as process:
        try:
            deadline = time.monotonic() + READY_S
            while not listens(port):
                assert time.monotonic() < deadline, "the sandbox did not start"
                assert process.poll() is None, "the sandbox ended"
                time.sleep(0.02)
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.kill()


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
