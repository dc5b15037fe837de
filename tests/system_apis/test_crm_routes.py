"""Every CRM serves the Crm port: the same routes, names and bodies; and it is published so."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import pytest
from litestar.handlers import HTTPRouteHandler

from apis.runtime.app import make_app
from apis.runtime.clients import Local, client
from apis.runtime.openapi import document, publish
from contracts.canonical.deal import DealMark, DealPage
from contracts.canonical.identity import Ref
from contracts.errors import Conflict
from contracts.ports import Crm, operations
from system_apis import crm
from system_apis.app import described
from tests.runtime.acme import asks

PUBLISHED = Path("contracts/published/openapi/system/salesforce/v1.json")
SERVED = [handler for handler in crm.routes if isinstance(handler, HTTPRouteHandler)]


def test_the_routes_are_those_of_the_port() -> None:
    served = {
        (handler.operation_id, next(iter(handler.http_methods)), re.sub(r":\w+", "", path))
        for handler in SERVED
        for path in handler.paths
    }

    assert served == {(route.id, route.method, route.path) for route in operations(Crm)}


@pytest.mark.parametrize("route", operations(Crm), ids=lambda route: route.id)
def test_a_body_has_the_members_the_port_names(route) -> None:
    [handler] = [each for each in SERVED if each.operation_id == route.id]
    hints = get_type_hints(getattr(Crm, route.name))
    body: Any = get_type_hints(handler.fn).get("data")

    in_path = set(re.findall(r"{(\w+)}", route.path))
    members = hints.keys() - {"return"} - in_path
    assert handler.fn.__doc__.splitlines()[0] == route.summary
    assert handler.status_code == route.status
    if route.method != "GET":
        assert {field.name for field in msgspec.structs.fields(body)} == members


def test_the_published_document_is_what_is_served() -> None:
    made = document(described("salesforce"), "system", "salesforce", 1)

    assert json.loads(PUBLISHED.read_text()) == json.loads(json.dumps(made))


def test_the_document_speaks_of_problems_and_exact_money() -> None:
    made = document(described("salesforce"), "system", "salesforce", 1)

    assert made["openapi"].startswith("3.1")
    assert made["servers"] == [{"url": "/system/salesforce/v1"}]
    for item in made["paths"].values():
        for operation in item.values():
            assert "400" not in operation["responses"]
            assert "application/problem+json" in operation["responses"]["default"]["content"]
            assert operation["summary"].endswith(".")
    assert made["components"]["schemas"]["Money"]["properties"]["amount"]["format"] == "decimal"


def test_a_published_document_is_not_changed(tmp_path: Path) -> None:
    assert publish({"system/x/v1": {"a": 1}}, tmp_path) == ["system/x/v1"]
    assert publish({"system/x/v1": {"a": 1}}, tmp_path) == []
    with pytest.raises(ValueError, match="is published"):
        publish({"system/x/v1": {"a": 2}}, tmp_path)
    assert publish({"system/x/v1": {"a": 2}}, tmp_path, draft=True) == ["system/x/v1"]


class Listening:
    """A Crm that keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    async def list_deals(self, changed_since, cursor=None, state=None) -> DealPage:
        self.asked = [changed_since.isoformat(), cursor, state]
        return DealPage(next="more")

    async def mark_deal(self, external_id: str, mark: DealMark) -> Ref:
        self.asked = [external_id, mark]
        raise Conflict("salesforce.DUPLICATE_VALUE", "another deal has it", source="salesforce")

    async def find_customer(self, key: str) -> Ref | None:
        self.asked = [key]
        return None


def served(behind: Listening) -> Crm:
    app = make_app("a CRM", version="1.0.0", routes=crm.routes, dependencies={"crm": behind})
    return client(Crm, Local(app))


async def test_arguments_and_errors_arrive_as_they_were_sent() -> None:
    asks()
    behind = Listening()
    crm_client = served(behind)
    since = datetime.fromisoformat("2026-03-01T10:00:00+01:00")

    page = await crm_client.list_deals(since, state="won")

    assert behind.asked == ["2026-03-01T10:00:00+01:00", None, "won"]
    assert page.next == "more"
    assert await crm_client.find_customer("customer-1/ä?") is None
    assert behind.asked == ["customer-1/ä?"]
    with pytest.raises(Conflict) as raised:
        await crm_client.mark_deal("006A", DealMark(project_key="p-1", status="active"))
    assert raised.value.code == "salesforce.DUPLICATE_VALUE"
    assert behind.asked == ["006A", DealMark(project_key="p-1", status="active")]
