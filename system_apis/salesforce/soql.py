"""Queries: literals written so that no value can become a part of the query."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

ESCAPES = str.maketrans(
    {"\\": r"\\", "'": r"\'", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"}
    | {"\b": r"\b", "\f": r"\f"}
)
CHILDREN = re.compile(r"\(SELECT (.*) (FROM .*)\)")


def select(names: str, source: str, rest: str, *values: Any) -> str:
    """The query for these columns of an object, its conditions filled as by `soql`."""
    return f"SELECT {names} FROM {source} {soql(rest, *values)}"  # noqa: S608 - names are metadata


def soql(query: str, *values: Any) -> str:
    """The query with each `{}` filled by a value as a literal."""
    return query.format(*map(literal, values))


def literal(value: Any) -> str:
    """A value as SOQL writes it; a moment in whole seconds, rounded down."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int | Decimal):
        return format(value, "f") if isinstance(value, Decimal) else str(value)
    if isinstance(value, str):
        return f"'{value.translate(ESCAPES)}'"
    if isinstance(value, list | tuple):
        return f"({', '.join(map(literal, value))})"
    msg = f"a {type(value).__name__} has no SOQL literal"
    raise TypeError(msg)


def columns(paths: Iterable[str]) -> str:
    """Each path once; queries of the same children become one with the columns of all."""
    plain: dict[str, None] = {}
    children: dict[str, dict[str, None]] = {}
    for path in paths:
        if found := CHILDREN.fullmatch(path):
            children.setdefault(found[2], {}).update(dict.fromkeys(found[1].split(", ")))
        else:
            plain[path] = None
    inner = (f"(SELECT {', '.join(names)} {rest})" for rest, names in children.items())
    return ", ".join([*plain, *inner])
