"""`gateway.yaml` as types, and everything that can be decided at start decided here.

A mistake refuses the start and names its place: `gateway.yaml: plans.internal.rate: ...`. All
mistakes are told at once.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import yaml

from apis.runtime.context import Rows
from apis.runtime.limits import Limit, parse_limit

FILE = "gateway.yaml"
OWN_SCOPES = {"catalog.read": ["getCatalog", "getCatalogDocument"]}
METHODS = ("get", "post", "put", "patch", "delete", "head")
T = TypeVar("T")


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


class _Tiers(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    system: dict[str, Any] = {}
    process: dict[str, Any] = {}
    experience: dict[str, Any] = {}


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: Literal[1]
    plans: dict[str, Any]
    clients: dict[str, Any]
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


class PolicyError(Exception):
    """The mistakes of a policy file, one line each."""

    def __init__(self, mistakes: list[str]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(mistakes))


class _Loader(yaml.SafeLoader):
    """YAML in which the same key twice is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - the library's signature
        seen = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if name in seen:
                msg = f"{FILE}: line {key.start_mark.line + 1}: {name} is named twice"
                raise PolicyError([msg])
            seen.add(name)
        return super().construct_mapping(node, deep)


def load_gateway(text: str) -> Gateway:
    """Read `gateway.yaml`; PolicyError names every place that is wrong."""
    try:
        raw = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise PolicyError([f"{FILE}: {' '.join(str(error).split())}"]) from error
    mistakes: list[str] = []
    file = _convert(raw, _File, "", mistakes)
    if file is None:
        raise PolicyError(mistakes)
    tiers = {"system": file.apis.system, "process": file.apis.process,
             "experience": file.apis.experience}  # fmt: skip
    apis = {
        f"{tier}/{name}": api
        for tier, entries in tiers.items()
        for name, api in _section(entries, Api, f"apis.{tier}", mistakes).items()
    }
    plans = _section(file.plans, Plan, "plans", mistakes)
    clients = _section(file.clients, Client, "clients", mistakes)
    if mistakes:
        raise PolicyError(mistakes)
    return Gateway(
        version=file.version,
        hosts=file.hosts,
        signing=file.signing,
        plans=plans,
        clients=clients,
        apis=apis,
    )


def _section(raw: dict[str, Any], kind: type[T], place: str, mistakes: list[str]) -> dict[str, T]:
    read = {
        name: _convert({} if value is None else value, kind, f"{place}.{name}", mistakes)
        for name, value in raw.items()
    }
    return {name: value for name, value in read.items() if value is not None}


def _convert(raw: Any, kind: type[T], place: str, mistakes: list[str]) -> T | None:
    try:
        return msgspec.convert(raw, kind, strict=False)
    except msgspec.ValidationError as error:
        message, _, path = str(error).partition(" - at ")
        inner = _entry(raw, kind, path.strip("`").rpartition("$")[2])
        at = f"{place}{inner}".strip(".")
        mistakes.append(f"{FILE}: {at}: {message}" if at else f"{FILE}: {message}")
        return None


def _entry(raw: Any, kind: Any, path: str) -> str:
    """Put the name of the wrong entry where msgspec says `[...]` by trying each alone."""
    member, more, _ = path.partition("[...]")
    entries = raw.get(member.removeprefix("."))
    if not more or not isinstance(entries, dict):
        return path
    for name, value in entries.items():
        try:
            msgspec.convert({**raw, member.removeprefix("."): {name: value}}, kind, strict=False)
        except msgspec.ValidationError:
            return path.replace("[...]", f".{name}", 1)
    return path


def load_documents(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the published OpenAPI documents, by `<tier>/<api>/v<major>`."""
    return {
        path.relative_to(folder).with_suffix("").as_posix(): json.loads(path.read_bytes())
        for path in sorted(folder.glob("*/*/v*.json"))
    }


def compile_policy(gateway: Gateway, documents: Mapping[str, dict[str, Any]]) -> Policy:
    """Decide all that can be decided; PolicyError names every place that is wrong."""
    mistakes: list[str] = []
    limits = {name: _plan_limits(name, plan, mistakes) for name, plan in gateway.plans.items()}
    mounts: dict[str, Mount] = {}
    granted = set(OWN_SCOPES)
    for name, api in gateway.apis.items():
        place = f"apis.{name.replace('/', '.')}"
        mounts |= _mounts(name, api, place, documents, mistakes)
        granted |= _scopes_of(name, api, place, mounts, mistakes)
    for name, client in gateway.clients.items():
        place = f"clients.{name}"
        if client.rows == ClientRows():
            mistakes.append(f"{FILE}: {place}.rows: name customers or entities, or leave rows out")
        if client.plan not in gateway.plans:
            mistakes.append(f"{FILE}: {place}.plan: there is no plan {client.plan}")
        mistakes += [
            f"{FILE}: {place}.scopes: no API grants {scope}"
            for scope in sorted(client.scopes - granted)
        ]
    if mistakes:
        raise PolicyError(mistakes)
    return Policy(gateway, mounts, limits)


def _limit(written: str, place: str, mistakes: list[str], **more: Any) -> Limit | None:
    try:
        return parse_limit(written, **more)
    except ValueError as error:
        mistakes.append(f"{FILE}: {place}: {error}")
        return None


def _plan_limits(name: str, plan: Plan, mistakes: list[str]) -> tuple[tuple[str, Limit], ...]:
    place, loss = f"plans.{name}", plan.on_store_loss
    if plan.rate is None and plan.quota is None:
        mistakes.append(f"{FILE}: {place}: a plan needs a rate or a quota")
    if plan.burst is not None and (plan.burst < 1 or plan.rate is None):
        mistakes.append(f"{FILE}: {place}.burst: a burst is at least 1 and belongs to a rate")
    rate = plan.rate and _limit(
        plan.rate, f"{place}.rate", mistakes, burst=plan.burst, on_store_loss=loss
    )
    quota = plan.quota and _limit(
        plan.quota, f"{place}.quota", mistakes, quota=True, on_store_loss=loss
    )
    return tuple((key, limit) for key, limit in (("rate", rate), ("quota", quota)) if limit)


def _mounts(
    name: str, api: Api, place: str, documents: Mapping[str, dict[str, Any]], mistakes: list[str]
) -> dict[str, Mount]:
    scopes = {operation: scope for scope, ids in api.scopes.items() for operation in ids}
    limits = {
        operation: _limit(written, f"{place}.limits.{operation}", mistakes)
        for operation, written in api.limits.items()
    }
    current = [major for major, version in api.versions.items() if version.status == "current"]
    mounts = {}
    for major, version in api.versions.items():
        target = f"{name}/v{major}"
        document = documents.get(target) or documents.get(f"system/{api.vendor}/v{major}")
        if document is None:
            mistakes.append(
                f"{FILE}: {place}.versions.{major}: there is no published document {target}.json"
            )
            continue
        if version.status == "deprecated" and version.since is None:
            mistakes.append(f"{FILE}: {place}.versions.{major}: deprecated since when?")
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
            scope = own if tier == "system" else scopes.get(name, "")
            needed, array = _body_of(operation)
            methods[method.upper()] = Route(name, scope, target, limits.get(name), needed, array)
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


def _scopes_of(
    name: str, api: Api, place: str, mounts: Mapping[str, Mount], mistakes: list[str]
) -> set[str]:
    tier, _, connection = name.partition("/")
    system = {f"{connection}.read", f"{connection}.write"}
    granted = system if tier == "system" else set(api.scopes)
    if any(f"{name}/v{major}" not in mounts for major in api.versions):
        return granted  # its document is missing, which has been told
    served = {
        route.operation for major in api.versions for _, route in mounts[f"{name}/v{major}"].routes
    }
    mistakes += [
        f"{FILE}: {place}.limits.{operation}: operation {operation} is not in {name}"
        for operation in api.limits
        if operation not in served
    ]
    if tier == "system":
        if api.scopes:
            mistakes.append(f"{FILE}: {place}.scopes: a connection's scopes are read and write")
        return granted
    named: dict[str, str] = {}
    for scope, operations in api.scopes.items():
        for operation in operations:
            at = f"{FILE}: {place}.scopes.{scope}: operation {operation}"
            if operation not in served:
                mistakes.append(f"{at} is not in {name}")
            if operation in named:
                mistakes.append(f"{at} is in {named[operation]} already")
            named[operation] = scope
    mistakes += [
        f"{FILE}: {place}.scopes: operation {operation} has no scope"
        for operation in sorted(served - set(named))
    ]
    return granted
