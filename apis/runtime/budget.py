"""What may be asked of a connection now: maintenance window, breaker, rate, quota, permits."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from apis.runtime.clock import Clock
from apis.runtime.limits import Limit, Limiter, Permits, parse_limit
from apis.runtime.metadata import Connection, maintenance_until
from contracts.errors import Throttled, ThroughlineError, Transient, Unavailable

OPENS_AFTER = 5
PROBE_S = 30.0
JITTER_S = 30.0
PERMIT_MARGIN_S = 20.0


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

    def check(self, clock: Clock) -> None:
        """Refuse inside a maintenance window and, but for one probe, while the breaker is open."""
        if until := maintenance_until(self._connection, clock.now()):
            wait = (until - clock.now()).total_seconds()
            raise Unavailable(
                self._code("MAINTENANCE_WINDOW"),
                f"{self._name} is in its maintenance window until {until:%Y-%m-%d %H:%M} UTC",
                retry_after=wait + jitter(),
                source=self._name,
            )
        now = clock.timestamp()
        if self._failures < OPENS_AFTER:
            return
        if now < self._closed_until:
            raise Unavailable(
                self._code("BREAKER_OPEN"),
                f"{self._name} does not work now: one call in {PROBE_S:.0f} s tries it",
                retry_after=self._closed_until - now + jitter(),
                source=self._name,
            )
        self._closed_until = now + PROBE_S  # this call is the probe

    def worked(self) -> None:
        """The connection answered: close the breaker."""
        self._failures = 0

    def failed(self, error: ThroughlineError, clock: Clock) -> None:
        """Count a failure of the connection; a refusal of one record is none.

        A vendor that says it is away opens the breaker at once.
        """
        if isinstance(error, Unavailable):
            self._failures = OPENS_AFTER
        elif isinstance(error, Throttled) or not isinstance(error, Transient):
            self.worked()
            return
        else:
            self._failures += 1
        if self._failures >= OPENS_AFTER:
            self._closed_until = clock.timestamp() + PROBE_S
        if isinstance(error, Unavailable) and error.retry_after is None:
            error.retry_after = PROBE_S + jitter()

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


def jitter() -> float:
    """Some seconds, so that not everybody comes back at once."""
    return random.uniform(0, JITTER_S)  # noqa: S311 - no secret
