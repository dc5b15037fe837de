"""`gateway.yaml` as types.

A mistake names its place: `gateway.yaml:5: plans.internal.rate: ...`; all are told at once.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any, Literal

import msgspec

from apis.runtime.context import Rows
from apis.runtime.typed_yaml import Lines, Place, read_yaml
from contracts.errors import Misconfigured

FILE = "gateway.yaml"
OWN_SCOPES = {"catalog.read": ["getCatalog", "getCatalogDocument"]}
NAMED = "a secret is named as env:NAME, file:/path or home:name, never written here"


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often: a rate with its burst, a quota, and what to do when the counts are lost."""

    rate: str | None = None
    quota: str | None = None
    burst: int | None = None
    on_store_loss: Literal["open", "closed"] = "closed"


class ClientRows(Rows, frozen=True, forbid_unknown_fields=True):
    """As `Rows`; here a misspelt member must not mean all rows."""


class Client(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who asks. `secret` and `keys` are references, never values (public keys may be inline)."""

    plan: str
    scopes: frozenset[str] = frozenset()
    roles: tuple[str, ...] = ()
    secret: str | None = None
    keys: str | list[dict[str, Any]] | None = None
    person: str | None = None
    rows: ClientRows | None = None


class Version(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a major version is served, and until when."""

    status: Literal["current", "deprecated"] = "current"
    since: date | None = None
    sunset: date | None = None


class Api(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One API: where it runs, which versions it has, which scope opens which operation."""

    app: str | None = None
    vendor: str | None = None
    owner: str = ""
    versions: dict[int, Version] = msgspec.field(default_factory=lambda: {1: Version()})
    scopes: dict[str, list[str]] = {}
    limits: dict[str, str] = {}


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """`gateway.yaml`; `apis` by `<tier>/<api>`."""

    version: Literal[1]
    hosts: tuple[str, ...] = ()
    signing: str | None = None
    plans: dict[str, Plan]
    clients: dict[str, Client]
    apis: dict[str, Api]
    lines: Lines


class _Tiers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    system: dict[str, Api] = {}
    process: dict[str, Api] = {}
    experience: dict[str, Api] = {}


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    plans: dict[str, Plan]
    clients: dict[str, Client]
    apis: _Tiers
    hosts: tuple[str, ...] = ()
    signing: str | None = None


class PolicyError(Misconfigured):
    """The mistakes of a policy file, one line each."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("settings.invalid", "\n".join(mistakes))


def load_gateway(text: str) -> Gateway:
    """Read `gateway.yaml`; PolicyError names every place that is wrong."""
    try:
        file, lines = read_yaml(FILE, text, _File)
    except Misconfigured as error:
        raise PolicyError(error.detail.splitlines()) from None
    apis = {
        f"{tier}/{name}": api
        for tier, entries in msgspec.structs.asdict(file.apis).items()
        for name, api in entries.items()
    }
    return Gateway(
        version=file.version,
        hosts=file.hosts,
        signing=file.signing,
        plans=file.plans,
        clients=file.clients,
        apis=apis,
        lines=lines,
    )


def load_documents(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the published OpenAPI documents, by `<tier>/<api>/v<major>`."""
    return {
        path.relative_to(folder).with_suffix("").as_posix(): json.loads(path.read_bytes())
        for path in sorted(folder.glob("*/*/v*.json"))
    }


def place_of(name: str) -> Place:
    """Where the api `tier/name` stands in the file."""
    tier, _, api = name.partition("/")
    return "apis", tier, api
