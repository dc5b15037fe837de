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

from tests.crash import matrix, scenarios
from tests.crash.harness import Firm, firm
from tests.crash.launcher import bound_to_parent
from tests.crash.oracle import Facts, gathered, violations
from tests.crash.plants import PLANTS, self_test
from tests.crash.report import Report, say
from tests.servers import ROOT, CannotStartError, fresh_database, postgres

STORES = ("sqlite", "postgresql")
CLEAN = ("plain", "fed", "approved", "abandoned")
FIRST = 1000
TRIES = (1000, 5000, 6000, 7000)
QUIET_S = 20.0


def settled(deployed: Firm, expected: dict[str, str]) -> Facts:
    """The facts once feeds and relays have caught up, or as they are when they do not."""
    deployed.whole()
    end = time.monotonic() + QUIET_S
    while True:
        time.sleep(1.5)
        facts = gathered(deployed, expected)
        if time.monotonic() > end or not violations(facts):
            return facts


def prove(deployed: Firm, report: Report, asked: argparse.Namespace) -> None:
    """Count, plant, kill, and let the oracle judge."""
    matrix.told(deployed, "plain", FIRST)  # the first one signs in and connects
    trails = {story: matrix.told(deployed, story, n) for n, story in enumerate(CLEAN, 1)}
    expected = deployed.expected
    rows = matrix.rows_of(trails)
    report.counted(rows)
    report.tested(self_test(settled(deployed, expected)), len(PLANTS))
    owners: dict[str, str] = {}
    for row in rows:
        option = f"--row {row.number}"
        if (asked.row or asked.scenario or asked.up) and row.number not in asked.row:
            continue
        began = time.monotonic()
        for first in TRIES:
            deal = deployed.deal(first + row.number, **matrix.OPTIONS.get(row.story, {}))
            expected[deal], owners[deal] = matrix.ENDS.get(row.story, "done"), option
            wrong = matrix.play(deployed, row, deal)
            if not wrong.startswith(matrix.MISSED):
                break
            report.tried_again += 1  # a feed or a lost lease came first: not this row's boundary
        report.kills += not wrong
        report.row(str(row), option, wrong, time.monotonic() - began)
    for number, (name, scenario) in enumerate(scenarios.SCENARIOS.items()):
        if (asked.row or asked.scenario or asked.up) and name not in asked.scenario:
            continue
        began = time.monotonic()
        scene = scenarios.Scene(deployed, FIRST * 2 + number * 50, trails)
        wrong = scene.play(scenario)
        expected |= scene.expected
        owners |= dict.fromkeys(scene.expected, f"--scenario {name}")
        report.kills += scene.kills
        option = f"--scenario {name}"
        report.row(scenario.__doc__ or "", option, wrong, time.monotonic() - began)
    facts = settled(deployed, expected)
    report.verdict(facts, violations(facts), owners)


def alone(store: str, database_url: str | None, report: Report) -> None:
    """`throughline up`, killed as a whole and started again: one home, one process."""
    with firm(store, database_url, split=False) as deployed:
        expected, owners = {}, {}
        for number, row in enumerate(matrix.UP, 1):
            began, deal = time.monotonic(), deployed.deal(number)
            expected[deal], owners[deal] = "done", "--up"
            wrong = matrix.play(deployed, row, deal)
            report.kills += not wrong
            report.row(str(row), "--up", wrong, time.monotonic() - began)
        facts = settled(deployed, expected)
        report.verdict(facts, violations(facts), owners)
        deployed.keep = bool(report.failures)
        report.logs(deployed.home)


def one_store(store: str, fresh: Callable[[], str | None], asked: argparse.Namespace) -> bool:
    """Everything on one store; True when all of it holds."""
    report = Report(store)
    if not asked.up:
        with firm(store, fresh()) as deployed:
            prove(deployed, report, asked)
            deployed.keep = bool(report.failures)
            report.logs(deployed.home)
    if asked.up or not (asked.row or asked.scenario):
        alone(store, fresh(), report)
    return not report.failures


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
    say(f"crash matrix: {verdict} in {time.monotonic() - began:.0f} s")
    return max(codes)


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
