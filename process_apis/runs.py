"""The routes every flow shares: start a run, look at it, and see what it would do."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromQuery, JSONBody, PathParameter
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED
from litestar.types import ControllerRouterHandler
from msgspec import Struct
from sqlalchemy import Connection

from apis.runtime import runs
from apis.runtime.app import caller
from apis.runtime.context import Rows
from apis.runtime.flow import Flow, Runtime
from apis.runtime.lean import LeanResponse
from apis.runtime.metadata import crms
from apis.runtime.once import once
from apis.runtime.planning import planned
from apis.runtime.run_views import listed, view
from apis.runtime.whose import is_of
from contracts.canonical.identity import Source
from contracts.errors import FieldError, NotFound, Rejected
from contracts.runs import Plan, Run, RunPage
from process_apis import customer_master

RunId = Annotated[str, PathParameter(description="`<flow>:<connection>:<external id>:<turn>`")]
KNOWN = ResponseSpec(
    Run | Plan,
    description="The run had ended before it was asked for, or what it would do",
    generate_examples=False,
)
EXTERNAL_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
TurnOf = Callable[[Connection, str, Source], int]
Planned = Callable[[Runtime, Flow, Source, Any], Awaitable[Plan]]


class Asked(Source, frozen=True, forbid_unknown_fields=True):
    """The record a run is asked for: its connection and its id there."""


class StartRun(Struct, frozen=True, forbid_unknown_fields=True):
    """The deal whose run is asked for."""

    deal: Asked


def run_routes(this: Flow, api: str, turn_of: TurnOf) -> list[ControllerRouterHandler]:
    """`POST /runs`, `GET /runs`, `GET /runs/{id}` of one flow; `api` as in `deal-to-project/v1`."""

    @post(
        "/runs",
        operation_id="startRun",
        status_code=HTTP_202_ACCEPTED,
        responses={HTTP_200_OK: KNOWN},
    )
    async def start_run(
        data: JSONBody[StartRun],
        runtime: NamedDependency[Any],
        dry_run: FromQuery[bool] = False,  # noqa: FBT002 - a query parameter
    ) -> LeanResponse[Run | Plan]:
        """Start the flow for a deal, or answer the run it has; `dry_run` shows what it would do."""
        source = Source(data.deal.connection, data.deal.external_id)
        accepted(source, runtime)
        if not await runtime.store.read(is_of, source, caller().rows):
            raise unknown_deal(source)
        if dry_run:
            asked = await runtime.store.read(starting, runtime, this, source, turn_of)
            begun = await runtime.store.read(runs.foreseen, asked)
            ended = not begun.new and begun.state not in runs.OPEN  # nothing would run
            plan = Plan() if ended else await planned(runtime, this, source, caller(), begun.run_id)
            return LeanResponse(plan, status_code=HTTP_200_OK)
        begun, run = await runtime.store.write(begin, runtime, this, source, turn_of)
        return started(begun, run, f"/process/{api}/runs")

    @get("/runs", operation_id="listRuns")
    async def list_runs(
        runtime: NamedDependency[Any],
        deal: FromQuery[str | None] = None,
        cursor: FromQuery[str | None] = None,
    ) -> RunPage:
        """Runs of this flow, the newest first; of one deal under its id here or in the CRM."""
        rows = caller().rows
        page: RunPage = await runtime.cursors.page(
            this.name,
            cursor,
            lambda after: runtime.store.read(runs_of, this.name, deal, after, rows),
        )
        return page

    @get("/runs/{id:str}", operation_id="getRun")
    async def get_run(id: RunId, runtime: NamedDependency[Any]) -> Run:  # noqa: A002 - the path's own word
        """How far a run is, what it did and what it waits for."""
        return await run_of(runtime, this, id)

    return [start_run, list_runs, get_run]


def runs_of(
    connection: Connection,
    flow: str,
    deal: str | None,
    cursor: str | None,
    rows: Rows | None = None,
) -> RunPage:
    """Runs of a flow, of one deal under any id that it has."""
    if not deal:
        return listed(connection, flow, (), cursor, rows)
    same = customer_master.sources(connection, "deal", deal)
    return listed(connection, flow, [deal, *(each.external_id for each in same)], cursor, rows)


def started(begun: runs.Begun, run: Run, place: str) -> LeanResponse[Run | Plan]:
    """Where the run is; 200 instead of 202 for one that had ended before it was asked for."""
    ended = not begun.new and begun.state not in runs.OPEN
    headers = {"Location": f"{place}/{quote(run.id, safe=':')}"}
    return LeanResponse(
        run, status_code=HTTP_200_OK if ended else HTTP_202_ACCEPTED, headers=headers
    )


async def run_of(runtime: Runtime, this: Flow, run_id: str) -> Run:
    """A run of this flow that the client may see; NotFound for any other."""
    run = await runtime.store.read(view, run_id, caller().rows)
    if run is None or run.flow != this.name:
        told, remedy = f"there is no run {run_id}", "take the id from `GET /runs`, or start the run"
        raise NotFound("run.unknown", told, owner="caller", remedy=remedy)
    return run


def unknown_deal(source: Source) -> NotFound:
    """There is no such deal, or none that this caller may see."""
    told = f"there is no deal {source.external_id} in {source.connection}"
    return NotFound("deal.unknown", told, owner="caller", remedy="start the run of a deal of yours")


def accepted(source: Source, runtime: Runtime) -> None:
    """Refuse a system that has no deals and an id that no system gives, before any run."""
    errors = []
    if source.connection not in (known := crms(runtime.metadata)):
        told = f"deals are won in {', '.join(known)}, not in what is named here"
        errors.append(FieldError(pointer="/deal/system", code="unknown", message=told))
    if not EXTERNAL_ID.fullmatch(source.external_id):
        told = "an id has 1 to 100 letters, digits, dashes, underscores or dots"
        errors.append(FieldError(pointer="/deal/external_id", code="invalid", message=told))
    if errors:
        raise Rejected("validation-failed", errors[0].message, errors=tuple(errors))


def begin(
    connection: Connection, runtime: Runtime, this: Flow, source: Source, turn_of: TurnOf
) -> tuple[runs.Begun, Run]:
    """Start or find the run in one transaction; after an abandoned run it is a new one."""
    asked = starting(connection, runtime, this, source, turn_of)
    begun = once(connection, runs.Begun, asked.at, runs.start, runtime.engine, asked)
    run = view(connection, begun.run_id)
    assert run is not None  # noqa: S101 - written or found just above
    return begun, run


def starting(
    connection: Connection, runtime: Runtime, this: Flow, source: Source, turn_of: TurnOf
) -> runs.Start:
    """The start of a flow for a deal as whoever calls asks for it."""
    return runs.Start(
        flow=this.name,
        registered=this.registered,
        source=source,
        turn=turn_of(connection, "deal", source),
        argument=argument(runtime, source, caller()),
        context=caller(),
        at=runtime.clock.now(),
        again=True,
    )


def argument(runtime: Runtime, source: Source, context: Any) -> dict[str, Any]:
    """What the engine keeps as a run's input."""
    lasting = msgspec.structs.replace(context, request_key=None, deadline=None, plan=False)
    return {"source": runtime.records.dump(source), "context": msgspec.to_builtins(lasting)}
