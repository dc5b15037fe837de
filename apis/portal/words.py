"""Plans, decisions and codes in words that need no knowledge of the gateway."""

from __future__ import annotations

import re

from apis.gateway.exchange import Decision
from apis.gateway.guard import REFUSALS
from apis.gateway.pages import scope_words
from apis.gateway.policy import Plan
from apis.gateway.windows import Named
from apis.runtime.context import Rows

_SPANS = {1: "second", 60: "minute", 3600: "hour", 86_400: "day"}
_TOLD = re.compile(r'"([^"]+)";r=(\d+);t=(\d+)')
NOT_TOLD = "An API that is not for you"
"""In place of its operation, its scope and its limits."""
WITHIN = "Within the limits of the plan."


def plan_words(plan: Plan, limits: Named) -> list[str]:
    """What a plan allows."""
    told = []
    for window in limits:
        span = _SPANS.get(int(window.limit.window), f"{window.limit.window:g} s")
        text = f"{window.limit.tokens:,} call{'s' * (window.limit.tokens > 1)} a {span}"
        if not window.limit.quota and window.limit.burst != window.limit.tokens:
            text += f", up to {window.limit.burst:,} of them at once"
        told.append(text)
    if plan.concurrency:
        told.append(f"{plan.concurrency:,} at the same moment")
    return told


def decision_words(decision: Decision) -> str:
    """What a policy said of a call."""
    policy, rule, outcome = decision
    if policy == "authorization":
        has = "has" if outcome == "allowed" else "has not got"
        told = f"The token {has} the scope {rule}."
    elif policy == "limits":
        told = WITHIN if outcome == "allowed" else f"Used up: {limit_words(rule)}."
    else:
        known = REFUSALS.get(rule)
        told = f"{known.title}." if known else f"{rule}."
    return told + " It went on all the same." * (outcome == "observed")


def reason_words(policy: str, rule: str) -> str:
    """Why calls were refused."""
    return decision_words((policy, rule, "refused"))


def limit_words(rule: str) -> str:
    """A limit by its place in the policy: of the plan, or of one operation."""
    parts = rule.split(".")
    if parts[0] == "plans":
        return f"the {parts[2] if len(parts) > 2 else 'limits'} of the plan {parts[1]}"  # noqa: PLR2004 - plans.name.limit
    return f"the limit of the operation {parts[-1]}" if "limits" in parts else rule


def limits_words(told: str) -> list[str]:
    """The `RateLimit` field of an answer."""
    return [
        f"{name}: {int(left):,} left, full again in {_span(int(seconds))}"
        for name, left, seconds in _TOLD.findall(told)
    ]


def _span(seconds: int) -> str:
    for length, unit in ((3600, "hour"), (60, "minute")):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}s"
    return f"{seconds} s"


def scope_told(scope: str) -> str:
    """A scope as people say it, and as it is written."""
    return f"{scope_words(scope)} ({scope})"


def rows_words(rows: Rows | None) -> str:
    """Whose records a client sees."""
    if rows is None:
        return "everybody"
    kinds = (("customer", rows.customers), ("legal entity", rows.entities))
    told = [", ".join(ids) if ids else f"no {kind}" for kind, ids in kinds if ids is not None]
    return "; ".join(told)
