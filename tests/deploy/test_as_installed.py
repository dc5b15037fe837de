"""The programs of the compose file, started as its containers are: from the wheel alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.files import DEPLOY, PROGRAMS
from tests.house import House, port
from tests.servers import (
    ROOT,
    Servers,
    drop_database,
    flush,
    free_port,
    fresh_database,
    open_to_all,
    temporary_folder,
    unprivileged,
)

SCOPES = ["catalog.read", "projects.read"]


class Installed(House):
    """A folder for each thing that a container mounts, and the wheel unpacked: no source tree."""

    def __init__(self, folder: Path, database_url: str, redis_url: str) -> None:
        super().__init__(folder / "home", database_url, redis_url)
        self.root = folder
        self.folder = folder / "cwd"
        for name in ("cwd", "config", "heads", "home"):
            (folder / name).mkdir()
        unpacked(folder)
        subprocess.run([DEPLOY / "make-secrets", folder / "secrets"], check=True)
        for name, value in (("database_url", database_url), ("redis_url", redis_url)):
            (folder / "secrets" / name).write_text(value)
        for path in (folder / "secrets" / "a-client", folder / "secrets" / "vendors"):
            path.touch(0o600)
            path.write_text("a secret of the tests, long enough")
        self._configure()
        self.places = {name: free_port() for name in ("8080", "8101", "8102", "8103")}
        self.gateway = f"http://127.0.0.1:{self.places['8080']}"

    def _configure(self) -> None:
        policy = yaml.safe_load((ROOT / "gateway.yaml").read_text())
        policy |= {"people": {}, "portal": None}
        policy["signing"] = f"file:{self.root}/secrets/signing_keys"
        policy["clients"] = {
            "reports": {
                "plan": "internal",
                "secret": f"file:{self.root}/secrets/a-client",
                "scopes": SCOPES,
            }
        }
        (self.root / "config" / "gateway.yaml").write_text(yaml.safe_dump(policy))
        shutil.copy(ROOT / "apis" / "entities.yaml", self.root / "config")

    def here(self, text: str) -> str:
        """A value of the compose file where paths and hosts are those of this test."""
        for there, mine in (
            ("/run/secrets", "secrets"),
            ("/var/lib/throughline-audit", "heads"),
            ("/var/lib/throughline", "home"),
            ("/etc/throughline", "config"),
        ):
            text = text.replace(there, str(self.root / mine))
        text = re.sub(r"http://(system|process|experience):", "http://127.0.0.1:", text)
        return re.sub(r"\b(8080|810[123])\b", lambda hit: str(self.places[hit.group()]), text)

    def starts(self, name: str, part: str) -> None:
        """One container of a service."""
        service: dict[str, Any] = PROGRAMS[name]
        image = dict(re.findall(r"(THROUGHLINE_\w+)=(\S+)", (DEPLOY / "Containerfile").read_text()))
        told = {
            key: self.here(str(value)) for key, value in (image | service["environment"]).items()
        }
        told |= {"THROUGHLINE_ISSUER": self.gateway, "THROUGHLINE_HOST": "127.0.0.1"}
        told |= {
            "THROUGHLINE_METRICS_PORT": str(free_port()),
            "THROUGHLINE_DRAIN": "0",
            "PORT": str(self.places["8080"]),
            "THROUGHLINE_HOME": str(self.root / "home" / part),
            "PYTHONPATH": str(self.root / "site"),
            "PATH": os.environ["PATH"],
        }
        command = [self.here(str(word)) for word in service["command"]]
        user: dict[str, Any] = {}
        if not os.geteuid() and open_to_all(Path(sys.executable).resolve()):
            user = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        with (self.root / f"{part}.log").open("wb") as log:
            self.processes[part] = subprocess.Popen(
                [sys.executable, "-P", "-m", "apis.cli", *command],
                env=told,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                **user,
            )

    def told(self, part: str) -> str:
        """The end of a process's log."""
        return (self.root / f"{part}.log").read_text()[-3000:]


def unpacked(folder: Path) -> None:
    """Our wheel as pip installs it, in `site`."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(folder / "dist"), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    [wheel] = (folder / "dist").glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")


@pytest.fixture
def installed(production: Servers) -> Iterator[Installed]:
    url = fresh_database(production.database_url)
    redis = production.redis_url.rpartition("/")[0] + "/4"
    flush(redis)
    with temporary_folder() as folder:
        installed = Installed(folder, url, redis)
        owner = unprivileged(folder)
        for path in folder.rglob("*") if owner else ():
            os.chown(path, owner["user"], owner["group"])
        try:
            yield installed
        finally:
            installed.close()
            drop_database(production.database_url, url)


@pytest.mark.several_hosts
def test_the_wheel_serves_a_call_with_the_settings_of_the_compose_file(
    installed: Installed,
) -> None:
    for name in ("system", "process", "experience", "gateway"):
        installed.starts(name, name)
    for number in (1, 2):
        installed.starts("worker", f"worker-{number}")
    installed.answers("gateway", f"{installed.gateway}/readyz")

    secret = (installed.root / "secrets" / "a-client").read_text()
    asked = {"grant_type": "client_credentials", "scope": " ".join(SCOPES)}
    url = f"{installed.gateway}/oauth/token"
    given = installed.http.post(url, data=asked, auth=("reports", secret)).raise_for_status().json()
    headers = {"Authorization": f"Bearer {given['access_token']}"}
    projects = installed.http.get(
        f"{installed.gateway}/experience/delivery/v1/projects", headers=headers
    )

    assert projects.status_code == 200
    assert projects.json() == {"items": [], "next": None}
    workers = [installed.processes[f"worker-{number}"] for number in (1, 2)]
    assert [process.poll() for process in workers] == [None, None]
    assert port(installed.gateway) == str(installed.places["8080"])
    installed.answers("worker-1", f"{installed.gateway}/healthz")


@pytest.mark.one_form
def test_the_portal_of_the_wheel_tells_changes_and_has_the_document_of_events(
    tmp_path: Path,
) -> None:
    unpacked(tmp_path)
    asks = (
        "from apis.portal.changelog import read_changes\n"
        "from apis.portal.events_page import FILE\n"
        "print('process/work-queue v1' in read_changes(), FILE.is_file())"
    )

    told = subprocess.run(
        [sys.executable, "-P", "-c", asks],
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": os.environ["PATH"]},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout == "True True\n"
