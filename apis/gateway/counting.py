"""How often and how many at once: every limit of a call is taken, or none of them."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import NamedTuple

import msgspec

from apis.gateway.compiled import Policy
from apis.gateway.exchange import Decision, Exchange, Outcome
from apis.gateway.guard import Refusal
from apis.gateway.routes import Route
from apis.gateway.windows import CONCURRENCY, Window, counted_at
from apis.runtime.clock import Clock
from apis.runtime.limits import Limit, Limiter, Verdict
from apis.runtime.permits import Permits

POLICY = "limits"
LEASE_S = 300.0
"""A permit of a gateway that died comes free after so long."""
BUSY = Verdict(allowed=False, remaining=0, retry_after=1, reset=1)
"""All permits are in use; nobody knows when one comes free."""


class Counted(NamedTuple):
    """One limit of a call: its name as it leaves, after whose name it is counted, its place."""

    name: str
    field: bytes
    key: str
    limit: Limit
    rule: str


class Limits(NamedTuple):
    """All limits of a call, in one `RateLimit-Policy`."""

    rule: str
    allowed: Decision
    field: bytes
    each: tuple[Counted, ...]
    permits: Permits | None


class Counting:
    """Counts the calls that one policy admits."""

    def __init__(
        self, policy: Policy, limiter: Limiter, permits: Callable[[int], Permits], clock: Clock
    ) -> None:
        self._limiter = limiter
        self._clock = clock
        self._plans = {
            name: _limits(policy, name, permits(plan.concurrency) if plan.concurrency else None)
            for name, plan in policy.gateway.plans.items()
        }
        self._own = {
            (plan, route.target, route.operation): _with_own(limits, policy, plan, route)
            for plan, limits in self._plans.items()
            for mount in policy.mounts.values()
            for _, route in mount.routes
            if route.limits
        }

    async def counted(
        self, route: Route, client: str, plan: str, exchange: Exchange
    ) -> Refusal | None:
        """Count a call, or say which limits are used up; then nothing is counted."""
        if route.limits:
            limits = self._own[plan, route.target, route.operation]
        else:
            limits = self._plans[plan]
        exchange.more.append((b"ratelimit-policy", limits.field))
        if limits.permits is not None and not await self._held(limits.permits, client, exchange):
            return _refused([(_concurrency(limits.rule), BUSY)], route, exchange)
        limiter, now = self._limiter, self._clock.timestamp()
        exchange.at = now
        told: list[bytes] = []
        over: list[tuple[Counted, Verdict]] = []
        taken: list[tuple[str, Limit, Verdict]] = []
        for each in limits.each:
            key, limit = client + each.key, each.limit
            verdict = limiter.take_now(key, limit, now) or await limiter.take(key, limit, now)
            if verdict.allowed:
                told.append(b"%b;r=%d;t=%d" % (each.field, verdict.remaining, ceil(verdict.reset)))
                taken.append((key, limit, verdict))
            else:
                over.append((each, verdict))
        if over:
            for key, limit, verdict in taken:
                limiter.give_back(key, limit, now, verdict)
            await exchange.let_go()
            return _refused(over, route, exchange)
        exchange.decisions.append(limits.allowed)
        if told:  # a plan of concurrency alone has no count to tell
            exchange.limits = b", ".join(told)
            exchange.more.append((b"ratelimit", exchange.limits))
        return None

    async def _held(self, permits: Permits, client: str, exchange: Exchange) -> bool:
        """Take a permit; False when all are in use."""
        slot = permits.hold(f"calls:{client}", LEASE_S, 0)
        try:
            await slot.__aenter__()
        except TimeoutError:
            return False
        exchange.held = slot
        return True


def _refused(
    over: list[tuple[Counted, Verdict]], route: Route, exchange: Exchange
) -> Refusal | None:
    """The answer to a call that is too many for these limits; none where they are observed."""
    outcome: Outcome = "observed" if route.modes.limits == "observe" else "refused"
    told: list[bytes] = []
    longest = 1
    for each, verdict in over:
        wait = max(1, ceil(verdict.retry_after))
        longest = max(longest, wait)
        left = max(0, verdict.remaining)  # less than none where a quota was made smaller
        told.append(b"%b;r=%d;t=%d" % (each.field, left, wait))
        exchange.decide(POLICY, each.rule, outcome)
    exchange.limits = b", ".join(told)
    exchange.more.append((b"ratelimit", exchange.limits))
    if outcome == "observed":
        return None
    names = tuple(each.name for each, _ in over)
    return Refusal(
        "reduced-capacity" if all(verdict.reduced for _, verdict in over) else "rate-limited",
        f"Used up: {', '.join(names)}. Try again in {longest} s.",
        ((b"retry-after", b"%d" % longest),),
        violated=names,
    )


def _limits(policy: Policy, plan: str, permits: Permits | None, *own: Counted) -> Limits:
    """The limits of a plan, after those of an operation."""
    rule, most = f"plans.{plan}", policy.gateway.plans[plan].concurrency
    each = (*own, *(_counted(window, ":") for window in policy.limits[plan]))
    fields = [b"%b;q=%d;w=%d" % (one.field, one.limit.tokens, one.limit.window) for one in each]
    if most:
        fields.append(b'"concurrency";q=%d;qu="concurrent-requests"' % most)
    return Limits(rule, (POLICY, rule, "allowed"), b", ".join(fields), each, permits)


def _with_own(limits: Limits, policy: Policy, plan: str, route: Route) -> Limits:
    """A plan's limits after an operation's own; what is lost with Redis is the plan's to say."""
    loss = policy.gateway.plans[plan].on_store_loss
    own = tuple(
        _counted(
            window._replace(limit=msgspec.structs.replace(window.limit, on_store_loss=loss)),
            counted_at(route.target),
        )
        for window in route.limits
    )
    return _limits(policy, plan, limits.permits, *own)


def _counted(window: Window, before: str) -> Counted:
    field = b'"%b"' % window.name.encode()
    return Counted(window.name, field, before + window.name, window.limit, window.rule)


def _concurrency(rule: str) -> Counted:
    return _counted(Window(CONCURRENCY, Limit(1, 1, 1), f"{rule}.{CONCURRENCY}"), "")
