"""How a flow waits: a row, a work item where a person must act, and out of the engine."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Connection

from apis.runtime import runs
from apis.runtime.caller import UNCERTAIN
from apis.runtime.outages import away
from apis.runtime.work_items import APPROVAL, RETRIES_ALL, open_item
from contracts.canonical.identity import Source
from contracts.canonical.money import Money
from contracts.errors import Problem
from contracts.events import event_id
from contracts.runs import WorkItem, WorkRecord

if TYPE_CHECKING:
    from apis.runtime.flow import Running, Step


VENDOR_CODE = re.compile(r"([a-z0-9_-]+)\.([A-Z0-9_]+)")
REFUSED = "vendor.rejected"
DRIFT = "mapping.contract-drift"
CALLER = "caller"
"""Whoever sent what could not be read: inside a flow that is ourselves."""
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
    runs.tell_wait(connection, wait, steps, over=decision is not None)
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


def involve(running: Running, kind: str, record: Source, golden_id: str | None) -> None:
    """Name another record that the run is about: findings on its kind point to it."""
    told = {"record": msgspec.to_builtins(record), "id": golden_id}
    involved = running.subject.get("involved", {}) | {kind: told}
    running.subject = running.subject | {"involved": involved}


def candidates(running: Running, records: Iterable[Source]) -> None:
    """Name the records that a finding may be about: whoever has the id of one finds the run."""
    running.subject = running.subject | {"named": [msgspec.to_builtins(each) for each in records]}


def record_of(running: Running, problem: Problem | None = None) -> WorkRecord:
    """The record a work item is about: the one that a problem's code names, else the run's own."""
    kind, source = running.subject.get("object", "deal"), running.source
    golden_id = running.subject.get("id")
    named = problem.code.partition(".")[0] if problem else ""
    if problem and (told := running.subject.get("involved", {}).get(named)):
        kind, golden_id = named, told["id"]
        source = msgspec.convert(told["record"], Source)
    link = running.runtime.links.get(source.connection, "")
    return WorkRecord(
        system=source.connection,
        object=kind,
        external_id=source.external_id,
        id=golden_id,
        url=link.replace("{external_id}", source.external_id) or None,
    )


def parked_item(running: Running, step: Step[Any, Any], problem: Problem) -> WorkItem:
    """The work item of a step that cannot go on by itself."""
    vendors = VENDOR_CODE.fullmatch(problem.code)
    code = REFUSED if vendors else problem.code
    return WorkItem(
        id="",
        code=code,
        title=headline(problem, vendors[1] if vendors else None),
        detail=problem.detail or problem.title,
        owner=RETRIES_ALL if problem.owner == CALLER else problem.owner or step.owner,
        remedy=problem.remedy or REMEDY,
        amount=price(running),
        record=record_of(running, problem),
        run_id=running.run_id,
        step=step.name,
        entity=running.subject.get("entity"),
        since=running.runtime.clock.now(),
        errors=problem.errors,
        adopts=adoptable(step, problem),
        named=msgspec.convert(running.subject.get("named", ()), tuple[Source, ...]),
    )


def adoptable(step: Step[Any, Any], problem: Problem) -> str | None:
    """The system that refused, where a record of it can settle the refusal.

    A step says so (`adopts`, or an `adopt` of its own); a create that nobody confirmed needs none.
    """
    uncertain = problem.code.endswith(UNCERTAIN)
    linked = step.adopting is not None or problem.code in step.adopts
    return problem.source if uncertain or linked else None


def headline(problem: Problem, vendor: str | None) -> str:
    """What the owner reads first: who refused, or whose answer cannot be read, else the code."""
    system = (problem.source or vendor or "").capitalize()
    if problem.code == DRIFT and system:
        return f"{system} answers in another shape than was agreed"
    return f"{system} refused" if vendor else titled(problem.code)


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
