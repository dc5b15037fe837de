"""Runs, their steps and waits: the tables that screens read, and their transactions.

The engine's own status stays private; what a person sees comes from here (`run_views.py`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Column, Connection, Integer, String, Text

from apis.runtime import audit
from apis.runtime.context import Context
from apis.runtime.engine import Engine
from apis.runtime.events import publish, publish_all
from apis.runtime.store import change, find, insert_new, put_all, table
from contracts.canonical.identity import Source
from contracts.events import Event, RunEnded, RunProgressed, RunStarted, event_id, event_of
from contracts.runs import RunStep, Waiting

RUNS = table(
    "process",
    "runs",
    Column("id", String(200), primary_key=True),
    Column("flow", String(80), nullable=False, index=True),
    Column("connection", String(80), nullable=False),
    Column("record", String(120), nullable=False, index=True),
    Column("turn", Integer, nullable=False),
    Column("state", String(20), nullable=False, index=True),
    Column("open_key", String(300), unique=True),
    Column("requester", String(200)),
    Column("context", Text, nullable=False),
    Column("result", Text),
    Column("kept", Text),
    Column("queued_at", String(40), nullable=False),
    Column("started_at", String(40)),
    Column("ended_at", String(40)),
)
STEPS = table(
    "process",
    "steps",
    Column("run_id", String(200), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("body", Text, nullable=False),
)
WAITS = table(
    "process",
    "waits",
    Column("id", String(220), primary_key=True),
    Column("run_id", String(200), nullable=False, index=True),
    Column("state", String(12), nullable=False, index=True),
    Column("since", String(40), nullable=False),
    Column("due_at", String(40), index=True),
    Column("owner", String(80)),
    Column("work_item_id", String(64)),
    Column("decision", Text),
)
TAKEOVERS = table(
    "process",
    "takeovers",
    Column("run_id", String(200), primary_key=True),
    Column("owner", String(200), primary_key=True),
)
ANY_DUE = (
    sa.select(WAITS.c.id)
    .where(WAITS.c.state == "open", WAITS.c.due_at <= sa.bindparam("now"))
    .limit(1)
)
DECIDED = sa.select(WAITS.c.run_id).where(WAITS.c.state == "decided").distinct()
SHOWN = (
    sa.select(RUNS.c.id, RUNS.c.state)
    .where(
        RUNS.c.id.in_(sa.bindparam("ids", expanding=True)),
        RUNS.c.state.in_(("queued", "running")),
    )
    .order_by(RUNS.c.id)
    .with_for_update()
)
OPEN = ("queued", "running", "waiting")
SOURCE = "/process/runs"


class Begun(msgspec.Struct, frozen=True):
    """A run and whether this call made it."""

    run_id: str
    new: bool
    state: str


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is started with; `again` allows a new run after an abandoned one of the turn.

    `registered` is what the engine knows the flow's version by.
    """

    flow: str
    registered: str
    source: Source
    turn: int
    argument: Any
    context: Context
    at: datetime
    again: bool = False

    @property
    def open_key(self) -> str:
        """What only one open run of a record may carry."""
        return f"{self.flow}|{self.source.connection}|{self.source.external_id}"


def start(connection: Connection, engine: Engine, asked: Start) -> Begun:
    """Start a flow for a record, or answer the run it has: open, or ended in the same turn."""
    begun = foreseen(connection, asked)
    if not begun.new:
        return begun
    if not queued(connection, begun.run_id, asked):  # somebody was quicker: theirs is the run
        return foreseen(connection, asked)
    tell_start(connection, begun.run_id, asked)
    engine.enqueue(connection, asked.registered, begun.run_id, asked.argument)
    return begun


def foreseen(connection: Connection, asked: Start) -> Begun:
    """The run that a start would answer, or begin."""
    if open_run := begun_already(connection, asked.open_key):
        return open_run
    run_id = f"{asked.flow}:{asked.source.connection}:{asked.source.external_id}:{asked.turn}"
    earlier = connection.execute(
        sa.select(RUNS.c.id, RUNS.c.state)
        .where(RUNS.c.id.startswith(run_id, autoescape=True), RUNS.c.turn == asked.turn)
        .order_by(RUNS.c.queued_at.desc())
    ).all()
    if earlier and (earlier[0].state == "done" or not asked.again):
        return Begun(earlier[0].id, new=False, state=earlier[0].state)
    run_id = f"{run_id}.{len(earlier) + 1}" if earlier else run_id
    return Begun(run_id, new=True, state="queued")


def begun_already(connection: Connection, open_key: str) -> Begun | None:
    """The open run of a record, if it has one."""
    row = find(connection, RUNS, open_key=open_key)
    return None if row is None else Begun(row.id, new=False, state=row.state)


def queued(connection: Connection, run_id: str, asked: Start) -> bool:
    """Write the run as queued; False if the record has an open one."""
    context = msgspec.structs.replace(asked.context, request_key=None, deadline=None)
    return insert_new(
        connection,
        RUNS,
        id=run_id,
        flow=asked.flow,
        connection=asked.source.connection,
        record=asked.source.external_id,
        turn=asked.turn,
        state="queued",
        open_key=asked.open_key,
        requester=context.person or context.actor,
        context=msgspec.json.encode(context).decode(),
        queued_at=asked.at.isoformat(),
    )


def tell_start(connection: Connection, run_id: str, asked: Start) -> None:
    """Announce the run and record who asked for it."""
    actor = asked.context.actor
    started = RunStarted(
        run_id=run_id, flow=asked.flow, source=asked.source, turn=asked.turn, requester=actor
    )
    announce(connection, "run.started", started, run_id, asked.at)
    audit.record(
        connection,
        "process",
        at=asked.at,
        actor=actor,
        action="run.started",
        cause=asked.context.request_id or None,
        object="run",
        key=run_id,
    )


def announce(
    connection: Connection,
    name: str,
    payload: msgspec.Struct,
    run_id: str,
    at: datetime,
    *parts: object,
) -> None:
    """Publish an event of a run."""
    publish(connection, "process", announcement(name, payload, run_id, at, *parts))


def announcement(
    name: str, payload: msgspec.Struct, run_id: str, at: datetime, *parts: object
) -> Event:
    """An event of a run; the same run, name and parts are the same event."""
    return event_of(
        name,
        payload,
        id=event_id(run_id, name, *parts),
        source=SOURCE,
        time=at,
        correlation_id=run_id,
    )


def show_steps(
    connection: Connection, run_id: str, steps: dict[int, RunStep], at: datetime
) -> None:
    """Write what people see of these steps; the run is running."""
    if steps:
        put_all(connection, STEPS, rows_of(run_id, steps))
    queued = {"id": run_id, "state": "queued"}
    change(connection, RUNS, queued, state="running", started_at=began(steps, at))


def began(steps: dict[int, RunStep], at: datetime) -> str:
    """When the first of these steps began; now if there is none."""
    first = min(steps, default=0)
    moment = steps[first].started_at if first else None
    return (moment or at).isoformat()


def rows_of(run_id: str, steps: dict[int, RunStep]) -> list[dict[str, Any]]:
    """What people see of these steps, as rows."""
    return [
        {"run_id": run_id, "seq": seq, "body": msgspec.json.encode(step).decode()}
        for seq, step in steps.items()
    ]


def show_all(connection: Connection, steps: dict[str, dict[int, RunStep]], at: datetime) -> None:
    """`show_steps` of many runs, but of those that have ended or begun to wait meanwhile."""
    # locked: a wait or an end that commits between this look and the change would be undone
    found = connection.execute(SHOWN, {"ids": list(steps)}).all()
    put_all(connection, STEPS, [row for run in found for row in rows_of(run.id, steps[run.id])])
    events = []
    for run in found:
        if run.state == "queued":
            started_at = began(steps[run.id], at)
            change(connection, RUNS, {"id": run.id}, state="running", started_at=started_at)
        told = RunProgressed(run_id=run.id, state="running", steps=numbered(steps[run.id]))
        parts = msgspec.json.encode(told).decode()
        events.append(announcement("run.progressed", told, run.id, at, parts))
    publish_all(connection, "process", events)


def numbered(steps: dict[int, RunStep]) -> dict[str, RunStep]:
    """Steps as an event carries them."""
    return {str(seq): step for seq, step in steps.items()}


def tell_progress(
    connection: Connection, told: RunProgressed, at: datetime, *parts: object
) -> None:
    """Announce how far a run is; the same parts are the same news."""
    announce(connection, "run.progressed", told, told.run_id, at, *parts)


class End(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended."""

    run_id: str
    state: str
    result: Any = None
    kept: list[str] = []
    steps: dict[int, RunStep] = {}
    at: datetime


def end(connection: Connection, ended: End) -> None:
    """Close a run and announce it; repeated, it changes nothing."""
    row = find(connection, RUNS, id=ended.run_id)
    if row.state not in OPEN:
        return
    show_steps(connection, ended.run_id, ended.steps, ended.at)
    change(
        connection,
        RUNS,
        {"id": ended.run_id},
        state=ended.state,
        open_key=None,
        ended_at=ended.at.isoformat(),
        result=msgspec.json.encode(ended.result).decode(),
        kept=msgspec.json.encode(ended.kept).decode(),
    )
    payload = RunEnded(
        run_id=ended.run_id,
        flow=row.flow,
        source=Source(row.connection, row.record),
        state=ended.state,  # type: ignore[arg-type]  # one of RunState by construction
        kept=tuple(ended.kept),
        steps=numbered(ended.steps),
    )
    announce(connection, "run.ended", payload, ended.run_id, ended.at)


def at_work(connection: Connection) -> list[str]:
    """Runs that are queued or running, as far as people see."""
    busy = RUNS.c.state.in_(("queued", "running"))
    return list(connection.execute(sa.select(RUNS.c.id).where(busy)).scalars())


def moment(text: str | None) -> datetime | None:
    """A stored moment, or None."""
    return datetime.fromisoformat(text) if text else None


# ------------------------------------------------------------------------------------------- waits


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """What a run waits for: a moment, or a decision on a work item."""

    id: str
    run_id: str
    at: datetime
    due_at: datetime | None = None
    owner: str | None = None
    work_item_id: str | None = None


def tell_wait(connection: Connection, wait: Wait, steps: dict[int, RunStep], *, over: bool) -> None:
    """Announce that a run waits, or that its wait is over; each once, however often it is asked."""
    waiting = Waiting(
        since=wait.at, due_at=wait.due_at, owner=wait.owner, work_item_id=wait.work_item_id
    )
    told = RunProgressed(
        run_id=wait.run_id,
        state="running" if over else "waiting",
        waiting=None if over else waiting,
        steps=numbered(steps),
    )
    tell_progress(connection, told, wait.at, wait.id, over)


def open_wait(connection: Connection, wait: Wait) -> dict[str, Any] | None:
    """Write the wait unless it is there; its decision if there is one, and the run goes on."""
    row = connection.execute(sa.select(WAITS).where(WAITS.c.id == wait.id)).first()
    if row is not None and row.state != "open":
        connection.execute(sa.update(WAITS).where(WAITS.c.id == wait.id).values(state="taken"))
        connection.execute(sa.update(RUNS).where(RUNS.c.id == wait.run_id).values(state="running"))
        decision: dict[str, Any] = msgspec.json.decode(row.decision)
        return decision
    insert_new(
        connection,
        WAITS,
        id=wait.id,
        run_id=wait.run_id,
        state="open",
        since=wait.at.isoformat(),
        due_at=wait.due_at.isoformat() if wait.due_at else None,
        owner=wait.owner,
        work_item_id=wait.work_item_id,
    )
    connection.execute(sa.update(RUNS).where(RUNS.c.id == wait.run_id).values(state="waiting"))
    return None


def decide_wait(connection: Connection, wait_id: str, decision: dict[str, Any]) -> bool:
    """Decide an open wait; False if it was decided before."""
    mine = sa.and_(WAITS.c.id == wait_id, WAITS.c.state == "open")
    text = msgspec.json.encode(decision).decode()
    return (
        connection.execute(
            sa.update(WAITS).where(mine).values(state="decided", decision=text)
        ).rowcount
        == 1
    )


def due(connection: Connection, now: datetime) -> int:
    """Decide every wait whose moment has come; answers how many."""
    come = sa.and_(WAITS.c.state == "open", WAITS.c.due_at <= now.isoformat())
    values = {"state": "decided", "decision": '{"decision":"due"}'}
    return connection.execute(sa.update(WAITS).where(come).values(**values)).rowcount


def any_due(connection: Connection, now: datetime) -> bool:
    """Whether `due` would find anything; read before the write lock is taken."""
    return connection.execute(ANY_DUE, {"now": now.isoformat()}).first() is not None


def decided_runs(connection: Connection) -> list[str]:
    """Runs with a decided wait that their flow has not taken yet."""
    return list(connection.execute(DECIDED).scalars())


def count_takeover(connection: Connection, run_id: str, owner: str) -> int:
    """Another worker died with this run; answers how many have. The same death counts once."""
    insert_new(connection, TAKEOVERS, run_id=run_id, owner=owner)
    deaths = sa.select(sa.func.count()).where(TAKEOVERS.c.run_id == run_id)
    return int(connection.execute(deaths).scalar_one())
