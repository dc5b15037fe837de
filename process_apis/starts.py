"""Which event starts which flow."""

from __future__ import annotations

from functools import partial

from sqlalchemy import Connection

from apis.runtime import runs
from apis.runtime.context import Context, traceparent
from apis.runtime.events import Projection
from apis.runtime.flow import Flow, Runtime
from contracts.canonical.identity import Source
from contracts.events import DealWon, Event, payload_of
from process_apis.deal_to_project import deal_to_project
from process_apis.runs import argument

STARTS: dict[str, Flow] = {"deal.won": deal_to_project}
FLOWS = [deal_to_project]


def starting(runtime: Runtime) -> Projection:
    """The reader that starts flows: the event and its start are one transaction."""
    return Projection("starts", tuple(STARTS), partial(started, runtime=runtime))


def started(connection: Connection, event: Event, *, runtime: Runtime) -> None:
    """Start the flow of one event; the requester is the deal's owner."""
    payload: DealWon = payload_of(event)
    source = Source(payload.connection, payload.deal.external_id or "")
    context = Context(
        actor="svc:feed",
        client="svc:process",
        person=payload.deal.owner,
        traceparent=event.traceparent or traceparent(),
    )
    asked = runs.Start(
        flow=STARTS[event.type].name,
        registered=STARTS[event.type].registered,
        source=source,
        turn=payload.turn,
        argument=argument(runtime, source, context),
        context=context,
        at=runtime.clock.now(),
    )
    runs.start(connection, runtime.engine, asked)
