"""`throughline backfill`: asked of the gateway, followed until nothing is left to start."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.text import Text

from apis.console.calls import Calls
from apis.console.journeys import asked
from apis.console.terminal import NOTHING, console, money, state, table
from apis.runtime.clock import Clock
from apis.runtime.settings import Settings
from contracts.runs import Backfill, BackfillCounts

LOOK_S = 0.5
ENDED = frozenset({"planned", "done", "cancelled"})


def run_backfill(
    settings: Settings, client: str | None, wanted: Mapping[str, str], *, dry_run: bool
) -> int:
    """Start what was won since a day, or show what would be started; answers the exit code."""

    async def show(calls: Calls) -> None:
        screen = console()
        if dry_run:
            screen.print(report(await foreseen(calls, wanted)))
            return
        begun = await calls.backfill(wanted, dry_run=False)
        ended = await follow(calls, begun, screen)
        screen.print(report(await whole(calls, ended)))

    return asyncio.run(asked(settings, client, show))


async def foreseen(calls: Calls, wanted: Mapping[str, str]) -> Backfill:
    """All pages of what would be started."""
    plan = await calls.backfill(wanted, dry_run=True)
    while plan.next:
        page = await calls.backfill(wanted, dry_run=True, cursor=plan.next)
        plan = msgspec.structs.replace(plan, items=(*plan.items, *page.items), next=page.next)
    return plan


async def whole(calls: Calls, one: Backfill) -> Backfill:
    """A backfill with all pages of its deals."""
    while one.next:
        page = await calls.backfill_of(one.id or "", one.next)
        one = msgspec.structs.replace(one, items=(*one.items, *page.items), next=page.next)
    return one


async def follow(calls: Calls, one: Backfill, screen: Console) -> Backfill:
    """Show how far it is until it has ended; a file or a pipe gets a line for each change."""
    clock, last = Clock(), ""
    live = Live(console=screen, refresh_per_second=4) if screen.is_terminal else None
    if live:
        live.start()
    try:
        while True:
            line = progress(one)
            if live:
                live.update(line)
            elif line.plain != last:
                screen.print(line, soft_wrap=True)
            last = line.plain
            if one.state in ENDED:
                return one
            await clock.sleep(LOOK_S)
            one = await calls.backfill_of(one.id or "")
    finally:
        if live:
            live.stop()


def progress(one: Backfill) -> Text:
    """How far it is, in a line."""
    line = Text("  Backfill  ", style="bold").append(one.state, style="cyan")
    line.append(f"  {tally(one.counts or BackfillCounts())}  ")
    if one.detail:
        line.append(f"held up: {one.detail}  ", style="yellow")
    return line.append(one.id or "", style="dim")


def tally(counts: BackfillCounts) -> str:
    """How many deals became what; what there is none of is not named."""
    told = msgspec.structs.asdict(counts)
    some = [f"{count} {name.replace('_', ' ')}" for name, count in told.items() if count]
    return ", ".join(some) or "0 found"


def report(one: Backfill) -> RenderableType:
    """What became of each deal, or would."""
    of = f" of {one.entity}" if one.entity else ""
    title = Text(f"  Deals{of} won since {one.won_since} in {one.connection}", style="bold")
    if not one.items:
        return Group(title, Text("  None was found."))
    rows = table("Deal", "Won on", "Amount", "Outcome", "Run, or why not")
    rows.columns[2].justify = "right"
    for each in one.items:
        name = Text(each.name or NOTHING).append(f"\n{each.deal.external_id}", style="dim")
        outcome = "to start" if each.outcome == "found" else each.outcome
        rows.add_row(
            name,
            str(each.closed_on or NOTHING),
            money(each.value),
            state(outcome),
            "\n".join(filter(None, (each.run_id, each.reason))) or NOTHING,
        )
    counts = one.counts or counted(one)
    return Group(title, Text(""), Padding(rows, (0, 0, 1, 2)), Text(f"  {tally(counts)}"))


def counted(plan: Backfill) -> BackfillCounts:
    """How many deals of a plan would become what."""
    told = [each.outcome for each in plan.items]
    return BackfillCounts(
        found=len(told),
        to_start=told.count("found"),
        already=told.count("already"),
        refused=told.count("refused"),
    )
