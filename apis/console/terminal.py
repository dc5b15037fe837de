"""How runs and work items look in a terminal: calm tables for people of finance and delivery."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from contracts.canonical.money import Money
from contracts.errors import ThroughlineError
from contracts.runs import Decision, Overwritten, Run, RunStep, VendorCall, WorkItem

PLAIN_WIDTH = 110
NOTHING = "-"
SHOWN_AS = {
    "queued": "dim",
    "running": "cyan",
    "waiting": "yellow",
    "parked": "yellow",
    "done": "green",
    "abandoned": "magenta",
    "failed": "red",
}
WIDTHS = (18, 19, 7, 7)  # so that a table does not jump about while it grows
MINUTE, HOUR, DAY = 60, 3600, 86400


def console(*, stderr: bool = False, plain_width: int = PLAIN_WIDTH) -> Console:
    """The terminal; a file or pipe gets lines of one width and no colour."""
    tty = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, highlight=False, width=None if tty else plain_width)


def money(value: Money | None) -> str:
    """Money as people write it."""
    return f"{value.amount:,.2f} {value.currency}" if value else NOTHING


def words(name: str) -> str:
    """What exists after a step, as words: `customer_key_for` is the customer key."""
    parts = (part.replace("_", " ") for part in name.split("."))
    return ": ".join(part.removesuffix(" for").removesuffix(" of") for part in parts)


def took(began: datetime | None, ended: datetime | None) -> str:
    """The time between two moments, as coarse as it is long."""
    if began is None or ended is None:
        return NOTHING
    seconds = max(0.0, (ended - began).total_seconds())
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    if seconds < HOUR:
        return f"{seconds // MINUTE:.0f} min"
    return f"{seconds // HOUR:.0f} h" if seconds < DAY else f"{seconds // DAY:.0f} days"


def state(name: str) -> Text:
    """A state in its colour."""
    return Text(name, style=SHOWN_AS.get(name, ""))


def at(moment: datetime | None) -> str:
    """A moment in the reader's own zone."""
    return moment.astimezone().strftime("%d %b %Y %H:%M") if moment else NOTHING


def table(*columns: str) -> Table:
    """A table with one rule, under its head."""
    made = Table(
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
        header_style="bold",
    )
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def call_line(call: VendorCall) -> str:
    """One call to a system: what, its status, how long it took."""
    status = str(call.status) if call.status is not None else "no answer"
    spent = f" in {call.ms:.0f} ms" if call.ms is not None else ""
    return f"{call.system} {call.operation.replace('{}', '...')}: {status}{spent}"


def overwritten_line(change: Overwritten) -> str:
    """A value that is another now: where, which, from what to what."""
    place = f"{change.system} {change.object} {change.external_id}"
    before = NOTHING if change.before is None else change.before
    return f"{place}: {change.field} {before} is now {change.after}"


def decision_line(decision: Decision) -> str:
    """Who decided what, and why."""
    why = f": {decision.comment}" if decision.comment else ""
    return f"{decision.decision} by {decision.actor}{why}"


def events_of(step: RunStep) -> list[str]:
    """What happened in a step: its calls, what they overwrote, or what a person decided."""
    decided = [decision_line(step.decision)] if step.decision else []
    return [*map(call_line, step.calls), *map(overwritten_line, step.overwrote), *decided]


def journey(run: Run, now: datetime) -> RenderableType:
    """A run as it is now: every step, its owner, the time it took, its calls and decisions."""
    steps = table("Step", "Owner", "State", "Took", "Calls to systems, decisions")
    for column, width in zip(steps.columns, WIDTHS, strict=False):
        column.min_width = width
    steps.columns[3].justify = "right"
    for step in run.steps:
        tries = Text(f"\ntry {step.attempts}" if step.attempts > 1 else "", style="dim")
        steps.add_row(
            words(step.name),
            Text(step.owner or NOTHING, style="dim"),
            state(step.state) + tries,
            took(step.started_at, step.ended_at or now),
            Text("\n".join(events_of(step))),
        )
    parts: list[RenderableType] = [Padding(steps, (0, 0, 0, 2)) if run.steps else Text("")]
    if run.waiting:
        parts.append(Padding(waiting(run), (1, 0, 0, 2)))
    parts += [Text(f"  stays: {kept}", style="dim") for kept in run.kept]
    return Group(headline(run, now), Text(""), *parts)


def headline(run: Run, now: datetime) -> Text:
    """Which run this is, how it stands and since when."""
    line = Text("  ").append(words(run.flow).capitalize(), style="bold").append("  ")
    line.append_text(state(run.state))
    if run.started_at:
        line.append(f"  {took(run.started_at, run.ended_at or now)}")
    return line.append(f"  {run.id}", style="dim")


def waiting(run: Run) -> Text:
    """Whom or what a run waits for, plainly."""
    wait = run.waiting
    if wait is None:
        return Text("")
    text = Text("Waiting ", style="yellow")
    text.append(f"for {wait.owner} " if wait.owner else "", style="bold yellow")
    text.append(f"since {at(wait.since)}")
    if wait.due_at:
        text.append(f", goes on at {at(wait.due_at)}")
    if wait.work_item_id:
        text.append(f", work item {wait.work_item_id}")
    return text


def work_item(item: WorkItem) -> RenderableType:
    """One work item: what is wrong, where, how much it blocks, who acts and how."""
    rows = Table(box=None, show_header=False, pad_edge=False)
    rows.add_column(style="dim")
    rows.add_column(overflow="fold")
    rows.add_row("What is wrong", Text(item.title, style="bold"))
    if item.detail:
        rows.add_row("", item.detail)
    rows.add_row("Where", place(item).replace("\n", ", "))
    rows.add_row("Amount blocked", money(item.amount))
    rows.add_row("Who acts", item.owner)
    rows.add_row("What to do", item.remedy or NOTHING)
    rows.add_row("Work item", f"{item.id}, open since {at(item.since)}")
    return Padding(rows, (0, 0, 0, 2))


def place(item: WorkItem) -> str:
    """Where the record is that an item is about."""
    record = item.record
    if record is None:
        return item.entity or NOTHING
    name = " ".join(part for part in (record.system, record.object) if part)
    return "\n".join(part for part in (name, record.external_id or record.id, record.url) if part)


def work_table(items: Sequence[WorkItem]) -> RenderableType:
    """Open work items, the longest waiting first."""
    if not items:
        return Text("Nothing waits for anybody.")
    rows = table("What is wrong, and what to do", "Where", "Amount blocked", "Owner, since")
    rows.show_lines = True
    rows.columns[0].ratio = 1
    rows.columns[2].justify = "right"
    rows.expand = True
    for item in items:
        told = Text("\n").join(wrong(item))
        rows.add_row(told, place(item), money(item.amount), f"{item.owner}\n{at(item.since)}")
    return rows


def wrong(item: WorkItem) -> Iterable[Text]:
    """What is wrong, in a line or two, what to do about it, and under which id."""
    yield Text(item.title, style="bold")
    if item.detail:
        yield Text(item.detail)
    if item.remedy:
        yield Text(f"To do: {item.remedy}", style="cyan")
    yield Text(item.id, style="dim")


class Change(NamedTuple):
    """One thing that is different now, and where: the system, the record and its id."""

    system: str
    record: str
    id: str | None
    what: str
    before: str | None
    after: str | None


def changes(rows: Sequence[Change], *, earlier: bool) -> RenderableType:
    """What changed where; of an earlier run only what is there now is known."""
    heads = ("Where", "Record", "What") + (("Now",) if earlier else ("Before", "After"))
    made = table(*heads)
    last = ("", "")
    for row in rows:
        here = (row.system, row.record)
        name = Text(row.record).append(f"\n{row.id}" if row.id else "", style="dim")
        named = (row.system if row.system != last[0] else "", name if here != last else "")
        values = (row.after,) if earlier else (row.before, row.after)
        made.add_row(*named, row.what, *(value or NOTHING for value in values))
        last = here
    return Padding(made, (0, 0, 0, 2))


class Existing(NamedTuple):
    """A record as it is in a system now."""

    system: str
    object: str
    id: str
    value: Money | None
    name: str


def everything(systems: Sequence[str], rows: Sequence[Existing]) -> RenderableType:
    """What exists in each system; one that has nothing says so."""
    made = table("Where", "What", "Id", "Amount", "Name")
    made.columns[2].no_wrap = True
    made.columns[3].justify, made.columns[3].no_wrap = "right", True
    for system in systems:
        mine = [row for row in rows if row.system == system]
        for n, row in enumerate(mine):
            where = "" if n else system
            made.add_row(where, row.object, row.id, money(row.value), row.name or NOTHING)
        if not mine:
            made.add_row(system, *[NOTHING] * 3, Text("nothing of this deal", style="dim"))
    return Padding(made, (0, 0, 0, 2))


def calls_line(calls: Mapping[str, int]) -> str:
    """How many calls each system had to answer."""
    return "vendor calls: " + ", ".join(f"{system} {count}" for system, count in calls.items())


def settled(step: RunStep) -> bool:
    """Whether a step's line will not change by itself any more."""
    return step.state in {"done", "parked", "waiting"}


def step_line(run: Run, step: RunStep) -> str:
    """A step as one line, for a log."""
    since = took(run.started_at, step.ended_at or step.started_at)
    told = "; ".join(events_of(step))
    name, owner = words(step.name), step.owner or NOTHING
    return f"  {since:>8}  {name:<20} {step.state:<8} {owner:<20} {told}".rstrip()


def trouble(error: ThroughlineError) -> str:
    """An error as a sentence and what to do about it."""
    detail = error.detail or error.code
    return f"{detail}: {error.remedy}" if error.remedy else detail
