"""Which event starts which flow."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec
import sqlalchemy as sa
from sqlalchemy import Column, Connection, String, Text

from apis.runtime import run_views, runs
from apis.runtime.context import Context, traceparent
from apis.runtime.events import Projection
from apis.runtime.flow import Flow, Runtime
from apis.runtime.store import find, put_all, table
from apis.runtime.work_items import APPROVAL, POISON, Deciding, decide, get_item
from contracts.canonical.deal import Deal
from contracts.canonical.identity import Source
from contracts.events import (
    DealChanged,
    DealLost,
    DealWon,
    Event,
    RunEnded,
    WorkItemOpened,
    payload_of,
)
from contracts.runs import WorkItem
from process_apis.backfills import Backfilling
from process_apis.deal_changes import amendable, deal_change, decided_deal, times_changed
from process_apis.deal_to_project import accepted_deal, deal_to_project
from process_apis.feeds import standing
from process_apis.runs import argument

FLOWS = [deal_to_project, deal_change]
HEARD = ("deal.won", "deal.lost", "deal.changed", "run.ended", "work-item.opened")
NOT_AGREED = f"{amendable.name}.undo"
UNSETTLED = table(
    "process",
    "unsettled_deals",
    Column("connection", String(80), primary_key=True),
    Column("external_id", String(120), primary_key=True),
    Column("body", Text, nullable=False),
)
"""The last that was heard of a deal whose run was at work: taken up when that ends or waits."""


def starting(runtime: Runtime) -> Projection:
    """The reader that starts flows: the event and what it starts are one transaction."""
    return Projection("starts", HEARD, partial(heard_all, runtime=runtime))


def heard_all(connection: Connection, events: Sequence[Event], *, runtime: Runtime) -> None:
    """What events mean for the runs of their deals, one after the other."""
    for event in events:
        heard(connection, event, runtime=runtime)


def heard(connection: Connection, event: Event, *, runtime: Runtime) -> None:
    """What an event means for the runs of its deal."""
    told = payload_of(event)
    if isinstance(told, RunEnded):
        if told.flow == deal_to_project.name:
            released(connection, told.source, runtime)
        taken_up(connection, told.source, runtime)
    elif isinstance(told, WorkItemOpened):
        run = find(connection, runs.RUNS, id=told.item.run_id) if told.item.run_id else None
        if run is not None:
            taken_up(connection, Source(run.connection, run.record), runtime)
    elif isinstance(told, DealWon):
        won(connection, event, told, runtime)
    elif isinstance(told, DealLost) or told.reopened or told.terms:
        changed(connection, event, told, runtime)


def released(connection: Connection, source: Source, runtime: Runtime) -> None:
    """What was asked about a project on hold is looked at again: it may be worked on, or gone."""
    change = run_views.open_of(connection, deal_change.name, source)
    if change is not None:
        asked_again(connection, change.id, decided_deal.name, "won again", runtime)


def taken_up(connection: Connection, source: Source, runtime: Runtime) -> None:
    """Look again at a deal that changed while its run was at work."""
    place = {"connection": source.connection, "external_id": source.external_id}
    if (row := find(connection, UNSETTLED, **place)) is not None:
        mine = sa.and_(*(UNSETTLED.c[name] == value for name, value in place.items()))
        connection.execute(sa.delete(UNSETTLED).where(mine))
        heard(connection, msgspec.json.decode(row.body, type=Event), runtime=runtime)


def later(connection: Connection, source: Source, event: Event) -> None:
    """Keep what was heard for when the deal's run has ended or waits for a person."""
    body = msgspec.json.encode(event).decode()
    row = {"connection": source.connection, "external_id": source.external_id, "body": body}
    put_all(connection, UNSETTLED, [row])


def won(connection: Connection, event: Event, told: DealWon, runtime: Runtime) -> None:
    """Start the flow, once what an earlier turn began is over or on hold."""
    source = Source(told.connection, told.deal.external_id or "")
    before = run_views.open_of(connection, deal_to_project.name, source)
    change = run_views.open_of(connection, deal_change.name, source)
    held = change is not None and asks(connection, change.id, decided_deal.name)
    if (before is not None and before.turn < told.turn) or (change is not None and not held):
        later(connection, source, event)
        return
    begun(connection, told, feeding(event, told.deal), runtime=runtime)


def feeding(event: Event, deal: Deal) -> Context:
    """The context of what an event starts; the requester is the deal's owner."""
    parent = event.traceparent or traceparent()
    return Context(actor="svc:feed", client="svc:process", person=deal.owner, traceparent=parent)


def changed(
    connection: Connection, event: Event, told: DealLost | DealChanged, runtime: Runtime
) -> None:
    """A deal with a run is lost, reopened or agreed anew: its run is told, or it is looked into."""
    source = Source(told.connection, told.deal.external_id or "")
    state, turn = standing(connection, "deal", source)
    if (told.deal.state, told.turn) != (state, turn):
        return  # older news: what holds now was heard or will be
    why = f"the deal is {state} in {source.connection}"
    if run := run_views.open_of(connection, deal_to_project.name, source):
        if state == "won":
            settled = asked_again(connection, run.id, APPROVAL, why, runtime)
        else:
            settled = ended(connection, run.id, why, runtime)
    elif run := run_views.open_of(connection, deal_change.name, source):
        settled = change_told(connection, run.id, state, why, runtime)
    else:
        latest = run_views.latest_of(connection, deal_to_project.name, source)
        if latest is not None and latest.state == "done":
            n = times_changed(connection, "deal", source)
            started(connection, runtime, deal_change, (source, n, feeding(event, told.deal)))
        return
    if not settled:
        later(connection, source, event)


def change_told(
    connection: Connection, run_id: str, state: str, why: str, runtime: Runtime
) -> bool:
    """Tell a run that looks into a change; False if that is to be heard again when it is over."""
    if asked_again(connection, run_id, decided_deal.name, why, runtime):
        return True
    if asks(connection, run_id, NOT_AGREED) or (
        state != "won" and asks(connection, run_id, APPROVAL)
    ):
        ended(connection, run_id, why, runtime)
        return False
    steps = (APPROVAL, accepted_deal.name, amendable.name)  # whose answer it may be
    return state == "won" and any(
        asked_again(connection, run_id, step, why, runtime) for step in steps
    )


def asks(connection: Connection, run_id: str, step: str) -> WorkItem | None:
    """What a run asks a person at this step, if it does so now."""
    item = asked_of(connection, run_id)
    return item if item is not None and item.step == step else None


def asked_again(connection: Connection, run_id: str, step: str, why: str, runtime: Runtime) -> bool:
    """Let a run look again at what it asks a person at this step; False if it does not."""
    item = asks(connection, run_id, step)
    if item is not None:
        decided(connection, item, "retry", why, runtime)
    return item is not None


def ended(connection: Connection, run_id: str, why: str, runtime: Runtime) -> bool:
    """Take back a run that waits for a person: its deal is not won; False while it is at work."""
    item = asked_of(connection, run_id)
    if item is None or item.code == POISON:
        return False
    decided(connection, item, "reject" if item.step == APPROVAL else "abandon", why, runtime)
    return True


def decided(
    connection: Connection, item: WorkItem, decision: str, why: str, runtime: Runtime
) -> None:
    """Decide for whoever owns an item: what it asks about is settled."""
    by = Context(actor="svc:feed", client="svc:process", roles=(item.owner,))
    deciding = Deciding(decision=decision, comment=why, by=by, at=runtime.clock.now())
    decide(connection, item.id, deciding)


def asked_of(connection: Connection, run_id: str) -> WorkItem | None:
    """What a run asks a person now."""
    wait = find(connection, runs.WAITS, run_id=run_id, state="open")
    return get_item(connection, wait.work_item_id) if wait and wait.work_item_id else None


def begun(
    connection: Connection, told: DealWon, context: Context, *, runtime: Runtime
) -> runs.Begun:
    """Start the flow of a won deal, or answer the run it has."""
    source = Source(told.connection, told.deal.external_id or "")
    return started(connection, runtime, deal_to_project, (source, told.turn, context))


def started(
    connection: Connection, runtime: Runtime, this: Flow, what: tuple[Source, int, Context]
) -> runs.Begun:
    """Start a flow for a deal, or answer the run it has."""
    source, turn, context = what
    asked = runs.Start(
        flow=this.name,
        registered=this.registered,
        source=source,
        turn=turn,
        argument=argument(runtime, source, context),
        context=context,
        at=runtime.clock.now(),
    )
    return runs.start(connection, runtime.engine, asked)


def backfilling(runtime: Runtime) -> Backfilling:
    """What starts deals that were won before their feed began."""
    return Backfilling(runtime, partial(begun, runtime=runtime))
