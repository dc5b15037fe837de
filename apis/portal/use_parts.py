"""What an application used, what is left, and why it was refused."""

from __future__ import annotations

from apis.gateway.decisions import DAY_S
from apis.gateway.policy import Client
from apis.portal.desk import Desk
from apis.portal.markup import Child, e, table
from apis.portal.own_log import Use, admitted
from apis.portal.words import reason_words


async def use_parts(desk: Desk, name: str, client: Client, use: Use) -> list[Child]:
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
    called = [
        (operation or "unknown", target, f"{today:,}", f"{week:,}")
        for (target, operation), (today, week) in use.operations.items()
    ]
    if called:
        heads = ("Operation", "API", "Today", "Seven days")
        parts.append(table(heads, called, caption="Calls by operation, in days of UTC"))
    if use.refused:
        refused = [
            (reason_words(policy, rule), f"{count:,}")
            for (policy, rule), count in use.refused.items()
        ]
        parts.append(table(("Why", "Calls"), refused, caption="Refused in the last seven days"))
    return parts
