"""One attempt of a step: what it answers is a value, so that a replay takes the same way."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from apis.runtime import runs
from apis.runtime.context import CURRENT, Call, traceparent
from apis.runtime.log import get_logger
from apis.runtime.outages import back, system_of
from contracts.errors import (
    Misconfigured,
    Problem,
    Throttled,
    ThroughlineError,
    Transient,
    Unavailable,
    problem_of,
)
from contracts.runs import Overwritten, RunStep, VendorCall

if TYPE_CHECKING:
    from apis.runtime.flow import Running, Step

ATTEMPTS = 16
PATIENCE = timedelta(hours=1)
LONGEST_S = 300.0
LONGEST_UNAVAILABLE_S = 30.0
THROTTLED_S = 0.5
LONGEST_THROTTLED_S = 60.0
"""Each attempt is a row: a budget that is spent for a moment must not be asked a hundred times."""
log = get_logger(__name__)


class Tries(msgspec.Struct, frozen=True, kw_only=True):
    """How often a step has been tried, from recorded outcomes only.

    `count` and `began` are of the step's whole life; the rest begins again with a decision, and
    `unavailable` with every other answer. `away` names each connection it has found away, for
    whoever gets through to tell: another answer in between must not leave an outage standing.
    """

    count: int = 0
    began: datetime | None = None
    transient: int = 0
    unavailable: int = 0
    since: datetime | None = None
    decided: str | None = None
    away: tuple[str, ...] = ()


async def attempt(
    running: Running, step: Step[Any, Any], seq: int, tries: Tries, args: tuple[Any, ...]
) -> dict[str, Any]:
    """Try once; answers `ok`, `wait` or `park`, with times and calls."""
    began = running.runtime.clock.now()
    context = msgspec.structs.replace(
        running.context,
        actor=f"svc:process for {running.context.actor}",
        request_key=f"{running.run_id}/{step.name}",
        cause=f"{running.run_id}/{step.name}",
        request_id=running.run_id,
        traceparent=running.within or traceparent(running.trace_id),
        decided=tries.decided,
        entity=running.subject.get("entity") or running.context.entity,
    )
    call = Call(context, running)
    token = CURRENT.set(call)
    looking = running.resumed if tries.decided and "." not in step.name else None
    try:
        running.show(seq, shown(step, "running", began, tries))
        if looking is not None:
            await looking(running.source)
            looking = None
        outcome: dict[str, Any] = {"ok": running.runtime.records.dump(await step.function(*args))}
        for system in tries.away:
            await running.runtime.store.write(back, system, running.runtime.clock.now())
    except ThroughlineError as error:
        outcome = refusal(error, tries, running.runtime.clock.now())
    except sa.exc.OperationalError:
        outcome = refusal(
            Transient("store.unavailable", "the database did not answer"), tries, began
        )
    except (
        Exception
    ) as error:  # a defect parks the run, owned and visible; it must not kill the flow
        log.exception(
            "step.defect", run_id=running.run_id, step=step.name, error=type(error).__name__
        )
        outcome = refusal(defect(step), tries, began)
    finally:
        CURRENT.reset(token)
    ended = running.runtime.clock.now()
    times = {"from": began.isoformat(), "until": ended.isoformat()}
    told = {"calls": call.calls, "wrote": call.wrote, "subject": running.subject}
    return outcome | times | told | ({"unresumed": True} if looking is not None else {})


def defect(step: Step[Any, Any]) -> ThroughlineError:
    """What a person reads when our own code failed."""
    return ThroughlineError(
        "flow.defect",
        f"the step {step.name} failed for a reason that is not in its table of errors",
        owner="integration",
        remedy="read the log of this run, mend the cause, then retry",
    )


def refusal(error: ThroughlineError, tries: Tries, now: datetime) -> dict[str, Any]:
    """What to do about an error: wait (and whether that counts) or park; never decided again."""
    problem = msgspec.to_builtins(problem_of(error))
    since = tries.since or now
    if isinstance(error, Throttled):
        told = error.retry_after or min(LONGEST_THROTTLED_S, 2.0 ** min(tries.count, 10))
        pause = max(THROTTLED_S, told) + random.uniform(0, 0.5)  # noqa: S311 - jitter
        return waits(pause, now, since, problem, counts=False)
    if isinstance(error, Unavailable):
        pause = error.retry_after or min(LONGEST_UNAVAILABLE_S, 2.0 ** min(tries.unavailable, 10))
        return waits(pause, now, since, problem, counts=False)
    if isinstance(error, Transient):
        tried = tries.transient + 1
        if tried >= ATTEMPTS or now - since >= PATIENCE:
            return {"park": problem, "since": since.isoformat()}
        longest = min(LONGEST_S, 2.0 ** (tried - 1))
        pause = error.retry_after or random.uniform(longest / 4, longest)  # noqa: S311 - jitter
        return waits(pause, now, since, problem, counts=True)
    return {"park": problem, "since": since.isoformat()}


def waits(
    seconds: float, now: datetime, since: datetime, problem: dict[str, Any], *, counts: bool
) -> dict[str, Any]:
    """A recorded pause."""
    due = now + timedelta(seconds=seconds)
    return {
        "wait": seconds,
        "due": due.isoformat(),
        "counts": counts,
        "since": since.isoformat(),
        "problem": problem,
    }


def after(tries: Tries, outcome: dict[str, Any]) -> Tries:
    """The tries after an outcome that made the step wait."""
    away, kind = system_of(outcome["problem"]), outcome["problem"].get("kind")
    return Tries(
        count=tries.count + 1,
        began=began_at(tries, outcome),
        transient=tries.transient + bool(outcome["counts"]),
        unavailable=tries.unavailable + 1 if kind == "Unavailable" else 0,
        since=datetime.fromisoformat(outcome["since"]),
        decided=tries.decided,
        away=tries.away if away is None or away in tries.away else (*tries.away, away),
    )


def again(tries: Tries, outcome: dict[str, Any], decided: str) -> Tries:
    """The tries after a person decided on an outcome that parked the step."""
    began = began_at(tries, outcome)
    return Tries(count=tries.count + 1, began=began, decided=decided, away=tries.away)


def began_at(tries: Tries, outcome: dict[str, Any]) -> datetime:
    """When the step was tried for the first time."""
    return tries.began or datetime.fromisoformat(outcome["from"])


def problem_in(outcome: dict[str, Any]) -> Problem:
    """The problem a parked outcome holds."""
    return msgspec.convert(outcome["park"], Problem)


def shown(  # noqa: PLR0917 - what people see, in one place
    step: Step[Any, Any],
    state: str,
    began: datetime,
    tries: Tries,
    outcome: dict[str, Any] | None = None,
    calls: Any = (),
) -> RunStep:
    """The step as people see it."""
    return RunStep(
        name=step.name,
        owner=step.owner,
        state=state,
        started_at=tries.began or began,
        ended_at=runs.moment(outcome["until"]) if outcome else None,
        attempts=tries.count + 1,
        calls=tuple(msgspec.convert(each, VendorCall) for each in calls),
        overwrote=overwritten((outcome or {}).get("wrote", ())),
    )


def overwritten(wrote: Iterable[dict[str, Any]]) -> tuple[Overwritten, ...]:
    """What was another in the records that an attempt wrote."""
    changed = (each for record in wrote for each in record.get("overwrote", ()))
    return tuple(msgspec.convert(each, Overwritten) for each in changed)


def undeclared(step: Step[Any, Any]) -> Misconfigured:
    """A step that writes must say how that is undone, or why it stays."""
    return Misconfigured(
        "step.undeclared-write", f"{step.name} writes but declares neither undo nor keep"
    )
