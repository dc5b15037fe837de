"""Every form proves the audit and takes a backup each night, with programs that are there."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from apis.runtime.migrations import lift
from apis.runtime.store import Store
from tests.deploy.files import CHORES, COMPOSE, DEPLOY, NIGHTLY, manifests, pods, units
from tests.servers import ROOT

pytestmark = pytest.mark.one_form
IMAGE = (DEPLOY / "Containerfile").read_text().rpartition("\nFROM ")[2]


def night(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The script, on a deployment in `folder`, as a timer starts it."""
    program = folder / "bin" / "throughline"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m apis.cli "$@"\n')
    program.chmod(0o755)
    home = folder / "home"
    if not home.exists():
        home.mkdir()
        store = Store(f"sqlite:///{home}/throughline.sqlite")
        lift(store)
        store.close()
    env = {"PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    env |= {"THROUGHLINE_HOME": str(home)}
    command = [str(NIGHTLY), str(folder / "backups"), *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False)


def taken(folder: Path) -> list[Path]:
    return sorted((folder / "backups").iterdir())


def test_a_night_leaves_a_backup_and_takes_the_old_ones_away(tmp_path: Path) -> None:
    for name in ("2026-01-01T000000Z", "mine", "lost+found"):
        (tmp_path / "backups" / name).mkdir(parents=True)
        os.utime(tmp_path / "backups" / name, (0, 0))

    done = night(tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    new, *others = taken(tmp_path)
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d{6}Z", new.name)
    assert new.name > "2026-01-01T000000Z"
    assert (new / "manifest.json").exists()
    assert {path.name for path in others} == {"mine", "lost+found"}
    database = sqlite3.connect(tmp_path / "home" / "throughline.sqlite")
    told = database.execute("select name, findings from runtime_chores order by name").fetchall()
    assert told == [("audit", 0), ("backup", 0)]


def test_an_audit_that_is_not_whole_fails_the_night_and_is_backed_up_all_the_same(
    tmp_path: Path,
) -> None:
    assert night(tmp_path).returncode == 0
    shutil.rmtree(tmp_path / "backups")
    database = sqlite3.connect(tmp_path / "home" / "throughline.sqlite")
    database.execute("drop table process_audit")
    database.commit()

    done = night(tmp_path)

    assert done.returncode == 1, done.stdout + done.stderr
    assert len(taken(tmp_path)) == 1
    findings = database.execute("select findings from runtime_chores where name = 'audit'")
    assert findings.fetchone()[0] > 0


def test_a_night_without_a_backup_fails_and_takes_no_old_one_away(tmp_path: Path) -> None:
    (tmp_path / "backups").write_text("not a folder")

    done = night(tmp_path)

    assert done.returncode == 2
    assert "backups" in done.stderr


def test_the_image_has_the_programs_of_the_servers_major() -> None:
    [major] = re.findall(r"postgres:(\d+)\.", COMPOSE["services"]["postgres"]["image"])

    assert f"postgresql-client-{major} " in IMAGE
    assert f"/usr/lib/postgresql/{major}/bin:" in IMAGE
    assert "deploy/nightly /usr/local/bin/nightly" in IMAGE


def test_every_form_has_a_place_for_backups_and_reaches_the_database() -> None:
    for name, service in CHORES.items():
        assert "backups:/backups" in service["volumes"], name
        assert "audit:/var/lib/throughline-audit" in service["volumes"], name
        assert service["networks"] == COMPOSE["services"]["postgres"]["networks"], name
    for name in ("backup", "restore"):
        [program] = pods()[name]["containers"]
        paths = {mount["mountPath"] for mount in program["volumeMounts"]}
        assert paths >= {"/backups", "/var/lib/throughline-audit"}, name
    unit = units()["throughline-backup.service"]
    assert unit["ReadWritePaths"] == [unit["ExecStart"][0].split()[1]]
    assert (DEPLOY / "systemd" / "throughline-backup.timer").exists()
    assert manifests("CronJob")["backup"]["spec"]["suspend"] is False
    assert CHORES["backup"]["entrypoint"] == ["nightly"]
    assert pods()["backup"]["containers"][0]["command"] == ["nightly", "/backups"]
