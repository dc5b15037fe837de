"""What an application used, what is left, and why it was refused."""

from __future__ import annotations

from collections import Counter, defaultdict

from apis.gateway.decisions import DAY_S
from apis.gateway.policy import Client
from apis.portal.desk import Desk
from apis.portal.layout import Visitor
from apis.portal.markup import Child, e, table
from apis.portal.own_log import SCOPES, Use, admitted
from apis.portal.words import NOT_TOLD, reason_words


async def use_parts(desk: Desk, who: Visitor, name: str, client: Client, use: Use) -> list[Child]:
    """Its use by operation, its quotas and its refusals, of the last seven days."""
    parts: list[Child] = [e("h2", "Use")]
    for window in desk.policy.limits[client.plan]:
        if window.limit.quota:
            used = use.today
            if window.limit.window != DAY_S:
                began = desk.now // window.limit.window * window.limit.window
                used = await desk.store.read(admitted, name, began)
            left = max(0, window.limit.tokens - used)
            words = f"{left:,} of {window.limit.tokens:,} calls are left"
            parts.append(e("p", e("strong", words), f" until the {window.name} begins anew."))
    if not use.operations and not use.refused:
        return [*parts, e("p", "It was not used in the last seven days.")]
    called = _called(desk, who, use)
    if called:
        heads = ("Operation", "API", "Today", "Seven days")
        parts.append(table(heads, called, caption="Calls by operation, in days of UTC"))
    if use.refused:
        reasons = _reasons(desk, who, use)
        refused = [(why, f"{count:,}") for why, count in reasons.most_common()]
        parts.append(table(("Why", "Calls"), refused, caption="Refused in the last seven days"))
    return parts


def _called(desk: Desk, who: Visitor, use: Use) -> list[tuple[str, str, str, str]]:
    """Operations and how often; all that somebody is not told of counts as one."""
    told: defaultdict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for (target, operation), counts in use.operations.items():
        seen = desk.tells(who, target, let_in=True)
        row = told[(operation or "unknown", target) if seen else (NOT_TOLD, "")]
        row[:] = [one + more for one, more in zip(row, counts, strict=True)]
    return [(*each, f"{today:,}", f"{week:,}") for each, (today, week) in told.items()]


def _reasons(desk: Desk, who: Visitor, use: Use) -> Counter[str]:
    told: Counter[str] = Counter()
    for (target, policy, rule), count in use.refused.items():
        seen = desk.tells(who, target, let_in=policy != SCOPES)
        told[reason_words(policy, rule) if seen else f"{NOT_TOLD}."] += count
    return told
