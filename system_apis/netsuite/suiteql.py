"""SuiteQL: literals written so that no value can become a part of the query."""

from __future__ import annotations

import re

CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def suiteql(query: str, *values: str) -> str:
    """The query with each `{}` filled by a value as a literal: there are no bound parameters."""
    return query.format(*map(literal, values))


def literal(value: str) -> str:
    """A text as SuiteQL writes it: quotes doubled; a backslash means nothing."""
    return "'" + CONTROL.sub(" ", value).replace("'", "''") + "'"
