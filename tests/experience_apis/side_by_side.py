"""Delivery behind a gateway on one store, as a client of each of its versions sees it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, cast

import httpx
import msgspec
from sqlalchemy import Connection

from apis.gateway.documents import load_documents
from apis.gateway.guard import ASGIApp
from apis.runtime.clock import Clock
from apis.runtime.cursors import Cursors
from apis.runtime.engine import Engine
from apis.runtime.flow import Runtime
from apis.runtime.metadata import Metadata
from apis.runtime.migrations import lift
from apis.runtime.records import Records
from apis.runtime.store import Store
from contracts.canonical.identity import Ref, Source
from contracts.canonical.money import Money
from contracts.canonical.project import Budget, BudgetLine, Milestone, Project, Task
from contracts.events import (
    Event,
    ProjectActivated,
    ProjectChanged,
    RunStarted,
    WorkItemOpened,
    event_of,
)
from contracts.runs import WorkItem
from experience_apis.delivery.app import app
from experience_apis.projections import PROJECTIONS
from tests.gateway.bench import ISSUER, Bench

EXAMPLES = Path("contracts/published/examples")
BEGAN = datetime(2026, 3, 2, 9, tzinfo=UTC)
ALFA = Ref("01JALFA0000000000000000000", "1201")
PAGE = 50
IDS = {
    "x-request-id": "frozen-example",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}
POLICY = """
version: 1
plans: {internal: {rate: 100000/min}}
clients:
  clerk: {plan: internal, secret: "home:clients.json", scopes: [projects.read, catalog.read]}
  other: {plan: internal, secret: "home:clients.json", scopes: [projects.read]}
apis:
  experience:
    delivery:
      app: "experience_apis.delivery.app:app"
      owner: delivery-operations
      modes: {responses: enforce}
      scopes: {projects.read: [listProjects, getProject, getProjectHealth]}
      versions:
        2: {status: current}
        1: {status: deprecated, since: 2026-11-02, sunset: 2027-06-30}
"""


class Example(NamedTuple):
    """A request of a version, and the frozen answer's file."""

    name: str
    path: str
    status: int = 200
    query: dict[str, str] = {}  # noqa: RUF012 - never changed


V1 = [
    Example("projects-of-a-customer", "/projects", 200, {"customer": str(ALFA.id)}),
    Example("projects-on-hold", "/projects", 200, {"state": "on_hold", "entity": "DE"}),
    Example("project", "/projects/P-1"),
    Example("project-with-little-known", "/projects/P-2"),
    Example("health", "/projects/P-1/health"),
    Example("health-on-hold", "/projects/K-3/health"),
    Example("health-without-budget", "/projects/P-2/health"),
    Example("project-unknown", "/projects/nobody", 404),
    Example("health-unknown", "/projects/nobody/health", 404),
    Example("state-unknown", "/projects", 422, {"state": "gone"}),
    Example("parameter-unknown", "/projects", 422, {"customer_id": str(ALFA.id)}),
    Example("cursor-invalid", "/projects", 422, {"cursor": "page-2"}),
]
"""Every operation of version 1, with what it may answer."""


def happened() -> list[Event]:
    """Three projects of one customer that differ, then more than a page of small ones."""
    told: list[tuple[str, msgspec.Struct]] = []
    for n, project in enumerate(projects(), start=1):
        run_id, source = f"deal_to_project:salesforce:D-{n}:1", Source("salesforce", f"D-{n}")
        records = (Source("kantata", f"W-{n}"), Source("netsuite", f"J-{n}")) if n != 2 else ()
        started = RunStarted(run_id=run_id, flow="deal_to_project", source=source)
        ready = ProjectActivated(project=project, run_id=run_id, records=records)
        told += [("run.started", started), ("project.activated", ready)]
    held = ProjectChanged(id="P-3", state="on_hold", source=Source("salesforce", "D-3"), run_id="r")
    told += [("work-item.opened", WorkItemOpened(item=item())), ("project.changed", held)]
    return [
        event_of(name, payload, id=f"e-{n}", source="/t", time=BEGAN + timedelta(minutes=n))
        for n, (name, payload) in enumerate(told)
    ]


def projects() -> list[Project]:
    """What is announced."""
    lines = (
        BudgetLine(name="Design", hours=Decimal(120), total=Money(Decimal("30000.10"), "EUR")),
    )
    full = Project(
        id="P-1",
        key="K-1",
        number="PRJ-0001",
        name="Zürich rollout „A“",
        state="active",
        entity="DE",
        customer=ALFA,
        billing_model="milestone",
        manager="kim@northline.example",
        budget=Budget(total=Money(Decimal("42800.10"), "EUR"), hours=Decimal("120.5"), lines=lines),
        deal=Ref("01JDEAL0000000000000000000", "006A"),
        contract=Ref("01JCONTRACT000000000000000", None),
        region="emea",
        service_line="consulting",
        purchase_order="PO-7",
        starts_on=date(2026, 3, 2),
        ends_on=date(2026, 9, 30),
        tasks=(
            Task(code="1", name="Blueprint", planned_hours=Decimal("40.25"), role="architect"),
            Task(code="1.1", name="Interviews", parent="1", billable=False),
        ),
        milestones=(
            Milestone(
                code="M1",
                name="Blueprint accepted",
                amount=Money(Decimal("12800.00"), "EUR"),
                due_on=date(2026, 5, 1),
            ),
        ),
        dimensions={"department": "consulting", "location": "DE"},
    )
    little = Project(id="P-2", name="Little", state="active", customer=ALFA)
    yen = Budget(total=Money(Decimal(900719925474099), "JPY"))
    held = Project(
        id="P-3", key="K-3", name="Held", state="active", entity="DE", customer=ALFA, budget=yen
    )
    small = (
        Project(id=f"S-{n}", name=f"Small {n}", state="active", entity="US")
        for n in range(PAGE + 1)
    )
    return [full, little, held, *small]


def item() -> WorkItem:
    """What is asked about the project on hold."""
    return WorkItem(
        id="wi-3",
        code="deal.on-hold",
        title="The deal is not won any more",
        detail="Northline lost it again.",
        owner="delivery-director",
        assignee="kim@northline.example",
        amount=Money(Decimal("10.00"), "EUR"),
        remedy="cancel the project, or go on",
        run_id="deal_to_project:salesforce:D-3:1",
        step="project_for",
        entity="DE",
        since=BEGAN,
    )


def follow(connection: Connection) -> None:
    """The read models take in what happened."""
    events = happened()
    for projection in PROJECTIONS:
        projection.apply(connection, [each for each in events if each.type in projection.types])


class SideBySide(Bench):
    """A gateway over delivery; a call names its version."""

    def __init__(self, home: Path, store_url: str, policy: str = POLICY) -> None:
        self.data = Store(store_url)
        lift(self.data)
        self.data.write_now(follow)
        self.engine = Engine(store_url)
        runtime = Runtime(
            store=self.data,
            engine=self.engine,
            clock=Clock(),
            metadata=Metadata.load(Path("apis/entities.yaml")),
            records=Records(),
            connect=lambda *_: None,
            cursors=Cursors(b"frozen"),
            links={"kantata": "https://kantata.example/w/{external_id}"},
        )
        documents = load_documents(Path("contracts/published/openapi"))
        super().__init__(home, policy, documents, cast("ASGIApp", app(runtime)))

    async def get(
        self, version: int, path: str, query: dict[str, str] | None = None, client: str = "clerk"
    ) -> httpx.Response:
        """What a client of this version is answered."""
        headers = IDS | {"authorization": f"Bearer {self.token(client)}"}
        return await self.http.get(
            f"{ISSUER}/experience/delivery/v{version}{path}", params=query or {}, headers=headers
        )

    async def close(self) -> None:
        """Let go of the databases."""
        await self.engine.close()
        self.data.close()
        self.store.close()
