"""Dry runs: the flow runs unrecorded in the request; reads go out, writes are listed."""

from __future__ import annotations

import msgspec

from apis.runtime.context import CURRENT, Call, Context
from apis.runtime.flow import Abandoned, Flow, Running, Runtime, undone
from apis.runtime.outside import outward
from apis.runtime.replay import Replay
from apis.runtime.run_views import view
from contracts.canonical.identity import Source
from contracts.errors import Problem, ThroughlineError, problem_of
from contracts.runs import Plan, PlannedWrite


async def planned(
    runtime: Runtime, this: Flow, source: Source, context: Context, run_id: str
) -> Plan:
    """What the run of this id would write, keep and ask, and what stands in its way.

    One that is open says where it stands; what it did is not listed again.
    """
    begun = await runtime.store.read(view, run_id)
    running = Running(
        runtime,
        run_id,
        source,
        msgspec.structs.replace(context, plan=True, actor=f"svc:process for {context.actor}"),
    )
    if begun is not None:
        running.replay = Replay(await runtime.engine.recorded(run_id))
    call = Call(running.context, running)
    token = CURRENT.set(call)
    problems: list[Problem] = []
    try:
        await ended(running, this, source)
    except ThroughlineError as error:
        vendors = {each.vendor for each in runtime.metadata.connections.values()}
        problems.append(outward(problem_of(error), runtime.issuer, vendors))
    finally:
        CURRENT.reset(token)
    return Plan(
        writes=tuple(msgspec.convert(each, PlannedWrite) for each in call.planned),
        records=tuple(running.records),
        approvals=tuple(running.approvals),
        problems=tuple(problems),
        run=begun,
    )


async def ended(running: Running, this: Flow, source: Source) -> None:
    """Go through the flow to its end: what it would take back is listed as well."""
    try:
        await this.function(source)
    except Abandoned:  # no refusal here: a run that takes back what earlier ones made
        await undone(running)
