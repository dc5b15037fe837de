"""`make run`: sandboxes, Throughline, one won deal and its journey, for somebody new to it."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import httpx
from rich.console import Console, RenderableType
from rich.text import Text

from apis.console.calls import DEMO, Calls, Place, calling, proof_of, run_path
from apis.console.existing import (
    READERS,
    calls_by_system,
    in_salesforce,
    in_throughline,
    keys_of,
)
from apis.console.journeys import follow, show_items
from apis.console.processes import NotReadyError, Part, PortHeldError, Processes
from apis.console.sandboxes import elsewhere, state_of, title_of, wanted
from apis.console.terminal import calls_line, console, everything, journey, money, trouble
from apis.console.terminal import changes as changes_table
from apis.console.winning import SYSTEM, TITLE, Org, SandboxError, Sold, changes
from apis.gateway.people import PEOPLE_FILE
from apis.gateway.policy import gateway_in
from apis.gateway.tokens import LIFETIME_S
from apis.runtime.clients import outgoing
from apis.runtime.clock import Clock
from apis.runtime.metadata import Metadata
from contracts.canonical.identity import Source
from contracts.errors import ThroughlineError
from contracts.runs import Run

LAST_PORT = 65_535
DONE, NOT_DONE, NO_PORT = 0, 1, 2
OURS = "Throughline"
FEED_S = 15.0
LOOK_S = 0.1
STAY_S = 0.5
FIRST = 1


class Asked(NamedTuple):
    """What the environment asks of the demo."""

    home: Path
    port: int
    sandbox_port: int
    entities: Path
    gateway: Path
    once: bool
    new: bool

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Asked:
        """`THROUGHLINE_HOME`, `_ENTITIES`, `_GATEWAY`, `PORT`, `SANDBOX_PORT`, `ONCE`, `DEAL`."""
        return cls(
            home=Path(env.get("THROUGHLINE_HOME") or "./var").resolve(),
            port=port_of(env, "PORT", 8080),
            sandbox_port=port_of(env, "SANDBOX_PORT", 9101),
            entities=Path(env.get("THROUGHLINE_ENTITIES") or "apis/entities.yaml"),
            gateway=Path(env.get("THROUGHLINE_GATEWAY") or "gateway.yaml"),
            once=env.get("ONCE", "") not in {"", "0"},
            new=env.get("DEAL") == "new",
        )


def port_of(env: Mapping[str, str], name: str, default: int) -> int:
    """A port of the environment; PortHeldError for what is none."""
    text = env.get(name) or str(default)
    if not text.isdigit() or not 0 < int(text) <= LAST_PORT:
        raise PortHeldError(f"{name}={text[:20]} is no port: choose one from 1 to {LAST_PORT}")
    return int(text)


class World(NamedTuple):
    """What the demo talks to: the seller's org, the gateway, the sandboxes by vendor."""

    org: Org
    calls: Calls
    sandboxes: Mapping[str, Part]
    systems: tuple[str, ...]
    http: httpx.AsyncClient


class NotDoneError(Exception):
    """The flow did not come to its end; the reason is a sentence."""


def run_demo(env: Mapping[str, str]) -> int:
    """Run the demo: 0 done, 1 not done and why, 2 a port is held by another program."""
    screen = console()
    try:
        asked = Asked.from_env(env)
        (asked.home / "run").mkdir(parents=True, exist_ok=True)
        return asyncio.run(until_stopped(asked, env, screen))
    except PortHeldError as held:
        say(str(held))
        return NO_PORT
    except (NotDoneError, NotReadyError, SandboxError) as reason:
        say(f"Not done: {reason}")
        return NOT_DONE
    except ThroughlineError as error:
        say(f"Not done: {trouble(error)}")
        return NOT_DONE


async def until_stopped(asked: Asked, env: Mapping[str, str], screen: Console) -> int:
    """The demo, until it is done or told to stop; what it started ends with it."""
    showing = asyncio.create_task(whole(asked, env, screen))
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(each, showing.cancel)
    try:
        return await showing
    except asyncio.CancelledError:
        screen.print("\nStopped before the flow was done.")
        return NOT_DONE


async def whole(asked: Asked, env: Mapping[str, str], screen: Console) -> int:
    """Processes, deal, journey, summary; then stay up."""
    metadata = Metadata.load(asked.entities)
    async with outgoing() as http:
        processes = Processes(asked.home, http)
        try:
            up, sandboxes = await all_parts(asked, env, metadata, processes, screen)
            proof = proof_of(gateway_in(asked.gateway), asked.home, DEMO)
            async with calling(Place(up.url()), proof) as calls:
                org = Org(sandboxes[SYSTEM].url(), asked.home, http)
                world = World(org, calls, sandboxes, tuple(metadata.connections), http)
                code = await told(asked, world, screen)
            if not asked.once:
                await stay(processes, screen)
        finally:
            processes.stop()
    return code


async def told(asked: Asked, world: World, screen: Console) -> int:
    """The story of the deal; where somebody must act first, all stays up so that they can."""
    try:
        await shown(asked, world, screen)
    except NotDoneError as reason:
        if asked.once:
            raise
        say(f"\n  Not done yet: {reason}")
        return NOT_DONE
    return DONE


async def all_parts(
    asked: Asked,
    env: Mapping[str, str],
    metadata: Metadata,
    processes: Processes,
    screen: Console,
) -> tuple[Part, dict[str, Part]]:
    """Throughline and the sandboxes, ready: this home's own if they run, else started here."""
    needed = wanted(metadata, env, asked.home, asked.sandbox_port)
    others = elsewhere(metadata, env, asked.home)
    if SYSTEM not in {each.vendor for each in needed}:
        where = others.get(SYSTEM, "nowhere")
        raise NotDoneError(f"the demo wins its deal in the {TITLE} sandbox, not at {where}")
    advice = "Choose a free one: PORT=<port>"
    up = Part("up", "Throughline", ("up",), asked.port, advice, "/readyz")
    parts = [*(each.part for each in needed), up]
    found = [await processes.running(part) for part in parts]
    told = dict(env) | {
        "THROUGHLINE_HOME": str(asked.home),
        "THROUGHLINE_ENV": "demo",
        "THROUGHLINE_FEED_EVERY": "1",
        "PORT": str(asked.port),
    }
    for each, running in zip(needed, found, strict=False):
        told |= each.told(running or each.part)
    for name, url in others.items():
        line(screen, title_of(name), f"{url}  is used as it is")
    starting = (
        ready(part, running, told, processes, screen)
        for part, running in zip(parts, found, strict=True)
    )
    with screen.status("Starting") if screen.is_terminal else nullcontext():
        *here, up = await asyncio.gather(*starting)
    return up, {each.vendor: part for each, part in zip(needed, here, strict=True)}


async def ready(
    part: Part,
    running: Part | None,
    env: Mapping[str, str],
    processes: Processes,
    screen: Console,
) -> Part:
    """One part, ready, and a line that says so."""
    if running is not None:
        line(screen, part.title, f"{running.url()}  is running already")
        return running
    seconds = await processes.start(part, env)
    line(screen, part.title, f"{part.url()}  ready in {seconds:.1f} s")
    return part


async def shown(asked: Asked, world: World, screen: Console) -> None:
    """Win the deal unless it is won, show its journey, what changed and what exists where."""
    org, calls = world.org, world.calls
    await org.sign_in()
    recipe = await org.example(await org.first_unused() if asked.new else FIRST)
    before = None
    sold = await org.sold(recipe)
    earlier = sold is not None and sold.won
    if sold is None or not sold.won:
        sold = before = await org.win(recipe)
    line(screen, "Already won" if earlier else "Deal won", deal_line(sold))
    run = await run_of(sold, calls, screen)
    screen.print()
    earlier = earlier and run.state == "done"
    if earlier:
        screen.print(journey(run, Clock().now()))
    else:
        run = await follow(calls, run, screen)
    if run.state != "done":
        await show_items(calls, run, screen)
        raise NotDoneError(reason(run))
    after = await org.sold(recipe) or sold
    title = "Already done: nothing was sent twice" if earlier else "What changed where"
    headed(screen, title, changes_table(changes(before, after), earlier=before is None))
    headed(screen, "What exists where", await exists(world, run, after))
    screen.print()
    screen.print(f"  {calls_line(calls_by_system(run, world.systems))}")
    await closing(run, sold, calls, screen)
    people(asked.home, screen)


async def exists(world: World, run: Run, sold: Sold) -> RenderableType:
    """What there is of the deal in every system, and in Throughline itself."""
    rows = in_salesforce(sold)
    for vendor, read in READERS.items():
        if vendor in world.sandboxes:
            state = await state_of(world.sandboxes[vendor], world.http)
            rows += read(state, keys_of(sold))
    titles = [title_of(vendor) for vendor in world.sandboxes]
    return everything([*titles, OURS], rows + in_throughline(run, sold))


def headed(screen: Console, title: str, shown: RenderableType) -> None:
    """A part of the summary."""
    screen.print()
    screen.print(f"  {title}", style="bold")
    screen.print(shown)


async def run_of(sold: Sold, calls: Calls, screen: Console) -> Run:
    """The run that the feed starts; started by us if the feed does not see the deal in time."""
    clock = Clock()
    until = clock.timestamp() + FEED_S
    while clock.timestamp() < until:
        if found := await calls.runs_of(sold.deal_id):
            return found[0]
        await clock.sleep(LOOK_S)
    line(screen, "Feed", f"has not seen the deal within {FEED_S:.0f} s; its run is started by hand")
    return await calls.start(Source(SYSTEM, sold.deal_id))


def reason(run: Run) -> str:
    """Why a run is not done, in a sentence."""
    if run.waiting and run.waiting.owner:
        item = run.waiting.work_item_id
        return f"the run waits for {run.waiting.owner}, who decides work item {item}"
    return f"the run {run.id} is {run.state}"


async def closing(run: Run, sold: Sold, calls: Calls, screen: Console) -> None:
    """How to look at it again, with a token that works now."""
    url = calls.base + run_path(run.id)
    command = f"curl -s {shlex.quote(url)} -H 'Authorization: Bearer {await calls.token()}'"
    screen.print()
    screen.print(f"  Ask the gateway yourself (the token holds for {LIFETIME_S // 60} minutes):")
    screen.print()
    screen.print(command, soft_wrap=True, markup=False)
    screen.print()
    screen.print(f"  The journey again: .venv/bin/throughline journey {sold.deal_id}", style="dim")


def people(home: Path, screen: Console) -> None:
    """Who can sign in with a password that was made for this home."""
    path = home / PEOPLE_FILE
    held = json.loads(path.read_bytes()) if path.exists() else {}
    for name, each in held.items():
        told = f"  Sign in as {name} with the password {each['password']}"
        screen.print(f"{told}: .venv/bin/throughline sign-in", soft_wrap=True, markup=False)


async def stay(processes: Processes, screen: Console) -> None:
    """Stay up until told to stop, or until a process ends by itself."""
    screen.print("  Everything stays up until Ctrl-C.", style="dim")
    clock = Clock()
    try:
        while (ended := processes.ended()) is None:
            await clock.sleep(STAY_S)
    except asyncio.CancelledError:
        screen.print("\n  Stopping.", style="dim")
        return
    raise NotDoneError(f"{ended} ended by itself")


def say(sentence: str) -> None:
    """Why the demo ends, where errors are told."""
    console(stderr=True).print(sentence, markup=False, soft_wrap=True)


def deal_line(sold: Sold) -> str:
    """What was sold, to whom, for how much."""
    return f"{sold.title}, {money(sold.value)}  ({sold.deal_id})"


def line(screen: Console, title: str, text: str) -> None:
    """One line of the story so far."""
    screen.print(Text.assemble((f"  {title:<20}", "bold"), text), soft_wrap=True)
