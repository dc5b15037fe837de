"""How a flow waits: a row, a work item where a person must act, and out of the engine."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Connection

from apis.runtime import runs
from apis.runtime.outages import away
from apis.runtime.work_items import APPROVAL, open_item
from contracts.canonical.money import Money
from contracts.errors import Problem
from contracts.events import event_id
from contracts.runs import WorkItem, WorkRecord

if TYPE_CHECKING:
    from apis.runtime.flow import Running, Step


VENDOR_CODE = re.compile(r"([a-z0-9_-]+)\.([A-Z0-9_]+)")
REFUSED = "vendor.rejected"
REMEDY = "set the record right in its system, then retry; abandon if it is not to be"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is waited for: a decision on an item, or a moment; `away` is a connection to blame."""

    item: WorkItem | None = None
    due_at: datetime | None = None
    away: str | None = None


class Suspended(Exception):
    """The flow has left the engine; the waker brings it back."""


async def wait_for(running: Running, asked: Asked) -> dict[str, Any]:
    """Suspend until decided or due; answers the decision. Replayed, it answers the recorded one."""
    running.waits += 1
    wait_id = f"{running.run_id}/{running.waits}"
    decision: dict[str, Any] = await running.runtime.engine.step(
        f"wait.{running.waits}", look, running, wait_id, asked
    )
    return decision


async def look(running: Running, wait_id: str, asked: Asked) -> dict[str, Any]:
    """Open the wait or read its decision; without one, leave the engine."""
    runtime = running.runtime
    wait = runs.Wait(
        id=wait_id,
        run_id=running.run_id,
        at=runtime.clock.now(),
        due_at=asked.due_at,
        owner=asked.item.owner if asked.item else None,
        work_item_id=item_id(wait_id) if asked.item else None,
    )
    steps = await runtime.showing.rest(running)
    decision = await runtime.store.write(open_with_item, wait, asked, steps)
    if decision is not None:
        return decision
    await runtime.engine.cancel([running.run_id])
    raise Suspended


def open_with_item(
    connection: Connection, wait: runs.Wait, asked: Asked, steps: Any
) -> dict[str, Any] | None:
    """The wait, its work item and what is shown of the run, in one transaction."""
    runs.show_steps(connection, wait.run_id, steps, wait.at)
    decision = runs.open_wait(connection, wait)
    if decision is None and asked.away:
        away(connection, asked.away, wait.at)
    if decision is None and asked.item is not None and wait.work_item_id:
        opened = msgspec.structs.replace(asked.item, id=wait.work_item_id, since=wait.at)
        open_item(connection, opened, wait.id)
    return decision


def item_id(wait_id: str) -> str:
    """The work item of a wait: the same wait opens the same item."""
    return f"wi-{event_id(wait_id)[:20]}"


def price(running: Running) -> Money | None:
    """The money that waits with the run, if a step has said so."""
    amount = running.subject.get("amount")
    return msgspec.convert(amount, Money, strict=False) if amount else None


def record_of(running: Running) -> WorkRecord:
    """The record a work item is about."""
    source = running.source
    link = running.runtime.links.get(source.connection, "")
    return WorkRecord(
        system=source.connection,
        object=running.subject.get("object", "deal"),
        external_id=source.external_id,
        id=running.subject.get("id"),
        url=link.replace("{external_id}", source.external_id) or None,
    )


def parked_item(running: Running, step: Step[Any, Any], problem: Problem) -> WorkItem:
    """The work item of a step that cannot go on by itself."""
    vendors = VENDOR_CODE.fullmatch(problem.code)
    code = REFUSED if vendors else problem.code
    return WorkItem(
        id="",
        code=code,
        title=f"{(problem.source or vendors[1]).capitalize()} refused" if vendors else titled(code),
        detail=problem.detail or problem.title,
        owner=problem.owner or step.owner,
        remedy=problem.remedy or REMEDY,
        amount=price(running),
        record=record_of(running),
        run_id=running.run_id,
        step=step.name,
        entity=running.subject.get("entity"),
        since=running.runtime.clock.now(),
        errors=problem.errors,
    )


def titled(code: str) -> str:
    """A code as a headline: `customer.tax-code-missing` is "Customer: tax code missing"."""
    subject, _, reason = code.partition(".")
    return f"{subject.replace('-', ' ').capitalize()}: {reason.replace('-', ' ')}"


def approval_item(running: Running, code: str, by: str, detail: str) -> WorkItem:
    """The work item that asks for an approval."""
    return WorkItem(
        id="",
        code=f"{code}.approval-needed",
        title=f"{code.capitalize()}: approval needed",
        detail=detail,
        owner=by,
        remedy="approve, or reject with a reason",
        amount=price(running),
        record=record_of(running),
        run_id=running.run_id,
        step=APPROVAL,
        entity=running.subject.get("entity"),
        since=running.runtime.clock.now(),
    )
