"""Flows and their steps: what the business reads, and the loop that makes it durable.

A flow only decides; what touches the world is a step. One attempt of a step is one recorded value,
waits are rows, a suspended flow leaves the engine. Flow code never sees the engine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from typing import Any, Generic, ParamSpec, TypeVar, cast

import msgspec
from sqlalchemy import Connection

from apis.runtime import runs
from apis.runtime.attempts import Tries, after, again, problem_in, shown, undeclared
from apis.runtime.clock import Clock
from apis.runtime.context import CURRENT, Call, Context, trace_id_of
from apis.runtime.cursors import Cursors
from apis.runtime.engine import Engine
from apis.runtime.leases import Leases
from apis.runtime.log import get_logger
from apis.runtime.made import OURS, Made, but_for, remains
from apis.runtime.metadata import Metadata
from apis.runtime.outages import system_of
from apis.runtime.records import Records
from apis.runtime.replay import Replay
from apis.runtime.run_spans import stretched, tried
from apis.runtime.showing import Showing
from apis.runtime.store import Store
from apis.runtime.waits import Asked, approval_item, parked_item, wait_for
from apis.runtime.wire import unlisted
from contracts.canonical.identity import Source
from contracts.canonical.money import Money
from contracts.errors import ThroughlineError
from contracts.events import CATALOG
from contracts.runs import RunStep

P = ParamSpec("P")
T = TypeVar("T")
Undo = Callable[[Any], Awaitable[object]]
Resumed = Callable[[Source], Awaitable[object]]
Connect = Callable[[type, str], Any]
SHORT_S = 2.0
TAKEN_BACK = "taken back; the record itself stays"
log = get_logger(__name__)


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """What every run here stands on; `connect(port, "tier/api")` gives a typed client."""

    store: Store
    engine: Engine
    clock: Clock
    metadata: Metadata
    records: Records
    connect: Connect
    leases: Leases | None = None
    cursors: Cursors = msgspec.field(default_factory=Cursors)
    links: dict[str, str] = {}
    issuer: str = ""
    showing: Showing = msgspec.field(default_factory=Showing)


class Running:
    """One run in memory: rebuilt from recorded outcomes, never a source of truth."""

    def __init__(self, runtime: Runtime, run_id: str, source: Source, context: Context) -> None:
        self.runtime, self.context = runtime, context
        self.run_id, self.source = run_id, source
        traced = trace_id_of(context.traceparent)
        self.trace_id = traced or hashlib.sha256(run_id.encode()).hexdigest()[:32]
        self.seq = self.waits = 0
        self.stretch = self.within = ""
        self.step: Step[Any, Any] | None = None
        self.subject: dict[str, Any] = {}
        self.done: list[Made] = []
        self.left: list[dict[str, Any]] = []
        self.replay = Replay()
        self.resumed: Resumed | None = None
        self.unshown: dict[int, RunStep] = {}
        self.records: list[dict[str, Any]] = []
        self.approvals: list[dict[str, Any]] = []

    @property
    def plan(self) -> bool:
        """True in a dry run."""
        return self.context.plan

    def held(self) -> bool:
        """Whether this process may still write for the run; asked before every vendor write."""
        return self.runtime.leases is None or self.runtime.leases.held()

    def show(self, seq: int, step: RunStep) -> None:
        """Let people see, a moment later, what finished before and what begins now."""
        self.unshown[seq] = step
        self.runtime.showing.later(self)

    def taken(self) -> dict[int, RunStep]:
        """What nobody has been shown yet: from now on it is the caller's."""
        steps, self.unshown = self.unshown, {}
        return steps


class Approved(msgspec.Struct, frozen=True):
    """Who let something pass, when, and the limit it is above."""

    by: str
    at: datetime
    limit: Money | None = None


class Abandoned(Exception):
    """A person ended the run: finished steps are undone, then it is over."""


class Step(Generic[P, T]):
    """A function that touches the world, once per run as far as anyone can tell."""

    def __init__(
        self,
        function: Callable[P, Awaitable[T]],
        name: str,
        owner: str,
        keep: str | None,
        adopts: frozenset[str] = frozenset(),
        *,
        undone_last: bool = False,
    ) -> None:
        self.function = function
        self.name = name
        self.owner = owner
        self.keep = keep
        self.adopts = adopts
        self.undone_last = undone_last
        self.undoing: Step[Any, Any] | None = None
        self.adopting: Step[Any, Any] | None = None

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the step inside a flow; its result is recorded once."""
        if kwargs:
            msg = f"{self.name} takes positional arguments only: they are part of the history"
            raise TypeError(msg)
        running = current()
        running.step = self
        run = planned_step if running.plan else run_step
        return cast("T", await run(running, self, args))

    def undo(
        self, function: Callable[[Any], Awaitable[object]]
    ) -> Callable[[Any], Awaitable[object]]:
        """Declare what takes this step's result back; must be safe to repeat."""
        self.undoing = Step(function, f"{self.name}.undo", self.owner, "an undo stays")
        return function

    def adopt(self, function: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        """Declare how a record made by hand is linked; gets it, then the step's arguments."""
        self.adopting = Step(function, f"{self.name}.adopt", self.owner, "a link stays")
        return function


def step(
    *,
    owner: str,
    keep: str | None = None,
    name: str | None = None,
    adopts: Iterable[str] = (),
    undone_last: bool = False,
) -> Callable[[Callable[P, Awaitable[T]]], Step[P, T]]:
    """Make a function a step; `owner` is the role that gets its work items, `keep` why it stays.

    `adopts`: refusals after which a person may say which record it is; the step reads `decided`.
    `undone_last`: it tells others of what was made, so it is taken back after all of that.
    """

    def mark(function: Callable[P, Awaitable[T]]) -> Step[P, T]:
        called, may_adopt = name or function.__name__, frozenset(adopts)
        return Step(function, called, owner, keep, may_adopt, undone_last=undone_last)

    return mark


class Flow:
    """A flow by name; `name.v1` is what the engine knows it by."""

    def __init__(self, function: Callable[[Any], Awaitable[Any]], name: str, version: int) -> None:
        self.function = function
        self.name = name
        self.version = version
        self.resumed: Resumed | None = None

    def resume(self, function: Resumed) -> Resumed:
        """Declare what is looked at before a step goes on after a decision; it may refuse."""
        self.resumed = function
        return function

    @property
    def registered(self) -> str:
        """The engine's name of this shape of the flow."""
        return f"{self.name}.v{self.version}"


def flow(function: Callable[[Any], Awaitable[Any]]) -> Flow:
    """Make a function a flow; another shape later is another function with the next version."""
    name, _, version = function.__name__.partition("_v")
    return Flow(function, name, int(version) if version.isdigit() else 1)


async def changed(name: str) -> bool:
    """True in runs that began after the change `name`: guards a small change of a released flow."""
    return await current().runtime.engine.patched(name)


def current() -> Running:
    """The run whose code is running here."""
    call = CURRENT.get()
    running: Running = call.run
    return running


def about(*, amount: Money | None = None, entity: str | None = None) -> None:
    """Say what the run is about, for the work items it may open: price and legal entity."""
    told = {"amount": msgspec.to_builtins(amount), "entity": entity}
    running = current()
    running.subject = running.subject | {name: value for name, value in told.items() if value}


async def write_own(object: str, work: Callable[..., T], *args: Any, value: Any = None) -> T | None:  # noqa: A002 - the word
    """Write a record of the process tier in one transaction; a dry run lists `value` instead."""
    running = current()
    if running.plan:
        running.records.append({"object": object, "value": msgspec.to_builtins(value)})
        return None
    if running.step and not (running.step.keep or running.step.undoing):
        raise undeclared(running.step)

    def transaction(connection: Connection) -> T:
        return work(connection, *args)

    written = await running.runtime.store.write(transaction)
    if object not in CATALOG and (own := getattr(written, "id", None)):
        CURRENT.get().wrote.append({"system": OURS, "object": object, "id": own})
    return written


async def approval(
    code: str, *, by: str, detail: str, limit: Money | None = None
) -> Approved | None:
    """Wait until someone with the role `by`, who did not ask for this, approves; else abandon.

    None in a dry run, and when what is asked about has changed meanwhile.
    """
    running = current()
    item = approval_item(running, code, by, detail)
    decision = running.replay.taken("approval") if running.plan else None
    if running.plan and decision is None:
        running.approvals.append(msgspec.to_builtins(item))
        return None
    decision = decision or await wait_for(running, Asked(item=item))
    if decision["decision"] == "retry":  # what it is about has changed: to be asked anew
        return None
    if decision["decision"] != "approve":
        raise Abandoned(decision.get("comment") or "rejected")
    return Approved(decision["actor"], datetime.fromisoformat(decision["at"]), limit)


async def planned_step(running: Running, step: Step[Any, Any], args: tuple[Any, ...]) -> Any:
    """A step in a dry run: what the open run has made of it, else what it would do now."""
    if (outcome := running.replay.taken("done", step.name)) is not None:
        running.subject, value = outcome["subject"], running.runtime.records.load(outcome["ok"])
        running.done.append(Made(step, value, outcome.get("wrote", ())))
        return value
    if running.replay.taken("left", step.name) is not None:
        raise Abandoned
    call = CURRENT.get()
    call.writes, key = 0, f"{running.run_id}/{step.name}"
    call.context = msgspec.structs.replace(call.context, request_key=key)
    return await step.function(*args)


async def run_step(running: Running, step: Step[Any, Any], args: tuple[Any, ...]) -> Any:
    """Try until it is done, waited for, decided or abandoned."""
    engine, records = running.runtime.engine, running.runtime.records
    seq = running.seq = running.seq + 1
    tries, wrote = Tries(), []
    calls: list[dict[str, Any]] = []
    while True:
        running.step = step
        outcome = await engine.step(step.name, tried, running, step, seq, tries, args)
        calls += [call for call in outcome["calls"] if unlisted(call, calls)]
        wrote += outcome.get("wrote", ())
        running.subject = outcome["subject"]
        began = datetime.fromisoformat(outcome["from"])
        if "ok" in outcome:
            value = records.load(outcome["ok"])
            running.unshown[seq] = shown(step, "done", began, tries, outcome, calls)
            running.done.append(Made(step, value, wrote))
            return value
        if "wait" in outcome:
            running.unshown[seq] = shown(step, "waiting", began, tries, None, calls)
            tries = after(tries, outcome)
            await pause(running, outcome)
            continue
        running.unshown[seq] = shown(step, "parked", began, tries, outcome, calls)
        running.left = wrote  # should it be abandoned here
        item = parked_item(running, step, problem_in(outcome))
        decision = await wait_for(running, Asked(item=item))
        told = await decided(running, step, decision, args)
        held = tries.decided if outcome.get("unresumed") else None  # it holds for the step itself
        tries = again(tries, outcome, held or told)


async def decided(
    running: Running, step: Step[Any, Any], decision: dict[str, Any], args: tuple[Any, ...]
) -> str:
    """What a person's decision means for the step: again, linked, or not at all."""
    if decision["decision"] == "retry":
        return "retry"
    if decision["decision"] == "adopt":
        record = msgspec.convert(decision["record"], Source)
        if step.adopting is not None:
            await run_step(running, step.adopting, (record, *args))
            running.done.pop()
        return f"adopt:{record.external_id}"
    raise Abandoned(decision.get("comment") or "")


async def pause(running: Running, outcome: dict[str, Any]) -> None:
    """Short pauses are slept through, long ones suspend the flow."""
    due = datetime.fromisoformat(outcome["due"])
    if outcome["wait"] > SHORT_S:
        await wait_for(running, Asked(due_at=due, away=system_of(outcome["problem"])))
        return
    left = (due - running.runtime.clock.now()).total_seconds()
    if left > 0:
        await running.runtime.clock.sleep(left)


def runner(runtime: Runtime, this: Flow) -> Callable[[Any], Awaitable[Any]]:
    """The function the engine runs for a flow: its argument is the recorded input."""

    async def run(argument: Any) -> Any:
        run_id = runtime.engine.run_id()
        source = runtime.records.load(argument["source"])
        context = msgspec.convert(argument["context"], Context)
        running = Running(runtime, run_id, source, context)
        running.resumed = this.resumed
        CURRENT.set(Call(context, running))
        return await stretched(running, this.name, execute(running, this, source))

    run.__name__ = run.__qualname__ = this.registered
    return run


async def execute(running: Running, this: Flow, source: Source) -> Any:
    """Run the flow to its end; an abandoned one is undone in reverse, step by step."""
    try:
        result = await this.function(source)
    except Abandoned:
        await finish(running, "abandoned", None, await undone(running))
        return None
    except ThroughlineError as error:  # raised by flow code itself, outside any step: a defect
        log.exception("flow.defect", run_id=running.run_id, code=error.code)
        await finish(running, "failed", None, [])
        raise
    recorded = running.runtime.records.dump(result)
    await finish(running, "done", msgspec.to_builtins(result), [])
    return recorded


async def undone(running: Running) -> list[str]:
    """Undo what was done, last first, what tells of it at the very end; answers what stays."""
    taken, stays = list[tuple[Made, str]](), list[tuple[Made, str]]()
    last_first = list(reversed(running.done))
    for done in sorted(last_first, key=lambda each: each.step.undone_last):
        if done.step.undoing is not None:
            before = len(running.done)
            try:
                await done.step.undoing(done.value)
            except Abandoned as left:  # only this undo is given up; the others go on
                taken.append((but_for(done, running.left), f"not taken back, {left}".rstrip(", ")))
            taken += [(each, TAKEN_BACK) for each in running.done[before:] if each.wrote]
        elif done.step.keep:
            stays.append((done, done.step.keep))
    return remains(taken + stays)


async def finish(running: Running, state: str, result: Any, kept: list[str]) -> None:
    """Close the run; safe to repeat, so it needs no record of its own."""
    ended = runs.End(
        run_id=running.run_id,
        state=state,
        result=result,
        kept=kept,
        steps=await running.runtime.showing.rest(running),
        at=running.runtime.clock.now(),
    )
    await running.runtime.store.write(runs.end, ended)
