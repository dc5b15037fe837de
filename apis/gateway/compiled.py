"""The policy with all that can be decided at start decided: routes, limits, and every mistake."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from apis.gateway.listeners import listener_problems
from apis.gateway.policy import (
    NAMED,
    OWN_SCOPES,
    Api,
    Client,
    ClientRows,
    Gateway,
    Plan,
    PolicyError,
    place_of,
)
from apis.gateway.routes import Mount, mount_of
from apis.runtime.limits import Limit, parse_limit
from apis.runtime.typed_yaml import Finding, Place

REFERENCE = re.compile("^(env:|file:/|home:).")
PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""What only the private part of a key (RFC 7518) holds."""


class Policy(msgspec.Struct, frozen=True):
    """What the pipeline looks things up in."""

    gateway: Gateway
    mounts: dict[str, Mount]
    limits: dict[str, tuple[tuple[str, Limit], ...]]
    """Per plan: the name of each limit in the `RateLimit` fields, and the limit."""


def compile_policy(gateway: Gateway, documents: Mapping[str, dict[str, Any]]) -> Policy:
    """Decide all that can be decided; PolicyError names every place that is wrong."""
    found = [*_secret_problems(gateway), *listener_problems(gateway.listeners)]
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
    if client.certificate and not any(each.client_ca for each in gateway.listeners.values()):
        yield (*place, "certificate"), "no listener asks for certificates: name its `client_ca`"
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
        mounts[target] = mount_of(
            target, version, f"/{name}/v{newer}" if newer else None, document, scopes, limits
        )
    return mounts


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
