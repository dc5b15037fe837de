"""Which event starts which flow."""

from __future__ import annotations

from sqlalchemy import Connection

from apis.runtime import runs
from apis.runtime.context import Context, traceparent
from apis.runtime.events import Logged, passed, unread
from apis.runtime.flow import Flow, Runtime
from contracts.canonical.identity import Source
from contracts.events import DealWon, payload_of
from process_apis.deal_to_project import deal_to_project
from process_apis.runs import argument

STARTS: dict[str, Flow] = {"deal.won": deal_to_project}
FLOWS = [deal_to_project]
READER = "starts"


async def start_flows(runtime: Runtime) -> None:
    """Start what the next events ask for; the event and its start are one transaction."""
    for logged in await runtime.store.read(unread, READER, list(STARTS)):
        await runtime.store.write(started, runtime, logged)


def started(connection: Connection, runtime: Runtime, logged: Logged) -> None:
    """Start the flow of one event, once; the requester is the deal's owner."""
    if not passed(connection, READER, logged):
        return
    payload: DealWon = payload_of(logged.event)
    source = Source(payload.connection, payload.deal.external_id or "")
    context = Context(
        actor="svc:feed",
        client="svc:process",
        person=payload.deal.owner,
        traceparent=logged.event.traceparent or traceparent(),
    )
    asked = runs.Start(
        flow=STARTS[logged.event.type].name,
        source=source,
        turn=payload.turn,
        argument=argument(runtime, source, context),
        context=context,
        at=runtime.clock.now(),
    )
    runs.start(connection, runtime.engine, asked)
