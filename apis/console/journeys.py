"""`throughline journey` and `throughline work`: asked of the gateway, shown in the terminal."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from rich.console import Console
from rich.live import Live

from apis.console.calls import Calls, Place, calling, proof_of
from apis.console.processes import known_port
from apis.console.terminal import (
    console,
    headline,
    journey,
    settled,
    step_line,
    trouble,
    waiting,
    work_item,
    work_table,
)
from apis.gateway.listeners import is_loopback
from apis.gateway.policy import gateway_in
from apis.runtime.clock import Clock
from apis.runtime.settings import Settings
from contracts.errors import ThroughlineError
from contracts.runs import Run

ENDED = frozenset({"done", "abandoned", "failed"})
LOOK_S = 0.15
PATIENCE_S = 120.0
LOOPBACK = "127.0.0.1"
EVERYWHERE = {"0.0.0.0": LOOPBACK, "::": "[::1]"}  # noqa: S104 - where it is asked, if it listens there


def show_journey(settings: Settings, client: str | None, name: str) -> int:
    """Print where the run of that id, or of that deal, is; answers the exit code."""

    async def show(calls: Calls) -> None:
        run, screen, now = await calls.find(name), console(), Clock().now()
        screen.print(journey(run, now))
        await show_items(calls, run, screen)
        others = await calls.runs_of(run.deal.external_id) if run.deal else ()
        for each in (each for each in others if each.id != run.id):
            screen.print(headline(each, now))
            screen.print(*([waiting(each)] if each.waiting else ()))

    return asyncio.run(asked(settings, client, show))


def show_work(settings: Settings, client: str | None, owner: str | None) -> int:
    """Print what waits for people; answers the exit code."""

    async def show(calls: Calls) -> None:
        console().print(work_table(await calls.work_items(owner=owner)))

    return asyncio.run(asked(settings, client, show))


async def asked(
    settings: Settings, client: str | None, show: Callable[[Calls], Awaitable[None]]
) -> int:
    """Ask the gateway of this machine; what it refuses is told in a sentence."""
    try:
        proof = proof_of(gateway_in(settings.gateway), settings.home, client)
        async with calling(place_of(settings), proof) as calls:
            await show(calls)
    except ThroughlineError as error:
        console(stderr=True).print(trouble(error), markup=False, soft_wrap=True)
        return 1
    return 0


def place_of(settings: Settings) -> Place:
    """The port its process told or PORT, at the address on which processes listen."""
    listens = os.environ.get("THROUGHLINE_HOST") or LOOPBACK
    address = EVERYWHERE.get(listens, f"[{listens}]" if ":" in listens else listens)
    port = known_port(settings.home, "up", known_port(settings.home, "gateway", settings.port))
    own = None if is_loopback(address) else urlsplit(settings.issuer).netloc
    return Place(f"http://{address}:{port}", own)


async def show_items(calls: Calls, run: Run, screen: Console) -> None:
    """The open work items of a run, in full."""
    if run.state != "waiting":
        return
    for item in await calls.work_items(run_id=run.id):
        screen.print()
        screen.print(work_item(item))


async def follow(calls: Calls, run: Run, screen: Console) -> Run:
    """Show a run until it ends, waits for a person, or takes longer than anybody watches."""
    if not screen.is_terminal:
        return await follow_in_lines(calls, run, screen)
    clock = Clock()
    with Live(console=screen, refresh_per_second=12, transient=False) as live:
        until = clock.timestamp() + PATIENCE_S
        while True:
            live.update(journey(run, clock.now()))
            if rests(run) or clock.timestamp() > until:
                return run
            await clock.sleep(LOOK_S)
            run = await calls.run(run.id)


async def follow_in_lines(calls: Calls, run: Run, screen: Console) -> Run:
    """The same for a file or a pipe: a line when something is settled."""
    clock, told = Clock(), set()
    until = clock.timestamp() + PATIENCE_S
    while True:
        for at, step in enumerate(run.steps):
            mark = (at, step.state, step.attempts)
            if settled(step) and mark not in told:
                told.add(mark)
                screen.print(step_line(run, step), soft_wrap=True)
        if rests(run) or clock.timestamp() > until:
            screen.print(headline(run, clock.now()), soft_wrap=True)
            if run.waiting:
                screen.print("  ", waiting(run), sep="", soft_wrap=True)
            return run
        await clock.sleep(LOOK_S)
        run = await calls.run(run.id)


def rests(run: Run) -> bool:
    """Whether nothing will happen until a person acts."""
    return run.state in ENDED or (run.waiting is not None and run.waiting.work_item_id is not None)
