"""A deployment nobody need worry about, with real keys and certificates: it starts as it is."""

from __future__ import annotations

import base64
import json
import secrets
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from apis.console.production import unsafe
from apis.console.starting import refused
from apis.gateway.people import hashed
from apis.runtime.clock import Clock
from apis.runtime.settings import Settings
from apis.runtime.typed_yaml import plain_yaml
from contracts.errors import Misconfigured
from tests.end_to_end.authority import Authority
from tests.servers import free_port

Edits = dict[str, Any]
yaml.SafeDumper.add_representer(Decimal, lambda out, value: out.represent_float(float(value)))


def read(name: str) -> Any:
    """A file of ours as its members, without its lines."""
    plain = plain_yaml(name, Path(name).read_text())[0]
    return msgspec.to_builtins(plain, builtin_types=(Decimal,))


def private_key() -> str:
    """A key as a vendor takes it."""
    made = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.PKCS8
    no = serialization.NoEncryption()
    return made.private_bytes(serialization.Encoding.PEM, form, no).decode()


class Safe:
    """SQLite, one process, TLS, vendors' own addresses; every file it names is there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(mode=0o700)
        (folder / "heads").mkdir()
        self.today = Clock().now().date()
        self.policy = read("gateway.yaml")
        del self.policy["portal"]
        roles = {role for each in self.policy["clients"].values() for role in each.get("roles", ())}
        self.policy |= {
            "people": {"ann": {"password": self.file("ann.hash", hashed("a long pass phrase"))}},
            "listeners": {"all": self._listener()},
            "plans": {"internal": {"rate": "6000/min"}},
            "clients": {"reports": self._client(sorted(roles))},
        }
        self.metadata = read("apis/entities.yaml")
        for name, each in self.metadata["connections"].items():
            each["url"] = f"https://{name}.example"
            each["auth"]["credentials"] = self.file(f"{name}.json", json.dumps(self._account()))
            if "login_url" in each:
                each["login_url"] = f"https://login.{name}.example"
        self.env = {
            "THROUGHLINE_HOME": str(self.home),
            "THROUGHLINE_ISSUER": "https://api.example",
            "THROUGHLINE_RECORDS_KEY": self.file(
                "records.key", base64.b64encode(secrets.token_bytes(32)).decode()
            ),
            "THROUGHLINE_DIGEST_KEY": self.file("digest.key", secrets.token_urlsafe(48)),
            "THROUGHLINE_INTERNAL_KEY": self.file("internal.key", secrets.token_urlsafe(48)),
            "THROUGHLINE_AUDIT_HEADS": str(folder / "heads"),
            "THROUGHLINE_GATEWAY": str(folder / "gateway.yaml"),
            "THROUGHLINE_ENTITIES": str(folder / "entities.yaml"),
        }

    def file(self, name: str, text: str, mode: int = 0o600) -> str:
        """A file of the deployment, and how it is referred to."""
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
        path.chmod(mode)
        path.write_text(text)
        return f"file:{path}"

    def _client(self, roles: list[str]) -> Edits:
        return {
            "plan": "internal",
            "secret": self.file("reports.secret", secrets.token_urlsafe(32)),
            "scopes": ["catalog.read"],
            "roles": roles,
            "owner": "reporting",
            "until": (self.today + timedelta(days=300)).isoformat(),
        }

    def _account(self) -> dict[str, str]:
        parts = {name: secrets.token_hex(16) for name in ("client_id", "client_secret")}
        return {**parts, "certificate_id": secrets.token_hex(16), "private_key": private_key()}

    def _listener(self) -> Edits:
        certificate, key = Authority(self.folder, "authority").signs("api.example")
        return {
            "host": "0.0.0.0",  # noqa: S104 - with a certificate
            "port": free_port(),
            "certificate": f"file:{certificate}",
            "key": f"file:{key}",
        }

    def but(
        self, policy: Edits | None = None, metadata: Edits | None = None, env: Edits | None = None
    ) -> tuple[list[str], list[str]]:
        """What keeps it from starting, and what is unsafe, when some members are others."""
        edited(self.policy, policy or {})
        edited(self.metadata, metadata or {})
        edited(self.env, env or {}, dotted=False)
        (self.folder / "gateway.yaml").write_text(yaml.safe_dump(self.policy))
        (self.folder / "entities.yaml").write_text(yaml.safe_dump(self.metadata))
        with pytest.MonkeyPatch.context() as around:
            for name, value in self.env.items():
                around.setenv(name, value)
            try:
                settings = Settings.found(self.env)
            except Misconfigured as error:
                return error.detail.splitlines(), []
            return [*refused(settings, self.env)], unsafe(settings, self.env, self.today)


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
