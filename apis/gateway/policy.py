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
    """So many calls in `s`, `min`, `h` or `day`: `600/min`, `[10/s, 600/min]`, or each with a name
    of its own; refills evenly."""
    quota: Windows | None = None
    """As `rate`, but a count that starts at zero with each second, minute, hour or day (UTC):
    `50000/day`."""
    burst: int | None = None
    """Calls that may come at once, at least 1, beside one `rate`; without it as many as the rate
    allows: 600 of `600/min`."""
    concurrency: int | None = None
    """Calls under way at the same moment, at least 1; one more is refused at once (429)."""
    on_store_loss: Literal["open", "closed"] = "closed"
    """Redis away for over a minute: `closed` answers 503 above this process's share, `open` lets
    calls go uncounted."""


class ClientRows(Rows, frozen=True, forbid_unknown_fields=True):
    """Which records somebody sees: one of the two at least, for a slip must not mean all."""


class Client(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who asks. `secret` and `keys` are references, never values (public keys may be inline)."""

    plan: str
    """The name of one of `plans`: how often it may call."""
    until: date | None = None
    """The last day on which it gets tokens."""
    scopes: frozenset[str] = frozenset()
    """All that it may ask for, such as `projects.read`; none opens nothing, one that no API grants
    is refused."""
    roles: tuple[str, ...] = ()
    """As whom it decides on work items, and sees what not everybody sees: `[delivery-director]`."""
    secret: str | tuple[str, str] | None = None
    """One reference, or two that are both accepted while the one replaces the other."""
    keys: str | list[dict[str, Any]] | None = None
    """A reference to a JWK set, or public keys (JWK) themselves: it signs assertions
    (`private_key_jwt`)."""
    person: str | None = None
    """Who it is to `duties` and approvals: clients with one `person`, such as an e-mail address,
    are one."""
    rows: ClientRows | None = None
    """Which records of our own APIs it sees; left out, all. Refused beside `redirects`."""
    redirects: tuple[str, ...] = ()
    """Where people who signed in are sent; such a client acts for them, never for itself."""
    certificate: Literal["required"] | None = None
    """Its tokens are bound to the certificate it shows (RFC 8705), and worth nothing without."""
    owner: str = ""
    """Who answers for it, named where a contract change would break it; `check --production` asks
    for one."""
    contact: str = ""
    """Whom to tell before something it uses goes, such as an address of mail."""

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
    """`file:/path`, `home:name` or `env:NAME` of the hash; of a `.json` file the person's
    `password_hash`."""
    roles: tuple[str, ...] = ()
    """As whom they decide on work items, and in the portal if it is its `approver`."""
    rows: ClientRows | None = None
    """Which records of our own APIs they see; left out, all. Who has `customers` is a stranger to
    the portal."""
    person: str | None = None
    """Who they are to `duties` and approvals, such as an e-mail address; a client with the same is
    the same person."""


class Sandbox(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that an application gets at once: for so many days, and so many of them per person."""

    plan: str
    """The name of one of `plans`: how often an application may call."""
    scopes: frozenset[str]
    """What it may do; of the gateway's own scopes only `catalog.read`."""
    rows: ClientRows
    """Which records it sees; `{customers: []}` is none. It cannot be all of them."""
    days: int = 30
    """Days from its making until it ends, at least 1."""
    most: int = 5
    """Applications that one person has at a time, at least 1."""


class Portal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may register themselves and what they get; without it nothing that is registered acts."""

    sandbox: Sandbox
    """What each new application gets at once, without being asked about."""
    approver: str
    """The role whose people decide on what is asked for."""
    plans: tuple[str, ...] = ()
    """What may be asked for; the scopes are those of the APIs whose audience is `partner`."""
    sign_up: Literal["open", "closed"] = "closed"
    """`closed`: nobody new, who is there stays; `open`: anybody may make an account."""


class Recording(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long decisions are kept: each one, and how many there were of each kind."""

    days: int = 7
    """Days for which each decision is kept, at least 1."""
    most: int = 1_000_000
    """Decisions that are kept at most, at least 1: the newest; the oldest go first."""
    counts_days: int = 90
    """Days for which counts by day, client and operation are kept, at least 1."""


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
    def whole(self) -> frozenset[str]:
        """The scopes that open all of a system: not for who sees a part of the firm."""
        systems = [name.partition("/")[2] for name in self.apis if name.startswith("system/")]
        return frozenset(f"{name}.{action}" for name in systems for action in ("read", "write"))

    @property
    def own(self) -> dict[str, Api]:
        """The APIs that programs of ours answer."""
        return {name: api for name, api in self.apis.items() if not api.foreign}


class _Tiers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Each API by its tier, and by the name it has there."""

    system: dict[str, Api] = {}
    """One per connection of entities.yaml, by its name: `/system/<name>/v1`."""
    process: dict[str, Api] = {}
    """Business flows, by the name in their address: `/process/<name>/v1`."""
    experience: dict[str, Api] = {}
    """What an audience is shown, by the name in its address: `/experience/<name>/v1`."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    version: Literal[1]
    """Of the form of this file."""
    plans: dict[str, Plan]
    """How often a client may call, by the name that its `plan` says."""
    clients: dict[str, Client]
    """Who may ask, by client id: up to 50 plain characters, no colon."""
    apis: _Tiers
    """What is served, by tier and name."""
    people: dict[str, Person] = {}
    """Who signs in, by the name they type: up to 50 plain characters, no colon, no client's."""
    portal: Portal | None = None
    """Self-service; left out, nobody registers and nothing that is registered acts."""
    hosts: tuple[str, ...] = ()
    """Names in `Host` that are served beside the issuer's and loopback, without port:
    `api.example.com`; others get 421."""
    balancers: tuple[str, ...] = ()
    """Networks whose `X-Forwarded-For` is believed, such as `10.0.0.0/8`; an address alone is one
    network."""
    signing: str | None = None
    """Reference (`file:`, `home:`, `env:`) to the JWK set that signs tokens: private ES256 keys
    with a `kid`, the first signs; left out, one is made in the home."""
    decisions: Recording = Recording()
    """How long it is remembered what was decided for each request."""
    issuers: dict[str, Issuer] = {}
    """Whose tokens are accepted beside our own, by a name of ours that goes before their clients:
    `entra:<client>`."""
    listeners: dict[str, Listener] = {}
    """Addresses beside the loopback one, by a name for logs and findings."""


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
