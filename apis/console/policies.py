"""`throughline explain`, `throughline gateway plan`: what the policy did and would have done."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import msgspec
from rich.markup import escape

from apis.console.access import stored
from apis.console.auditing import present
from apis.console.calls import Calls
from apis.console.journeys import asked
from apis.console.terminal import at, console, table
from apis.gateway.compiled import Policy, compile_policy
from apis.gateway.decisions import recorded
from apis.gateway.documents import foreign_documents, load_documents
from apis.gateway.explaining import Explanation, Reason
from apis.gateway.policy import PolicyError, gateway_in
from apis.gateway.registered import Snapshot, joined, snapshot
from apis.gateway.replaying import Impact, Replay
from apis.runtime.serving import DOCUMENTS
from apis.runtime.settings import Settings
from apis.runtime.store import Store

PAGE = 5_000
PLAN_WIDTH = 240
"""A file or pipe has room for whole names; a table is never wider than what it holds."""
SHOWN_AS = {"allowed": "green", "refused": "red", "observed": "yellow"}


def show_explanation(settings: Settings, client: str | None, request_id: str) -> int:
    """Print what was decided for the requests of this id; answers the exit code."""

    async def show(calls: Calls) -> None:
        for each in (await calls.explained(request_id)).items:
            console().print("\n".join(told(each)), markup=True, soft_wrap=True)

    return asyncio.run(asked(settings, client, show))


def told(each: Explanation) -> list[str]:
    """A request in lines: what was called, then each decision."""
    called = " ".join(filter(None, (each.api, each.version, each.operation))) or "nothing served"
    ended = f"{each.status} {each.code or ''}".strip()
    first = f"{each.request_id}: {each.client or 'nobody known'} called {called}: {ended}"
    lines = [first, f"  at {each.at:%Y-%m-%d %H:%M:%S} UTC" + _left(each.limits)]
    for reason in each.reasons:
        lines += _reason(reason)
    return [*lines, ""]


def _left(limits: str | None) -> str:
    return f", limits {limits}" if limits else ""


def _reason(reason: Reason) -> list[str]:
    style = SHOWN_AS.get(reason.outcome, "")
    lines = [f"  [{style}]{reason.outcome}[/] {reason.policy}: {escape(reason.says)}"]
    if reason.place:
        lines.append(f"    {reason.place}")
    if reason.change:
        lines.append(f"    to change it: {reason.change}")
    return lines


def show_plan(settings: Settings, file: Path, *, as_json: bool) -> int:
    """Print whom another policy would have affected; answers the exit code."""
    now = asyncio.run(present()).timestamp()
    try:
        policies = compiled(settings.gateway), compiled(file)
        registered = stored(settings, snapshot)
        before, after = (with_registered(each, registered, now) for each in policies)
    except PolicyError as error:
        sys.stderr.write("\n".join(error.mistakes) + "\n")
        return 1
    store = Store(settings.database_url)
    try:
        found = replayed(store, Replay(before, after, now))
    finally:
        store.close()
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    else:
        show_impact(found)
    return 0


def compiled(file: Path) -> Policy:
    """A policy file with all that can be decided; PolicyError names what is wrong with it."""
    gateway = gateway_in(file)
    named = foreign_documents(gateway, file.parent)
    return compile_policy(gateway, load_documents(DOCUMENTS) | named)


def with_registered(policy: Policy, known: Snapshot, now: float) -> Policy:
    """A policy with the registered clients that act under it, as a gateway serves it."""
    return msgspec.structs.replace(policy, gateway=joined(policy.gateway, known, now))


def replayed(store: Store, replay: Replay) -> Impact:
    """Ask every recorded call again, in pages."""
    mark = 0.0, 0
    while True:
        rows, mark = store.read_now(recorded, mark, PAGE)
        replay.ask(rows)
        if len(rows) < PAGE:
            return replay.impact()


def show_impact(found: Impact) -> None:
    """Print the table, and what was looked at."""
    screen = console(plain_width=PLAN_WIDTH)
    if found.affected:
        shown = table(
            "Client", "Operation", "Version", "Calls", "Would be refused", "Why", "First", "Last"
        )
        for row in found.affected:
            version = "/".join(filter(None, (row.api, row.version)))
            counts = str(row.calls), str(row.would_be_refused)
            seen = at(row.first), at(row.last)
            shown.add_row(row.client, row.operation, version, *counts, row.why, *seen)
        screen.print(shown)
    span = f", {at(found.since)} to {at(found.until)}" if found.since else ""
    clients = len({row.client for row in found.affected})
    screen.print(
        f"{found.calls} recorded calls of {found.clients} clients{span}: "
        f"{clients} would have been affected"
    )
