"""What may be asked of a connection now: maintenance window, breaker, rate, quota, permits."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from apis.runtime.clock import Clock
from apis.runtime.limits import Limit, Limiter, parse_limit
from apis.runtime.metadata import Connection
from apis.runtime.permits import Permits
from apis.runtime.windows import maintenance_until
from contracts.errors import Throttled, ThroughlineError, Transient, Unavailable

OPENS_AFTER = 5
FIRST_S = 1.0
PROBE_S = 30.0
THROTTLED_S = 60.0
JITTER_S = 30.0
PERMIT_MARGIN_S = 20.0


class Pauses:
    """Pauses that double while a failure goes on; what fails during one shares it."""

    def __init__(self, most: float) -> None:
        self._most = most
        self._last = 0.0
        self._until = 0.0

    def next(self, now: float) -> float:
        """Seconds to wait from now."""
        if now >= self._until:
            self._last = min(self._most, 2 * self._last or FIRST_S)
            self._until = now + self._last
        return self._until - now

    def over(self) -> None:
        """It works again: the next pause is a first one."""
        self._last = self._until = 0.0


class Budget:
    """One per connection; its limiter and permits may be shared by all hosts through Redis."""

    def __init__(
        self, name: str, connection: Connection, limiter: Limiter, permits: Permits
    ) -> None:
        self._name = name
        self._connection = connection
        self._limiter = limiter
        self._permits = permits
        self._limits = limits_of(connection)
        self._failures = 0
        self._closed_until = 0.0
        self._pause_s = PROBE_S
        self._away = Pauses(PROBE_S)
        self._throttled = Pauses(THROTTLED_S)
        self.outcomes: Counter[str] = Counter()
        """Calls by what came of them, and those that were not made."""

    @property
    def is_open(self) -> bool:
        """Whether the breaker is open."""
        return self._failures >= OPENS_AFTER

    def check(self, clock: Clock) -> None:
        """Refuse inside a maintenance window and, but for one probe, while the breaker is open."""
        if until := maintenance_until(self._connection, clock.now()):
            self.outcomes["maintenance"] += 1
            wait = (until - clock.now()).total_seconds()
            raise Unavailable(
                self._code("MAINTENANCE_WINDOW"),
                f"{self._name} is in its maintenance window until {until:%Y-%m-%d %H:%M} UTC",
                retry_after=wait + jitter(JITTER_S),
                source=self._name,
            )
        now = clock.timestamp()
        if self._failures < OPENS_AFTER:
            return
        if now < self._closed_until:
            self.outcomes["breaker-open"] += 1
            raise Unavailable(
                self._code("BREAKER_OPEN"),
                f"{self._name} does not work now: one call in {self._pause_s:.0f} s tries it",
                retry_after=self._closed_until - now + jitter(self._pause_s),
                source=self._name,
            )
        self._closed_until = now + PROBE_S  # this call is the probe

    def worked(self) -> None:
        """The connection answered: close the breaker."""
        self.outcomes["ok"] += 1
        self._recovered()

    def _recovered(self) -> None:
        self._failures = 0
        self._away.over()
        self._throttled.over()

    def failed(self, error: ThroughlineError, clock: Clock) -> None:
        """Count a failure of the connection; a refusal of one record is none.

        A vendor that says it is away opens the breaker at once: for a moment, then ever longer.
        """
        now = clock.timestamp()
        self.outcomes[type(error).__name__.lower()] += 1
        if isinstance(error, Throttled):
            self._failures = 0
            self._away.over()
            if error.retry_after is None:
                error.retry_after = self._throttled.next(now)
        elif isinstance(error, Unavailable):
            self._failures = OPENS_AFTER
            self._open(now, min(PROBE_S, error.retry_after or self._away.next(now)))
            if error.retry_after is None:
                error.retry_after = self._pause_s + jitter(self._pause_s)
        elif isinstance(error, Transient):
            self._failures += 1
            if self._failures >= OPENS_AFTER:
                self._open(now, PROBE_S)
        else:
            self._recovered()

    def _open(self, now: float, pause_s: float) -> None:
        self._pause_s = pause_s
        self._closed_until = now + pause_s

    @asynccontextmanager
    async def permit(self, clock: Clock, patience: float) -> AsyncIterator[None]:
        """One of the connection's slots and one of its calls; Throttled when none is free."""
        lease_s = self._connection.deadline_s + PERMIT_MARGIN_S
        async with AsyncExitStack() as held:
            try:
                slot = self._permits.hold(self._name, lease_s, max(0.0, patience))
                await held.enter_async_context(slot)
            except TimeoutError as error:
                told = f"all slots of {self._name} are in use"
                raise Throttled(self._code("NO_SLOT"), told, retry_after=1.0) from error
            for limit in self._limits:
                key = f"vendor:{self._name}:{'quota' if limit.quota else 'rate'}"
                verdict = await self._limiter.take(key, limit, clock.timestamp())
                if not verdict.allowed:
                    raise Throttled(
                        self._code("BUDGET_SPENT"),
                        f"our own budget for {self._name} is spent",
                        retry_after=verdict.retry_after,
                    )
            yield

    def _code(self, reason: str) -> str:
        return f"{self._connection.vendor}.{reason}"


def limits_of(connection: Connection) -> list[Limit]:
    """The rate and the daily quota that metadata allows us."""
    budgets = connection.budgets
    limits = [parse_limit(budgets.rate)] if budgets.rate else []
    if budgets.daily:
        limits.append(parse_limit(f"{budgets.daily}/day", quota=True))
    return limits


def jitter(pause_s: float) -> float:
    """Some seconds more, at most the pause again, so that not everybody comes back at once."""
    return random.uniform(0, min(JITTER_S, pause_s))  # noqa: S311 - no secret
