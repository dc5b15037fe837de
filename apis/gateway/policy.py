"""`gateway.yaml` as types, and everything that can be decided at start decided here.

A mistake refuses the start and names its place: `gateway.yaml:5: plans.internal.rate: ...`. All
mistakes are told at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

import msgspec

from apis.runtime.context import Rows
from apis.runtime.limits import Limit, parse_limit
from apis.runtime.typed_yaml import Finding, Lines, Place, read_yaml
from contracts.errors import Misconfigured

FILE = "gateway.yaml"
OWN_SCOPES = {"catalog.read": ["getCatalog", "getCatalogDocument"]}
METHODS = ("get", "post", "put", "patch", "delete", "head")
REFERENCE = re.compile("^(env:|file:/|home:).")
NAMED = "a secret is named as env:NAME, file:/path or home:name, never written here"
PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""What only the private part of a key (RFC 7518) holds."""


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


class Route(msgspec.Struct, frozen=True):
    """All that is known of one operation before it is called."""

    operation: str
    scope: str
    target: str
    limit: Limit | None
    body: Literal["none", "optional", "required"]
    array: bool
    query: dict[str, bool] = {}
    """The query parameters it takes, and whether each may come more than once."""


class Mount(msgspec.Struct, frozen=True):
    """One version of one API: its operations by path (None in a shape stands for a parameter)."""

    target: str
    version: Version
    successor: str | None
    document: dict[str, Any]
    plain: dict[str, dict[str, Route]]
    shapes: dict[int, list[tuple[tuple[str | None, ...], dict[str, Route]]]]

    def find(self, path: str) -> dict[str, Route] | None:
        """Find the operations at this path, by method."""
        if found := self.plain.get(path):
            return found
        parts = path.split("/")
        for shape, methods in self.shapes.get(len(parts), ()):
            if all(part == own if own is not None else part for part, own in zip(parts, shape)):  # noqa: B905 - same length by look-up
                return methods
        return None

    @property
    def routes(self) -> Iterator[tuple[str, Route]]:
        """Every operation with its method."""
        shaped = [methods for shapes in self.shapes.values() for _, methods in shapes]
        for methods in (*self.plain.values(), *shaped):
            yield from methods.items()


class Policy(msgspec.Struct, frozen=True):
    """What the pipeline looks things up in."""

    gateway: Gateway
    mounts: dict[str, Mount]
    limits: dict[str, tuple[tuple[str, Limit], ...]]
    """Per plan: the name of each limit in the `RateLimit` fields, and the limit."""


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


def compile_policy(gateway: Gateway, documents: Mapping[str, dict[str, Any]]) -> Policy:
    """Decide all that can be decided; PolicyError names every place that is wrong."""
    found = list(_secret_problems(gateway))
    limits = {name: _plan_limits(name, plan, found) for name, plan in gateway.plans.items()}
    mounts: dict[str, Mount] = {}
    granted = set(OWN_SCOPES)
    for name, api in gateway.apis.items():
        found += _api_problems(name, api)
        mounts |= _mounts(name, api, documents, found)
        granted |= _scopes_of(name, api, mounts, found)
    for name, client in gateway.clients.items():
        found += _client_problems(("clients", name), client, gateway, granted)
    if found:
        raise PolicyError([gateway.lines.told(*each) for each in found])
    return Policy(gateway, mounts, limits)


def place_of(name: str) -> Place:
    """Where the api `tier/name` stands in the file."""
    tier, _, api = name.partition("/")
    return "apis", tier, api


def _secret_problems(gateway: Gateway) -> Iterator[Finding]:
    """Secrets are named, never written: this file is read by many and kept for ever."""
    named: list[tuple[Place, str | None]] = [(("signing",), gateway.signing)]
    for name, client in gateway.clients.items():
        named.append((("clients", name, "secret"), client.secret))
        if isinstance(client.keys, str):
            named.append((("clients", name, "keys"), client.keys))
        elif any(PRIVATE & key.keys() for key in client.keys or ()):
            yield ("clients", name, "keys"), "only public keys belong here"
    for place, reference in named:
        if reference is not None and not REFERENCE.match(reference):
            yield place, NAMED


def _client_problems(
    place: Place, client: Client, gateway: Gateway, granted: set[str]
) -> Iterator[Finding]:
    if client.rows == ClientRows():
        yield (*place, "rows"), "name customers or entities, or leave rows out"
    if client.plan not in gateway.plans:
        yield (*place, "plan"), f"there is no plan {client.plan}"
    for scope in sorted(client.scopes - granted):
        yield (*place, "scopes"), f"no API grants {scope}"


def _limit(written: str, place: Place, found: list[Finding], **more: Any) -> Limit | None:
    try:
        return parse_limit(written, **more)
    except ValueError as error:
        found.append((place, str(error)))
        return None


def _plan_limits(name: str, plan: Plan, found: list[Finding]) -> tuple[tuple[str, Limit], ...]:
    place, loss = ("plans", name), plan.on_store_loss
    if plan.rate is None and plan.quota is None:
        found.append((place, "a plan needs a rate or a quota"))
    if plan.burst is not None and (plan.burst < 1 or plan.rate is None):
        found.append(((*place, "burst"), "a burst is at least 1 and belongs to a rate"))
    rate = plan.rate and _limit(
        plan.rate, (*place, "rate"), found, burst=plan.burst, on_store_loss=loss
    )
    quota = plan.quota and _limit(
        plan.quota, (*place, "quota"), found, quota=True, on_store_loss=loss
    )
    return tuple((key, limit) for key, limit in (("rate", rate), ("quota", quota)) if limit)


def _api_problems(name: str, api: Api) -> Iterator[Finding]:
    system = name.startswith("system/")
    wanted, other = ("vendor", "app") if system else ("app", "vendor")
    if not getattr(api, wanted):
        yield place_of(name), f"`{wanted}` is missing"
    if getattr(api, other):
        yield (*place_of(name), other), f"this belongs to {'other' if system else 'system'} APIs"


def _mounts(
    name: str, api: Api, documents: Mapping[str, dict[str, Any]], found: list[Finding]
) -> dict[str, Mount]:
    place = place_of(name)
    scopes = {operation: scope for scope, ids in api.scopes.items() for operation in ids}
    limits = {
        operation: _limit(written, (*place, "limits", operation), found)
        for operation, written in api.limits.items()
    }
    current = [major for major, version in api.versions.items() if version.status == "current"]
    mounts = {}
    for major, version in api.versions.items():
        target = f"{name}/v{major}"
        document = documents.get(target) or documents.get(f"system/{api.vendor}/v{major}")
        if document is None:
            told = f"there is no published document {target}.json"
            found.append(((*place, "versions", major), told))
            continue
        if version.status == "deprecated" and version.since is None:
            found.append(((*place, "versions", major), "deprecated since when?"))
        newer = max((each for each in current if each > major), default=None)
        mounts[target] = _mount(
            target, version, f"/{name}/v{newer}" if newer else None, document, scopes, limits
        )
    return mounts


def _mount(  # noqa: PLR0917 - all of it was decided by the caller
    target: str,
    version: Version,
    successor: str | None,
    document: dict[str, Any],
    scopes: dict[str, str],
    limits: dict[str, Limit | None],
) -> Mount:
    mount = Mount(target, version, successor, document, {}, {})
    tier, api, _ = target.split("/")
    for template, item in document.get("paths", {}).items():
        path = template.removeprefix(f"/{target}") or "/"
        shape = tuple(None if part.startswith("{") else part for part in path.split("/"))
        methods: dict[str, Route] = {}
        for method in METHODS:
            if (operation := item.get(method)) is None:
                continue
            name = operation.get("operationId", "")
            own = f"{api}.{'read' if method in ('get', 'head') else 'write'}"
            scope = scopes.get(name, own if tier == "system" else "")
            needed, array = _body_of(operation)
            taken = _query_of([*item.get("parameters", ()), *operation.get("parameters", ())])
            methods[method.upper()] = Route(
                name, scope, target, limits.get(name), needed, array, taken
            )
        if None in shape:
            mount.shapes.setdefault(len(shape), []).append((shape, methods))
        else:
            mount.plain[path] = methods
    for shapes in mount.shapes.values():
        shapes.sort(key=lambda each: [part is None for part in each[0]])  # the plainest first
    return mount


def _body_of(operation: dict[str, Any]) -> tuple[Literal["none", "optional", "required"], bool]:
    body = operation.get("requestBody")
    if body is None:
        return "none", False
    schema = body.get("content", {}).get("application/json", {}).get("schema", {})
    return "required" if body.get("required") else "optional", schema.get("type") == "array"


def _query_of(parameters: list[dict[str, Any]]) -> dict[str, bool]:
    query = [each for each in parameters if each["in"] == "query"]
    return {each["name"]: each.get("schema", {}).get("type") == "array" for each in query}


def _scopes_of(name: str, api: Api, mounts: Mapping[str, Mount], found: list[Finding]) -> set[str]:
    place = place_of(name)
    tier, _, connection = name.partition("/")
    system = {f"{connection}.read", f"{connection}.write"}
    granted = system if tier == "system" else set(api.scopes)
    if any(f"{name}/v{major}" not in mounts for major in api.versions):
        return granted  # its document is missing, which has been told
    served = {
        route.operation for major in api.versions for _, route in mounts[f"{name}/v{major}"].routes
    }
    found += [
        ((*place, "limits", operation), f"operation {operation} is not in {name}")
        for operation in api.limits
        if operation not in served
    ]
    if tier == "system":
        if set(api.scopes) - set(OWN_SCOPES):
            found.append(((*place, "scopes"), "a connection's own scopes are read and write"))
        named = {operation for operations in api.scopes.values() for operation in operations}
        found += _orphans(place, name, api, served & named)
        return granted
    found += _orphans(place, name, api, served)
    return granted


def _orphans(place: Place, name: str, api: Api, served: set[str]) -> Iterator[Finding]:
    """Scopes that open nothing, operations that no scope opens, and those that two open."""
    named: dict[str, str] = {}
    for scope, operations in api.scopes.items():
        at = (*place, "scopes", scope)
        if not operations:
            yield at, "this scope opens no operation"
        for operation in operations:
            if operation not in served:
                yield at, f"operation {operation} is not in {name}"
            if operation in named:
                yield at, f"operation {operation} is in {named[operation]} already"
            named[operation] = scope
    for operation in sorted(served - set(named)):
        yield (*place, "scopes"), f"operation {operation} has no scope"
