"""The sandboxes as processes of their own over TLS, and the clients pointed at them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import pytest
import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent
COMMAND = (str(ROOT / ".venv/bin/python"), "-m", "apis.runtime.sandbox")
READY_S = 30


class Sandbox(NamedTuple):
    """Where a sandbox listens, what it accepts and where its certificate authority is."""

    address: str
    credentials: dict[str, str]
    authority: str

    @property
    def url(self) -> str:
        return f"https://{self.address}"

    def back_door(self, method: str, path: str, value: Any = None) -> Any:
        answer = requests.request(
            method, f"{self.url}{path}", json=value, verify=self.authority, timeout=10
        )
        answer.raise_for_status()
        return answer.json()

    def meets(self, operation: str, fault: str, **more: Any) -> None:
        plan = [{"operation": operation, "fault": fault, **more}]
        self.back_door("PUT", "/__sandbox__/faults", plan)


class ToSandbox(HTTPAdapter):
    """Sends what is meant for Salesforce's hosts to the sandbox; nothing else is changed."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__()

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        parts = urlsplit(request.url)
        if (parts.hostname or "").endswith(".salesforce.com"):
            request.url = urlunsplit(parts._replace(netloc=self.address))
        return super().send(request, *args, **kwargs)


@contextmanager
def opened(vendor: str, home: Path) -> Iterator[Sandbox]:
    """A vendor's sandbox over TLS."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "THROUGHLINE_HOME": str(home)}
    environment.pop("THROUGHLINE_CLOCK", None)
    command = [*COMMAND, vendor, "--port", str(port), "--tls"]
    with subprocess.Popen(command, cwd=ROOT, env=environment) as running:
        wait_for(port, running)
        known = json.loads((home / "sandboxes/credentials.json").read_bytes())
        authority = str(home / "sandboxes/ca.pem")
        yield Sandbox(f"localhost:{port}", known[vendor], authority)
        running.terminate()


@pytest.fixture(scope="session")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with opened("salesforce", tmp_path_factory.mktemp("home")) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def netsuite_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with opened("netsuite", tmp_path_factory.mktemp("home")) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Node.js of this environment, and a folder with what is written in JavaScript."""
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json", "spectral.yaml"):
        shutil.copy(HERE / name, folder)
    for program in HERE.glob("*.mjs"):
        shutil.copy(program, folder)
    paths = [str(Path(sys.executable).parent), os.environ["PATH"]]
    environment = {**os.environ, "PATH": os.pathsep.join(paths)}
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
    subprocess.run(command, cwd=folder, env=environment, check=True, timeout=300)
    found = shutil.which("node", path=environment["PATH"])
    assert found
    return found, folder


def wait_for(port: int, running: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and running.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the sandbox did not start")


@pytest.fixture
def sandbox(process: Sandbox) -> Sandbox:
    process.back_door("POST", "/__sandbox__/reset")
    return process


@pytest.fixture
def session(sandbox: Sandbox) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        session.verify = sandbox.authority
        session.mount("https://", ToSandbox(sandbox.address))
        yield session


@pytest.fixture
def login(sandbox: Sandbox, session: requests.Session) -> Callable[..., Salesforce]:
    def log_in(**changed: Any) -> Salesforce:
        given = {
            "consumer_key": sandbox.credentials["client_id"],
            "consumer_secret": sandbox.credentials["client_secret"],
            "domain": "throughline.my",
            "version": "62.0",
            "session": session,
        }
        return Salesforce(**{**given, **changed})

    return log_in


@pytest.fixture
def salesforce(login: Callable[..., Salesforce]) -> Salesforce:
    return login()


@pytest.fixture
def won_deal(sandbox: Sandbox, salesforce: Salesforce) -> str:
    """The id of a won deal with its customer, contact and lines."""
    [call] = sandbox.back_door("GET", "/__sandbox__/examples/won-deal")
    path = call["path"].partition("v62.0/")[2]
    answer = salesforce.restful(path, method="POST", data=json.dumps(call["body"]))
    made = {part["referenceId"]: part for part in answer["compositeResponse"]}
    assert {part["httpStatusCode"] for part in made.values()} == {201}
    return made["deal"]["body"]["id"]
