"""What people ask of backfills: start one, see what it would do, follow it, cancel it."""

from __future__ import annotations

import re
from datetime import datetime
from types import NoneType
from typing import Any

import msgspec
import sqlalchemy as sa
from litestar import get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_202_ACCEPTED
from sqlalchemy import Connection

from apis.runtime.app import caller
from apis.runtime.context import CURRENT, Call
from apis.runtime.flow import Runtime
from apis.runtime.lean import LeanResponse
from apis.runtime.metadata import crms
from apis.runtime.once import once
from apis.runtime.runs import RUNS, moment
from apis.runtime.store import find, no_cursor, page_end
from apis.runtime.whose import whole_firm
from apis.runtime.work_items import WORK_ITEMS
from contracts.canonical.deal import Deal, DealPage
from contracts.canonical.identity import Source
from contracts.errors import FieldError, NotFound, Rejected
from contracts.ports import Crm
from contracts.runs import Backfill, BackfillCounts, BackfillDeal, BackfillPage, WorkItem
from process_apis.backfills import (
    AT_WORK,
    BACKFILLS,
    DEALS,
    EVER,
    Ask,
    already,
    asked_of,
    begin,
    calling,
    cancel,
    mine,
)

FLOW = "deal_to_project"
ALL_ROWS = [whole_firm]
"""A backfill is of a system, whosever its deals are."""
PAGE = 100
FORESEEN = ResponseSpec(Backfill, description="What would be started", generate_examples=False)
NUMBER = re.compile(r"[0-9]{1,9}")
BECAME = sa.case(
    (DEALS.c.outcome != "started", DEALS.c.outcome),
    (AT_WORK, "started"),
    (RUNS.c.state.in_(("waiting", "done")), RUNS.c.state),
    else_="refused",
)
"""What became of a deal: once it has started that is what its run says."""
JOINED = DEALS.outerjoin(RUNS, RUNS.c.id == DEALS.c.run_id)


def backfill_routes(api: str) -> list[Any]:
    """The routes under `/backfills` of one flow; `api` as in `deal-to-project/v1`."""

    @post(
        "/backfills",
        operation_id="startBackfill",
        status_code=HTTP_202_ACCEPTED,
        responses={HTTP_200_OK: FORESEEN},
        guards=ALL_ROWS,
    )
    async def start_backfill(
        data: JSONBody[Ask],
        runtime: NamedDependency[Any],
        dry_run: FromQuery[bool] = False,  # noqa: FBT002 - a query parameter
        cursor: FromQuery[str | None] = None,
    ) -> LeanResponse[Backfill]:
        """Start what was won since a day, or see page by page what would be started."""
        accepted(data, runtime)
        if dry_run:
            plan = await runtime.cursors.page(
                "backfill", cursor, lambda after: planned(runtime, data, after)
            )
            return LeanResponse(plan, status_code=HTTP_200_OK)
        now = runtime.clock.now()
        id_ = await runtime.store.write(once, str, now, begin, data, caller(), now)
        headers = {"Location": f"/process/{api}/backfills/{id_}"}
        return LeanResponse(await shown_page(runtime, id_), headers=headers)

    return [start_backfill, list_backfills, get_backfill, cancel_backfill]


@get("/backfills", operation_id="listBackfills", guards=ALL_ROWS)
async def list_backfills(
    runtime: NamedDependency[Any], cursor: FromQuery[str | None] = None
) -> BackfillPage:
    """Backfills without their deals, the newest first."""
    page: BackfillPage = await runtime.cursors.page(
        "backfills", cursor, lambda after: runtime.store.read(listed, after)
    )
    return page


@get("/backfills/{id:str}", operation_id="getBackfill", guards=ALL_ROWS)
async def get_backfill(
    id: FromPath[str],  # noqa: A002 - the path's own word
    runtime: NamedDependency[Any],
    cursor: FromQuery[str | None] = None,
) -> Backfill:
    """How far a backfill is, and what became of each deal, in the order they are started."""
    return await shown_page(runtime, id, cursor)


@post(
    "/backfills/{id:str}/cancellations",
    operation_id="cancelBackfill",
    status_code=HTTP_200_OK,
    guards=ALL_ROWS,
)
async def cancel_backfill(id: FromPath[str], runtime: NamedDependency[Any]) -> Backfill:  # noqa: A002 - the path's own word
    """Start no more deals; runs that have begun go on."""
    now = runtime.clock.now()
    await runtime.store.write(once, NoneType, now, cancel, id, caller(), now)
    return await shown_page(runtime, id)


async def shown_page(runtime: Runtime, id_: str, cursor: str | None = None) -> Backfill:
    """A backfill with a page of its deals."""
    return await runtime.cursors.page(
        f"backfills/{id_}", cursor, lambda after: runtime.store.read(view, id_, after)
    )


def accepted(ask: Ask, runtime: Runtime) -> None:
    """Refuse a system that is no CRM here, an unknown entity and a day that has not come."""
    metadata, errors = runtime.metadata, []
    if ask.connection not in (known := crms(metadata)):
        told = f"deals are won in {', '.join(known)}, not in what is named here"
        errors.append(FieldError(pointer="/system", code="unknown", message=told))
    if ask.entity is not None and ask.entity not in metadata.entities:
        told = f"{ask.entity[:40]!r} is none of {', '.join(sorted(metadata.entities))}"
        errors.append(FieldError(pointer="/entity", code="unknown", message=told))
    if ask.won_since > runtime.clock.now().date():
        told = f"{ask.won_since} has not come yet"
        errors.append(FieldError(pointer="/won_since", code="invalid", message=told))
    if errors:
        raise Rejected("validation-failed", errors[0].message, errors=tuple(errors))


async def planned(runtime: Runtime, ask: Ask, cursor: str | None) -> Backfill:
    """One page of what would be started, read from the CRM now; nothing is written."""
    by, now = caller(), runtime.clock.now()
    context = msgspec.structs.replace(calling(by, "backfill"), deadline=by.deadline, plan=True)
    token = CURRENT.set(Call(context))
    try:
        crm: Crm = runtime.connect(Crm, f"system/{ask.connection}")
        page = await crm.list_deals(EVER, cursor, "won", ask.won_since)
    finally:
        CURRENT.reset(token)
    return Backfill(
        state="planned",
        connection=ask.connection,
        won_since=ask.won_since,
        entity=ask.entity,
        requester=by.person or by.actor,
        asked_at=now,
        items=tuple(await runtime.store.read(foreseen, ask, page)),
        next=page.next,
    )


def foreseen(connection: Connection, ask: Ask, page: DealPage) -> list[BackfillDeal]:
    """What would become of the deals of a page."""
    deals = [shown(ask.connection, each) for each in page.items if ask.means(each)]
    rows = RUNS.c
    asked = sa.select(rows.record, rows.id, rows.state).where(
        rows.flow == FLOW,
        rows.connection == ask.connection,
        rows.record.in_([each.deal.external_id for each in deals]),
    )
    known = {row.record: row for row in connection.execute(asked.order_by(rows.queued_at))}
    gaps = [
        BackfillDeal(
            deal=Source(ask.connection, gap.external_id), outcome="refused", reason=gap.detail
        )
        for gap in page.gaps
    ]
    return [*(has_run(each, known.get(each.deal.external_id)) for each in deals), *gaps]


def has_run(told: BackfillDeal, run: Any) -> BackfillDeal:
    """The deal, with the run that it has already."""
    if run is None:
        return told
    reason = already(run.state)
    return msgspec.structs.replace(told, outcome="already", run_id=run.id, reason=reason)


def shown(system: str, deal: Deal) -> BackfillDeal:
    """A deal as the report names it."""
    return BackfillDeal(
        deal=Source(system, deal.external_id or ""),
        name=deal.name,
        value=deal.value,
        closed_on=deal.closed_on,
    )


def view(connection: Connection, id_: str, cursor: str | None) -> Backfill:
    """A backfill with a page of its deals; NotFound if there is none."""
    row = find(connection, BACKFILLS, id=id_)
    if row is None:
        raise NotFound("backfill.unknown", f"there is no backfill {id_}")
    if cursor is not None and not NUMBER.fullmatch(cursor):
        raise no_cursor()
    after = int(cursor or 0)
    asked = sa.select(DEALS, BECAME.label("became"), RUNS.c.state).select_from(JOINED)
    wanted = asked.where(mine(id_), DEALS.c.n > after).order_by(DEALS.c.n).limit(PAGE + 1)
    rows = connection.execute(wanted).all()
    why = reasons(connection, [each.run_id for each in rows[:PAGE] if each.became == "waiting"])
    return msgspec.structs.replace(
        summary(connection, row),
        items=tuple(line(row.connection, each, why) for each in rows[:PAGE]),
        next=str(rows[PAGE - 1].n) if len(rows) > PAGE else None,
    )


def listed(connection: Connection, cursor: str | None) -> BackfillPage:
    """A page of backfills; `cursor` is the last page's `next`."""
    rows = BACKFILLS.c
    asked = sa.select(BACKFILLS)
    if cursor is not None:
        asked = asked.where(sa.tuple_(rows.asked_at, rows.id) < sa.tuple_(*page_end(cursor)))
    newest = asked.order_by(rows.asked_at.desc(), rows.id.desc()).limit(PAGE + 1)
    found = connection.execute(newest).all()
    end = found[PAGE - 1] if len(found) > PAGE else None
    return BackfillPage(
        items=tuple(summary(connection, row) for row in found[:PAGE]),
        next=f"{end.asked_at}~{end.id}" if end else None,
    )


def line(system: str, row: Any, why: dict[str, str]) -> BackfillDeal:
    """One deal of the report, with the reason where something is in its way."""
    told = BackfillDeal(deal=Source(system, row.external_id))
    if row.body != "{}":
        told = shown(system, msgspec.json.decode(row.body, type=Deal))
    reason = row.reason or why.get(row.run_id)
    if row.became == "refused" and row.run_id:
        reason = f"its run is {row.state}"
    return msgspec.structs.replace(told, outcome=row.became, run_id=row.run_id, reason=reason)


def reasons(connection: Connection, run_ids: list[str]) -> dict[str, str]:
    """Whom each of these runs waits for, and why."""
    waits = sa.and_(WORK_ITEMS.c.run_id.in_(run_ids), WORK_ITEMS.c.state == "open")
    bodies = connection.execute(sa.select(WORK_ITEMS.c.body).where(waits)).scalars()
    items = [msgspec.json.decode(body, type=WorkItem) for body in bodies]
    return {each.run_id or "": f"{each.owner}: {each.detail or each.title}" for each in items}


def summary(connection: Connection, row: Any) -> Backfill:
    """A backfill and how many deals became what."""
    ask, became = asked_of(row), sa.select(BECAME, sa.func.count()).select_from(JOINED)
    told = connection.execute(became.where(mine(row.id)).group_by(BECAME))
    counts = {name: count for name, count in told}  # noqa: C416 - rows are no pairs to a type checker
    counts = {"found": sum(counts.values()), "to_start": counts.pop("found", 0)} | counts
    return Backfill(
        id=row.id,
        state=row.state,
        connection=ask.connection,
        won_since=ask.won_since,
        entity=ask.entity,
        requester=row.requester,
        asked_at=datetime.fromisoformat(row.asked_at),
        ended_at=moment(row.ended_at),
        detail=row.detail,
        counts=BackfillCounts(**counts),
    )
