"""When a connection is down for maintenance, by its calendar."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from apis.runtime.metadata import WEEKDAYS, Connection


def maintenance_until(connection: Connection, now: datetime) -> datetime | None:
    """The end of the maintenance window that is open now, or None."""
    ends = [
        window.until for window in connection.windows.once if window.start <= now < window.until
    ]
    for weekly in connection.windows.weekly:
        zone = ZoneInfo(weekly.zone)
        today = now.astimezone(zone).date()
        for back in (0, 1):
            day = today - timedelta(days=back)
            start = datetime.combine(day, time.fromisoformat(weekly.start), zone)
            end = datetime.combine(day, time.fromisoformat(weekly.until), zone)
            end = end if end > start else end + timedelta(days=1)
            if WEEKDAYS[day.weekday()] == weekly.day and start <= now < end:
                ends.append(end.astimezone(UTC))
    return max(ends, default=None)
