"""Work items: what waits for a person, with its owner, its price and its remedy."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Column, Connection, String, Text

from apis.runtime import audit, runs
from apis.runtime.caller import PROCESS
from apis.runtime.context import Context, Rows
from apis.runtime.duties import Act, broken, same_person
from apis.runtime.events import publish
from apis.runtime.metadata import Duty
from apis.runtime.store import insert_new, page_end, table
from apis.runtime.whose import deals_of
from contracts.canonical.identity import Source
from contracts.errors import Conflict, NotFound, Rejected
from contracts.events import (
    WorkItemChanged,
    WorkItemDecided,
    WorkItemOpened,
    event_id,
    event_of,
)
from contracts.runs import Comment, Decision, WorkItem, WorkItemPage

WORK_ITEMS = table(
    "process",
    "work_items",
    Column("id", String(64), primary_key=True),
    Column("state", String(12), nullable=False, index=True),
    Column("owner", String(80), nullable=False, index=True),
    Column("run_id", String(200), index=True),
    Column("wait_id", String(220)),
    Column("since", String(40), nullable=False, index=True),
    Column("body", Text, nullable=False),
)
RETRIES_ALL = "integration"
"""The role that may assign and retry what others own, and decides nothing else for them."""
PAGE = 100
FORBIDDEN = 403
APPROVAL = "approval"
"""The step at which a run waits for one; a parked step's own name is the step of its item."""
POISON = "flow.poison"
FAILED = "flow.failed"


def open_item(connection: Connection, item: WorkItem, wait_id: str | None = None) -> bool:
    """Open a work item and announce it; False if it is open or was decided before."""
    new = insert_new(
        connection,
        WORK_ITEMS,
        id=item.id,
        state="open",
        owner=item.owner,
        run_id=item.run_id,
        wait_id=wait_id,
        since=item.since.isoformat(),
        body=msgspec.json.encode(item).decode(),
    )
    if new:
        announce(connection, "work-item.opened", WorkItemOpened(item=item), item.since)
    return new


def announce(connection: Connection, name: str, payload: Any, at: datetime) -> None:
    """Publish an opened or decided item."""
    item = payload.item
    event = event_of(
        name,
        payload,
        id=event_id(item.id, name, at.isoformat()),
        source="/process/work-queue",
        time=at,
        correlation_id=item.run_id,
        entity=item.entity,
    )
    publish(connection, "process", event)


def unknown(item_id: str) -> NotFound:
    """There is no such item, or none that this caller may see."""
    told, remedy = f"there is no work item {item_id}", "take the id from the list of work items"
    return NotFound("work-item.unknown", told, owner="caller", remedy=remedy)


def seen_by(rows: Rows | None) -> list[sa.ColumnElement[bool]]:
    """The items that a client may see: those of runs for its deals."""
    if rows is None:
        return []
    mine = sa.select(runs.RUNS.c.id).where(
        runs.RUNS.c.id == WORK_ITEMS.c.run_id,
        *deals_of(runs.RUNS.c.connection, runs.RUNS.c.record, rows),
    )
    return [mine.exists()]


def get_item(connection: Connection, item_id: str, rows: Rows | None = None) -> WorkItem:
    """One work item; NotFound if there is none that this client may see."""
    body = connection.execute(
        sa.select(WORK_ITEMS.c.body).where(WORK_ITEMS.c.id == item_id, *seen_by(rows))
    ).scalar()
    if body is None:
        raise unknown(item_id)
    return msgspec.json.decode(body, type=WorkItem)


def list_items(
    connection: Connection,
    owner: str | None,
    state: str | None,
    cursor: str | None,
    run_id: str | None = None,
    *,
    rows: Rows | None = None,
) -> WorkItemPage:
    """Items of a role, the longest waiting first; `cursor` is the last page's `next`."""
    wanted = seen_by(rows)
    if owner:
        wanted.append(WORK_ITEMS.c.owner == owner)
    if state:
        wanted.append(WORK_ITEMS.c.state == state)
    if run_id:
        wanted.append(WORK_ITEMS.c.run_id == run_id)
    if cursor is not None:
        end = sa.tuple_(*page_end(cursor))
        wanted.append(sa.tuple_(WORK_ITEMS.c.since, WORK_ITEMS.c.id) > end)
    asked = sa.select(WORK_ITEMS).where(*wanted).order_by(WORK_ITEMS.c.since, WORK_ITEMS.c.id)
    page = connection.execute(asked.limit(PAGE + 1)).all()
    items = tuple(msgspec.json.decode(row.body, type=WorkItem) for row in page[:PAGE])
    after = f"{page[PAGE - 1].since}~{page[PAGE - 1].id}" if len(page) > PAGE else None
    return WorkItemPage(items=items, next=after)


class Deciding(msgspec.Struct, frozen=True, kw_only=True):
    """A decision on its way: what, by whom, why, and the record to adopt."""

    decision: str
    comment: str = ""
    record: Source | None = None
    by: Context
    at: datetime
    duties: tuple[Duty, ...] = ()


def locked(connection: Connection, item_id: str, rows: Rows | None) -> Any:
    """The row of an item that this client may see, which nobody else changes now; or NotFound."""
    mine = sa.select(WORK_ITEMS).where(WORK_ITEMS.c.id == item_id, *seen_by(rows))
    row = connection.execute(mine.with_for_update(of=WORK_ITEMS)).first()
    if row is None:
        raise unknown(item_id)
    return row


def assign(
    connection: Connection, item_id: str, assignee: str | None, by: Context, at: datetime
) -> WorkItem:
    """Give an open item to a person, or back to its role."""
    row = locked(connection, item_id, by.rows)
    item = msgspec.json.decode(row.body, type=WorkItem)
    if row.state != "open":
        raise Conflict("work-item.already-decided", f"{item_id} was decided before")
    may_act(item, by, anyone=True)
    changed = msgspec.structs.replace(item, assignee=assignee)
    return keep(connection, changed, "assigned", by, at)


def comment(connection: Connection, item_id: str, text: str, by: Context, at: datetime) -> WorkItem:
    """Note something on an item, decided or not, for those who come after."""
    if not text.strip():
        raise Rejected("work-item.comment-missing", "a comment needs words")
    item = msgspec.json.decode(locked(connection, item_id, by.rows).body, type=WorkItem)
    noted = (*item.comments, Comment(actor=by.actor, person=by.person, at=at, text=text))
    changed = msgspec.structs.replace(item, comments=noted)
    return keep(connection, changed, "commented", by, at)


def keep(
    connection: Connection, item: WorkItem, action: str, by: Context, at: datetime
) -> WorkItem:
    """Store a changed item, announce it and record who changed it."""
    body = msgspec.json.encode(item).decode()
    connection.execute(sa.update(WORK_ITEMS).where(WORK_ITEMS.c.id == item.id).values(body=body))
    announce(connection, "work-item.changed", WorkItemChanged(item=item), at)
    audit.record(
        connection,
        "process",
        at=at,
        actor=by.actor,
        action=f"work-item.{action}",
        cause=item.run_id,
        object="work-item",
        key=item.id,
        detail={"assignee": item.assignee, "comments": len(item.comments)},
    )
    return item


def decide(connection: Connection, item_id: str, deciding: Deciding) -> WorkItem:
    """Decide an item and let its run go on; a second decision is a Conflict."""
    row = locked(connection, item_id, deciding.by.rows)
    item = msgspec.json.decode(row.body, type=WorkItem)
    if row.state != "open":
        raise Conflict("work-item.already-decided", f"{item_id} was decided before")
    may_decide(connection, item, deciding)
    decided = closed(item, deciding)
    mine = sa.and_(WORK_ITEMS.c.id == item_id, WORK_ITEMS.c.state == "open")
    body = msgspec.json.encode(decided).decode()
    if (
        connection.execute(
            sa.update(WORK_ITEMS).where(mine).values(state="decided", body=body)
        ).rowcount
        != 1
    ):
        raise Conflict("work-item.already-decided", f"{item_id} was decided just now")
    announce(connection, "work-item.decided", WorkItemDecided(item=decided), deciding.at)
    audit.record(
        connection,
        "process",
        at=deciding.at,
        actor=deciding.by.actor,
        action=f"work-item.{deciding.decision}",
        cause=item.run_id,
        object="work-item",
        key=item.id,
        after={"decision": deciding.decision, "comment": deciding.comment},
        detail={"code": item.code},
    )
    if row.wait_id:
        runs.decide_wait(connection, row.wait_id, told(deciding))
    return decided


def told(deciding: Deciding) -> dict[str, Any]:
    """The decision as the waiting flow reads and records it."""
    return {
        "decision": deciding.decision,
        "comment": deciding.comment,
        "record": msgspec.to_builtins(deciding.record),
        "actor": deciding.by.actor,
        "at": deciding.at.isoformat(),
    }


def closed(item: WorkItem, deciding: Deciding) -> WorkItem:
    """The item as it is after the decision."""
    decision = Decision(
        decision=deciding.decision,  # type: ignore[arg-type]  # checked by `may_decide`
        comment=deciding.comment,
        actor=deciding.by.actor,
        person=deciding.by.person,
        at=deciding.at,
    )
    return msgspec.structs.replace(item, state="decided", decision=decision)


def may_decide(connection: Connection, item: WorkItem, deciding: Deciding) -> None:
    """Refuse what this item does not offer, what the role may not do, and approving one's own.

    The item's owner decides everything; `integration` may only retry what others own.
    """
    offered: tuple[str, ...] = ("retry", "adopt", "abandon")
    if item.code.endswith(".approval-needed"):
        offered = ("approve", "reject")
        if deciding.by.client == PROCESS:  # what is asked about has changed: it is asked anew
            offered = (*offered, "retry")
    if item.code == POISON:  # the run is at no step that could be abandoned or given a record
        offered = ("retry",)
    if item.code == FAILED:  # the run is over: this only says that somebody has looked
        offered = ("abandon",)
    if deciding.decision not in offered:
        raise Rejected(
            "work-item.decision-not-offered",
            f"this item takes {', '.join(offered)}, not {deciding.decision}",
            owner="caller",
            remedy=f"decide one of: {', '.join(offered)}",
        )
    if deciding.decision == "reject" and not deciding.comment.strip():
        told = "reject needs a comment that says why"
        remedy = "send the reason as `comment`"
        raise Rejected("work-item.comment-missing", told, owner="caller", remedy=remedy)
    may_act(item, deciding.by, anyone=deciding.decision == "retry")
    if deciding.decision == "adopt":
        may_adopt(item, deciding.record)
    separated(connection, item, deciding)


def separated(connection: Connection, item: WorkItem, deciding: Deciding) -> None:
    """Refuse what is for another person to decide; the item stays open for them."""
    if item.run_id is None or deciding.by.client == PROCESS:
        return
    acts = acts_for(connection, item.run_id)
    own = (act.by for act in acts if (act.did, act.run_id) == ("start", item.run_id))
    another = f"let another person with the role {item.owner} decide it"
    if deciding.decision == "approve" and any(same_person(deciding.by, each) for each in own):
        raise Rejected(
            "work-item.own-request",
            "who asked for this cannot approve it: another approver has to",
            status=FORBIDDEN,
            owner=item.owner,
            remedy=another,
        )
    did = broken(deciding.duties, deciding.decision, deciding.by, acts, item.entity)
    if did is not None:
        told = f"whose part was {did} may not {deciding.decision} for the same record"
        raise Rejected(
            *("work-item.duties-conflict", told),
            status=FORBIDDEN,
            owner=item.owner,
            remedy=another,
        )


def acts_for(connection: Connection, run_id: str) -> list[Act]:
    """What people did for the record of a run: asked for runs, decided, or noted something."""
    rows = runs.RUNS.c
    this = sa.select(rows.connection, rows.record).where(rows.id == run_id).subquery()
    same = (rows.connection == this.c.connection, rows.record == this.c.record)
    found = connection.execute(sa.select(rows.id, rows.requester, rows.context).where(*same)).all()
    acts = []
    for run in found:
        context = msgspec.json.decode(run.context, type=Context)
        by = (context.actor, context.client, context.person, run.requester)
        acts.append(Act("start", by, run.id))
    bodies = sa.select(WORK_ITEMS.c.body).where(WORK_ITEMS.c.run_id.in_([run.id for run in found]))
    for body in connection.execute(bodies).scalars():
        item = msgspec.json.decode(body, type=WorkItem)
        acts += [Act("comment", (each.actor, each.person)) for each in item.comments]
        if decided := item.decision:
            acts.append(Act(decided.decision, (decided.actor, decided.person)))
    return acts


def may_adopt(item: WorkItem, record: Source | None) -> None:
    """Refuse a record where none, or one of another system, would settle what was refused."""
    if item.adopts is None:
        raise Rejected(
            "work-item.nothing-to-adopt",
            "no record can be adopted here: this item takes retry, abandon",
        )
    if record is None:
        raise Rejected("work-item.record-missing", "adopt needs the record that is to be adopted")
    if record.connection != item.adopts:
        raise Rejected(
            "work-item.other-system",
            f"a record of {item.adopts} can be adopted here, not one of {record.connection[:40]}",
        )


def may_act(item: WorkItem, by: Context, *, anyone: bool) -> None:
    """Refuse who has not the item's role; for some acts `integration` is `anyone`."""
    if item.owner not in by.roles and not (anyone and RETRIES_ALL in by.roles):
        raise Rejected(
            "work-item.not-yours",
            f"this is for someone with the role {item.owner}",
            owner=item.owner,
            remedy=f"let someone with the role {item.owner} decide it",
            status=FORBIDDEN,
        )


def new_id() -> str:
    """A name for a work item that has no run to be named after."""
    return f"wi-{secrets.token_hex(10)}"
