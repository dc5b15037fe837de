"""Values between JSON, where they are typed, and the database, where queries find them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any

from system_apis.netsuite.sandbox.schema import Field

DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
Row = dict[str, Any]


class Unfit(ValueError):
    """A value that a field does not take."""


def stored(field: Field, value: Any) -> Any:
    """A JSON value as its column keeps it; Unfit if the field does not take it."""
    if value is None:
        return None
    match field.type:
        case "boolean" if isinstance(value, bool):
            return "T" if value else "F"
        case "number" if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        case "date" if isinstance(value, str) and DAY.fullmatch(value):
            return date.fromisoformat(value).isoformat()
        case "enum" if (known := reference(value)) in field.values:
            return known
        case "text" if isinstance(value, str) and (not field.length or len(value) <= field.length):
            return value or None  # no text is null, as in Oracle
    raise Unfit


def reference(value: Any) -> str | None:
    """The id in `{"id": "7"}`, however it is written."""
    given = value.get("id") if isinstance(value, dict) else None
    return str(given) if isinstance(given, str | int) and not isinstance(given, bool) else None


def plain(field: Field, value: Any) -> Any:
    """A column as the record API shows a value that is no reference."""
    match field.type:
        case "boolean":
            return value == "T"
        case "enum":
            return {"id": value, "refName": field.values[value]}
        case "id":
            return str(value)
    return value


def listed(kind: str, value: Any) -> str:
    """A column as SuiteQL shows it: everything is text, days are as the account writes them."""
    if kind in {"date", "datetime"} and isinstance(value, str):
        day = date.fromisoformat(value[:10])
        return f"{day.month}/{day.day}/{day.year}"
    if isinstance(value, float):
        return format(value, ".15g")
    return str(value)


def stamp(at: datetime) -> str:
    """A moment as the record API shows it."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
