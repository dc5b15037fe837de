"""Spans of a run: each attempt of a step in the stretch in which the engine held the run.

A run that waited goes on in another stretch, maybe days later and elsewhere: linked to its first.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from apis.runtime.attempts import Tries, attempt
from apis.runtime.traces import SPANS, Span, child_of

if TYPE_CHECKING:
    from apis.runtime.flow import Running, Step

SPAN_ID = 16


async def tried(
    running: Running, step: Step[Any, Any], seq: int, tries: Tries, args: tuple[Any, ...]
) -> dict[str, Any]:
    """Attempt a step; where spans are recorded, what it calls belongs to its own."""
    if (recorder := SPANS.recorder) is None:
        return await attempt(running, step, seq, tries, args)
    first = first_of(running)
    if not running.stretch:
        running.stretch = first if seq == 1 and tries == Tries() else child_of(first)
    running.within, began_ns = child_of(first), time.time_ns()
    outcome = await attempt(running, step, seq, tries, args)
    recorder.record(
        Span(
            name=step.name,
            kind="internal",
            own=running.within,
            parent=running.stretch,
            began_ns=began_ns,
            failed="ok" not in outcome,
            attributes={"throughline.run": running.run_id, "throughline.attempt": tries.count + 1},
        )
    )
    return outcome


async def stretched(running: Running, flow: str, work: Awaitable[Any]) -> Any:
    """Let a flow go on until it ends or leaves the engine."""
    began_ns = time.time_ns()
    try:
        return await work
    finally:
        if SPANS.recorder is not None and running.stretch:
            first = first_of(running)
            SPANS.recorder.record(
                Span(
                    name=flow,
                    kind="internal",
                    own=running.stretch,
                    parent=running.context.traceparent,
                    began_ns=began_ns,
                    attributes={"throughline.run": running.run_id},
                    link=None if running.stretch == first else first,
                )
            )


def first_of(running: Running) -> str:
    """The traceparent of a run's first stretch, known without having been kept."""
    return f"00-{running.trace_id}-{sha256(running.run_id.encode()).hexdigest()[:SPAN_ID]}-01"
