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
from pathlib import Path

import httpx
import pytest

from apis.runtime.pids import alive

ROOT = Path(__file__).parents[2]
DEMO = [sys.executable, "-m", "apis.cli", "demo"]
PARTS = ("up", "sandbox-salesforce")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    ours = ("THROUGHLINE_", "SALESFORCE_")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return clean | {
        "THROUGHLINE_HOME": str(tmp_path / "home"),
        "PORT": str(free_port()),
        "SANDBOX_PORT": str(free_port()),
        "ONCE": "1",
    }


def run(env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        DEMO, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False
    )


def lines_of_log(env: dict[str, str]) -> list[dict[str, object]]:
    log = Path(env["THROUGHLINE_HOME"]) / "sandboxes" / "salesforce.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_a_deal_is_won_and_followed_and_nothing_is_done_twice(env: dict[str, str]) -> None:
    first = run(env)

    assert first.returncode == 0, first.stdout + first.stderr
    assert "What changed where" in first.stdout
    assert re.search(r"project key +done", first.stdout)
    written = sum(bool(line.get("committed")) for line in lines_of_log(env))

    second = run(env)

    assert second.returncode == 0, second.stdout + second.stderr
    assert "Already done" in second.stdout
    assert sum(bool(line.get("committed")) for line in lines_of_log(env)) == written
    another = run(env | {"DEAL": "new"})
    assert another.returncode == 0, another.stdout + another.stderr
    assert "ERP rollout 2" in another.stdout


def test_a_port_of_somebody_else_ends_with_2_and_says_what_to_do(env: dict[str, str]) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", int(env["PORT"])))
        held.listen()

        ended = run(env)

    assert ended.returncode == 2
    assert f"Port {env['PORT']} is held" in ended.stderr
    assert "PORT=" in ended.stderr


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
