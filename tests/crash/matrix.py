"""The rows of the matrix: every boundary that a clean run meets, and who dies there."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx

from tests.crash.harness import ASK_S, Firm
from tests.crash.waiting import Stuck

Trails = dict[str, list[dict[str, Any]]]
APPROVED: dict[str, Any] = {"price": 3000}
TELLINGS = 5
SHOWN_S = 1.5
LOOKS = 20
LOOK_EVERY_S = 2.5
MISSED = "its hit"
AROUND = ("feed_state+", "event_log", "+workflow_input", "read models", "engine: projects")
"""Of the worker, but not of the flow: what leads to it and what follows."""


@dataclass(frozen=True)
class Row:
    """One kill: who dies at which boundary of which story, and how the run must end."""

    story: str
    role: str
    name: str
    action: str = "kill"
    number: int = 0

    @property
    def victim(self) -> str:
        """Who dies: the process that meets the boundary, or the worker whose call it serves."""
        return "worker mid-call" if self.action == "kill-caller" else self.role

    def __str__(self) -> str:
        return f"{self.story}: {self.victim} dies {self.name}"


@dataclass(frozen=True)
class Struck:
    """A row whose kill has hit: its deal goes on without its victim."""

    row: Row
    deal: str
    token: str
    pid: int
    at: float
    began: float


UP = (
    Row("plain", "up", "after commit of customer_key_for: writes"),
    Row("plain", "up", "answer to booked_project_for: PUT"),
    Row("plain", "up", "answer to work_breakdown_for: POST"),
    Row("plain", "up", "answer to project_key_for: PATCH"),
)


def plain(firm: Firm, deal: str) -> None:
    """A won deal, started by POST, again where nobody who died answered; the feed sees it too."""
    firm.win(deal)

    def taken() -> bool:
        return firm.begin(deal) < 300 or firm.struck(deal)

    firm.until(f"the start of {deal}", taken, every=ASK_S)


def fed(firm: Firm, deal: str) -> None:
    """A won deal that only the feed tells of."""
    firm.win(deal)


def slow(firm: Firm, deal: str) -> None:
    """Vendors so slow that people are shown the steps while they go on."""
    firm.latency(100)
    try:
        plain(firm, deal)
        firm.reaches(deal, "done")
    finally:
        firm.latency(0)


def approved(firm: Firm, deal: str) -> None:
    """A deal above the limit: waits for an approver, then goes on."""
    plain(firm, deal)
    decided(firm, deal, "deal.approval-needed", "approve", "demo-approver")


def abandoned(firm: Firm, deal: str) -> None:
    """The deal is deleted while it waits for approval: its last step parks, and is given up."""
    plain(firm, deal)
    firm.item(deal, "deal.approval-needed")
    firm.salesforce("DELETE", f"/services/data/v62.0/sobjects/Opportunity/{deal}")
    decided(firm, deal, "deal.approval-needed", "approve", "demo-approver")
    decided(firm, deal, "", "abandon", "demo")


STORIES: dict[str, Callable[[Firm, str], None]] = {
    "plain": plain, "fed": fed, "slow": slow, "approved": approved, "abandoned": abandoned,
}  # fmt: skip
OPTIONS: dict[str, dict[str, Any]] = {"approved": APPROVED, "abandoned": APPROVED}
ENDS = {"abandoned": "abandoned"}


def decided(firm: Firm, deal: str, code: str, decision: str, client: str) -> None:
    """Decide the open item of a deal, again if the process that took the decision died with it."""
    item = firm.item(deal, code)
    taken = (200, 201, 202, 409)
    firm.until(f"{decision} of {deal}", lambda: firm.decide(item, decision, client) in taken)


def won(firm: Firm, story: str, n: int) -> str:
    """The deal of a story, ready to be won."""
    deal = firm.deal(n, **OPTIONS.get(story, {}))
    firm.expected[deal] = ENDS.get(story, "done")
    return deal


def told(firm: Firm, story: str, n: int) -> list[dict[str, Any]]:
    """Tell a story to its end without a kill; answers every boundary that it met.

    Told anew when a busy machine made a step try twice: its boundaries would not be met again.
    """
    for again in range(TELLINGS):
        deal = won(firm, story, n + again * 10)
        token = firm.arm(deal, action="watch")
        STORIES[story](firm, deal)
        run = firm.reaches(deal, firm.expected[deal])
        time.sleep(SHOWN_S)
        firm.disarm(deal)
        trail = firm.trail(token)
        once = all(step["attempts"] <= 1 for step in run["steps"])
        if once and not any("takeovers" in line["name"] for line in trail):
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


def rows_of(trails: Trails) -> list[Row]:
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
    rows += [
        Row("approved", role, name)
        for role, name in dict.fromkeys((line["role"], line["name"]) for line in trails["approved"])
        if role == "process" and name.endswith("waits+work_items")
    ]
    shown = (f"{when} commit of engine: shown" for when in ("before", "after"))
    rows += [Row("slow", "worker", name) for name in shown]
    return [replace(row, number=number) for number, row in enumerate(rows, 1)]


def strike(firm: Firm, row: Row, deal: str) -> Struck | str:
    """Tell the row's story until its kill has hit; else what went wrong."""
    began = time.monotonic()
    try:
        firm.whole()
        token = firm.arm(deal, role=row.role, name=row.name, action=row.action)
        STORIES[row.story](firm, deal)
        hit = hit_of(firm, deal, token)
        code = firm.until("the end of the victim", lambda: gone(firm, hit["pid"]), 10)
    except (Stuck, KeyError, IndexError, httpx.HTTPError) as error:
        firm.disarm(deal)
        return str(error)
    if code != "killed":
        return f"the victim ended otherwise: {code}"
    return Struck(row, deal, token, hit["pid"], hit["at"], began)


def hit_of(firm: Firm, deal: str, token: str) -> dict[str, Any]:
    """The hit; not waited for long once the run is over without it."""
    for _ in range(LOOKS):
        if hits := firm.hits(token):
            return hits[0]
        try:
            return firm.hit(token, LOOK_EVERY_S)
        except Stuck:
            if (firm.run(deal) or {}).get("state") == firm.expected[deal]:
                break
    return firm.hit(token, LOOK_EVERY_S)


def finish(firm: Firm, struck: Struck) -> str:
    """See the deal to its end; answers what went wrong, or nothing."""
    try:
        firm.reaches(struck.deal, firm.expected[struck.deal])
        if "after" not in struck.row.name or "workflow_output" not in struck.row.name:
            # that was the very last boundary; after any other one something must follow
            firm.until("anything after the kill", lambda: later(firm, struck), 15)
    except (Stuck, KeyError, IndexError, httpx.HTTPError) as error:
        return f"{error} (hit: {struck.pid})"
    finally:
        firm.disarm(struck.deal)
    return ""


def later(firm: Firm, struck: Struck) -> bool:
    """Whether the deal met a boundary after it was hit."""
    return any(line["at"] > struck.at for line in firm.trail(struck.token))


def gone(firm: Firm, pid: int) -> str | None:
    """How a process ended: `killed`, or with which code; None while it lives."""
    code = firm.processes.ended(pid)
    if code is None:
        return None
    return "killed" if code == -9 else str(code)
