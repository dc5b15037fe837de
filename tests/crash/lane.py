"""Firms that play rows, each one after another; a deal that was hit goes on behind the next row."""

from __future__ import annotations

import threading
import time
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from tests.crash import matrix, scenarios
from tests.crash.facts import Facts, gathered
from tests.crash.harness import Firm, firm
from tests.crash.matrix import Row, Struck
from tests.crash.plants import PLANTS, self_test, violations
from tests.crash.report import Report, say

CLEAN = ("plain", "fed", "approved", "abandoned")
WARM_UP = 900
TRIES = (1000, 5000, 6000, 7000)
SCENES = 2000
QUIET_S = 30.0
BEHIND = 3
"""How many deals go on behind a row; more could lose four workers each, and would be isolated."""


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
    trails: matrix.Trails = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    behind: deque[Struck] = field(default_factory=deque)

    def counted(self) -> list[Row]:
        """Count the boundaries in clean runs, and test the oracle on them; answers the rows."""
        self.trails = {story: matrix.told(self.firm, story, n) for n, story in enumerate(CLEAN, 1)}
        rows = matrix.rows_of(self.trails)
        self.report.counted(rows)
        self.report.tested(self_test(settled(self.firm)), len(PLANTS))
        return rows

    def row(self, row: Row, option: str) -> None:
        """One row: told again when a feed or a lost lease came first, not its boundary."""
        began, wrong = time.monotonic(), ""
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
            self.report.tried_again += 1
        else:
            self.report.row(str(row), option, wrong, time.monotonic() - began)
        self.ended(BEHIND)

    def ended(self, but: int = 0) -> None:
        """See the deals that go on to their end, but for the last few."""
        while len(self.behind) > but:
            struck = self.behind.popleft()
            wrong = matrix.finish(self.firm, struck)
            option, seconds = self.owners[struck.deal], time.monotonic() - struck.began
            self.report.row(str(struck.row), option, wrong, seconds)

    def scenario(self, number: int, name: str) -> None:
        """One scenario, alone."""
        self.ended()
        option, began = f"--scenario {name}", time.monotonic()
        scene = scenarios.Scene(self.firm, SCENES + number * 50, self.trails)
        scenario = scenarios.SCENARIOS[name]
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


Job = Callable[[Lane], None]


class Plan:
    """What is left to be played on one store, by as many firms as there are."""

    def __init__(self, asked: Namespace) -> None:
        self._asked = asked
        self._lock = threading.Lock()
        self._trails: matrix.Trails = {}
        self._left: deque[Job] = deque()

    def join(self, lane: Lane) -> None:
        """The first firm counts the boundaries; the others take its word for them."""
        with self._lock:
            if not self._trails:
                self._left += self._jobs(lane.counted())
                self._trails = lane.trails
        lane.trails = self._trails

    def _jobs(self, rows: list[Row]) -> Iterator[Job]:
        asked, some = self._asked, self._asked.row or self._asked.scenario
        for row in rows:
            if row.number in asked.row or not some:
                yield partial(Lane.row, row=row, option=f"--row {row.number}")
        for number, name in enumerate(scenarios.SCENARIOS):
            if name in asked.scenario or not some:
                yield partial(Lane.scenario, number=number, name=name)

    def stop(self) -> None:
        """Play nothing more."""
        self._left.clear()

    def jobs(self) -> Iterator[Job]:
        """One after another, each for one firm."""
        while True:
            try:
                yield self._left.popleft()
            except IndexError:
                return


def split(store: str, url: str | None, plan: Plan) -> Report:
    """A firm in split form, every part a process, three workers: its share of the plan."""
    report = Report(store)
    with firm(store, url) as deployed:
        lane = Lane(deployed, report)
        matrix.told(deployed, "plain", WARM_UP)  # the first one signs in and connects
        plan.join(lane)
        for job in plan.jobs():
            job(lane)
        lane.judged()
    return report


def alone(store: str, url: str | None) -> Report:
    """`throughline up`, killed as a whole and started again: one home, one process."""
    report = Report(store)
    with firm(store, url, split=False) as deployed:
        lane = Lane(deployed, report)
        for number, row in enumerate(matrix.UP, 1):
            lane.row(replace(row, number=number), "--up")
            lane.ended()
        lane.judged()
    return report
