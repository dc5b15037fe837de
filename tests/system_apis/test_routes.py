"""Each kind of system is served by its port's routes, names and bodies, and published so."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest
from litestar.handlers import HTTPRouteHandler

from apis.gateway.policy import load_gateway
from apis.runtime.openapi import document, documents_of
from contracts.ports import Crm, Erp, Operation, Psa, operations
from system_apis import crm, erp, psa
from system_apis.app import described

PORTS: dict[str, tuple[type, Any]] = {
    "salesforce": (Crm, crm),
    "kantata": (Psa, psa),
    "netsuite": (Erp, erp),
}
ROUTES = [
    (port, route, routes)
    for port, routes in PORTS.values()
    for route in operations(port)
    if route.id not in getattr(routes, "LATER", ())
]


def handlers(routes: Any) -> list[HTTPRouteHandler]:
    return [each for each in routes.routes if isinstance(each, HTTPRouteHandler)]


@pytest.mark.parametrize("vendor", PORTS)
def test_the_routes_are_those_of_the_port(vendor: str) -> None:
    port, routes = PORTS[vendor]
    served = {
        (handler.operation_id, next(iter(handler.http_methods)), re.sub(r":\w+", "", path))
        for handler in handlers(routes)
        for path in handler.paths
    }
    promised = {(route.id, route.method, route.path) for route in operations(port)}
    later: frozenset[str] = getattr(routes, "LATER", frozenset())

    assert served == {each for each in promised if each[0] not in later}
    assert {each[0] for each in promised} >= later


@pytest.mark.parametrize(
    ("port", "route", "routes"), ROUTES, ids=[f"{port.__name__} {r.id}" for port, r, _ in ROUTES]
)
def test_a_body_has_the_members_the_port_names(port: type, route: Operation, routes: Any) -> None:
    [handler] = [each for each in handlers(routes) if each.operation_id == route.id]
    hints = get_type_hints(getattr(port, route.name))
    body: Any = get_type_hints(handler.fn).get("data")

    in_path = set(re.findall(r"{(\w+)}", route.path))
    members = hints.keys() - {"return"} - in_path
    assert str(handler.fn.__doc__).splitlines()[0] == route.summary
    assert handler.status_code == route.status
    if route.method != "GET":
        assert {field.name for field in msgspec.structs.fields(body)} == members


@pytest.mark.parametrize("vendor", PORTS)
def test_the_published_document_is_what_is_served(vendor: str) -> None:
    published = Path(f"contracts/published/openapi/system/{vendor}/v1.json")
    policy = load_gateway(Path("gateway.yaml").read_text("utf-8"))
    name = f"system/{vendor}"
    made = documents_of({name: policy.apis[name]})[f"{name}/v1"]

    assert json.loads(published.read_text()) == json.loads(json.dumps(made))


@pytest.mark.parametrize("vendor", PORTS)
def test_the_document_speaks_of_problems_and_exact_money(vendor: str) -> None:
    made = document(described(vendor), "system", vendor, 1)

    assert made["openapi"].startswith("3.1")
    assert made["servers"] == [{"url": f"/system/{vendor}/v1"}]
    for item in made["paths"].values():
        for operation in item.values():
            refused = {
                status: told for status, told in operation["responses"].items() if "$ref" in told
            }
            assert {"401", "403", "404", "422", "429", "503"} <= refused.keys()
            assert operation["summary"].endswith(".")
    assert made["components"]["schemas"]["Money"]["properties"]["amount"]["format"] == "decimal"
