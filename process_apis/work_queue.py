"""The work queue: what people must set right or decide, priced and owned."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from litestar import get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK
from msgspec import Meta, Struct
from sqlalchemy import Connection

from apis.runtime.app import App, caller, make_app
from apis.runtime.duties import in_force
from apis.runtime.flow import Runtime
from apis.runtime.once import once
from apis.runtime.work_items import (
    Deciding,
    assign,
    comment,
    decide,
    get_item,
    list_items,
)
from contracts.canonical.identity import Source
from contracts.runs import DecisionKind, Person, WorkItem, WorkItemPage
from process_apis.foreign_records import nobody_elses, not_won_again

ItemState = Literal["open", "decided"]
Words = Annotated[str, Meta(min_length=1, max_length=4000)]


class Decide(Struct, frozen=True, forbid_unknown_fields=True):
    """What was decided, why, and the record to adopt."""

    decision: DecisionKind
    comment: str = ""
    record: Source | None = None


class Assign(Struct, frozen=True, forbid_unknown_fields=True):
    """Who takes the item on; nobody gives it back to its role."""

    assignee: Person | None = None


class Note(Struct, frozen=True, forbid_unknown_fields=True):
    """What those who come after should know."""

    text: Words


@get("/work-items", operation_id="listWorkItems")
async def list_work_items(
    runtime: NamedDependency[Any],
    owner: FromQuery[str | None] = None,
    in_state: Annotated[ItemState | None, QueryParameter(name="state")] = None,
    run_id: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
) -> WorkItemPage:
    """Work items of a role or a run, the longest waiting first."""
    rows = caller().rows
    page: WorkItemPage = await runtime.cursors.page(
        "work-items",
        cursor,
        lambda after: runtime.store.read(list_items, owner, in_state, after, run_id, rows=rows),
    )
    return page


@get("/work-items/{id:str}", operation_id="getWorkItem")
async def get_work_item(id: FromPath[str], runtime: NamedDependency[Any]) -> WorkItem:  # noqa: A002 - the path's own word
    """One work item with its evidence."""
    item: WorkItem = await runtime.store.read(get_item, id, caller().rows)
    return item


@put("/work-items/{id:str}/assignee", operation_id="assignWorkItem")
async def assign_work_item(
    id: FromPath[str],  # noqa: A002 - the path's own word
    data: JSONBody[Assign],
    runtime: NamedDependency[Any],
) -> WorkItem:
    """A work item given to a person, or to nobody."""
    now = runtime.clock.now()
    item: WorkItem = await runtime.store.write(
        once, WorkItem, now, assign, id, data.assignee, caller(), now
    )
    return item


@post("/work-items/{id:str}/comments", operation_id="commentWorkItem")
async def comment_work_item(
    id: FromPath[str],  # noqa: A002 - the path's own word
    data: JSONBody[Note],
    runtime: NamedDependency[Any],
) -> WorkItem:
    """A note on a work item, for those who come after."""
    now = runtime.clock.now()
    item: WorkItem = await runtime.store.write(
        once, WorkItem, now, comment, id, data.text, caller(), now
    )
    return item


@post("/work-items/{id:str}/decisions", operation_id="decideWorkItem", status_code=HTTP_200_OK)
async def decide_work_item(
    id: FromPath[str],  # noqa: A002 - the path's own word
    data: JSONBody[Decide],
    runtime: NamedDependency[Any],
) -> WorkItem:
    """Retry, abandon, approve, reject or adopt; a second decision is a conflict."""
    now = runtime.clock.now()
    deciding = Deciding(
        decision=data.decision,
        comment=data.comment,
        record=data.record,
        by=caller(),
        at=now,
        duties=in_force(runtime.metadata.duties, now.date()),
    )
    item: WorkItem = await runtime.store.write(once, WorkItem, now, decided, id, deciding)
    return item


def decided(connection: Connection, id: str, deciding: Deciding) -> WorkItem:  # noqa: A002 - as above
    """The item with its decision, unless that would touch what is somebody else's business."""
    item = get_item(connection, id, deciding.by.rows)
    if item.state == "open" and deciding.decision == "adopt" and deciding.record is not None:
        nobody_elses(connection, item, deciding.record)
    if item.state == "open" and deciding.decision == "abandon":
        not_won_again(connection, item)
    return decide(connection, id, deciding)


def app(runtime: Runtime) -> App:
    """The work queue's API."""
    routes = [
        *(list_work_items, get_work_item),
        *(assign_work_item, comment_work_item, decide_work_item),
    ]
    return make_app(
        "Work queue",
        version="1.1.0",
        routes=routes,
        dependencies={"runtime": runtime},
    )
