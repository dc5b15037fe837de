"""`gateway.yaml` as types.

A mistake names its place: `gateway.yaml:5: plans.internal.rate: ...`; all are told at once. What it
says of one API stands in `governed.py`.
"""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from apis.gateway.governed import MODES, SERVED, Api, Brownout, Modes, Version, Windows
from apis.gateway.issuers import Issuer
from apis.gateway.listeners import Listener
from apis.runtime.context import Rows
from apis.runtime.typed_yaml import Lines, Place, read_yaml
from contracts.errors import Misconfigured

__all__ = ["MODES", "SERVED", "Api", "Brownout", "Modes", "Version", "Windows"]
FILE = "gateway.yaml"
CATALOG = "catalog.read"
OWN_SCOPES = {
    CATALOG: ["getCatalog", "getCatalogDocument"],
    "decisions.read": ["listDecisions", "getDecision"],
    "tokens.introspect": ["introspectToken"],
    "metrics.read": ["getMetrics"],
}
NAMED = "a secret is named as env:NAME, file:/path or home:name, never written here"


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often and how many at once, per client; what to do when the counts are lost."""

    rate: Windows | None = None
    quota: Windows | None = None
    burst: int | None = None
    concurrency: int | None = None
    on_store_loss: Literal["open", "closed"] = "closed"


class ClientRows(Rows, frozen=True, forbid_unknown_fields=True):
    """As `Rows`; here a misspelt member must not mean all rows."""


class Client(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who asks. `secret` and `keys` are references, never values (public keys may be inline)."""

    plan: str
    until: date | None = None
    """The last day on which it gets tokens."""
    scopes: frozenset[str] = frozenset()
    roles: tuple[str, ...] = ()
    secret: str | tuple[str, str] | None = None
    """One reference, or two that are both accepted while the one replaces the other."""
    keys: str | list[dict[str, Any]] | None = None
    person: str | None = None
    rows: ClientRows | None = None
    redirects: tuple[str, ...] = ()
    """Where people who signed in are sent; such a client acts for them, never for itself."""
    certificate: Literal["required"] | None = None
    """Its tokens are bound to the certificate it shows (RFC 8705), and worth nothing without."""
    owner: str = ""
    contact: str = ""
    """Whose it is, and whom to tell before something it uses goes."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """The references of its secrets."""
        return (self.secret,) if isinstance(self.secret, str) else self.secret or ()

    @property
    def public(self) -> bool:
        """Whether it cannot prove who it is: it runs where people can read it."""
        return self.secret is None and self.keys is None

    def ended(self, now: datetime) -> bool:
        """Whether its last day is over."""
        return self.until is not None and now.date() > self.until


class Person(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who signs in by a name and a password, whose hash (`throughline password`) is referred to."""

    password: str
    roles: tuple[str, ...] = ()
    rows: ClientRows | None = None
    person: str | None = None


class Sandbox(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that an application gets at once: for so many days, and so many of them per person."""

    plan: str
    scopes: frozenset[str]
    rows: ClientRows
    days: int = 30
    most: int = 5


class Portal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may register themselves and what they get; without it nothing that is registered acts."""

    sandbox: Sandbox
    approver: str
    """The role whose people decide on what is asked for."""
    plans: tuple[str, ...] = ()
    """What may be asked for; the scopes are those of the APIs whose audience is `partner`."""
    sign_up: Literal["open", "closed"] = "closed"


class Recording(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long decisions are kept: each one, and how many there were of each kind."""

    days: int = 7
    most: int = 1_000_000
    counts_days: int = 90


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """`gateway.yaml`; `apis` by `<tier>/<api>`."""

    version: Literal[1]
    hosts: tuple[str, ...] = ()
    balancers: tuple[str, ...] = ()
    """The networks whose `X-Forwarded-For` is believed."""
    signing: str | None = None
    listeners: dict[str, Listener] = {}
    plans: dict[str, Plan]
    clients: dict[str, Client]
    issuers: dict[str, Issuer] = {}
    people: dict[str, Person] = {}
    apis: dict[str, Api]
    portal: Portal | None = None
    decisions: Recording = Recording()
    lines: Lines

    @property
    def asked_for(self) -> frozenset[str]:
        """The scopes that may be asked for in the portal."""
        shown = (api.scopes for api in self.apis.values() if api.audience == "partner")
        return frozenset().union(*shown) - (OWN_SCOPES.keys() - {CATALOG})

    @property
    def own(self) -> dict[str, Api]:
        """The APIs that programs of ours answer."""
        return {name: api for name, api in self.apis.items() if not api.foreign}


class _Tiers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    system: dict[str, Api] = {}
    process: dict[str, Api] = {}
    experience: dict[str, Api] = {}


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    plans: dict[str, Plan]
    clients: dict[str, Client]
    apis: _Tiers
    people: dict[str, Person] = {}
    portal: Portal | None = None
    hosts: tuple[str, ...] = ()
    balancers: tuple[str, ...] = ()
    signing: str | None = None
    decisions: Recording = Recording()
    issuers: dict[str, Issuer] = {}
    listeners: dict[str, Listener] = {}


class PolicyError(Misconfigured):
    """The mistakes of a policy file, one line each."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("settings.invalid", "\n".join(mistakes))


def load_gateway(text: str, name: str = FILE) -> Gateway:
    """Read `gateway.yaml`; PolicyError names every place that is wrong."""
    try:
        file, lines = read_yaml(name, text, _File)
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
        balancers=file.balancers,
        signing=file.signing,
        listeners=file.listeners,
        plans=file.plans,
        clients=file.clients,
        issuers=file.issuers,
        people=file.people,
        apis=apis,
        portal=file.portal,
        decisions=file.decisions,
        lines=lines,
    )


def gateway_in(file: Path) -> Gateway:
    """The policy that a file holds; Misconfigured where there is none."""
    try:
        text = file.read_text("utf-8")
    except OSError as error:
        told = f"{file}: {error.strerror}"
        raise Misconfigured(
            "settings.invalid", told, remedy="THROUGHLINE_GATEWAY names it"
        ) from None
    except UnicodeDecodeError as error:
        raise Misconfigured("settings.invalid", f"{file}: {error}") from None
    return load_gateway(text, file.name)


def place_of(name: str) -> Place:
    """Where the api `tier/name` stands in the file."""
    tier, _, api = name.partition("/")
    return "apis", tier, api
