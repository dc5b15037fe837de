"""The rows of the matrix: every boundary that a clean run meets, and who dies there."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.crash.harness import Firm, Stuck

APPROVED = {"price": 3000}
TELLINGS = 5
AGAIN = re.compile(r"^send.*#|takeovers")
MISSED = "its hit"
AROUND = ("feed_state+", "event_log", "+workflow_input")
"""Of the worker, but not of the flow: what leads to it and what follows."""


@dataclass(frozen=True)
class Row:
    """One kill: who dies at which boundary of which story, and how the run must end."""

    story: str
    role: str
    name: str
    action: str = "kill"
    number: int = 0

    def __str__(self) -> str:
        victim = "worker mid-call" if self.action == "kill-caller" else self.role
        return f"{self.story}: {victim} dies {self.name}"


UP = (
    Row("plain", "up", "after commit of customer_key_for: writes"),
    Row("plain", "up", "answer to project_key_for: PATCH"),
)


def plain(firm: Firm, deal: str) -> None:
    """A won deal, started by POST; the feed sees it as well."""
    firm.win(deal)
    firm.begin(deal)
    firm.reaches(deal, "done")


def fed(firm: Firm, deal: str) -> None:
    """A won deal that only the feed tells of."""
    firm.win(deal)
    firm.reaches(deal, "done")


def slow(firm: Firm, deal: str) -> None:
    """A vendor so slow that people are shown the steps while they go on."""
    firm.latency(150)
    try:
        plain(firm, deal)
    finally:
        firm.latency(0)


def approved(firm: Firm, deal: str) -> None:
    """A deal above the limit: waits for an approver, then goes on."""
    firm.win(deal)
    firm.begin(deal)
    decided(firm, deal, "deal.approval-needed", "approve", "demo-approver")
    firm.reaches(deal, "done")


def abandoned(firm: Firm, deal: str) -> None:
    """The deal is deleted while it waits for approval: its last step parks, and is given up."""
    firm.win(deal)
    firm.begin(deal)
    firm.item(deal, "deal.approval-needed")
    firm.salesforce("DELETE", f"/services/data/v62.0/sobjects/Opportunity/{deal}")
    decided(firm, deal, "deal.approval-needed", "approve", "demo-approver")
    decided(firm, deal, "", "abandon", "demo")
    firm.reaches(deal, "abandoned")


STORIES: dict[str, Callable[[Firm, str], None]] = {
    "plain": plain, "fed": fed, "slow": slow, "approved": approved, "abandoned": abandoned,
}  # fmt: skip
OPTIONS: dict[str, dict[str, Any]] = {"approved": APPROVED, "abandoned": APPROVED}
ENDS = {"abandoned": "abandoned"}


def decided(firm: Firm, deal: str, code: str, decision: str, client: str) -> None:
    """Decide the open item of a deal, again if the process that took the decision died with it."""

    def look() -> bool:
        return firm.decide(firm.item(deal, code), decision, client) in (200, 201, 202, 409)

    firm.until(f"{decision} of {deal}", look)


def told(firm: Firm, story: str, n: int) -> list[dict[str, Any]]:
    """Tell a story to its end without a kill; answers every boundary that it met.

    Told anew when a busy machine made a step try twice: its boundaries would not be met again.
    """
    for again in range(TELLINGS):
        deal = firm.deal(n + again * 10, **OPTIONS.get(story, {}))
        token = firm.arm(deal, action="watch")
        STORIES[story](firm, deal)
        time.sleep(1.5)
        firm.disarm()
        firm.expected[deal] = ENDS.get(story, "done")
        trail = firm.trail(token)
        if not any(AGAIN.search(line["name"]) for line in trail):
            return trail
    raise Stuck(f"{story}: steps were tried twice in each of {TELLINGS} tellings")


def counted(trail: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The boundaries of the flow itself: role and name, once each, in order."""
    met = dict.fromkeys((line["role"], line["name"]) for line in trail)
    return [
        (role, name)
        for role, name in met
        if " engine: " not in name or ("workflow_status" in name and "#" not in name)
        if not any(each in name for each in AROUND)
    ]


def around(trail: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The boundaries before and after the flow, each kind once."""
    met = dict.fromkeys((line["role"], line["name"]) for line in trail)
    mine = [(role, name) for role, name in met if " engine: " in name and "#" not in name]
    return [(role, name) for role, name in mine if any(each in name for each in AROUND)]


def rows_of(trails: dict[str, list[dict[str, Any]]]) -> list[Row]:
    """Every row of the matrix, numbered; a later story adds only what is new in it."""
    rows, known = [], set()
    for story in ("plain", "approved", "abandoned"):
        for role, name in counted(trails[story]):
            if (role, name) in known:
                continue
            known.add((role, name))
            rows.append(Row(story, role, name))
            if role == "system" and name.startswith(("send", "answer")):
                rows.append(Row(story, role, name, "kill-caller"))
    rows += [Row("fed", role, name) for role, name in around(trails["fed"])]
    asked = around(trails["plain"])
    rows += [Row("plain", role, name) for role, name in asked if role == "process"]
    shown = (f"{when} commit of engine: shown" for when in ("before", "after"))
    rows += [Row("slow", "worker", name) for name in shown]
    return [
        Row(row.story, row.role, row.name, row.action, number) for number, row in enumerate(rows, 1)
    ]


def play(firm: Firm, row: Row, deal: str) -> str:
    """Tell the row's story with its kill; answers what went wrong, or nothing."""
    firm.whole()
    token = firm.arm(deal, role=row.role, name=row.name, action=row.action)
    try:
        STORIES[row.story](firm, deal)
        hit = [firm.hit(token, seconds=3)]
        code = firm.until("the end of the victim", lambda: gone(firm, hit[0]["pid"]), 5)
        if code != "killed":
            return f"the victim ended otherwise: {code}"
        if "after" not in row.name or "workflow_output" not in row.name:  # the very last boundary
            firm.until("anything after the kill", lambda: later(firm, token, hit[0]["at"]), 6)
    except (Stuck, KeyError, IndexError) as error:
        return f"{error} (hit: {firm.hits(token)})"
    finally:
        firm.disarm()
    return ""


def later(firm: Firm, token: str, at: float) -> bool:
    """Whether the deal met a boundary after a moment."""
    return any(line["at"] > at for line in firm.trail(token))


def gone(firm: Firm, pid: int) -> str | None:
    """How a process ended: `killed`, or with which code; None while it lives."""
    code = firm.processes.ended(pid)
    if code is None:
        return None
    return "killed" if code == -9 else str(code)
