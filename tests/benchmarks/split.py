"""Where the CPU of a deal goes: engine, vendor HTTP, mapping, ours, sandboxes.

py-spy (`make bench` puts it beside the tools, never with the product) looks at the product from
outside: whose code holds the interpreter. The shares are of the CPU the product takes unwatched.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.figures import Figure, p50, say
from tests.benchmarks.flows import AT_ONCE, DEALS, database, ours
from tests.benchmarks.product import Product, Sandboxes, home, sandboxes, up
from tests.servers import CannotStartError, postgres

PY_SPY = shutil.which("py-spy") or ".venv/py-spy/bin/py-spy"
A_SECOND = 150
ATTACHED_S = 2.0
ENDED_S = 30.0
PARTS = {  # by the innermost file that is of one of them; what libraries do is their caller's
    "engine": ("dbos/", "apis/runtime/engine.py"),
    "mapping": (
        "<map of",
        "apis/runtime/mapping.py",
        "apis/runtime/places.py",
        "/maps.py",
        "/mapping.py",
    ),
    "vendor HTTP": (
        "httpx",
        "httpcore/",
        "aiohttp/",
        "yarl/",
        "apis/runtime/vendor.py",
        "apis/runtime/wire.py",
        "apis/runtime/sign_in.py",
        "apis/runtime/budget.py",
    ),
    "ours": (
        "apis/",
        "process_apis/",
        "system_apis/",
        "experience_apis/",
        "contracts/",
        "litestar/",
        "uvicorn/",
    ),
}
LOOP = "event loop"
STARTED_BY = "apis/cli.py"


def split() -> list[Figure]:
    """Both stores where PostgreSQL can be had."""
    if not Path(PY_SPY).exists():
        say(f"  not run: there is no {PY_SPY}")
        return []
    figures = divided("SQLite", None)
    try:
        with postgres(durable=True) as url:
            figures += divided("PostgreSQL", url)
    except CannotStartError as error:
        say(f"PostgreSQL: not run, {error}")
    return figures


def divided(store: str, server: str | None) -> list[Figure]:
    """One burst to warm up, two to measure, one that is looked at."""
    with ExitStack() as stack:
        folder = stack.enter_context(home())
        vendors = stack.enter_context(sandboxes(folder))
        product = stack.enter_context(up(folder, vendors.urls, database(stack, server)))
        ours(product, vendors, vendors.win(AT_ONCE))
        bursts = [ours(product, vendors, vendors.win(DEALS)) for _ in range(2)]
        shares = shared(looked_at(product, vendors, folder / "stacks.txt"))
    cpu, vendor = p50([each.cpu_ms for each in bursts]), p50([each.vendor_ms for each in bursts])
    told = f"of {cpu:.0f} ms"
    parts = [
        Figure(f"CPU a deal, {store}: {part}", shares[part] * cpu, "ms", beside=told)
        for part in (*PARTS, LOOP)
    ]
    return [*parts, Figure(f"CPU a deal, {store}: sandboxes", vendor, "ms", beside="on top")]


def looked_at(product: Product, vendors: Sandboxes, file: Path) -> list[str]:
    """The stacks of the threads that held the interpreter during a burst, with their counts."""
    deals = vendors.win(DEALS)
    looking = subprocess.Popen(
        [PY_SPY, "record", "--pid", str(product.pid), "--rate", str(A_SECOND), "--gil",
         "--format", "raw", "--output", str(file)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(ATTACHED_S)
    ours(product, vendors, deals)
    looking.send_signal(signal.SIGINT)
    looking.wait(ENDED_S)
    return file.read_text().splitlines()


def shared(stacks: list[str]) -> dict[str, float]:
    """The share of each part in all samples."""
    counted: Counter[str] = Counter()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        counted[part_of(stack)] += int(count)
    total = max(1, counted.total())
    return {part: counted[part] / total for part in (*PARTS, LOOP)}


def part_of(stack: str) -> str:
    """Whose work a stack is, seen from its innermost frame."""
    for frame in reversed(stack.split(";")):
        for part, files in PARTS.items():
            if any(file in frame for file in files) and STARTED_BY not in frame:
                return part
    return LOOP
