"""The work queue: what people must set right or decide, priced and owned."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from litestar.status_codes import HTTP_200_OK
from msgspec import Struct

from apis.runtime.app import App, caller, make_app
from apis.runtime.flow import Runtime
from apis.runtime.work_items import Deciding, decide, get_item, list_items
from contracts.canonical.identity import Source
from contracts.runs import DecisionKind, WorkItem, WorkItemPage

ItemState = Literal["open", "decided"]


class Decide(Struct, frozen=True, forbid_unknown_fields=True):
    """What was decided, why, and the record to adopt."""

    decision: DecisionKind
    comment: str = ""
    record: Source | None = None


@get("/work-items", operation_id="listWorkItems")
async def list_work_items(
    runtime: NamedDependency[Any],
    owner: FromQuery[str | None] = None,
    in_state: Annotated[ItemState | None, QueryParameter(name="state")] = None,
    run_id: FromQuery[str | None] = None,
    cursor: FromQuery[str | None] = None,
) -> WorkItemPage:
    """Work items of a role or a run, the longest waiting first."""
    page: WorkItemPage = await runtime.store.read(list_items, owner, in_state, cursor, run_id)
    return page


@get("/work-items/{id:str}", operation_id="getWorkItem")
async def get_work_item(id: FromPath[str], runtime: NamedDependency[Any]) -> WorkItem:  # noqa: A002 - the path's own word
    """One work item with its evidence."""
    item: WorkItem = await runtime.store.read(get_item, id)
    return item


@post("/work-items/{id:str}/decisions", operation_id="decideWorkItem", status_code=HTTP_200_OK)
async def decide_work_item(
    id: FromPath[str],  # noqa: A002 - the path's own word
    data: JSONBody[Decide],
    runtime: NamedDependency[Any],
) -> WorkItem:
    """Retry, abandon, approve, reject or adopt; a second decision is a conflict."""
    deciding = Deciding(
        decision=data.decision,
        comment=data.comment,
        record=data.record,
        by=caller(),
        at=runtime.clock.now(),
    )
    item: WorkItem = await runtime.store.write(decide, id, deciding)
    return item


def app(runtime: Runtime) -> App:
    """The work queue's API."""
    routes = [list_work_items, get_work_item, decide_work_item]
    return make_app("Work queue", version="1.0.0", routes=routes, dependencies={"runtime": runtime})
