"""Operations: where a deal is, and what people must set right or decide."""

from __future__ import annotations

from typing import Annotated, Literal

from litestar import get, post, put
from litestar.di import NamedDependency
from litestar.params import (
    FromPath,
    FromQuery,
    JSONBody,
    PathParameter,
    QueryParameter,
    SkipValidation,
)
from litestar.status_codes import HTTP_200_OK
from litestar.types import ControllerRouterHandler
from msgspec import Meta, Struct

from apis.runtime.app import App, caller, make_app
from apis.runtime.flow import Runtime
from contracts.canonical.identity import Source
from contracts.connections import Connection, ConnectionPage
from contracts.process_ports import Connections, WorkQueue
from contracts.runs import DecisionKind, Person, WorkItem, WorkItemPage
from experience_apis.operations.reads import Reads
from experience_apis.operations.views import Journey

ItemState = Literal["open", "decided"]
AnyId = Annotated[
    str, PathParameter(description="an id of ours, of any system, a key, a run or a work item")
]
Queue = NamedDependency[SkipValidation[WorkQueue]]
Systems = NamedDependency[SkipValidation[Connections]]
Read = NamedDependency[SkipValidation[Reads]]


class AssignItem(Struct, frozen=True, forbid_unknown_fields=True):
    """Who takes the item on; nobody gives it back to its role."""

    assignee: Person | None = None


class CommentItem(Struct, frozen=True, forbid_unknown_fields=True):
    """What those who come after should know."""

    text: Annotated[str, Meta(min_length=1, max_length=4000)]


class DecideItem(Struct, frozen=True, forbid_unknown_fields=True):
    """What was decided, why, and the record to adopt."""

    decision: DecisionKind
    comment: str = ""
    record: Source | None = None


@get("/journeys/{id:str}", operation_id="getJourney")
async def get_journey(id: AnyId, reads: Read) -> Journey:  # noqa: A002 - the path's own word
    """Where something is, since when and for whom it waits, what exists of it, what happened."""
    return await reads.journey(id)


@get("/work-items", operation_id="listWorkItems")
async def list_work_items(
    queue: Queue,
    owner: FromQuery[str | None] = None,
    in_state: Annotated[ItemState | None, QueryParameter(name="state")] = None,
    cursor: FromQuery[str | None] = None,
) -> WorkItemPage:
    """Work items of a role as the queue has them now, the longest waiting first."""
    return await queue.list_work_items(owner, in_state, cursor)


@get("/work-items/{id:str}", operation_id="getWorkItem")
async def get_work_item(id: FromPath[str], queue: Queue) -> WorkItem:  # noqa: A002 - as above
    """One work item with its evidence, its comments and who has taken it on."""
    return await queue.get_work_item(id)


@put("/work-items/{id:str}/assignee", operation_id="assignWorkItem")
async def assign_work_item(
    id: FromPath[str],  # noqa: A002 - as above
    data: JSONBody[AssignItem],
    queue: Queue,
) -> WorkItem:
    """A work item given to a person, or to nobody."""
    return await queue.assign_work_item(id, data.assignee)


@post("/work-items/{id:str}/comments", operation_id="commentWorkItem")
async def comment_work_item(
    id: FromPath[str],  # noqa: A002 - as above
    data: JSONBody[CommentItem],
    queue: Queue,
) -> WorkItem:
    """A note on a work item, for those who come after."""
    return await queue.comment_work_item(id, data.text)


@post("/work-items/{id:str}/decisions", operation_id="decideWorkItem", status_code=HTTP_200_OK)
async def decide_work_item(
    id: FromPath[str],  # noqa: A002 - as above
    data: JSONBody[DecideItem],
    queue: Queue,
) -> WorkItem:
    """Retry, abandon, approve, reject or adopt; a second decision is a conflict."""
    return await queue.decide_work_item(id, data.decision, data.comment, data.record)


@get("/connections", operation_id="listConnections")
async def list_connections(
    systems: Systems, cursor: FromQuery[str | None] = None
) -> ConnectionPage:
    """The systems behind the processes, and the parts they play."""
    return await systems.list_connections(cursor)


@get("/connections/{name:str}", operation_id="getConnection")
async def get_connection(name: FromPath[str], systems: Systems) -> Connection:
    """One system behind the processes, and what it says of itself now."""
    return await systems.get_connection(name)


ROUTES: list[ControllerRouterHandler] = [
    get_journey,
    list_work_items,
    get_work_item,
    assign_work_item,
    comment_work_item,
    decide_work_item,
    list_connections,
    get_connection,
]


def app(runtime: Runtime) -> App:
    """The API of operations; what it reads and calls is made per request, for who asks."""

    def reads() -> Reads:
        return Reads(runtime.store, caller().rows, runtime.links)

    def queue() -> WorkQueue:
        found: WorkQueue = runtime.connect(WorkQueue, "process/work-queue")
        return found

    def systems() -> Connections:
        found: Connections = runtime.connect(Connections, "process/connections")
        return found

    made = {"reads": reads, "queue": queue, "systems": systems}
    return make_app("Operations", version="1.0.0", routes=ROUTES, dependencies=made)
