"""Several firms of one store side by side, each playing rows until none is left.

A firm has its own home, database and processes, so every kill has one row it belongs to. Within a
firm the next row begins as soon as a kill has hit: its deal goes on behind it.
"""

from __future__ import annotations

import time
from argparse import Namespace
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from tests.crash import matrix, scenarios
from tests.crash.facts import Facts, gathered
from tests.crash.harness import SLOW, STOP, Firm, Stuck, firm
from tests.crash.matrix import Row, Struck
from tests.crash.plants import PLANTS, self_test, violations
from tests.crash.report import Report, say

CLEAN = ("plain", "fed", "approved", "abandoned")
WARM_UP = 900
TRIES = (1000, 5000, 6000, 7000)
SCENES = 2000
QUIET_S = 30.0 * SLOW
BEHIND = 2
"""How many deals go on behind a row; more could lose four workers each, and would be isolated."""


@dataclass(frozen=True)
class Plan:
    """What the first firm has counted, for all firms: the trails, and what is to be played."""

    trails: matrix.Trails
    tasks: SimpleQueue[Row | str]

    def drawn(self) -> Iterator[Row | str]:
        """The next row or scenario, until none is left."""
        while not STOP.is_set():
            try:
                yield self.tasks.get_nowait()
            except Empty:
                return


def planned(deployed: Firm, report: Report, asked: Namespace) -> Plan:
    """Count the boundaries in clean runs, and test the oracle on them."""
    trails = {story: matrix.told(deployed, story, n) for n, story in enumerate(CLEAN, 1)}
    rows = matrix.rows_of(trails)
    report.counted(rows)
    report.tested(self_test(settled(deployed)), len(PLANTS))
    plan, some = Plan(trails, SimpleQueue()), asked.row or asked.scenario
    for name in asked.scenario if some else scenarios.SCENARIOS:
        plan.tasks.put(name)
    left_out = matrix.pruned(rows)
    for row in rows:
        if row.number in asked.row or not (some or row in left_out):
            plan.tasks.put(row)
    return plan


def settled(deployed: Firm) -> Facts:
    """The facts once feeds and relays have caught up, or as they are when they do not."""
    deployed.whole()
    end = time.monotonic() + QUIET_S
    while True:
        time.sleep(1.5)
        facts = gathered(deployed)
        if time.monotonic() > end or not violations(facts):
            return facts


@dataclass
class Lane:
    """One firm, and the rows whose deals it still has to see to their end."""

    firm: Firm
    report: Report
    plan: Plan
    owners: dict[str, str] = field(default_factory=dict)
    behind: deque[Struck] = field(default_factory=deque)

    def play(self, task: Row | str) -> None:
        """One row or scenario."""
        if isinstance(task, Row):
            self._row(task)
        else:
            self._scenario(task)

    def _row(self, row: Row) -> None:
        option, wrong, began = f"--row {row.number}", "", time.monotonic()
        for first in TRIES:
            deal = matrix.won(self.firm, row.story, first + row.number)
            self.owners[deal] = option
            struck = matrix.strike(self.firm, row, deal)
            if isinstance(struck, Struck):
                self.report.kills[row.victim] += 1
                self.behind.append(struck)
                break
            wrong = struck
            if not wrong.startswith(matrix.MISSED):
                self.report.row(str(row), option, wrong, time.monotonic() - began)
                break
            self.report.tried_again += 1  # a feed or a lost lease came first: not this boundary
        else:
            self.report.row(str(row), option, wrong, time.monotonic() - began)
        self.ended(BEHIND)

    def ended(self, but: int = 0) -> None:
        """See the deals that go on to their end, but for the last few."""
        while len(self.behind) > but:
            struck = self.behind.popleft()
            wrong = matrix.finish(self.firm, struck)
            seconds = time.monotonic() - struck.began
            self.report.row(str(struck.row), f"--row {struck.row.number}", wrong, seconds)

    def _scenario(self, name: str) -> None:
        self.ended()
        number, scenario = list(scenarios.SCENARIOS).index(name), scenarios.SCENARIOS[name]
        option, began = f"--scenario {name}", time.monotonic()
        scene = scenarios.Scene(self.firm, SCENES + number * 50, self.plan.trails)
        wrong = scene.play(scenario)
        self.owners |= dict.fromkeys(scene.deals, option)
        self.report.kills["in scenarios"] += scene.kills
        self.report.row(scenario.__doc__ or "", option, wrong, time.monotonic() - began)

    def judged(self) -> None:
        """What the oracle says of everything this firm has played."""
        self.ended()
        facts = settled(self.firm)
        self.report.judged(self.firm, facts, violations(facts), self.owners)
        self.firm.keep = bool(self.report.failures)
        if self.firm.keep:
            say(f"{self.report.store}: logs in {self.firm.home}")


def several(
    store: str, url: str | None, report: Report, plan: Future[Plan], ask: Namespace | None
) -> None:
    """One firm in split form: every part a process, three workers; the first counts for all."""
    try:
        with firm(store, url) as deployed:
            matrix.told(deployed, "plain", WARM_UP)  # the first one signs in and connects
            if ask:
                plan.set_result(planned(deployed, report, ask))
            played = Lane(deployed, report, plan.result())
            for task in played.plan.drawn():
                played.play(task)
            played.judged()
    except BaseException as error:  # the other firms wait for the plan
        if ask and not plan.done():
            plan.set_exception(error)
        raise


def alone(store: str, url: str | None, report: Report) -> None:
    """`throughline up`, killed as a whole and started again: one home, one process."""
    with firm(store, url, split=False) as deployed:
        played = Lane(deployed, report, Plan({}, SimpleQueue()))
        for number, row in enumerate(matrix.UP, 1):
            deal = matrix.won(deployed, row.story, number)
            played.owners[deal] = "--up"
            began, struck = time.monotonic(), matrix.strike(deployed, row, deal)
            wrong = matrix.finish(deployed, struck) if isinstance(struck, Struck) else struck
            report.kills["up"] += not wrong
            report.row(str(row), "--up", wrong, time.monotonic() - began)
        played.judged()


def play(store: str, urls: list[str | None], report: Report, asked: Namespace) -> None:
    """All firms of one store; the last of the databases is that of `throughline up`."""
    plan: Future[Plan] = Future()
    some = asked.row or asked.scenario
    with ThreadPoolExecutor(len(urls)) as threads:
        told = [] if some else [threads.submit(alone, store, urls[-1], report)]
        if not asked.up:
            told += [
                threads.submit(several, store, url, report, plan, None if n else asked)
                for n, url in enumerate(urls[:-1])
                if not (n and some)
            ]
        for each in told:
            try:
                each.result()
            except Stuck as error:
                report.row("a firm", "", str(error), 0)
    report.total(len(told))
