"""The rows of the matrix: every boundary that a clean run meets, and who dies there."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.crash.harness import Firm, Stuck

APPROVED = {"price": 3000}
AROUND = (  # of the worker, but not of the flow: what leads to it and what follows
    ("worker", "engine: feed_state+outbox"),
    ("worker", "engine: event_log"),
    ("worker", "engine: runs+outbox+audit+workflow_status+workflow_input"),
    ("process", "engine: runs+outbox+audit+workflow_status+workflow_input"),
)
BEFORE_AFTER = re.compile(r"(before|after) commit of (.*)")


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


def plain(firm: Firm, deal: str) -> None:
    """A won deal, started by POST; the feed sees it as well."""
    firm.win(deal)
    firm.begin(deal)
    firm.reaches(deal, "done")


def fed(firm: Firm, deal: str) -> None:
    """A won deal that only the feed tells of."""
    firm.win(deal)
    firm.reaches(deal, "done")


def approved(firm: Firm, deal: str) -> None:
    """A deal above the limit: waits for an approver, then goes on."""
    firm.win(deal)
    firm.begin(deal)
    decided(firm, deal, "deal.approval-needed", "approve", "demo-approver")
    firm.reaches(deal, "done")


def abandoned(firm: Firm, deal: str) -> None:
    """The deal is deleted while it waits for approval: its last step parks, and a person gives up."""
    firm.win(deal)
    firm.begin(deal)
    firm.item(deal, "deal.approval-needed")
    firm.salesforce("DELETE", f"/services/data/v62.0/sobjects/Opportunity/{deal}")
    decided(firm, deal, "deal.approval-needed", "approve", "demo-approver")
    decided(firm, deal, "", "abandon", "demo")
    firm.reaches(deal, "abandoned")


STORIES: dict[str, Callable[[Firm, str], None]] = {
    "plain": plain, "fed": fed, "approved": approved, "abandoned": abandoned,
}  # fmt: skip
OPTIONS: dict[str, dict[str, Any]] = {"approved": APPROVED, "abandoned": APPROVED}
ENDS = {"abandoned": "abandoned"}


def decided(firm: Firm, deal: str, code: str, decision: str, client: str) -> None:
    """Decide the open item of a deal, again if the process that took the decision died with it."""

    def look() -> bool:
        return firm.decide(firm.item(deal, code), decision, client) in (200, 201, 202, 409)

    firm.until(f"{decision} of {deal}", look)


def told(firm: Firm, story: str, n: int) -> list[dict[str, Any]]:
    """Tell a story to its end without a kill; answers every boundary that it met."""
    deal = firm.deal(n, **OPTIONS.get(story, {}))
    token = firm.arm(deal, action="watch")
    STORIES[story](firm, deal)
    time.sleep(0.3)
    firm.disarm()
    return firm.trail(token)


def counted(trail: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The boundaries of the flow itself: role and name, once each, in order."""
    names = [(line["role"], line["name"]) for line in trail]
    return [
        (role, name)
        for role, name in dict.fromkeys(names)
        if role in ("worker", "system") and (" engine: " not in name or "workflow_status" in name)
        and not any(around in name for _, around in AROUND)
    ]  # fmt: skip


def rows_of(trails: dict[str, list[dict[str, Any]]]) -> list[Row]:
    """Every row of the matrix, numbered; a later story adds only what is new in it."""
    rows, known = [], set()
    for story, trail in trails.items():
        for role, name in counted(trail):
            if (role, name) in known or "#" in name and "engine" in name:
                continue
            known.add((role, name))
            rows.append(Row(story, role, name))
            if role == "system" and not name.startswith(("before", "after")):
                rows.append(Row(story, role, name, "kill-caller"))
    for role, name in AROUND:
        story = "plain" if role == "process" else "fed"
        rows += [Row(story, role, f"{when} commit of {name}") for when in ("before", "after")]
    return [
        Row(row.story, row.role, row.name, row.action, number) for number, row in enumerate(rows, 1)
    ]


def play(firm: Firm, row: Row, deal: str) -> str:
    """Tell the row's story with its kill; answers what went wrong, or nothing."""
    firm.whole()
    token = firm.arm(deal, role=row.role, name=row.name, action=row.action)
    try:
        STORIES[row.story](firm, deal)
        hit = firm.hits(token)
        if not hit:
            return "its kill did not hit"
        code = firm.until("the end of the victim", lambda: gone(firm, hit[0]["pid"]), 5)
        if code != "killed":
            return f"the victim ended otherwise: {code}"
        if not any(line["at"] > hit[0]["at"] for line in firm.trail(token)):
            return "nothing happened after the kill"
    except (Stuck, KeyError, IndexError) as error:
        return f"{error} (hit: {firm.hits(token)})"
    finally:
        firm.disarm()
    return ""


def gone(firm: Firm, pid: int) -> str | None:
    """How a process ended: `killed`, or with which code; None while it lives."""
    code = firm.processes.ended(pid)
    if code is None:
        return None
    return "killed" if code == -9 else str(code)
