"""Whom a changed policy would have affected: the recorded calls, asked again in their order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from heapq import heappop, heappush

import msgspec

from apis.gateway.compiled import Policy
from apis.gateway.decisions import Decided
from apis.gateway.policy import MODES, OWN_SCOPES, Client, Gateway, Modes
from apis.gateway.routes import Route
from apis.gateway.windows import CONCURRENCY, Window, counted_at
from apis.runtime.limits import Limit, MemoryLimiter

_ASKED_AGAIN = frozenset({"authorization", "limits"})
"""Policies whose refusals are decided anew; who was refused by another one is refused still."""
_OWN = {operation: scope for scope, ids in OWN_SCOPES.items() for operation in ids}


class Affected(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that went through and would have been refused, for one reason."""

    client: str
    api: str | None
    version: str | None
    operation: str
    calls: int
    would_be_refused: int
    why: str
    first: datetime
    last: datetime


class Impact(msgspec.Struct, frozen=True, kw_only=True):
    """What was looked at, and whom the changed policy would have affected."""

    calls: int
    clients: int
    since: datetime | None
    until: datetime | None
    affected: tuple[Affected, ...]


class _Seen(msgspec.Struct):
    first: float
    last: float
    count: int = 0


class Replay:
    """One changed policy and the calls of the past, in the order they came in.

    Both policies hold the registered clients that act under them.
    """

    def __init__(self, before: Policy, after: Policy, now: float) -> None:
        self._before = before
        self._after = after
        self._now = now
        self._routes = _routes(after)
        self._same = _limits(before) & _limits(after)
        self._limiter = MemoryLimiter()
        self._running: defaultdict[str, list[float]] = defaultdict(list)
        self._calls: defaultdict[tuple[str, str, str], int] = defaultdict(int)
        self._refused: dict[tuple[str, str, str, str], _Seen] = {}
        self._since = self._until = 0.0

    def ask(self, rows: Iterable[Decided]) -> None:
        """Decide these calls anew."""
        for row in rows:
            if row.client is None or row.operation is None:
                continue
            called = row.client, row.target or "", row.operation
            self._calls[called] += 1
            self._since, self._until = self._since or row.at, row.at
            why = self._why(row, row.client)
            if why is None or row.refused:
                continue
            seen = self._refused.setdefault((*called, why), _Seen(row.at, row.at))
            seen.last = row.at
            seen.count += 1

    def impact(self) -> Impact:
        """What came of it, those with the most refusals first."""
        most = sorted(self._refused.items(), key=lambda each: (-each[1].count, each[0]))
        return Impact(
            calls=sum(self._calls.values()),
            clients=len({client for client, _, _ in self._calls}),
            since=_moment(self._since) if self._since else None,
            until=_moment(self._until) if self._until else None,
            affected=tuple(
                Affected(
                    client=client,
                    api=target.rpartition("/")[0] or None,
                    version=target.rpartition("/")[2] or None,
                    operation=operation,
                    calls=self._calls[client, target, operation],
                    would_be_refused=seen.count,
                    why=why,
                    first=_moment(seen.first),
                    last=_moment(seen.last),
                )
                for (client, target, operation, why), seen in most
            ),
        )

    def _why(self, row: Decided, name: str) -> str | None:
        """Why the changed policy would refuse this call."""
        stopped = {policy for policy, _, outcome in row.decisions if outcome == "refused"}
        if stopped - _ASKED_AGAIN:
            return None
        client = _client(self._after.gateway, name, row)
        route = self._routes.get((row.target, row.operation))
        if client is None:
            gone = _client(self._before.gateway, name, row) is None
            return None if gone else "the client is removed"
        return self._gone(row, route) or self._refusing(row, name, client, route)

    def _refusing(self, row: Decided, name: str, client: Client, route: Route | None) -> str | None:
        """Which policy would refuse an operation that is served."""
        modes = route.modes if route else MODES
        scope = route.scope if route else _OWN[row.operation or ""]
        if modes.authorization == "enforce" and _lacks(row, client, scope):
            return f"authorization: the scope {scope} is needed"
        if modes.limits == "enforce" and (over := self._limited(row, name, client, route)):
            return f"limits: {over}"
        return _observed(row, modes)

    def _gone(self, row: Decided, route: Route | None) -> str | None:
        """Whether the operation is not served any more, and since when."""
        if route is None:
            gone = row.operation if row.target in self._after.mounts else row.target
            return None if row.operation in _OWN else f"{gone} is not served any more"
        day = self._after.mounts[route.target].version.sunset
        if day is None or day >= _moment(self._now).date():
            return None
        return f"versions: retired after {day}"

    def _limited(self, row: Decided, name: str, client: Client, route: Route | None) -> str | None:
        """The limit that this call finds used up; every limit is taken, or none."""
        plan = self._after.gateway.plans[client.plan]
        stopped = {rule for policy, rule, said in row.decisions if (policy, said) == _LIMITED}
        if stopped & {rule for rule, _ in self._same}:
            return None  # refused then and now, by the same limit
        running = self._running[name]
        while running and running[0] <= row.at:
            heappop(running)
        if plan.concurrency and len(running) >= plan.concurrency:
            return f"plans.{client.plan}.{CONCURRENCY}: {plan.concurrency} at once"
        at = f"{name}{counted_at(row.target or '')}"
        own = [(at, each) for each in (route.limits if route else ())]
        usual = [(f"{name}:", each) for each in self._after.limits[client.plan]]
        if over := self._over(row, [*own, *usual]):
            return over
        heappush(running, row.at + row.ms / 1000)
        return None

    def _over(self, row: Decided, windows: list[tuple[str, Window]]) -> str | None:
        """The first of these that is used up; then nothing is taken of the others."""
        taken: list[tuple[str, Window]] = []
        for before, window in windows:
            if (window.rule, window.limit) in self._same:
                continue  # it said yes then
            key = f"{before}{window.name}"
            verdict = self._limiter.take_now(key, window.limit, row.at)
            if not verdict.allowed:
                for other, mine in taken:
                    self._limiter.give_back(other, mine.limit, row.at, verdict)
                return f"{window.rule}: {window.limit.tokens} in {window.limit.window:.0f} s"
            taken.append((key, window))
        return None


_LIMITED = "limits", "refused"
_GRANTED = "authorization", "allowed"


def _client(gateway: Gateway, name: str, row: Decided) -> Client | None:
    return gateway.clients.get(name) or _guest(gateway, row)


def _guest(gateway: Gateway, row: Decided) -> Client | None:
    """The client of a trusted issuer, as far as its call told: what it had been granted."""
    issuer = gateway.issuers.get((row.client or "").partition(":")[0])
    had = {rule for policy, rule, said in row.decisions if (policy, said) == _GRANTED}
    return Client(plan=issuer.plan, scopes=frozenset(had)) if issuer else None


def _lacks(row: Decided, client: Client, scope: str) -> bool:
    """Whether the token was without the scope, or could not have it any more."""
    without = {
        rule
        for policy, rule, outcome in row.decisions
        if policy == "authorization" and outcome != "allowed"
    }
    return scope in without or scope not in client.scopes


def _observed(row: Decided, modes: Modes) -> str | None:
    """What was only observed in a request or an answer, and is enforced now."""
    for policy, rule, outcome in row.decisions:
        enforced = policy not in _ASKED_AGAIN and getattr(modes, policy, None) == "enforce"
        if enforced and outcome == "observed":
            return f"{policy}: {rule}"
    return None


def _routes(policy: Policy) -> dict[tuple[str | None, str | None], Route]:
    return {
        (target, route.operation): route
        for target, mount in policy.mounts.items()
        for _, route in mount.routes
    }


def _limits(policy: Policy) -> set[tuple[str, Limit]]:
    """Every limit with its place."""
    own = {each for route in _routes(policy).values() for each in route.limits}
    all_ = own.union(*policy.limits.values())
    return {(each.rule, each.limit) for each in all_}


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC).replace(microsecond=0)
