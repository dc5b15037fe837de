"""The processes of one deployment, started as an operator starts them and stopped by SIGTERM."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.forked import Forked, Running, says
from tests.servers import ROOT, Servers, drop_database, flush, free_port, fresh_database

READY_S = 60.0
STOP_S = 20.0
VENDORS = ("salesforce", "kantata", "netsuite")
SYSTEM = "system/salesforce"
TIERS = ("system", "process", "experience")


class House:
    """The sandboxes and a deployment beside them: one process, or one per system API and tier."""

    def __init__(self, home: Path, database_url: str, redis_url: str | None, **env: str) -> None:
        self.home = home
        self.database_url, self.redis_url = database_url, redis_url
        self.http = httpx.Client(trust_env=False, timeout=30)
        self.processes: dict[str, Running] = {}
        self.commands: dict[str, tuple[str, ...]] = {}
        self.folder = ROOT
        self.sandboxes = {vendor: address(free_port()) for vendor in VENDORS}
        self.clock = f"{self.sandboxes[VENDORS[0]]}/__clock__"
        self.gateway = address(free_port())
        apis = (*(f"system/{vendor}" for vendor in VENDORS), "process", "experience")
        self.tiers = {api: address(free_port()) for api in apis}
        named = {
            "THROUGHLINE_HOME": str(home),
            "THROUGHLINE_DATABASE_URL": database_url,
            "THROUGHLINE_REDIS_URL": redis_url or "",
            "THROUGHLINE_ENV": "test",
            "THROUGHLINE_CLOCK": self.clock,
            "THROUGHLINE_FEED_EVERY": "0.4",
            "THROUGHLINE_LOG": "WARNING",
            "THROUGHLINE_QUEUE_EVERY": "0.2" if redis_url else "0.05",
            "PORT": port(self.gateway),
        }
        self.env = os.environ | named | urls(self.sandboxes) | env

    def opens_sandboxes(self) -> None:
        """The vendors' side, all at once; the first keeps the clock that all others follow."""
        for vendor, url in self.sandboxes.items():
            clock = {"THROUGHLINE_CLOCK": ""} if url in self.clock else {}
            command = ("sandbox", vendor, "--port", port(url))
            self.start(f"sandbox-{vendor}", *command, **clock)
        for vendor, url in self.sandboxes.items():
            self.answers(f"sandbox-{vendor}", f"{url}/__clock__")

    def opens_in_one_process(self) -> None:
        """`throughline up`."""
        self.start("up", "up")
        self.answers("up", f"{self.gateway}/readyz")

    def opens_split(self, *workers: str) -> None:
        """Gateway, process tier and each system API as a process, and as many workers as named."""
        peers = ",".join(f"{api}={url}" for api, url in self.tiers.items())
        self.env["THROUGHLINE_PEERS"] = peers
        for api, url in self.tiers.items():
            more = ("--worker",) if api == "process" else ()
            part = api.replace("/", "-")
            self.start(part, "serve", api, "--port", port(url), *more)
        self.start("gateway", "serve", "gateway")
        for name in workers:
            self.start(f"worker-{name}", "worker", "--name", name)
        for api, url in self.tiers.items():
            self.answers(api.replace("/", "-"), f"{url}/nowhere", status=404)
        self.answers("gateway", f"{self.gateway}/readyz")

    def start(self, part: str, *command: str, **env: str) -> None:
        """One process; what it says goes to `logs/<part>.log`."""
        folder = self.home / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        self.commands[part] = command
        path = folder / f"{part}.log"
        if self.folder == ROOT:
            self.processes[part] = Forked(command, self.env | env, ROOT, path, path)
            return
        with path.open("ab") as log:  # of another tree, which is not the one that is imported
            self.processes[part] = subprocess.Popen(
                [sys.executable, "-m", "apis.cli", *command],
                env=self.env | env,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def dies(self) -> None:
        """Every process but the sandboxes is killed, and started again as it was."""
        ours = [part for part in self.processes if not part.startswith("sandbox-")]
        for part in ours:
            process = self.processes.pop(part)
            process.kill()
            process.wait()
        for part in ours:
            self.start(part, *self.commands[part])
        for part in {"up", "gateway"} & set(ours):
            self.answers(part, f"{self.gateway}/readyz")

    def says(self, *command: str, **env: str) -> tuple[int, str]:
        """Exit code and words of a command that ends by itself."""
        told = says(command, self.env | env, ROOT, READY_S)
        return told.returncode, told.stdout + told.stderr

    def answers(self, part: str, url: str, status: int = 200) -> None:
        """Wait for a process's first good answer."""
        end = time.monotonic() + READY_S
        while time.monotonic() < end and self.processes[part].poll() is None:
            try:
                if self.http.get(url).status_code == status:
                    return
            except httpx.HTTPError:
                pass  # it does not listen yet
            time.sleep(0.05)
        raise AssertionError(f"{part} is not ready: {self.told(part)}")

    def told(self, part: str) -> str:
        """The end of a process's log."""
        return (self.home / "logs" / f"{part}.log").read_text()[-3000:]

    def pid_file(self, part: str) -> Path:
        """Where a process says who it is."""
        return self.home / "run" / f"{part}.pid"

    def stop(self, part: str) -> int:
        """Ask a process to end, and wait for it; its exit code."""
        process = self.processes.pop(part)
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def close(self) -> None:
        """Stop everything, the sandboxes last."""
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        for part in reversed(list(self.processes)):
            self.stop(part)
        self.http.close()


@contextmanager
def opened(home: Path, production: Servers | None, **env: str) -> Iterator[House]:
    """`throughline up` on SQLite; in production form a process per tier on PostgreSQL and Redis."""
    if production is None:
        house = House(home, f"sqlite:///{home}/throughline.sqlite", None, **env)
    else:
        flush(production.redis_url)
        url = fresh_database(production.database_url)
        house = House(home, url, production.redis_url, **env)
    try:
        house.opens_sandboxes()
        if production is None:
            house.opens_in_one_process()
        else:
            house.opens_split("2")
        yield house
    finally:
        house.close()
        if production is not None:
            drop_database(production.database_url, house.database_url)


@contextmanager
def gateways_alone(home: Path, production: Servers | None, **env: str) -> Iterator[House]:
    """A home without processes, whose gateways may be several in production form."""
    url, redis = f"sqlite:///{home}/throughline.sqlite", None
    if production is not None:
        url = fresh_database(production.database_url)
        redis = production.redis_url.rpartition("/")[0] + "/2"
        flush(redis)
    house = House(home, url, redis, THROUGHLINE_CLOCK="", THROUGHLINE_LOG="INFO", **env)
    away = address(free_port())
    house.env["THROUGHLINE_PEERS"] = ",".join(f"{tier}={away}" for tier in TIERS)
    try:
        yield house
    finally:
        house.close()
        if production is not None:
            drop_database(production.database_url, url)


def urls(sandboxes: Mapping[str, str]) -> dict[str, str]:
    """The variables that point the sample connections at their sandboxes."""
    names = ("URL", "LOGIN_URL")
    return {f"{vendor.upper()}_{name}": url for vendor, url in sandboxes.items() for name in names}


def address(free: int) -> str:
    """A loopback address."""
    return f"http://127.0.0.1:{free}"


def port(url: str) -> str:
    """The port of an address."""
    return url.rpartition(":")[2]
