"""What kills at single boundaries do not show: lost replies, gaps, zombies, races, poison."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from tests.crash import matrix
from tests.crash.facts import PEOPLES, WRITES
from tests.crash.harness import (
    DEADLINE_S,
    LEASE_S,
    VENDORS,
    WORKERS,
    WRITE_LEASE_S,
    Firm,
)
from tests.crash.waiting import PATIENCE_S, Stuck

RACES = 5
STARTS = 4
DEATHS = 4
LONG_S = 2.5 * PATIENCE_S
MADE_IN = {
    "kantata": {
        "delivered_customer": "workspace_groups.create",
        "project_for": "workspaces.create",
        "work_breakdown_for": "stories.create",
        "billing_schedule_for": "billing_milestones.create",
        "staffing_requests_for": "workspace_resources.create",
    },
    "netsuite": {"billed_customer": "customer.upsert", "booked_project_for": "job.upsert"},
}
SILENT_S = {"salesforce": DEADLINE_S + 1, "kantata": 0, "netsuite": 0}
"""How long a vendor whose reply is lost says nothing before it hangs up."""
HIDDEN_S = WRITE_LEASE_S + 0.6
"""So that the first look-up misses what was written."""


class Scene:
    """One scenario on one deployment: its deals, how they must end, who died."""

    def __init__(self, firm: Firm, first: int, trails: matrix.Trails) -> None:
        self.firm = firm
        self.deals: list[str] = []
        self.kills = 0
        self._next = first
        self._trails = trails

    def deal(self, ends: str = "done", **options: Any) -> str:
        """A deal of this scenario, still open."""
        self._next += 1
        deal = self.firm.deal(self._next, **options)
        self.firm.expected[deal] = ends
        self.deals.append(deal)
        return deal

    def boundary(self, story: str, *parts: str, role: str = "worker") -> str:
        """The name of a process's first boundary of a story that has all these parts."""
        trail = self._trails[story]
        names: Iterator[str] = (line["name"] for line in trail if line["role"] == role)
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
        except (Stuck, AssertionError, KeyError, StopIteration, httpx.HTTPError) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            self.firm.disarm()
            for vendor in VENDORS:
                self.firm.faults(vendor)
            self.firm.processes.signal(signal.SIGCONT)
        return ""

    def writes(self) -> int:
        """How many writes the vendors have seen so far."""
        return sum(len(writes_at(self.firm, vendor)) for vendor in VENDORS)

    def all_workers(self) -> None:
        """Wait until every worker of the pool is there."""
        self.firm.whole()
        ready = self.firm.processes.ready
        self.firm.until("all workers", lambda: all(map(ready, WORKERS)))


def writes_at(firm: Firm, vendor: str) -> list[tuple[str, bool]]:
    """The operations by which anyone has written at a vendor, in order, and whether we did."""
    return [
        (line["operation"], vendor != VENDORS[0] or line["key"] is not None)
        for line in firm.log(vendor)
        if line["phase"] == "received" and line["operation"] not in PEOPLES
        if line["operation"].rpartition(".")[2] in WRITES
    ]


def lost_replies(scene: Scene) -> None:
    """the reply of every write at every vendor is lost after the vendor committed"""
    _lost_replies(scene, "plain", "done")


def lost_replies_of_the_undo(scene: Scene) -> None:
    """an abandoned run: the reply of every write at every vendor is lost, also of those undone"""
    _lost_replies(scene, "abandoned", "abandoned")


def _lost_replies(scene: Scene, story: str, ends: str) -> None:
    """A clean deal shows the writes; then another one loses the reply of each of them."""
    firm, options = scene.firm, matrix.OPTIONS.get(story, {})
    before = {vendor: len(writes_at(firm, vendor)) for vendor in VENDORS}
    deal = scene.deal(ends, **options)
    matrix.STORIES[story](firm, deal)
    firm.reaches(deal, ends)
    done = {vendor: writes_at(firm, vendor)[count:] for vendor, count in before.items()}
    deal = scene.deal(ends, **options)
    for vendor in VENDORS:
        lost = {"fault": "timeout-after-commit", "seconds": SILENT_S[vendor]}
        names = [name for name, _ in done[vendor]]
        ours = [(name, n) for n, (name, mine) in enumerate(done[vendor], 1) if mine]
        plan = [{"operation": name, "nth": names[:n].count(name), **lost} for name, n in ours]
        firm.faults(vendor, *plan)
    matrix.STORIES[story](firm, deal)
    firm.reaches(deal, ends, seconds=LONG_S)
    for vendor in VENDORS:
        fired = firm.faults(vendor)
        assert fired, f"nothing was written at {vendor}"
        assert set(fired) == {1}, f"faults fired at {vendor}: {fired}"


def hidden(scene: Scene) -> None:
    """the worker dies, and the deal is hidden from search when its flow resumes"""
    firm, deal = scene.firm, scene.deal()
    name = scene.boundary("plain", "send of accepted_deal")
    token = firm.arm(deal, role="worker", name=name)
    firm.win(deal)
    firm.faults("salesforce", {"operation": "Opportunity.search", "fault": "hide", "seconds": 1.5})
    firm.begin(deal)
    assert firm.hit(token), "its kill did not hit"
    scene.kills += 1

    def looks_again() -> bool:
        steps: list[dict[str, Any]] = (firm.run(deal) or {}).get("steps") or []
        return any(step["attempts"] > 1 for step in steps)

    firm.until("a look at a deal that was hidden", looks_again)
    assert firm.faults("salesforce") > [0], "the deal was not hidden"
    firm.reaches(deal, "done")


def hidden_in_psa(scene: Scene) -> None:
    """each record the PSA makes is hidden from search, and who asked for it dies unanswered"""
    _hidden(scene, "kantata")


def hidden_in_erp(scene: Scene) -> None:
    """each record the ERP makes is hidden from search, and who asked for it dies unanswered"""
    _hidden(scene, "netsuite")


def _hidden(scene: Scene, vendor: str) -> None:
    """The system process dies with the answer to each create: the record has to be looked up."""
    firm, deal = scene.firm, scene.deal()
    made = MADE_IN[vendor]
    answers = [scene.boundary("plain", f"answer to {step}: P", role="system") for step in made]
    token = firm.arm(deal, role="system", name=answers, times=len(answers))
    hide = {"fault": "hide", "seconds": HIDDEN_S}
    firm.faults(vendor, *({"operation": name, **hide} for name in made.values()))
    matrix.plain(firm, deal)
    firm.reaches(deal, "done", seconds=LONG_S)
    hits, fired = len(firm.hits(token)), firm.faults(vendor)
    assert hits == len(answers), f"{hits} of {len(answers)} kills hit"
    assert all(fired), f"faults fired: {fired}"
    scene.kills += hits


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
    seen = scene.writes()
    os.kill(pid, signal.SIGCONT)
    code = firm.until("the end of the zombie", lambda: matrix.gone(firm, pid), 10 * LEASE_S)
    assert code == "70", f"the zombie ended with {code}"
    time.sleep(0.5)
    assert scene.writes() == seen, "the zombie wrote"
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
    assert firm.sold[deals[0]].ids["account"] == firm.sold[deals[1]].ids["account"], (
        "not the same customer"
    )
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
        *(lost_replies_of_the_undo, lost_replies, hidden_in_psa, hidden_in_erp, hidden),
        *(decided_in_the_gap, decided_in_the_gap_and_killed),
        *(zombie_before_its_write, zombie_after_its_write, two_reapers),
        *(racing, one_new_customer, poison),
    )
}
