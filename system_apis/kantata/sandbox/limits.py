"""How often a route may be called: a bucket per named operation, off unless settings say so."""

from __future__ import annotations

from fnmatch import fnmatchcase

from apis.runtime.sandbox import Kit
from system_apis.kantata.sandbox.errors import system

SECONDS = {"s": 1, "min": 60, "h": 3600}


class Limits:
    """`{"rate_limits": {"workspaces.*": "10/min"}}`: beyond it 429, and no header says how long."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self._taken: dict[str, list[float]] = {}

    def clear(self) -> None:
        """Nothing used."""
        self._taken.clear()

    def count(self, operation: str) -> None:
        """One more call of an operation, or Refused."""
        now = self.kit.clock.timestamp()
        for pattern, rate in dict(self.kit.settings.get("rate_limits") or {}).items():
            if fnmatchcase(operation, pattern):
                most, _, unit = str(rate).partition("/")
                since = now - SECONDS[unit]
                taken = [at for at in self._taken.get(pattern, ()) if since < at <= now]
                if len(taken) >= int(most):
                    raise system(429, "Too many requests")
                self._taken[pattern] = [*taken, now]
