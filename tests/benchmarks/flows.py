"""deal_to_project through the gateway, beside a bare engine flow of as many steps and calls."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from apis.runtime.metadata import Metadata
from system_apis.salesforce.adapter import BY_ID
from system_apis.salesforce.maps import Maps
from system_apis.salesforce.soql import select
from tests.benchmarks.figures import Figure, p, p50, say
from tests.benchmarks.product import LATENCY_MS, Product, Sandbox, cpu_s, home, process, sandbox, up
from tests.servers import CannotStartError, drop_database, fresh_database, postgres

ROUNDS, DEALS, AT_ONCE, SINGLE = 4, 60, 20, 40
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
            f" (sandbox {self.vendor_ms:.1f})"
        )


def throughput(rounds: int = ROUNDS) -> list[Figure]:
    """Both stores where PostgreSQL can be had."""
    figures = compared("SQLite", None, rounds)
    try:
        with postgres(durable=True) as url:
            figures += compared("PostgreSQL", url, rounds)
    except CannotStartError as error:
        say(f"PostgreSQL: not run, {error}")
    return figures


def compared(store: str, server: str | None, rounds: int) -> list[Figure]:
    """Bursts of each in turn, in one run, against one sandbox."""
    seen: dict[str, list[Burst]] = {name: [] for name in ("ours", *TRANSPORTS)}
    with ExitStack() as stack:
        folder = stack.enter_context(home())
        vendor = stack.enter_context(sandbox(folder))
        product = stack.enter_context(up(folder, vendor, database(stack, server)))
        others = {
            name: stack.enter_context(bare(folder, vendor, name, database(stack, server)))
            for name in TRANSPORTS
        }
        for n in range(rounds + 1):  # the first warms up
            for name, bursts in seen.items():
                deals = vendor.win(DEALS if n else AT_ONCE)
                burst = ours(product, vendor, deals) if name == "ours" else theirs(
                    others[name], vendor, deals
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
        ratio = p50(
            [mine.rate / bare.rate for mine, bare in zip(seen["ours"], seen[name], strict=True)]
        )
        figures.append(
            Figure(
                f"flow throughput, {store}: share of bare on {name}",
                ratio,
                "",
                0.5,
                0.8,
                "high",
                told,
            )
        )
    figures.append(Figure(f"flow throughput, {store}", rate["ours"], "flows/s", best="high",
                          beside=f"{DEALS} deals, {AT_ONCE} at once"))  # fmt: skip
    figures.append(
        Figure(f"CPU a flow, {store}", cpu["ours"], "ms", beside="gateway, tiers, engine")
    )
    return figures


def ours(product: Product, vendor: Sandbox, deals: list[dict[str, str]]) -> Burst:
    """Start all through the gateway, 20 at once, and wait until every run has ended."""
    before = product.ended(), cpu_s(product.pid), cpu_s(vendor.pid)

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
    spent, vendors = cpu_s(product.pid) - before[1], cpu_s(vendor.pid) - before[2]
    return Burst(len(deals) / seconds, spent / len(deals) * 1e3, vendors / len(deals) * 1e3)


def theirs(other: subprocess.Popen[str], vendor: Sandbox, deals: list[dict[str, str]]) -> Burst:
    """The same deals' calls by the bare flow."""
    assert other.stdin
    assert other.stdout
    before = cpu_s(vendor.pid)
    other.stdin.write(json.dumps({"deals": deals}) + "\n")
    other.stdin.flush()
    told = json.loads(other.stdout.readline())
    vendors = cpu_s(vendor.pid) - before
    count = len(deals)
    return Burst(count / told["seconds"], told["cpu"] / count * 1e3, vendors / count * 1e3)


@contextmanager
def bare(
    folder: Path, vendor: Sandbox, transport: str, database: str | None
) -> Iterator[subprocess.Popen[str]]:
    """The bare flow's process, ready."""
    columns = Maps(Metadata.load(ENTITIES), "salesforce").file_columns
    log = folder / f"bare-{transport}.log"
    command = [
        "-m", "tests.benchmarks.bare",
        "--database", database or f"sqlite:///{folder}/bare-{transport}.sqlite",
        "--sandbox", vendor.url, "--token", vendor.token, "--transport", transport,
        "--query", select(columns, "Opportunity", BY_ID, "$ID"),
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
    """Deals one at a time: from the 202 to the end, less the vendor calls, which are one chain."""
    over, whole = [], []
    with home() as folder, sandbox(folder) as vendor, up(folder, vendor) as product:

        async def alone(deal: str) -> dict[str, Any]:
            async with product.client() as http:
                count = product.ended()
                run_id, accepted = await product.start(http, deal)
                ended = await product.until(count + 1)
                whole.append((ended - accepted) * 1e3)
                return await product.run(http, run_id)

        for each in vendor.win(samples + 2):
            run = asyncio.run(alone(each["deal"]))
            calls = [call["ms"] for step in run["steps"] for call in step["calls"]]
            over.append(whole[-1] - sum(calls))
    over, whole = over[2:], whole[2:]
    beside = f"202 to done {p50(whole):.0f} ms with calls of {LATENCY_MS} ms"
    return [
        Figure("latency over the vendor calls, p50", p50(over), "ms", 220, 140, beside=beside),
        Figure("latency over the vendor calls, p95", p(over, 0.95), "ms",
               beside=f"{samples} deals, one at a time"),
    ]  # fmt: skip
