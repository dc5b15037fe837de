"""Every method of a port has a route that its arguments fit."""

import re
from inspect import signature
from typing import get_type_hints

import pytest

from contracts import ports, process_ports

PORTS = [
    ports.Crm, ports.Psa, ports.Erp, ports.Hcm, ports.Billing, ports.Tax, ports.Signature,
    process_ports.DealToProject, process_ports.WorkQueue,
]  # fmt: skip
METHODS = [(port, route) for port in PORTS for route in ports.operations(port)]


def named(case):
    port, route = case
    return f"{port.__name__}.{route.name}"


@pytest.mark.parametrize("port", PORTS)
def test_every_method_has_a_route_and_no_two_share_one(port):
    public = [name for name in vars(port) if not name.startswith("_")]
    routes = ports.operations(port)
    assert [route.name for route in routes] == public
    assert len({route.id for route in routes}) == len(routes)
    assert len({(route.method, route.path) for route in routes}) == len(routes)


@pytest.mark.parametrize("case", METHODS, ids=named)
def test_the_path_parameters_are_arguments(case):
    port, route = case
    method = getattr(port, route.name)
    arguments = signature(method).parameters.keys() - {"self"}
    assert set(re.findall(r"{(\w+)}", route.path)) <= arguments
    assert get_type_hints(method).keys() == arguments | {"return"}


@pytest.mark.parametrize("case", METHODS, ids=named)
def test_what_makes_a_record_takes_our_key(case):
    port, route = case
    if route.name.startswith("create_"):
        assert "key" in signature(getattr(port, route.name)).parameters
        assert (route.method, route.status) == ("POST", 201)


def test_the_routes_of_a_crm():
    told = [f"{route.id}: {route.method} {route.path}" for route in ports.operations(ports.Crm)]
    assert told == [
        "about: GET /about",
        "getDeal: GET /deals/{external_id}",
        "getDealFile: GET /deals/{external_id}/file",
        "listDeals: GET /deals",
        "getCustomer: GET /customers/{external_id}",
        "findCustomer: GET /customers",
        "markCustomer: PUT /customers/{external_id}/key",
        "markDeal: PUT /deals/{external_id}/mark",
        "upsertCustomers: POST /customers/upserts",
        "markDeals: POST /deals/marks",
    ]
