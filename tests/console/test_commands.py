"""A command that cannot begin says why in a sentence and ends with 2; nothing is left behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def refused(home: Path, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A command that must not begin; no port or process of it stays noted."""
    given = {**os.environ, "THROUGHLINE_HOME": str(home), **env}
    done = subprocess.run(
        [sys.executable, "-m", "apis.cli", *command],
        env=given,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert list((home / "run").iterdir()) == []
    return done


def test_a_vendor_without_a_sandbox_is_told_which_have_one(tmp_path: Path) -> None:
    done = refused(tmp_path, "sandbox", "hubspot", "--port", "9")

    vendors = "kantata, netsuite, salesforce"
    assert done.stderr == f"Error: there is no sandbox of 'hubspot'; there is one of {vendors}\n"
    assert not (tmp_path / "sandboxes").exists()


def test_an_api_that_is_not_there_is_told_which_are(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])

    done = refused(tmp_path, "serve", "process/nosuch", "--port", port)

    assert "there is no api process/nosuch; gateway.yaml names system/salesforce, " in done.stderr
    assert not (tmp_path / "throughline.sqlite").exists()


@pytest.mark.parametrize("command", ["clients", "api-keys list", "gateway plan gateway.yaml"])
def test_a_database_no_gateway_has_seen_is_told(tmp_path: Path, command: str) -> None:
    (tmp_path / "run").mkdir()
    fresh = f"sqlite:///{tmp_path}/fresh.sqlite"

    done = refused(tmp_path, *command.split(), THROUGHLINE_DATABASE_URL=fresh)

    assert "no gateway has made its tables in this database yet: start it once" in done.stderr


@pytest.mark.parametrize("command", ["up", "serve process", "sandbox salesforce"])
def test_a_port_that_is_held_is_named(tmp_path: Path, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = str(held.getsockname()[1])
        done = refused(tmp_path, *command.split(), "--port", port)

    assert f"port {port} of 127.0.0.1 is held by another program" in done.stderr


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("THROUGHLINE_LOG", "LOUD", "LOUD is no log level: one of CRITICAL, "),
        ("THROUGHLINE_GATEWAY", "nosuch.yaml", "nosuch.yaml: No such file or directory"),
        ("PORT", "http", "environment: PORT: http is no whole number from 1 to 65535"),
    ],
)
def test_a_setting_that_cannot_be_used_is_told(
    tmp_path: Path, name: str, value: str, told: str
) -> None:
    (tmp_path / "run").mkdir()

    assert told in refused(tmp_path, "up", **{name: value}).stderr
