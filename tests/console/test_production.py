"""What is unsafe in a deployment is named, one a line; a safe one has nothing to say."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner

from apis.cli import main
from apis.console.checking import findings
from apis.console.production import unsafe
from apis.runtime.clock import Clock
from apis.runtime.settings import Settings
from apis.runtime.typed_yaml import plain_yaml

ROWS = yaml.safe_load(Path("tests/console/unsafe.yaml").read_text())
Edits = dict[str, Any]
yaml.SafeDumper.add_representer(Decimal, lambda out, value: out.represent_float(float(value)))


def read(name: str) -> Any:
    """A file of ours as its members, without its lines."""
    plain = plain_yaml(name, Path(name).read_text())[0]
    return msgspec.to_builtins(plain, builtin_types=(Decimal,))


class Safe:
    """A deployment nobody need worry about: SQLite, one process, TLS, vendors' own addresses."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(mode=0o700)
        (folder / "heads").mkdir()
        self.policy = read("gateway.yaml")
        del self.policy["portal"]
        self.policy |= {"people": {}, "listeners": {"all": self._listener()}}
        self.policy["plans"] = {"internal": {"rate": "6000/min"}}
        self.policy["clients"] = {
            "reports": {
                "plan": "internal",
                "secret": f"file:{self._secret('reports')}",
                "scopes": ["catalog.read"],
                "roles": sorted(self._roles(self.policy)),
                "owner": "reporting",
                "until": "2099-06-30",
            }
        }
        self.metadata = read("apis/entities.yaml")
        for name, each in self.metadata["connections"].items():
            each["url"] = f"https://{name}.example"
            each["auth"]["credentials"] = f"file:{self._secret(name)}"
            if "login_url" in each:
                each["login_url"] = f"https://login.{name}.example"
        self.env = {
            "THROUGHLINE_HOME": str(self.home),
            "THROUGHLINE_ISSUER": "https://api.example",
            "THROUGHLINE_RECORDS_KEY": f"file:{self._secret('records')}",
            "THROUGHLINE_AUDIT_HEADS": str(folder / "heads"),
            "THROUGHLINE_GATEWAY": str(folder / "gateway.yaml"),
            "THROUGHLINE_ENTITIES": str(folder / "entities.yaml"),
        }

    def _secret(self, name: str) -> Path:
        path = self.folder / f"{name}.secret"
        path.touch(0o600)
        path.write_text("{}")
        return path

    def _listener(self) -> dict[str, Any]:
        return {
            "host": "0.0.0.0",  # noqa: S104 - with a certificate
            "port": 8443,
            "certificate": "file:/etc/tls/api.pem",
            "key": "file:/etc/tls/api.key",
        }

    def _roles(self, policy: dict[str, Any]) -> set[str]:
        return {role for each in policy["clients"].values() for role in each.get("roles", ())}

    def but(self, policy: Edits, metadata: Edits, env: Edits) -> list[str]:
        """What is said of it when some members and variables are others."""
        edited(self.policy, policy)
        edited(self.metadata, metadata)
        edited(self.env, env, dotted=False)
        (self.folder / "gateway.yaml").write_text(yaml.safe_dump(self.policy))
        (self.folder / "entities.yaml").write_text(yaml.safe_dump(self.metadata))
        return unsafe(Settings.from_env(self.env), self.env, Clock().now().date())


def edited(into: Any, edits: Edits, *, dotted: bool = True) -> None:
    """Set members by their dotted names; null takes one out."""
    for name, value in edits.items():
        *path, last = name.split(".") if dotted else [name]
        inner = into
        for part in path:
            inner = inner[part]
        if value is None:
            inner.pop(last, None)
        else:
            inner[last] = value


@pytest.fixture
def safe(tmp_path: Path) -> Safe:
    return Safe(tmp_path)


def test_a_safe_deployment_has_nothing_to_say(safe: Safe) -> None:
    assert safe.but({}, {}, {}) == []
    assert findings(Settings.from_env(safe.env)) == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["says"])
def test_one_unsafe_thing_is_named_with_its_place_and_remedy(safe: Safe, row: Any) -> None:
    if "file" in row:
        path = safe.home / row["file"]
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}")
        path.chmod(0o644)

    found = safe.but(row.get("policy", {}), row.get("metadata", {}), row.get("env", {}))

    said = [line for line in found if row["says"] in line]
    assert len(said) == 1, found
    assert len(said[0].partition(row["says"])[2]) > 8, f"no remedy: {said[0]}"


def test_a_home_that_others_can_look_into_is_named(safe: Safe) -> None:
    safe.home.chmod(0o755)

    assert safe.but({}, {}, {}) == [f"{safe.home}: others can look into it: chmod 700 {safe.home}"]


def test_the_demo_is_not_for_production(tmp_path: Path) -> None:
    env = {"THROUGHLINE_HOME": str(tmp_path)}

    answer = CliRunner(env=env).invoke(main, ["check", "--production"])

    assert answer.exit_code == 1
    assert "clients.demo: a client of the demo" in answer.stderr
    assert "people.demo-person" in answer.stderr
    assert "connections.netsuite.url: 127.0.0.1:9103 is a sandbox" in answer.stderr
    assert answer.stdout.strip().endswith("found")


def test_without_the_switch_the_demo_is_in_order(tmp_path: Path) -> None:
    answer = CliRunner(env={"THROUGHLINE_HOME": str(tmp_path)}).invoke(main, ["check"])

    assert (answer.exit_code, answer.stdout.strip()) == (0, "nothing is wrong")
