"""The org's API allowance: counted over 24 hours, told in a header, refused with 403."""

from __future__ import annotations

from typing import Any

from apis.runtime.sandbox import Kit
from system_apis.salesforce.sandbox.errors import Refused

DAILY_CALLS = 100_000
HOUR_S = 3600
HOURS = 24


class Usage:
    """Calls by the hour of the sandbox's clock; `daily_calls` in the settings narrows the limit."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self._by_hour: dict[int, int] = {}

    def clear(self) -> None:
        """Nothing used."""
        self._by_hour.clear()

    def count(self) -> None:
        """One more call, or Refused: no Retry-After tells when to come back."""
        if self.used() >= self.most():
            raise Refused("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", status=403)
        hour = int(self.kit.clock.timestamp()) // HOUR_S
        self._by_hour[hour] = self._by_hour.get(hour, 0) + 1

    def used(self) -> int:
        """Calls in the last 24 hours."""
        first = int(self.kit.clock.timestamp()) // HOUR_S - HOURS
        return sum(count for hour, count in self._by_hour.items() if hour > first)

    def most(self) -> int:
        """Calls allowed in 24 hours."""
        return int(self.kit.settings.get("daily_calls", DAILY_CALLS))

    def header(self) -> str:
        """`Sforce-Limit-Info`, with the app's own share if the settings give it one."""
        text = f"api-usage={self.used()}/{self.most()}"
        if share := self.kit.settings.get("app_calls"):
            text += f"; per-app-api-usage={self.used()}/{share}(appName=throughline)"
        return text

    def limits(self) -> dict[str, Any]:
        """What `/limits` answers, as far as an integration reads it."""
        left = max(0, self.most() - self.used())
        return {
            "DailyApiRequests": {"Max": self.most(), "Remaining": left},
            "DailyBulkV2QueryJobs": {"Max": 10000, "Remaining": 10000},
            "DailyStreamingApiEvents": {"Max": 200000, "Remaining": 200000},
            "DataStorageMB": {"Max": 10240, "Remaining": 10200},
            "FileStorageMB": {"Max": 20480, "Remaining": 20480},
        }
