"""`throughline check`: whether policy, metadata, apps and published contracts fit together."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from litestar.routes import HTTPRoute

from apis.console.connecting import connection_findings
from apis.console.versions import known_states
from apis.gateway.compiled import compile_policy
from apis.gateway.documents import foreign_documents, load_documents
from apis.gateway.issuers import Rule
from apis.gateway.policy import (
    Api,
    Gateway,
    PolicyError,
    place_of,
)
from apis.gateway.version_states import grace_findings, transition_findings
from apis.gateway.windows import Named, plan_limits
from apis.runtime.app import App, make_app
from apis.runtime.clock import Clock
from apis.runtime.deployment import loaded, policy_of
from apis.runtime.flow import Step
from apis.runtime.metadata import Metadata, read_metadata
from apis.runtime.metadata_findings import metadata_findings
from apis.runtime.serving import DOCUMENTS
from apis.runtime.settings import Settings
from apis.runtime.typed_yaml import Finding
from apis.runtime.worker import FLOWS
from contracts import ports, process_ports
from contracts.errors import Misconfigured
from contracts.ownership import OWNERSHIP, THROUGHLINE
from contracts.schemas import PUBLISHED, contracts, digest, manifest_of, text_of
from contracts.versions import current

Routes = dict[str, tuple[str, str]]
"""Operation id -> method and path."""


def findings(settings: Settings) -> list[str]:
    """What is wrong, each with its place; nothing when all is well."""
    gateway, found = configured(settings)
    if gateway is not None:
        found += [each for name in gateway.own for each in api_problems(gateway, name)]
    return found + list(contract_problems(PUBLISHED))


def configured(settings: Settings) -> tuple[Gateway | None, list[str]]:
    """The policy, and what is wrong in both files or between them."""
    gateway, found = read(lambda: policy_of(settings))
    known, more = read(lambda: read_metadata(settings.entities))
    found += more
    if gateway is not None:
        found += gateway_problems(gateway, settings.gateway.parent)
        states, today = known_states(settings), Clock().now().date()
        lives = [*transition_findings(gateway, states, today), *grace_findings(gateway, states)]
        found += [gateway.lines.told(*each) for each in dict.fromkeys(lives)]
    if known is not None:
        metadata, lines = known
        rows = [*metadata_findings(metadata, Clock().now().date()), *connection_findings(metadata)]
        if gateway is not None:
            rows += unserved(gateway, metadata)
            theirs = [*unknown_to(metadata, gateway), *unowned(metadata, gateway)]
            found += [gateway.lines.told(*each) for each in theirs]
        found += [lines.told(*each) for each in rows]
    return gateway, found


def read(load: Callable[[], Any]) -> tuple[Any, list[str]]:
    """A file as its type, or what keeps it from being read."""
    try:
        return load(), []
    except Misconfigured as error:
        return None, error.detail.splitlines()
    except OSError as error:
        return None, [f"{error.filename}: {error.strerror}"]


def gateway_problems(gateway: Gateway, folder: Path) -> list[str]:
    """What would keep the gateway from starting; if nothing would, what never applies."""
    try:
        named = foreign_documents(gateway, folder)
        compile_policy(gateway, load_documents(DOCUMENTS) | named)
    except PolicyError as error:
        return error.mistakes
    return [gateway.lines.told(*each) for each in idle(gateway)]


def idle(gateway: Gateway) -> Iterator[Finding]:
    """Plans and dates of the policy that make no difference."""
    used = {client.plan for client in gateway.clients.values()}
    used |= {issuer.plan for issuer in gateway.issuers.values()}
    if gateway.portal is not None:
        used |= {gateway.portal.sandbox.plan, *gateway.portal.plans}
    for name, plan in gateway.plans.items():
        if name not in used:
            yield ("plans", name), "it never applies: no client has this plan"
        yield from idle_quotas(plan_limits(name, plan, []))


def idle_quotas(windows: Named) -> Iterator[Finding]:
    """Quotas that no caller can reach, since a rate of the plan allows less."""
    rates = [each.limit for each in windows if not each.limit.quota]
    for each in windows:
        if not each.limit.quota:
            continue
        reached = [each.limit.window / rate.step + rate.burst for rate in rates]
        if (most := min(reached, default=math.inf)) <= each.limit.tokens:
            told = f"it never applies: the rate allows {most:.0f} calls in that time"
            yield tuple(each.rule.split(".")), told


def unserved(gateway: Gateway, metadata: Metadata) -> Iterator[Finding]:
    """A limit of a flow that is not there never applies; one nobody may approve waits for ever."""
    for name in metadata.connections:
        if f"system/{name}" not in gateway.own:
            yield ("connections", name), f"gateway.yaml has no apis.system.{name}"
    flows = {flow.name for flow in loaded(FLOWS)}
    roles = roles_of(gateway)
    for section in ("approvals", "deal_changes"):
        for at, rule in enumerate(getattr(metadata, section)):
            if rule.flow not in flows:
                told = f"there is no flow {rule.flow}, only {', '.join(sorted(flows))}"
                yield (section, at, "flow"), told
            if roles and rule.owner not in roles:
                told = f"nobody in gateway.yaml has the role {rule.owner}"
                yield (section, at, "owner"), told
    for name, role in metadata.stewards.items():
        if roles and role not in roles:
            yield ("stewards", name), f"nobody in gateway.yaml has the role {role}"


def unowned(metadata: Metadata, gateway: Gateway) -> Iterator[Finding]:
    """Whom flows and rules of ownership ask, and nobody is: their work items wait for ever."""
    served = {kind for row in metadata.roles for kind in row.serves} | {THROUGHLINE}
    asked = {each.owner: f"the step {each.name}" for each in steps()}
    for row in OWNERSHIP:
        if row.system in served:
            role = metadata.stewards.get(row.object, row.steward)
            asked.setdefault(role, f"the ownership of a {row.object}")
    roles = roles_of(gateway)
    for role, by in sorted(asked.items()):
        if roles and role not in {*roles, *metadata.stewards.values()}:
            yield ("clients",), f"none has the role {role}, which {by} asks"


def steps() -> Iterator[Step[Any, Any]]:
    """Every step that a flow can take: those of the modules that came with the flows."""
    packages = {flow.function.__module__.partition(".")[0] for flow in loaded(FLOWS)}
    for name, module in sorted(sys.modules.items()):
        if name.partition(".")[0] in packages:
            yield from (each for each in vars(module).values() if isinstance(each, Step))


def roles_of(gateway: Gateway) -> set[str]:
    """What clients, our people and those of trusted issuers may decide on."""
    given = {role for client in gateway.clients.values() for role in client.roles}
    given |= {role for person in gateway.people.values() for role in person.roles}
    rules = [issuer.roles for issuer in gateway.issuers.values()]
    mapped = [rule.map for rule in rules if isinstance(rule, Rule) and rule.map]
    return given | {role for each in mapped for role in each.values()}


def unknown_to(metadata: Metadata, gateway: Gateway) -> Iterator[Finding]:
    """Every system API is a connection of the metadata at the same vendor; rows are of entities."""
    for name, api in gateway.own.items():
        tier, _, connection = name.partition("/")
        if tier != "system":
            continue
        known = metadata.connections.get(connection)
        if known is None:
            yield place_of(name), "the metadata has no such connection"
        elif known.vendor != api.vendor:
            told = f"{api.vendor}, but {known.vendor} in the metadata"
            yield (*place_of(name), "vendor"), told
    for name, client in gateway.clients.items():
        for entity in (client.rows and client.rows.entities) or ():
            if entity not in metadata.entities:
                told = f"the metadata has no entity {entity}"
                yield ("clients", name, "rows", "entities"), told


def api_problems(gateway: Gateway, name: str) -> Iterator[str]:
    """An app serves what its port promises and what its documents say."""
    api = gateway.apis[name]
    try:
        port, app = loaded_app(name, api)
    except (ImportError, AttributeError, ValueError) as error:
        yield gateway.lines.told(place_of(name), f"its app cannot be loaded ({error})")
        return
    served = routes_of(app)
    if port is not None:
        later = promised_later(api)
        promised: Routes = {
            each.id: (each.method, each.path)
            for each in ports.operations(port)
            if each.id not in later
        }
        place = f"{port.__module__.replace('.', '/')}.py: {port.__name__}"
        yield from differences(place, promised, served, name)
    documents = load_documents(DOCUMENTS)
    for target in (f"{name}/v{api.spoken}", f"system/{api.vendor}/v{api.spoken}"):
        if target in documents:
            told = documented(documents[target], target)
            yield from differences(f"{DOCUMENTS / target}.json", told, served, name)
            break


def loaded_app(name: str, api: Api) -> tuple[type | None, App]:
    """The port of an api and its app, which will answer nobody."""
    tier, _, called = name.partition("/")
    if tier == "system":
        port = loaded(f"system_apis.{api.vendor}.adapter:PORT")
        routes = loaded(f"system_apis.{port}:routes")
        app = make_app(called, version="0", routes=routes, dependencies={port: None})
        return getattr(ports, port.capitalize()), app
    camel = "".join(word.capitalize() for word in called.split("-"))
    return getattr(process_ports, camel, None), loaded(api.app or "")(None)


def promised_later(api: Api) -> frozenset[str]:
    """The operations of a vendor's port that no vendor serves yet: its routes say so."""
    if not api.vendor:
        return frozenset()
    port = loaded(f"system_apis.{api.vendor}.adapter:PORT")
    return frozenset(getattr(importlib.import_module(f"system_apis.{port}"), "LATER", ()))


def routes_of(app: App) -> Routes:
    """What an app serves."""
    return {
        str(handler.operation_id): (method, route.path_format)
        for route in app.litestar.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        for method in sorted(str(each) for each in handler.http_methods)
        if handler.include_in_schema is not False and method != "OPTIONS" and handler.operation_id
    }


def documented(document: dict[str, Any], target: str) -> Routes:
    """What a published document tells callers."""
    return {
        operation["operationId"]: (method.upper(), path.removeprefix(f"/{target}"))
        for path, item in document.get("paths", {}).items()
        for method, operation in item.items()
        if isinstance(operation, dict) and "operationId" in operation
    }


def differences(place: str, told: Routes, served: Routes, name: str) -> Iterator[str]:
    """Where a promise and an app say different things."""
    for operation in sorted(told.keys() | served.keys()):
        said, done = told.get(operation), served.get(operation)
        if said is None:
            yield f"{place}: {operation}, served by {name}, is missing"
        elif done is None:
            yield f"{place}: {operation} is not served by {name}"
        elif said != done:
            yield f"{place}: {operation} is {' '.join(said)}, but {name} has {' '.join(done)}"


def contract_problems(folder: Path) -> Iterator[str]:
    """Published schemas are what the manifest remembers and what the contracts say now."""
    manifest = manifest_of(folder)
    for place, remembered in manifest.items():
        path = folder / place
        if not path.exists():
            yield f"{path}: is in the manifest, but not there"
        elif digest(path.read_text("utf-8")) != remembered:
            yield f"{path}: was changed after it was published"
    for name, struct in contracts().items():
        place = f"{name}/{current(name)}.json"
        if place not in manifest:
            yield f"{folder / place}: is not published: python -m contracts.schemas"
        elif manifest[place] != digest(text_of(struct)):
            yield f"{folder / place}: {struct.__name__} has changed and needs its next version"
