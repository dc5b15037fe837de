"""`python -m tests.crash`: kill -9 at every boundary of the flow, on SQLite and PostgreSQL.

    python -m tests.crash --store sqlite --row 17 --row 18
    python -m tests.crash --store postgresql --scenario zombie

Exit code 0 only when every kill hit and the oracle found nothing.
"""

from __future__ import annotations

import argparse
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from tests.crash import lane, scenarios
from tests.crash.launcher import bound_to_parent
from tests.crash.report import Report, say
from tests.crash.waiting import Stuck
from tests.servers import ROOT, CannotStartError, fresh_database, postgres

STORES = ("sqlite", "postgresql")
FIRMS = 2
"""So many play on one store at once: each mostly waits for leases to lapse."""


def one_store(store: str, fresh: Callable[[], str | None], asked: argparse.Namespace) -> bool:
    """Everything on one store, by several firms at once; True when all of it holds."""
    some, plan, total = bool(asked.row or asked.scenario), lane.Plan(asked), Report(store)
    with ThreadPoolExecutor(FIRMS) as firms:
        playing = [] if asked.up else [
            firms.submit(lane.split, store, fresh(), plan) for _ in range(1 if some else FIRMS)
        ]  # fmt: skip
        if asked.up or not some:
            playing.append(firms.submit(lane.alone, store, fresh()))
        try:
            for each in as_completed(playing):
                try:
                    total.add(each.result())
                except Stuck as error:
                    total.row("a firm", "", str(error), 0)
        finally:
            plan.stop()
    total.total()
    return not total.failures


def both() -> int:
    """Both stores at once: they mostly wait for leases to lapse."""
    command = [sys.executable, "-m", "tests.crash"]
    began = time.monotonic()
    running = [
        subprocess.Popen([*command, "--bound", "--store", store], cwd=ROOT) for store in STORES
    ]
    try:
        codes = [process.wait() for process in running]
    finally:
        for process in running:
            process.terminate()
            process.wait()
    verdict = "FAILED" if any(codes) else "passed"
    spent = f"{time.monotonic() - began:.0f} s, {processors_s():.0f} s of processors"
    say(f"crash matrix: {verdict} in {spent}")
    return max(codes)


def processors_s() -> float:
    """What everything that has ended has cost, PostgreSQL included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--store", choices=STORES)
    parser.add_argument("--row", type=int, action="append", default=[])
    names = list(scenarios.SCENARIOS)
    parser.add_argument("--scenario", choices=names, action="append", default=[])
    parser.add_argument("--up", action="store_true", help="only `throughline up`, killed whole")
    parser.add_argument("--bound", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if asked.bound:
        bound_to_parent(signal.SIGTERM)
    if asked.store is None:
        return both()
    if asked.store == "sqlite":
        return not one_store("sqlite", lambda: None, asked)
    try:
        with postgres() as url:
            return not one_store("postgresql", lambda: fresh_database(url), asked)
    except CannotStartError as error:
        say(str(error))
        return 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
