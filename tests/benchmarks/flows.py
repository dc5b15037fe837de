"""deal_to_project in three systems, beside a bare engine flow of the same steps and calls."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from apis.runtime.metadata import Metadata
from tests.benchmarks.figures import Figure, p, p50, say
from tests.benchmarks.product import (
    LATENCY_MS,
    Product,
    Sandboxes,
    cpu_s,
    home,
    process,
    sandboxes,
    up,
)
from tests.benchmarks.recording import Recipe, recorded
from tests.servers import CannotStartError, drop_database, fresh_database, postgres

ROUNDS, DEALS, AT_ONCE, SINGLE = 4, 60, 20, 30
TRANSPORTS = ("httpx", "aiohttp")
ENTITIES = Path("apis/entities.yaml")


class Burst(NamedTuple):
    """Flows a second, and CPU milliseconds a flow, of one burst."""

    rate: float
    cpu_ms: float
    vendor_ms: float

    def __str__(self) -> str:
        return (
            f"{self.rate:5.1f} flows/s, {self.cpu_ms:5.1f} ms CPU a flow"
            f" (sandboxes {self.vendor_ms:.1f})"
        )


def throughput(rounds: int = ROUNDS) -> list[Figure]:
    """Both stores where PostgreSQL can be had."""
    with home() as folder, sandboxes(folder) as vendors:
        recipe = recorded(folder, vendors)
    calls = sum(len(each) for _, each in recipe.steps)
    say(f"  a clean run: {len(recipe.steps)} steps, {calls} vendor calls")
    figures = compared("SQLite", None, rounds)
    try:
        with postgres(durable=True) as url:
            figures += compared("PostgreSQL", url, rounds)
    except CannotStartError as error:
        say(f"PostgreSQL: not run, {error}")
    return figures


def compared(store: str, server: str | None, rounds: int) -> list[Figure]:
    """Bursts of each in turn, in one run, against the same sandboxes."""
    seen: dict[str, list[Burst]] = {name: [] for name in ("ours", *TRANSPORTS)}
    with ExitStack() as stack:
        folder = stack.enter_context(home())
        vendors = stack.enter_context(sandboxes(folder))
        recipe = recorded(folder, vendors)
        product = stack.enter_context(up(folder, vendors.urls, database(stack, server)))
        others = {
            name: stack.enter_context(bare(folder, vendors, name, recipe, database(stack, server)))
            for name in TRANSPORTS
        }
        for n in range(rounds + 1):  # the first warms up
            for name, bursts in seen.items():
                deals = vendors.win(DEALS if n else AT_ONCE)
                burst = ours(product, vendors, deals) if name == "ours" else theirs(
                    others[name], vendors, deals
                )  # fmt: skip
                say(f"  {store} {name:8} {burst}{'' if n else ', warming up'}")
                if n:
                    bursts.append(burst)
        return ratios(store, seen)


def ratios(store: str, seen: dict[str, list[Burst]]) -> list[Figure]:
    """Medians, as rates and as shares of the bare flow's."""
    rate = {name: p50([each.rate for each in bursts]) for name, bursts in seen.items()}
    cpu = {name: p50([each.cpu_ms for each in bursts]) for name, bursts in seen.items()}
    figures = []
    for name in TRANSPORTS:
        told = f"{rate[name]:.1f} flows/s, {cpu[name]:.1f} ms CPU a flow (bare, {name})"
        pairs = zip(seen["ours"], seen[name], strict=True)
        ratio = p50([mine.rate / other.rate for mine, other in pairs])
        named = f"deals, {store}: share of bare on {name}"
        figures.append(Figure(named, ratio, "", 0.5, 0.8, "high", told))
    told = f"{DEALS} deals, {AT_ONCE} at once, calls of {LATENCY_MS} ms"
    figures.append(Figure(f"deals, {store}", rate["ours"], "deals/s", 6, None, "high", told))
    told = "gateway, tiers, engine"
    figures.append(Figure(f"CPU a deal, {store}", cpu["ours"], "ms", beside=told))
    return figures


def ours(product: Product, vendors: Sandboxes, deals: list[dict[str, str]]) -> Burst:
    """Start all through the gateway, 20 at once, and wait until every run has ended."""
    before = product.ended(), cpu_s(product.pid), vendors.cpu_s()

    async def burst() -> float:
        slots = asyncio.Semaphore(AT_ONCE)
        async with product.client() as http:

            async def one(deal: str) -> str:
                async with slots:
                    return (await product.start(http, deal))[0]

            began = time.perf_counter()
            starting = asyncio.gather(*(one(each["deal"]) for each in deals))
            ended = await product.until(before[0] + len(deals))
            await product.run(http, (await starting)[-1])
            return ended - began

    seconds = asyncio.run(burst())
    spent, answered = cpu_s(product.pid) - before[1], vendors.cpu_s() - before[2]
    return Burst(len(deals) / seconds, spent / len(deals) * 1e3, answered / len(deals) * 1e3)


def theirs(other: subprocess.Popen[str], vendors: Sandboxes, deals: list[dict[str, str]]) -> Burst:
    """The same deals' calls by the bare flow."""
    assert other.stdin
    assert other.stdout
    before = vendors.cpu_s()
    other.stdin.write(json.dumps({"deals": deals}) + "\n")
    other.stdin.flush()
    told = json.loads(other.stdout.readline())
    answered, count = vendors.cpu_s() - before, len(deals)
    return Burst(count / told["seconds"], told["cpu"] / count * 1e3, answered / count * 1e3)


@contextmanager
def bare(
    folder: Path, vendors: Sandboxes, transport: str, recipe: Recipe, database: str | None
) -> Iterator[subprocess.Popen[str]]:
    """The bare flow's process, ready; as many calls at once to a system as the product makes."""
    connections = Metadata.load(ENTITIES).connections
    systems = {
        name: (url, connections[name].budgets.concurrency) for name, url in vendors.urls.items()
    }
    log, file = folder / f"bare-{transport}.log", folder / "recipe.json"
    file.write_bytes(msgspec.json.encode(recipe))
    command = [
        "-m", "tests.benchmarks.bare",
        "--database", database or f"sqlite:///{folder}/bare-{transport}.sqlite",
        "--recipe", str(file), "--systems", json.dumps(systems), "--transport", transport,
    ]  # fmt: skip
    with process(command, {}, log) as started:
        assert started.stdout
        if started.stdout.readline() != "ready\n":
            raise RuntimeError(f"the bare flow did not start:\n{log.read_text()[-2000:]}")
        yield started


def database(stack: ExitStack, server: str | None) -> str | None:
    """A new database on the server until the end of the stack, or None for a SQLite file."""
    if server is None:
        return None
    made = fresh_database(server)
    stack.callback(drop_database, server, made)
    return made


def latency(samples: int = SINGLE) -> list[Figure]:
    """Deals one at a time: from the 202 to the end, less the longest chain of vendor calls."""
    over, whole = [], []
    with home() as folder, sandboxes(folder) as vendors, up(folder, vendors.urls) as product:
        for each in vendors.win(samples + 2):
            run = asyncio.run(product.alone(each["deal"]))
            whole.append(run["took_ms"])
            over.append(run["took_ms"] - chain_ms(run))
    over, whole = over[2:], whole[2:]
    beside = f"202 to done {p50(whole):.0f} ms with calls of {LATENCY_MS} ms"
    return [
        Figure("latency over the vendor calls, p50", p50(over), "ms", 220, 140, beside=beside),
        Figure("latency over the vendor calls, p95", p(over, 0.95), "ms",
               beside=f"{samples} deals, one at a time"),
    ]  # fmt: skip


def chain_ms(run: dict[str, Any]) -> float:
    """How long at least one vendor call was under way: what runs side by side counts once."""
    calls = [call for step in run["steps"] for call in step["calls"]]
    begun = [(datetime.fromisoformat(call["at"]), call["ms"]) for call in calls]
    total, until = timedelta(), min(at for at, _ in begun)
    for at, ms in sorted(begun):
        ends = at + timedelta(milliseconds=ms)
        total += max(ends - max(at, until), timedelta())
        until = max(until, ends)
    return total / timedelta(milliseconds=1)
