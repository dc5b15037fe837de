"""`python -m tests.crash`: kill -9 at every boundary of the flow, on SQLite and PostgreSQL.

    python -m tests.crash --store sqlite --row 17 --row 18
    python -m tests.crash --store postgresql --scenario zombie

Exit code 0 only when every kill hit and the oracle found nothing.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from tests.crash import lanes, scenarios
from tests.crash.harness import STOP
from tests.crash.launcher import bound_to_parent
from tests.crash.report import Report, say
from tests.servers import ROOT, CannotStartError, fresh_database, postgres

STORES = ("sqlite", "postgresql")
FIRMS = 2


def one_store(store: str, fresh: Callable[[], str | None], asked: argparse.Namespace) -> bool:
    """Everything on one store; True when all of it holds."""
    report = Report(store)
    lanes.play(store, [fresh() for _ in range(asked.firms + 1)], report, asked)
    return not report.failures


def both(firms: int) -> int:
    """Both stores at once: they mostly wait for leases to lapse."""
    command = [sys.executable, "-m", "tests.crash", "--firms", str(firms)]
    began = time.monotonic()
    running = [
        subprocess.Popen([*command, "--bound", "--store", store], cwd=ROOT) for store in STORES
    ]
    try:
        codes = [ended(process) for process in running]
    finally:
        for process in running:
            process.terminate()
            process.wait()
    verdict = "FAILED" if any(codes) else "passed"
    say(f"crash matrix: {verdict} in {time.monotonic() - began:.0f} s")
    return max(codes)


def ended(process: subprocess.Popen[bytes]) -> int:
    """How a store ended; a signal to us ends it."""
    while process.poll() is None and not STOP.wait(0.2):
        pass
    if STOP.is_set():
        process.terminate()
    return process.wait()


def main(arguments: Sequence[str]) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    parser.add_argument("--store", choices=STORES)
    parser.add_argument("--row", type=int, action="append", default=[])
    names = list(scenarios.SCENARIOS)
    parser.add_argument("--scenario", choices=names, action="append", default=[])
    parser.add_argument("--up", action="store_true", help="only `throughline up`, killed whole")
    parser.add_argument("--firms", type=int, default=FIRMS, help="that play rows side by side")
    parser.add_argument("--bound", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: STOP.set())
    if asked.bound:
        bound_to_parent(signal.SIGTERM)
    if asked.store is None:
        return both(asked.firms)
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
