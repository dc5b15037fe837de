"""What delivery reads: projects its client may see, from the read model."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from apis.runtime.context import Rows
from apis.runtime.cursors import Cursors
from apis.runtime.store import Store, page_end
from apis.runtime.whose import opened
from contracts.canonical.identity import Source
from contracts.canonical.money import Money, rounded
from contracts.canonical.project import Project
from contracts.errors import NotFound
from contracts.runs import WorkItem
from experience_apis.delivery.views import (
    Burn,
    OnHold,
    OpenItem,
    ProjectDetail,
    ProjectHealth,
    ProjectPage,
    ProjectRecord,
    ProjectSummary,
)
from experience_apis.tables import NAMES, PROJECTS, RUNS, WORK_ITEMS

PAGE = 50
HELD = "deal.on-hold"
"""The code of the work item that asks what is to become of a project on hold."""


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which projects are asked for; `customer` is our id."""

    entity: str | None = None
    state: str | None = None
    customer: str | None = None
    cursor: str | None = None


class Reads:
    """What one client may read; `links` say where people open a record of each connection."""

    def __init__(
        self, store: Store, rows: Rows | None, links: dict[str, str], cursors: Cursors
    ) -> None:
        self._store = store
        self._cursors = cursors
        self._rows = rows
        self._links = links

    async def projects(self, wanted: Wanted) -> ProjectPage:
        """Projects, the last activated first."""
        replaced = msgspec.structs.replace
        return await self._cursors.page(
            "projects",
            wanted.cursor,
            lambda after: self._store.read(page_of, replaced(wanted, cursor=after), self._rows),
        )

    async def project(self, name: str) -> ProjectDetail:
        """One project by any of its ids; else NotFound."""
        row = await self._store.read(row_of, name, self._rows)
        return detail(row, self._links)

    async def health(self, name: str) -> ProjectHealth:
        """Budget, burn and open work items of one project by any of its ids."""
        return await self._store.read(health_of, name, self._rows)


def page_of(connection: Connection, wanted: Wanted, rows: Rows | None) -> ProjectPage:
    """A page of projects; `cursor` is the last page's `next`."""
    asked = opened(PROJECTS, rows)
    for column in ("entity", "state", "customer"):
        if value := getattr(wanted, column):
            asked = asked.where(PROJECTS.c[column] == value)
    if wanted.cursor is not None:
        last = sa.tuple_(*page_end(wanted.cursor))
        asked = asked.where(sa.tuple_(PROJECTS.c.activated_at, PROJECTS.c.id) < last)
    newest = asked.order_by(PROJECTS.c.activated_at.desc(), PROJECTS.c.id.desc()).limit(PAGE + 1)
    found = connection.execute(newest).all()
    end = found[PAGE - 1] if len(found) > PAGE else None
    return ProjectPage(
        items=tuple(summary(row) for row in found[:PAGE]),
        next=f"{end.activated_at}~{end.id}" if end else None,
    )


def row_of(connection: Connection, name: str, rows: Rows | None) -> Any:
    """A project by our id, its key, or what it is called in any system."""
    asked = opened(PROJECTS, rows).where(sa.or_(PROJECTS.c.id == name, PROJECTS.c.key == name))
    if row := connection.execute(asked).first():
        return row
    runs = sa.select(NAMES.c.subject).where(NAMES.c.name == name)
    candidates = opened(PROJECTS, rows).where(PROJECTS.c.run_id.in_(runs))
    for row in connection.execute(candidates.order_by(PROJECTS.c.activated_at.desc())):
        if name in {record.external_id for record in records(row)} | {project(row).number}:
            return row
    raise NotFound("project.unknown", f"there is no project {name}")


def health_of(connection: Connection, name: str, rows: Rows | None) -> ProjectHealth:
    """How a project is; no time entry has been read yet, so nothing was burnt."""
    row = row_of(connection, name, rows)
    as_of, budget = datetime.fromisoformat(row.changed_at), project(row).budget
    zero = rounded(Money(Decimal(0), budget.total.currency)) if budget else None
    items = open_items(connection, row.run_id, rows)
    return ProjectHealth(
        id=row.id,
        state=row.state,
        on_hold=on_hold(items, as_of) if row.state == "on_hold" else None,
        budget=budget,
        burn=Burn(amount=zero, hours=Decimal(0), entries=0, as_of=as_of),
        open_work_items=tuple(open_item(item) for item in items),
        as_of=as_of,
    )


def on_hold(items: Sequence[WorkItem], since: datetime) -> OnHold:
    """What is asked about a project on hold; while nobody is asked its deal is looked into."""
    item = next((each for each in items if each.code == HELD), None)
    if item is None:
        return OnHold(
            why="its deal is not won any more; what it is now is looked into", since=since
        )
    return OnHold(
        why=item.detail or item.title,
        owner=item.owner,
        assignee=item.assignee,
        remedy=item.remedy,
        work_item_id=item.id,
        since=item.since,
    )


def open_items(connection: Connection, run_id: str | None, rows: Rows | None) -> list[WorkItem]:
    """What waits for people in any run of the journey that made the project."""
    subject = sa.select(RUNS.c.subject).where(RUNS.c.id == run_id)
    runs = sa.select(RUNS.c.id).where(RUNS.c.subject.in_(subject))
    asked = opened(WORK_ITEMS, rows).where(
        WORK_ITEMS.c.run_id.in_(runs), WORK_ITEMS.c.state == "open"
    )
    items = [msgspec.json.decode(row.body, type=WorkItem) for row in connection.execute(asked)]
    return sorted(items, key=lambda item: item.since)


def open_item(item: WorkItem) -> OpenItem:
    """A work item as delivery sees it."""
    return OpenItem(
        id=item.id,
        code=item.code,
        title=item.title,
        owner=item.owner,
        assignee=item.assignee,
        since=item.since,
        amount=item.amount,
    )


def project(row: Any) -> Project:
    """The project as it was announced last."""
    return msgspec.json.decode(row.body, type=Project)


def records(row: Any) -> tuple[Source, ...]:
    """What the project is in each system."""
    return msgspec.json.decode(row.records, type=tuple[Source, ...])


def summary(row: Any) -> ProjectSummary:
    """A project in a list; its state is that of today."""
    told = project(row)
    return ProjectSummary(
        id=row.id,
        key=told.key,
        number=told.number,
        name=told.name,
        state=row.state,
        entity=told.entity,
        customer=told.customer,
        billing_model=told.billing_model,
        budget=told.budget.total if told.budget else None,
        project_manager=told.manager,
        starts_on=told.starts_on,
        ends_on=told.ends_on,
        activated_at=datetime.fromisoformat(row.activated_at),
    )


def detail(row: Any, links: dict[str, str]) -> ProjectDetail:
    """A project with all that delivery sees of it."""
    told = project(row)
    return ProjectDetail(
        id=row.id,
        key=told.key,
        number=told.number,
        name=told.name,
        state=row.state,
        entity=told.entity,
        customer=told.customer,
        billing_model=told.billing_model,
        project_manager=told.manager,
        starts_on=told.starts_on,
        ends_on=told.ends_on,
        activated_at=datetime.fromisoformat(row.activated_at),
        budget=told.budget,
        deal=told.deal,
        contract=told.contract,
        region=told.region,
        service_line=told.service_line,
        purchase_order=told.purchase_order,
        tasks=told.tasks,
        milestones=told.milestones,
        dimensions=told.dimensions,
        records=tuple(linked(record, links) for record in records(row)),
        run_id=row.run_id,
        as_of=datetime.fromisoformat(row.changed_at),
    )


def linked(record: Source, links: dict[str, str]) -> ProjectRecord:
    """A record with the address at which people open it, where there is one."""
    link = links.get(record.connection)
    return ProjectRecord(
        system=record.connection,
        external_id=record.external_id,
        url=link.replace("{external_id}", record.external_id) if link else None,
    )
