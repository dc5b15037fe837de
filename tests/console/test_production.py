"""What is unsafe in a deployment is named, one a line; a safe one starts with nothing to say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from apis.cli import main
from tests.console.safe import Safe
from tests.house import House, port

ROWS = yaml.safe_load(Path("tests/console/unsafe.yaml").read_text())


@pytest.fixture
def safe(tmp_path: Path) -> Safe:
    return Safe(tmp_path)


def test_a_safe_deployment_has_nothing_to_say_and_starts(safe: Safe, tmp_path: Path) -> None:
    house = House(tmp_path / "logs", "", None)
    house.env = os.environ | safe.env | {"PORT": port(house.gateway), "THROUGHLINE_DRAIN": "0"}
    safe.but()

    assert house.says("check", "--production") == (0, "nothing is wrong\n")
    house.start("up", "up")
    try:
        house.answers("up", f"{house.gateway}/readyz")
        assert house.says("check", "--production") == (0, "nothing is wrong\n")
    finally:
        house.close()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["says"])
def test_one_unsafe_thing_is_named_with_its_place_and_remedy(safe: Safe, row: Any) -> None:
    for name, file in row.get("files", {}).items():
        safe.file(name, file.get("text", "{}"), int(file.get("mode", "600"), 8))
    for name in row.get("gone", ()):
        (safe.folder / name).unlink()

    kept_back, found = safe.but(row.get("policy"), row.get("metadata"), row.get("env"))

    said = [line for line in [*kept_back, *found] if row["says"] in line]
    assert len(said) == 1, [kept_back, found]
    assert (said[0] in kept_back) == row.get("start", False), kept_back
    if said[0] in found:
        assert kept_back == []
        assert len(said[0].partition(row["says"])[2]) > 8, f"no remedy: {said[0]}"


def test_a_home_that_others_can_look_into_is_named(safe: Safe) -> None:
    safe.home.chmod(0o755)

    told = f"{safe.home}: others can look into it: chmod 700 {safe.home}"
    assert safe.but() == ([], [told])


@pytest.mark.parametrize(
    "url", ["redis://:secret@redis:6379/0", "rediss://:secret@redis.example/0"]
)
def test_what_stays_in_the_network_of_containers_or_is_encrypted_is_safe(
    safe: Safe, url: str
) -> None:
    database = "postgresql://throughline:secret@postgres:9/throughline"
    _, found = safe.but(env={"THROUGHLINE_REDIS_URL": url, "THROUGHLINE_DATABASE_URL": database})

    assert not [line for line in found if "on the way" in line]


def test_every_wrong_variable_is_named_at_once_in_a_check_and_at_a_start(tmp_path: Path) -> None:
    env = {"THROUGHLINE_HOME": str(tmp_path / "home"), "THROUGHLINE_LEASE": "abc", "PORT": "70000"}

    check = CliRunner(env=env).invoke(main, ["check"])
    start = CliRunner(env=env).invoke(main, ["up"])

    told = [
        "environment: PORT: 70000 is no whole number from 1 to 65535",
        "environment: THROUGHLINE_LEASE: abc is no number above 0",
    ]
    assert (check.exit_code, check.stderr.splitlines()) == (1, told)
    assert (start.exit_code, start.stderr.removeprefix("Error: ").splitlines()) == (2, told)


def test_a_check_writes_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"

    answer = CliRunner(env={"THROUGHLINE_HOME": str(home)}).invoke(main, ["check"])

    assert (answer.exit_code, answer.stdout.strip()) == (0, "nothing is wrong")
    assert not home.exists()


def test_the_demo_is_not_for_production(tmp_path: Path) -> None:
    env = {"THROUGHLINE_HOME": str(tmp_path)}

    answer = CliRunner(env=env).invoke(main, ["check", "--production"])

    assert answer.exit_code == 1
    assert "clients.demo: a client of the demo" in answer.stderr
    assert "people.demo-person" in answer.stderr
    assert "connections.netsuite.url: 127.0.0.1:9103 is a sandbox" in answer.stderr
    assert answer.stdout.strip().endswith("found")
