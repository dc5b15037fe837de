"""The product and its sandboxes as processes, as a benchmark starts, drives and reads them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import sqlalchemy as sa

from apis.runtime.store import engine_for
from tests.house import VENDORS, urls
from tests.servers import free_port, temporary_folder

TICKS = os.sysconf("SC_CLK_TCK")
READY_S = 60.0
SETTLED_S = 1.5  # after it is ready: the feed has read once, and leads are taken
DONE_S = 120.0
LOOK_S, LOOK_CLOSELY_S = 0.05, 0.005
"""Each look is a query: a burst of seconds must not be slowed by who waits for its end."""
LATENCY_MS = 20
SHARED = ("Nordlicht", "Elbtal")
TAX_ID = re.compile(r'"TL_Tax_Id__c": ?"(\w+)"')
PRICE = "10"  # a unit: below every approval limit
RUNS = "/process/deal-to-project/v1/runs"
ENDED = "select count(*) from {} where state in ('done', 'failed', 'abandoned', 'waiting')"


@contextmanager
def process(command: list[str], env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[str]]:
    """One of our programs until the end of the block."""
    with log.open("w") as file:
        started = subprocess.Popen(
            [sys.executable, *command], env=os.environ | env, stderr=file,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(30)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def wait_for(url: str, started: subprocess.Popen[str], log: Path) -> float:
    """Seconds until the url answers 200."""
    began = time.monotonic()
    with httpx.Client(trust_env=False) as http:
        while time.monotonic() - began < READY_S:
            if started.poll() is not None:
                raise RuntimeError(f"ended at once:\n{log.read_text()[-2000:]}")
            try:
                if http.get(url, timeout=1).status_code == httpx.codes.OK:
                    return time.monotonic() - began
            except httpx.HTTPError:
                pass
            time.sleep(0.005)
    raise RuntimeError(f"{url} is not ready:\n{log.read_text()[-2000:]}")


def cpu_s(pid: int) -> float:
    """User and system seconds of a process so far, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


class Sandboxes:
    """Those of all vendors; deals are won in Salesforce's through its own API."""

    def __init__(self, home: Path, ports: dict[str, int], pids: dict[str, int]) -> None:
        self.pids = pids
        self.urls = {vendor: f"http://127.0.0.1:{port}" for vendor, port in ports.items()}
        self.http = httpx.Client(base_url=self.urls["salesforce"], trust_env=False, timeout=30)
        known = json.loads((home / "sandboxes" / "credentials.json").read_text())["salesforce"]
        form = {name: known[name] for name in ("client_id", "client_secret")}
        answer = self.http.post(
            "/services/oauth2/token", data={"grant_type": "client_credentials", **form}
        )
        self.http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        self._made = 0

    def cpu_s(self) -> float:
        """CPU seconds of all of them so far."""
        return sum(cpu_s(pid) for pid in self.pids.values())

    def latency(self, ms: int) -> None:
        """How long each vendor's calls take before they are answered."""
        for url in self.urls.values():
            self.http.put(f"{url}/__sandbox__/latency", json={"ms": ms}).raise_for_status()

    def win(self, count: int) -> list[dict[str, str]]:
        """As many new deals of new customers: ids of deal and account, and who the customer is."""
        self.latency(0)
        won = []
        for _ in range(count):
            self._made += 1
            asked = {"n": self._made, "price": PRICE}
            text = self.http.get("/__sandbox__/examples/won-deal", params=asked).text
            # the example's firms share two names: the flow would look ever more of them over
            word = f"Kunde{self._made:05}"
            for name in SHARED:
                text = text.replace(name, word)
            for call in json.loads(text):
                answer = self.http.request(call["method"], call["path"], json=call["body"])
                made = {
                    part["referenceId"]: part["body"] for part in answer.json()["compositeResponse"]
                }
            tax_id = next(TAX_ID.finditer(text))[1]
            ids = {name: made[name]["id"] for name in ("deal", "account")}
            won.append({**ids, "word": word, "tax_id": tax_id})
        self.latency(LATENCY_MS)
        return won


@contextmanager
def sandboxes(home: Path) -> Iterator[Sandboxes]:
    """The sandbox of each vendor on a free port."""
    ports = {vendor: free_port() for vendor in VENDORS}
    with ExitStack() as stack:
        started = {}
        for vendor, port in ports.items():
            command = ["-m", "apis.cli", "sandbox", vendor, "--port", str(port)]
            env, log = {"THROUGHLINE_HOME": str(home)}, home / f"sandbox-{vendor}.log"
            started[vendor] = stack.enter_context(process(command, env, log)), log
        for vendor, (child, log) in started.items():
            wait_for(f"http://127.0.0.1:{ports[vendor]}/__clock__", child, log)
        yield Sandboxes(home, ports, {vendor: child.pid for vendor, (child, _) in started.items()})


class Product:
    """`throughline up`, asked through its gateway."""

    def __init__(
        self, home: Path, port: int, pid: int, ready_s: tuple[float, float], database: str
    ) -> None:
        self.pid, self.database = pid, database
        self.ready_s, self.ready_cpu_s = ready_s
        self.url = f"http://127.0.0.1:{port}"
        secret = json.loads((home / "clients.json").read_text())["demo"]["client_secret"]
        answer = httpx.post(
            f"{self.url}/oauth/token", data={"grant_type": "client_credentials"},
            auth=("demo", secret), trust_env=False,
        )  # fmt: skip
        self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        self._engine = engine_for(database, pool=1).execution_options(reading=True)

    def client(self) -> httpx.AsyncClient:
        """A client of the gateway."""
        return httpx.AsyncClient(
            base_url=self.url, headers=self.headers, trust_env=False, timeout=60
        )

    def ended(self) -> int:
        """How many runs went as far as they go."""
        name = "process.runs" if self.database.startswith("postgres") else "process_runs"
        with self._engine.connect() as connection:
            return int(connection.execute(sa.text(ENDED.format(name))).scalar_one())

    async def until(self, count: int, look_s: float = LOOK_S) -> float:
        """The moment at which so many runs had ended."""
        end = time.monotonic() + DONE_S
        while time.monotonic() < end:
            if self.ended() >= count:
                return time.perf_counter()
            await asyncio.sleep(look_s)
        raise RuntimeError(f"only {self.ended()} of {count} runs ended")

    async def start(self, http: httpx.AsyncClient, deal: str) -> tuple[str, float]:
        """Start a run; its id, and the moment of the 202."""
        asked = {"deal": {"system": "salesforce", "external_id": deal}}
        answer = await http.post(RUNS, json=asked)
        if answer.status_code != httpx.codes.ACCEPTED:
            raise RuntimeError(f"{answer.status_code}: {answer.text}")
        return answer.json()["id"], time.perf_counter()

    async def alone(self, deal: str) -> dict[str, Any]:
        """One run from its start to its end; `took_ms` is the time from the 202."""
        async with self.client() as http:
            count = self.ended()
            run_id, accepted = await self.start(http, deal)
            ended = await self.until(count + 1, LOOK_CLOSELY_S)
            return await self.run(http, run_id) | {"took_ms": (ended - accepted) * 1e3}

    async def run(self, http: httpx.AsyncClient, run_id: str) -> dict[str, Any]:
        """The run as people see it; an error if it is not done."""
        found: dict[str, Any] = (await http.get(f"{RUNS}/{run_id}")).json()
        if found["state"] != "done":
            raise RuntimeError(f"{run_id} is {found['state']}: {found}")
        return found


@contextmanager
def up(home: Path, vendors: Mapping[str, str], database: str | None = None) -> Iterator[Product]:
    """`throughline up` on a free port; its feed reads once, at the start."""
    port, log = free_port(), home / "up.log"
    url = database or f"sqlite:///{home}/throughline.sqlite"
    env = {
        "THROUGHLINE_HOME": str(home),
        "THROUGHLINE_ENV": "test",
        "THROUGHLINE_DATABASE_URL": url,
        "THROUGHLINE_LOG": "WARNING",
        "THROUGHLINE_FEED_EVERY": "3600",
        "PORT": str(port),
    } | urls(vendors)
    with process(["-m", "apis.cli", "up"], env, log) as started:
        ready_s = wait_for(f"http://127.0.0.1:{port}/readyz", started, log)
        ready_cpu_s = cpu_s(started.pid)
        time.sleep(SETTLED_S)
        yield Product(home, port, started.pid, (ready_s, ready_cpu_s), url)


@contextmanager
def home() -> Iterator[Path]:
    """An empty $THROUGHLINE_HOME."""
    with temporary_folder() as folder:
        yield folder


def reachable(url: str) -> bool:
    """Whether a PostgreSQL answers."""
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
