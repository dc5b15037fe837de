"""A dry run asks everything, lists every write in order, and writes nothing anywhere."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import sqlalchemy as sa
from pytest_httpx import HTTPXMock

from apis.runtime.app import make_app
from apis.runtime.clients import Local, client
from apis.runtime.clock import Clock
from apis.runtime.context import CURRENT, Context
from apis.runtime.engine import Engine
from apis.runtime.events import OUTBOXES, publish
from apis.runtime.flow import Runtime, approval, current, flow, step, write_own
from apis.runtime.metadata import Metadata
from apis.runtime.planning import planned
from apis.runtime.records import Records
from apis.runtime.store import Store
from apis.runtime.vendor import VendorHttp
from apis.runtime.writes import Write
from contracts.canonical.deal import DealMark
from contracts.canonical.identity import Ref, Source
from contracts.canonical.party import Customer
from contracts.errors import Rejected
from contracts.events import RunStarted, event_id, event_of
from contracts.ports import Crm
from contracts.runs import Plan
from system_apis import crm
from tests.runtime.acme import HOST, acme, asks, hands_out_tokens, made, rows

DEAL = Source("acme", "006A")
CUSTOMER = Customer(external_id="001A", name="Northwind")
ASKED = Context(actor="ann", client="demo", request_id="r-1", plan=False)


class AcmeCrm:
    """A Crm on the made-up vendor: one read, two writes."""

    def __init__(self, http: VendorHttp) -> None:
        self._http = http

    async def get_customer(self, external_id: str) -> Customer:
        found = await self._http.get("/customers/{}", external_id)
        return Customer(external_id=found["id"], name=found["name"])

    async def mark_customer(
        self,
        external_id: str,
        key: str,
        customer: Customer | None = None,
        origin: Source | None = None,
    ) -> Ref:
        del customer, origin
        write = Write(object="customer", key=key, kind="update")
        return await self._http.write(
            write, "PATCH", "/customers/{}", external_id, body={"key": key}
        )

    async def mark_deal(self, external_id: str, mark: DealMark) -> Ref:
        write = Write(object="deal", key=mark.project_key, kind="create")
        return await self._http.write(
            write, "POST", "/deals", body={"of": external_id, "project": mark.project_key}
        )


def served() -> Crm:
    connected: Crm = current().runtime.connect(Crm, "system/acme")
    return connected


@step(owner="finance", keep="a customer is a fact")
async def known_customer(source: Source) -> Customer:
    customer = await served().get_customer(source.external_id)
    if customer.name == "Nobody":
        raise Rejected("customer.unknown", "nobody knows this customer", owner="finance")
    return customer


@step(owner="finance", keep="announced is announced")
async def customer_record(customer: Customer) -> None:
    told = RunStarted(run_id="r", flow="marked", source=DEAL)
    event = event_of(
        "run.started", told, id=event_id("r"), source="/process", time=current().runtime.clock.now()
    )
    await write_own("customer", publish, "process", event, value=customer)


@step(owner="integration", keep="a key stays")
async def customer_key_for(customer: Customer) -> Ref:
    return await served().mark_customer(customer.external_id or "", "customer-1")


@step(owner="integration", keep="a mark stays")
async def project_for(customer: Ref) -> Ref:
    mark = DealMark(project_key="project-1", status="active")
    return await served().mark_deal(customer.external_id or "", mark)


@flow
async def marked(source: Source) -> Ref:
    await customer_key_for(CUSTOMER)
    customer = await known_customer(source)
    await approval("deal", by="delivery-director", detail="a large one")
    await customer_record(customer)
    return await project_for(await customer_key_for(customer))


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    with made(store_url) as store:
        yield store


@pytest.fixture
async def runtime(store: Store, store_url: str) -> AsyncIterator[Runtime]:
    engine = Engine(store_url)
    async with acme(store) as vendor:
        app = make_app(
            "Acme", version="1.0.0", routes=crm.routes, dependencies={"crm": AcmeCrm(vendor.http)}
        )
        yield Runtime(
            store=store,
            engine=engine,
            clock=Clock(),
            metadata=Metadata.load(Path("apis/entities.yaml")),
            records=Records(),
            connect=lambda port, _api: client(port, Local(app)),
        )
    await engine.close()


def knows(mock: HTTPXMock, name: str) -> None:
    """The vendor answers reads; a write would meet nothing and fail the test."""
    hands_out_tokens(mock)
    url = f"{HOST}/api/v1/customers/006A"
    mock.add_response(method="GET", url=url, json={"id": "001B", "name": name})


async def plan_of(runtime: Runtime) -> Plan:
    return await planned(runtime, marked, DEAL, ASKED, "marked:acme:006A:1")


def written(plan: Plan) -> list[tuple[str, str, Any]]:
    return [(each.system, each.operation, each.body) for each in plan.writes]


async def announced(store: Store) -> int:
    ask = sa.select(sa.func.count()).select_from(OUTBOXES["process"])
    return await store.read(lambda connection: connection.execute(ask).scalar_one())


async def test_every_write_is_listed_and_none_is_made(
    runtime: Runtime, store: Store, httpx_mock: HTTPXMock
) -> None:
    knows(httpx_mock, "Northwind")

    plan = await plan_of(runtime)

    # what a write would have answered is named by the write
    assert written(plan) == [
        ("acme", "update customer", {"key": "customer-1"}),
        ("acme", "update customer", {"key": "customer-1"}),
        ("acme", "create deal", {"of": "001B", "project": "project-1"}),
    ]
    assert plan.problems == ()
    assert {request.method for request in httpx_mock.get_requests()} == {"POST", "GET"}
    assert [request.url.path for request in httpx_mock.get_requests(method="POST")] == ["/token"]
    assert await rows(store) == []
    assert await announced(store) == 0


@flow
async def marked_twice(source: Source) -> list[str | None]:
    del source
    refs = [await project_for(Ref(None, each)) for each in ("001B", "001C")]
    return [(await project_for(each)).external_id for each in refs]


async def test_what_two_calls_would_make_has_two_names(
    runtime: Runtime, httpx_mock: HTTPXMock
) -> None:
    hands_out_tokens(httpx_mock)

    plan = await planned(runtime, marked_twice, DEAL, ASKED, "marked_twice:acme:006A:1")

    assert [each.body["of"] for each in plan.writes] == [
        *("001B", "001C"),
        *("$planned:acme.deal#1", "$planned:acme.deal#2"),
    ]


async def test_own_records_and_approvals_are_listed_instead_of_made(
    runtime: Runtime, httpx_mock: HTTPXMock
) -> None:
    knows(httpx_mock, "Northwind")

    plan = await plan_of(runtime)

    [record] = plan.records
    assert (record["object"], record["value"]["name"]) == ("customer", "Northwind")
    [asked] = plan.approvals
    assert (asked["owner"], asked["detail"]) == ("delivery-director", "a large one")


async def test_what_stands_in_the_way_ends_the_plan_and_is_told(
    runtime: Runtime, httpx_mock: HTTPXMock
) -> None:
    knows(httpx_mock, "Nobody")

    plan = await plan_of(runtime)

    assert [problem.code for problem in plan.problems] == ["customer.unknown"]
    assert written(plan) == [("acme", "update customer", {"key": "customer-1"})]
    assert plan.records == plan.approvals == ()


async def test_what_a_vendor_says_is_told_as_the_gateway_tells_it(
    runtime: Runtime, httpx_mock: HTTPXMock
) -> None:
    hands_out_tokens(httpx_mock)
    httpx_mock.add_exception(httpx.ConnectError("refused"), method="GET")
    runtime = msgspec.structs.replace(runtime, issuer="https://firm.example")

    [problem] = (await plan_of(runtime)).problems

    assert problem.code == "vendor.unavailable"
    assert problem.type == "https://firm.example/problems/vendor.unavailable"
    assert (problem.kind, problem.source) == (None, "acme")
    assert [each.code for each in problem.errors] == ["NOT_REACHED"]


async def test_a_plan_leaves_the_callers_context_as_it_was(
    runtime: Runtime, httpx_mock: HTTPXMock
) -> None:
    knows(httpx_mock, "Northwind")
    call = asks()

    await plan_of(runtime)

    assert CURRENT.get() is call
    assert (call.planned, call.writes) == ([], 0)
