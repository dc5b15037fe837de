"""What kills at single boundaries do not show: lost replies, gaps, zombies, races, poison."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.crash import matrix
from tests.crash.harness import DEADLINE_S, LEASE_S, WORKERS, Firm, Stuck

RACES = 5
STARTS = 4
DEATHS = 4


class Scene:
    """One scenario on one deployment: its deals, how they must end, who died."""

    def __init__(self, firm: Firm, first: int, trails: dict[str, list[dict[str, Any]]]) -> None:
        self.firm = firm
        self.expected: dict[str, str] = {}
        self.kills = 0
        self._next = first
        self._trails = trails

    def deal(self, **options: Any) -> str:
        """A deal of this scenario, still open."""
        self._next += 1
        deal = self.firm.deal(self._next, **options)
        self.expected[deal] = "done"
        return deal

    def boundary(self, story: str, *parts: str) -> str:
        """The name of the first boundary of a story that has all these parts."""
        names: Iterator[str] = (line["name"] for line in self._trails[story])
        return next(name for name in names if all(part in name for part in parts))

    def won(self, deal: str, **arm: Any) -> str:
        """Arm, win and start; answers the token."""
        token = self.firm.arm(deal, **arm)
        self.firm.win(deal)
        self.firm.begin(deal)
        return token

    def play(self, scenario: Callable[[Scene], None]) -> str:
        """Play it; answers what went wrong, or nothing."""
        try:
            self.firm.whole()
            scenario(self)
        except (Stuck, AssertionError, KeyError, StopIteration) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            self.firm.disarm()
            self.firm.faults()
            self.firm.processes.signal(signal.SIGCONT)
        return ""

    def writes(self, deal: str) -> int:
        """How many writes the vendor has seen for a deal and its account."""
        path = self.firm.home / "sandboxes/salesforce.jsonl"
        mine = (deal, self.firm.accounts[deal])
        lines = path.read_text().splitlines()
        return sum('"PATCH"' in line and any(each in line for each in mine) for line in lines)

    def all_workers(self) -> None:
        """Wait until every worker of the pool is there."""
        self.firm.whole()
        ready = self.firm.processes.ready
        self.firm.until("all workers", lambda: all(map(ready, WORKERS)))


def lost_replies(scene: Scene) -> None:
    """the reply of every vendor write is lost after the vendor committed"""
    firm, deal = scene.firm, scene.deal()
    lost = {"nth": 1, "fault": "timeout-after-commit", "seconds": DEADLINE_S + 1}
    firm.win(deal)
    firm.faults(
        {"operation": "Account.update", **lost}, {"operation": "Opportunity.update", **lost}
    )
    firm.begin(deal)
    firm.reaches(deal, "done")
    fired = [fault.get("fired") for fault in firm.planned()]
    assert fired == [1, 1], f"faults fired: {fired}"


def hidden(scene: Scene) -> None:
    """the worker dies, and the deal is hidden from search when its flow resumes"""
    firm, deal = scene.firm, scene.deal()
    name = scene.boundary("plain", "send of accepted_deal")
    token = firm.arm(deal, role="worker", name=name)
    firm.win(deal)
    firm.faults({"operation": "Opportunity.search", "fault": "hide", "seconds": 1.5})
    firm.begin(deal)
    item = firm.item(deal)
    scene.kills += len(firm.hits(token))
    firm.faults()
    time.sleep(1.6)
    assert firm.decide(item, "retry") < 300, "retry was refused"
    firm.reaches(deal, "done")
    assert firm.hits(token), "its kill did not hit"


def decided_in_the_gap(scene: Scene) -> None:
    """a decision comes between the wait row and the suspension"""
    _decided_in_the_gap(scene, kill=False)


def decided_in_the_gap_and_killed(scene: Scene) -> None:
    """a decision comes between wait row and suspension, then the worker dies there"""
    _decided_in_the_gap(scene, kill=True)


def _decided_in_the_gap(scene: Scene, *, kill: bool) -> None:
    firm, deal = scene.firm, scene.deal(**matrix.APPROVED)
    name = scene.boundary("approved", "after commit", "waits", "work_items")
    token = scene.won(deal, role="worker", name=name, action="pause")
    pid = firm.hit(token)["pid"]
    matrix.decided(firm, deal, "deal.approval-needed", "approve", "demo-approver")
    time.sleep(0.5)
    assert (firm.run(deal) or {})["state"] == "waiting", "it did not wait in the gap"
    if kill:
        os.kill(pid, signal.SIGKILL)
        scene.kills += 1
    else:
        firm.release(token)
    firm.reaches(deal, "done")


def zombie_before_its_write(scene: Scene) -> None:
    """a worker is stopped past its lease just before a write leaves, then woken"""
    _zombie(scene, "send of customer_key_for: PUT")


def zombie_after_its_write(scene: Scene) -> None:
    """a worker is stopped past its lease just after a write was answered, then woken"""
    _zombie(scene, "answer to customer_key_for: PUT")


def _zombie(scene: Scene, name: str) -> None:
    firm, deal = scene.firm, scene.deal()
    token = scene.won(deal, role="worker", name=name, action="stop")
    pid = firm.hit(token)["pid"]
    firm.reaches(deal, "done")
    seen = scene.writes(deal)
    os.kill(pid, signal.SIGCONT)
    code = firm.until("the end of the zombie", lambda: matrix.gone(firm, pid), 10 * LEASE_S)
    assert code == "70", f"the zombie ended with {code}"
    time.sleep(0.5)
    assert scene.writes(deal) == seen, "the zombie wrote"
    scene.kills += 1


def two_reapers(scene: Scene) -> None:
    """the reaper is stopped between counting and resuming; a second one acts, then both live"""
    firm, deal = scene.firm, scene.deal()
    scene.all_workers()
    first = scene.won(deal, role="worker", name=scene.boundary("plain", "after", "customers"))
    firm.hit(first)
    token = firm.arm(deal, role="worker", name="after commit of engine: takeovers", action="stop")
    pid = firm.hit(token)["pid"]
    firm.reaches(deal, "done")
    os.kill(pid, signal.SIGCONT)
    code = firm.until("the end of the first reaper", lambda: matrix.gone(firm, pid), 10 * LEASE_S)
    assert code == "70", f"the first reaper ended with {code}"
    scene.kills += 2


def racing(scene: Scene) -> None:
    """each deal is started four times at once while the feed tells of it as well"""
    firm = scene.firm
    deals = [scene.deal() for _ in range(RACES)]
    firm.begin(deals[0])  # signed in once, before the race
    with ThreadPoolExecutor(RACES * STARTS) as threads:
        for deal in deals:
            firm.win(deal)
        told = list(threads.map(firm.begin, deals * STARTS))
    assert set(told) <= {200, 202}, f"starts were answered {sorted(set(told))}"
    for deal in deals:
        firm.reaches(deal, "done")


def one_new_customer(scene: Scene) -> None:
    """two deals of one new customer are won at once"""
    firm = scene.firm
    deals = [scene.deal(entity="UK", customer="same") for _ in range(2)]
    assert firm.accounts[deals[0]] == firm.accounts[deals[1]], "not the same customer"
    for deal in deals:
        firm.win(deal)
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(firm.begin, deals))
    for deal in deals:
        firm.reaches(deal, "done")


def poison(scene: Scene) -> None:
    """a deal kills every worker that takes it: it waits for a person, its neighbours finish"""
    firm, deal = scene.firm, scene.deal(**matrix.APPROVED)
    neighbours = [scene.deal() for _ in range(3)]
    name = f"{scene.boundary('plain', 'before', 'approver_of')}#*"
    token = firm.arm(deal, role="worker", name=name, times=10)
    for each in (deal, *neighbours):
        firm.win(each)
        firm.begin(each)
    firm.until(f"{DEATHS} deaths", lambda: len(firm.hits(token)) == DEATHS)
    isolated = "after commit of engine: outbox+runs+takeovers+waits+work_items"
    reaper = firm.arm(deal, role="worker", name=isolated)
    firm.hit(reaper)
    item = firm.item(deal, "flow.poison")
    assert len(firm.hits(token)) == DEATHS, "one more worker died"
    scene.kills += DEATHS + 1
    for each in neighbours:
        firm.reaches(each, "done")
    firm.disarm()
    assert firm.decide(item, "abandon") >= 400, "a poison flow cannot be undone from outside"
    again = firm.arm(deal, role="worker", name=scene.boundary("approved", "after", "waits"))
    assert firm.decide(item, "retry") < 300, "retry was refused"
    matrix.decided(firm, deal, "deal.approval-needed", "approve", "demo-approver")
    firm.reaches(deal, "done")
    assert firm.hits(again), "a death after the retry did not hit"
    scene.kills += 1


SCENARIOS: dict[str, Callable[[Scene], None]] = {
    each.__name__.replace("_", "-"): each
    for each in (
        *(lost_replies, hidden, decided_in_the_gap, decided_in_the_gap_and_killed),
        *(zombie_before_its_write, zombie_after_its_write, two_reapers),
        *(racing, one_new_customer, poison),
    )
}
