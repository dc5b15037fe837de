"""The demo as a stranger runs it, with processes of its own."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from apis.console.sandboxes import elsewhere, wanted
from apis.runtime.metadata import Metadata
from apis.runtime.pids import alive
from tests.servers import free_port

ROOT = Path(__file__).parents[2]
SAMPLE = Metadata.load(ROOT / "apis" / "entities.yaml")
DEMO = [sys.executable, "-m", "apis.cli", "demo"]
SYSTEMS = ("salesforce", "kantata", "netsuite")
TITLES = ("Salesforce", "Kantata", "NetSuite", "Throughline")
PARTS = ("up", *(f"sandbox-{system}" for system in SYSTEMS))


def free_ports() -> tuple[int, int]:
    """A free port, and the first of three others in a row."""
    while True:
        port, first = free_port(), free_port()
        with ExitStack() as probes:
            try:
                for each in (port, first, first + 1, first + 2):
                    probes.enter_context(socket.socket()).bind(("127.0.0.1", each))
            except OSError:
                continue
        return port, first


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    ours = ("THROUGHLINE_", *(f"{system.upper()}_" for system in SYSTEMS))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    port, first = free_ports()
    return clean | {
        "THROUGHLINE_HOME": str(tmp_path / "home"),
        "PORT": str(port),
        "SANDBOX_PORT": str(first),
        "ONCE": "1",
    }


def run(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        DEMO, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False
    )


def lines_of_logs(env: dict[str, str]) -> list[dict[str, object]]:
    folder = Path(env["THROUGHLINE_HOME"]) / "sandboxes"
    logs = [(folder / f"{system}.jsonl").read_text() for system in SYSTEMS]
    return [json.loads(line) for log in logs for line in log.splitlines()]


def vendor_calls(told: str) -> dict[str, int]:
    """How many calls the demo says it made at each system."""
    [line] = re.findall(r"^  vendor calls: (.*)$", told, re.MULTILINE)
    return {name: int(count) for name, count in (each.split() for each in line.split(", "))}


def test_a_deal_is_won_and_followed_and_nothing_is_done_twice(env: dict[str, str]) -> None:
    first = run(env)

    assert first.returncode == 0, first.stdout + first.stderr
    assert "What changed where" in first.stdout
    assert re.search(r"project key +done", first.stdout)
    assert re.search(r"Salesforce +customer +001\w+ +- +Elbtal 1 GmbH", first.stdout)
    assert re.search(r"contract +\w+ +42,800.00 EUR +ERP rollout 1", first.stdout)
    assert all(re.search(rf"^  {title} ", first.stdout, re.MULTILINE) for title in TITLES)
    assert [*vendor_calls(first.stdout)] == [*SYSTEMS]
    assert vendor_calls(first.stdout)["salesforce"] <= 3
    written = sum(bool(line.get("committed")) for line in lines_of_logs(env))

    second = run(env)

    assert second.returncode == 0, second.stdout + second.stderr
    assert "Already done" in second.stdout
    assert sum(bool(line.get("committed")) for line in lines_of_logs(env)) == written
    assert vendor_calls(second.stdout) == vendor_calls(first.stdout)
    another = run(env | {"DEAL": "new"})
    assert another.returncode == 0, another.stdout + another.stderr
    assert "ERP rollout 2" in another.stdout


@pytest.mark.parametrize(
    ("variable", "further", "needs"),
    [("PORT", 0, "Throughline"), ("SANDBOX_PORT", 2, "NetSuite sandbox")],
)
def test_a_port_of_somebody_else_ends_with_2_and_says_what_to_do(
    env: dict[str, str], variable: str, further: int, needs: str
) -> None:
    port = int(env[variable]) + further
    with socket.socket() as held:
        held.bind(("127.0.0.1", port))
        held.listen()

        ended = run(env)

    assert ended.returncode == 2
    assert f"Port {port} is held by another program; {needs} needs it" in ended.stderr
    assert f" {variable}=" in ended.stderr
    assert not ended.stdout


@pytest.mark.parametrize("variable", ["PORT", "SANDBOX_PORT"])
def test_what_is_no_port_ends_with_2_and_says_so(env: dict[str, str], variable: str) -> None:
    ended = run(env | {variable: "abc"})

    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"{variable}=abc is no port: choose one from 1 to 65535" in ended.stderr


def test_a_system_that_is_elsewhere_has_no_sandbox(env: dict[str, str]) -> None:
    real = "https://30000.suitetalk.api.netsuite.com"
    named = {"NETSUITE_URL": real, "SALESFORCE_URL": "http://localhost:9101"}

    found = wanted(SAMPLE, env | named, ROOT, 9101)

    assert [(each.vendor, each.part.port) for each in found] == [
        ("salesforce", 9101),
        ("kantata", 9102),
    ]
    assert found[1].variables == {"KANTATA_URL", "KANTATA_LOGIN_URL"}
    assert elsewhere(SAMPLE, env | named, ROOT) == {"netsuite": real}


def test_the_deal_is_never_won_in_a_real_org(env: dict[str, str]) -> None:
    ended = run(env | {"SALESFORCE_URL": "https://northline.my.salesforce.com"})

    assert ended.returncode == 1
    assert "not at https://northline.my.salesforce.com" in ended.stderr
    assert not (Path(env["THROUGHLINE_HOME"]) / "sandboxes").exists()


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 0), (signal.SIGKILL, -signal.SIGKILL)])
def test_it_stays_up_with_a_curl_that_works_and_leaves_no_orphan(
    env: dict[str, str], sent: signal.Signals, code: int
) -> None:
    home = Path(env["THROUGHLINE_HOME"])
    demo = subprocess.Popen(
        DEMO, cwd=ROOT, env=env | {"ONCE": ""}, stdout=subprocess.PIPE, text=True
    )
    assert demo.stdout is not None
    told = ""
    while "stays up" not in told:
        line = demo.stdout.readline()
        assert line, told
        told += line
    words = shlex.split(next(line for line in told.splitlines() if line.startswith("curl")))
    name, _, value = words[4].partition(": ")
    pids = [int((home / "run" / f"{part}.pid").read_text()) for part in PARTS]

    answer = httpx.get(words[2], headers={name: value}, trust_env=False)
    again = run(env)
    demo.send_signal(sent)

    assert answer.json()["state"] == "done"
    assert again.returncode == 0
    assert again.stdout.count("is running already") == len(PARTS)
    assert demo.wait(30) == code
    demo.stdout.close()
    for pid in pids:
        gone(pid)


def gone(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    path = Path("/proc") / str(pid)
    with subprocess.Popen(["tail", f"--pid={pid}", "-f", os.devnull]) as waiting:
        try:
            waiting.wait(30)
        finally:
            waiting.kill()
    assert not path.exists()


def test_a_pid_file_of_a_dead_process_means_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    (tmp_path / "up.pid").write_text(str(ended.pid))

    assert not alive(tmp_path / "up.pid")
    assert not alive(tmp_path / "none.pid")
