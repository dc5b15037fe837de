"""`throughline check`: whether policy, metadata, apps and published contracts fit together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from litestar.routes import HTTPRoute

from apis.gateway.policy import Api, Gateway, PolicyError, compile_policy, load_documents
from apis.gateway.policy import load_gateway as read_gateway
from apis.runtime.app import App, make_app
from apis.runtime.clock import Clock
from apis.runtime.deployment import loaded
from apis.runtime.metadata import Metadata
from apis.runtime.metadata import check as metadata_problems
from apis.runtime.serving import DOCUMENTS
from apis.runtime.settings import Settings
from apis.runtime.worker import FLOWS
from contracts import ports
from contracts.errors import Misconfigured
from contracts.schemas import PUBLISHED, contracts, digest, manifest_of, text_of
from contracts.versions import current

Routes = dict[str, tuple[str, str]]
"""Operation id -> method and path."""


def findings(settings: Settings) -> list[str]:
    """What is wrong, each with its place; nothing when all is well."""
    gateway, found = read(lambda: read_gateway(settings.gateway.read_text("utf-8")))
    metadata, more = read(lambda: Metadata.load(settings.entities))
    found += more
    if metadata is not None:
        today = Clock().now().date()
        name = settings.entities.name
        found += [f"{name}: {each}" for each in metadata_problems(metadata, today)]
    if gateway is not None:
        found += gateway_problems(gateway)
        found += [each for name, api in gateway.apis.items() for each in api_problems(name, api)]
    if gateway is not None and metadata is not None:
        found += connection_problems(gateway, metadata)
        found += approval_problems(gateway, metadata)
    return found + list(contract_problems(PUBLISHED))


def read(load: Callable[[], Any]) -> tuple[Any, list[str]]:
    """A file as its type, or what keeps it from being read."""
    try:
        return load(), []
    except PolicyError as error:
        return None, error.mistakes
    except Misconfigured as error:
        return None, [error.detail]
    except OSError as error:
        return None, [f"{error.filename}: {error.strerror}"]


def gateway_problems(gateway: Gateway) -> list[str]:
    """What would keep the gateway from starting."""
    try:
        compile_policy(gateway, load_documents(DOCUMENTS))
    except PolicyError as error:
        return error.mistakes
    return []


def approval_problems(gateway: Gateway, metadata: Metadata) -> Iterator[str]:
    """A limit of a flow that is not there never applies; one nobody may approve waits for ever."""
    flows = {flow.name for flow in loaded(FLOWS)}
    roles = {role for client in gateway.clients.values() for role in client.roles}
    for at, rule in enumerate(metadata.approvals):
        place = f"entities.yaml: approvals.{at}"
        if rule.flow not in flows:
            yield f"{place}.flow: there is no flow {rule.flow}, only {', '.join(sorted(flows))}"
        if roles and rule.owner not in roles:
            yield f"{place}.owner: no client in gateway.yaml has the role {rule.owner}"


def connection_problems(gateway: Gateway, metadata: Metadata) -> Iterator[str]:
    """Every system API is a connection of the metadata, at the same vendor."""
    for name, api in gateway.apis.items():
        tier, _, connection = name.partition("/")
        if tier != "system":
            continue
        known = metadata.connections.get(connection)
        if known is None:
            yield f"gateway.yaml: apis.system.{connection}: the metadata has no such connection"
        elif known.vendor != api.vendor:
            yield (
                f"gateway.yaml: apis.system.{connection}.vendor: {api.vendor},"
                f" but {known.vendor} in the metadata"
            )


def api_problems(name: str, api: Api) -> Iterator[str]:
    """An app serves what its port promises and what its documents say."""
    place = f"gateway.yaml: apis.{name.replace('/', '.')}"
    try:
        port, app = loaded_app(name, api)
    except (ImportError, AttributeError) as error:
        yield f"{place}: its app cannot be loaded ({error})"
        return
    served = routes_of(app)
    if port is not None:
        promised: Routes = {each.id: (each.method, each.path) for each in ports.operations(port)}
        yield from differences(f"contracts/ports.py: {port.__name__}", promised, served, name)
    documents = load_documents(DOCUMENTS)
    for major in api.versions:
        for target in (f"{name}/v{major}", f"system/{api.vendor}/v{major}"):
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
    return getattr(ports, camel, None), loaded(api.app or "")(None)


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
