"""The policy with all that can be decided at start decided: routes, limits, and every mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from apis.gateway.balancers import balancer_problems
from apis.gateway.issuers import HOST, issuer_findings, parted, secure
from apis.gateway.lifecycle import version_findings
from apis.gateway.listeners import listener_problems
from apis.gateway.policy import (
    CATALOG,
    MODES,
    NAMED,
    OWN_SCOPES,
    SERVED,
    Api,
    Client,
    ClientRows,
    Gateway,
    Person,
    PolicyError,
    place_of,
)
from apis.gateway.requests import Rules
from apis.gateway.routes import Mount, Route, mount_of
from apis.gateway.schemas import Schemas
from apis.gateway.scopes import opening
from apis.gateway.versions import Way, ways_of
from apis.gateway.windows import Named, named, plan_limits, recording_problems
from apis.runtime.typed_yaml import Finding, Place
from contracts.conversions import CONVERSIONS, Majors

REFERENCE = re.compile("^(env:|file:/|home:).")
PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""What only the private part of a key (RFC 7518) holds."""
MOST_NAME = 50


class Policy(msgspec.Struct, frozen=True):
    """What the pipeline looks things up in."""

    gateway: Gateway
    mounts: dict[str, Mount]
    limits: dict[str, Named]
    """Per plan: its limits by their names in the `RateLimit` fields."""
    ways: dict[str, dict[str, Way]] = {}
    """Per older major that is served: how its operations are asked of the one spoken."""


def compile_policy(
    gateway: Gateway,
    documents: Mapping[str, dict[str, Any]],
    compiled: dict[str, Schemas] | None = None,
    conversions: Mapping[str, Majors] = CONVERSIONS,
) -> Policy:
    """Decide all that can be decided; PolicyError names every place that is wrong.

    `compiled` keeps the schemas of documents for the next policy.
    """
    schemas = _schemas(documents, {} if compiled is None else compiled)
    found = [*_secret_problems(gateway), *_name_problems(gateway)]
    found += [*recording_problems(gateway.decisions), *listener_problems(gateway.listeners)]
    found += [*_host_problems(gateway.hosts), *balancer_problems(gateway.balancers)]
    limits = {name: plan_limits(name, plan, found) for name, plan in gateway.plans.items()}
    mounts: dict[str, Mount] = {}
    ways: dict[str, dict[str, Way]] = {}
    granted = set(OWN_SCOPES)
    for name, api in gateway.apis.items():
        found += _api_problems(name, api)
        found += _unknown_uses(name, api, gateway)
        mounts |= _mounts(name, api, schemas, found)
        ways |= _ways(name, api, mounts, conversions.get(name, {}), found)
        granted |= _scopes_of(name, api, mounts, found)
    found += issuer_findings(gateway.issuers, gateway.plans, granted, gateway.whole)
    for name, client in gateway.clients.items():
        found += _client_problems(("clients", name), client, gateway, granted)
        found += _redirect_problems(("clients", name), client)
    for name, person in gateway.people.items():
        found += _person_problems(("people", name), person, gateway)
    found += _portal_problems(gateway, granted)
    if found:
        found.sort(key=lambda each: gateway.lines.of(each[0]))
        raise PolicyError([gateway.lines.told(*each) for each in found])
    return Policy(gateway, mounts, limits, ways)


def _schemas(
    documents: Mapping[str, dict[str, Any]], compiled: dict[str, Schemas]
) -> dict[str, Schemas]:
    """The schemas of each document, made anew where it is another than it was."""
    for target, document in documents.items():
        if target not in compiled or compiled[target].document != document:
            compiled[target] = Schemas(document)
    return {target: compiled[target] for target in documents}


def _secret_problems(gateway: Gateway) -> Iterator[Finding]:
    """Secrets are named, never written: this file is read by many and kept for ever."""
    named: list[tuple[Place, str | None]] = [(("signing",), gateway.signing)]
    for name, client in gateway.clients.items():
        named += [(("clients", name, "secret"), secret) for secret in client.secrets]
        if isinstance(client.keys, str):
            named.append((("clients", name, "keys"), client.keys))
        elif any(PRIVATE & key.keys() for key in client.keys or ()):
            yield ("clients", name, "keys"), "only public keys belong here"
    for place, reference in named:
        if reference is not None and not REFERENCE.match(reference):
            yield place, NAMED


def _name_problems(gateway: Gateway) -> Iterator[Finding]:
    """Names that could not be kept as they are, or be those of other issuers' clients."""
    for kind in ("clients", "people", "issuers"):
        for name in getattr(gateway, kind):
            if not 0 < len(name) <= MOST_NAME or not name.isprintable() or ":" in name:
                told = f"a name has up to {MOST_NAME} plain characters and no colon"
                yield (kind, name), told


def _host_problems(hosts: tuple[str, ...]) -> Iterator[Finding]:
    for index, host in enumerate(hosts):
        if not HOST.fullmatch(host.removeprefix("[").removesuffix("]")) or host.count(":") == 1:
            yield ("hosts", index), f"{host}: one name or address is expected, without port"


def _redirect_problems(place: Place, client: Client) -> Iterator[Finding]:
    if client.redirects and client.rows:
        yield (*place, "rows"), "a client with redirects acts for people: rows belong to them"
    for redirect in client.redirects:
        at = parted(redirect)
        plain = redirect.isascii() and redirect.isprintable() and " " not in redirect
        if at is None or not secure(redirect) or not plain:
            yield (*place, "redirects"), f"{redirect}: https is needed, or http on loopback"
        elif at.username is not None or "#" in redirect or "*" in redirect:
            yield (*place, "redirects"), f"{redirect}: an exact address without user or fragment"
    if client.public and not client.redirects:
        yield place, "it needs a secret, keys, or redirects to act for people who sign in"


def _person_problems(place: Place, person: Person, gateway: Gateway) -> Iterator[Finding]:
    if not REFERENCE.match(person.password):
        yield (*place, "password"), NAMED
    if person.rows == ClientRows():
        yield (*place, "rows"), "name customers or entities, or leave rows out"
    if place[1] in gateway.clients:
        yield place, "a client has this name"
    for name, client in gateway.clients.items() if person.rows else ():
        for scope in sorted(client.scopes & gateway.whole) if client.redirects else ():
            told = (
                f"{scope} of the client {name} opens all of a system: nobody with rows may use it"
            )
            yield (*place, "rows"), told


def _client_problems(
    place: Place, client: Client, gateway: Gateway, granted: set[str]
) -> Iterator[Finding]:
    if client.rows == ClientRows():
        yield (*place, "rows"), "name customers or entities, or leave rows out"
    if client.certificate and not any(each.client_ca for each in gateway.listeners.values()):
        yield (*place, "certificate"), "no listener asks for certificates: name its `client_ca`"
    if client.plan not in gateway.plans:
        yield (*place, "plan"), f"there is no plan {client.plan}"
    for scope in sorted(client.scopes - granted):
        yield (*place, "scopes"), f"no API grants {scope}"
    for scope in sorted(client.scopes & gateway.whole) if client.rows else ():
        told = f"{scope} opens all of a system: no client with rows may have it"
        yield (*place, "scopes"), told


def _portal_problems(gateway: Gateway, granted: set[str]) -> Iterator[Finding]:
    """What a newcomer would get and must not, or cannot; and who would decide."""
    if (portal := gateway.portal) is None:
        return
    place: Place = ("portal", "sandbox")
    sandbox = portal.sandbox
    as_client = Client(plan=sandbox.plan, scopes=sandbox.scopes, rows=sandbox.rows)
    yield from _client_problems(place, as_client, gateway, granted)
    for scope in sorted(sandbox.scopes & (OWN_SCOPES.keys() - {CATALOG})):
        yield (*place, "scopes"), f"{scope} is not for newcomers"
    for name in ("days", "most"):
        if getattr(sandbox, name) < 1:
            yield (*place, name), "at least 1"
    for index, plan in enumerate(portal.plans):
        if plan not in gateway.plans:
            yield ("portal", "plans", index), f"there is no plan {plan}"
    if not any(portal.approver in person.roles for person in gateway.people.values()):
        yield ("portal", "approver"), f"nobody who signs in has the role {portal.approver}"


def _api_problems(name: str, api: Api) -> Iterator[Finding]:
    for major in api.versions:
        if major < 1:
            yield (*place_of(name), "versions", major), "a major version is 1 or more"
    level = api.service_level
    if level and not (0 < level.availability <= 100 and level.latency_ms > 0):  # noqa: PLR2004 - per cent
        yield (*place_of(name), "service_level"), "per cent up to 100, and milliseconds over 0"
    if name.startswith("system/") and api.audience != "internal":
        yield (*place_of(name), "audience"), "a system API is internal: nobody outside calls it"
    if api.foreign:
        yield from _foreign_problems(name, api)
        return
    system = name.startswith("system/")
    wanted, other = ("vendor", "app") if system else ("app", "vendor")
    if not getattr(api, wanted):
        yield place_of(name), f"`{wanted}` is missing"
    if getattr(api, other):
        yield (*place_of(name), other), f"this belongs to {'other' if system else 'system'} APIs"
    for scope, operations in api.scopes.items():
        if isinstance(operations, str):
            yield (*place_of(name), "scopes", scope), "a list of operations is expected"


def _unknown_uses(name: str, api: Api, gateway: Gateway) -> Iterator[Finding]:
    for other in api.uses:
        if other not in gateway.apis or other == name:
            yield (*place_of(name), "uses"), f"there is no other API {other}"


def _foreign_problems(name: str, api: Api) -> Iterator[Finding]:
    place = place_of(name)
    for other in ("app", "vendor"):
        if getattr(api, other):
            yield (*place, other), "an API with a `url` is not ours: leave this out"
    for major, version in api.versions.items():
        if not _reachable(version.url or api.url or ""):
            yield (*place, "versions", major), "`url` must say where it runs: https://<host>/<path>"
        if not (version.document or api.document):
            yield (*place, "versions", major), "`document` must name its OpenAPI 3.1 file"


def _reachable(url: str) -> bool:
    """Whether this is an address, without a query and without a secret."""
    parts = parted(url)
    if parts is None or parts.query or "@" in parts.netloc:
        return False
    return parts.scheme in {"http", "https"}


def _mounts(
    name: str, api: Api, documents: Mapping[str, Schemas], found: list[Finding]
) -> dict[str, Mount]:
    place = place_of(name)
    limits = {
        operation: named(operation, written, (*place, "limits", operation), found)
        for operation, written in api.limits.items()
    }
    current = [major for major, version in api.versions.items() if version.status == "current"]
    mounts = {}
    found += version_findings(name, api)
    for major, version in api.versions.items():
        if version.status == "draft":
            continue  # it is no promise yet, and served to nobody
        target = f"{name}/v{major}"
        document = documents.get(target) or documents.get(f"system/{api.vendor}/v{major}")
        if document is None:
            told = f"there is no published document {target}.json"
            found.append(((*place, "versions", major), told))
            continue
        newer = max((each for each in current if each > major), default=None)
        scopes = opening(api, document.document)
        opened = {each: (scopes.get(each), limits.get(each, ())) for each in scopes | limits}
        successor = f"/{name}/v{newer}" if newer else None
        modes = version.modes.within(api.modes.within(MODES))
        keyed = frozenset(api.idempotency.required)
        rules = Rules(modes, api.sizes, api.owner, api.foreign, keyed)
        mounts[target], wrong = mount_of(target, version, successor, document, opened, rules)
        found += [((*place, "versions", major), told) for told in wrong]
    return mounts


def _ways(
    name: str, api: Api, mounts: Mapping[str, Mount], majors: Majors, found: list[Finding]
) -> dict[str, dict[str, Way]]:
    """How each older major of ours that is served is asked of the one its app speaks."""
    spoken, made = mounts.get(f"{name}/v{api.spoken}"), {}
    for major, version in api.versions.items():
        old = mounts.get(f"{name}/v{major}")
        if api.foreign or spoken is None or old is spoken:
            continue
        if version.status not in SERVED or old is None:
            continue
        made[old.target], missing = ways_of(old, spoken, majors)
        if missing:
            told = f"contracts/conversions.py does not lead {', '.join(missing)} to v{api.spoken}"
            found.append(((*place_of(name), "versions", major), told))
    return made


def _scopes_of(name: str, api: Api, mounts: Mapping[str, Mount], found: list[Finding]) -> set[str]:
    place = place_of(name)
    tier, _, connection = name.partition("/")
    system = {f"{connection}.read", f"{connection}.write"}
    granted = system if tier == "system" and not api.foreign else set(api.scopes)
    served_now = [major for major, each in api.versions.items() if each.status != "draft"]
    if any(f"{name}/v{major}" not in mounts for major in served_now):
        return granted  # its document is missing, which has been told
    routes = [route for major in served_now for _, route in mounts[f"{name}/v{major}"].routes]
    served = {route.operation for route in routes}
    found += [
        ((*place, "limits", operation), f"operation {operation} is not in {name}")
        for operation in api.limits
        if operation not in served
    ]
    changing = {route.operation for route in routes if route.keyed}
    found += [
        ((*place, "idempotency", "required"), f"operation {operation} of {name} changes nothing")
        for operation in api.idempotency.required
        if operation not in changing
    ]
    if api.foreign:
        found += _foreign_orphans(place, api, routes)
        return granted | {route.scope for route in routes}
    if tier == "system":
        if set(api.scopes) - set(OWN_SCOPES):
            found.append(((*place, "scopes"), "a connection's own scopes are read and write"))
        named = {operation for operations in api.scopes.values() for operation in operations}
        found += _orphans(place, name, api, served & named)
        return granted
    found += _orphans(place, name, api, served)
    return granted


def _foreign_orphans(place: Place, api: Api, routes: list[Route]) -> Iterator[Finding]:
    """Operations that no scope opens, and scopes that open nothing, by name or by method."""
    open_now = {route.scope for route in routes}
    for scope, told in api.scopes.items():
        if scope not in open_now:
            yield (*place, "scopes", scope), "this scope opens no operation"
        for operation in told if isinstance(told, list) else ():
            if operation not in {route.operation for route in routes}:
                yield (*place, "scopes", scope), f"there is no operation {operation}"
    for operation in sorted({route.operation for route in routes if not route.scope}):
        yield (*place, "scopes"), f"operation {operation} has no scope"


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
