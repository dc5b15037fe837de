"""What every published schema says of numbers, texts, lists and choices that nobody said closer."""

from __future__ import annotations

from typing import Any

MOST_TEXT = 131_072
"""Letters of a text: what the longest text field of a vendor holds."""
MOST_ENTRIES = 10_000
"""Entries of a list in one body."""
MOST_DIGITS = 64
"""Letters of a decimal number."""
FORMATS = {"integer": "int64", "number": "double"}
SHORT = frozenset({"date", "date-time", "time", "duration", "uuid"})
"""Formats that are no longer than they must be."""
CLOSED = frozenset({"maxLength", "enum", "const", "pattern"})


_VALUES = frozenset({"default", "examples", "example", "enum", "const", "required"})
_NAMED = frozenset({"properties", "$defs", "schemas"})


def bounded(node: Any, *, text: int = MOST_TEXT, extensible: bool = True) -> Any:
    """The same schemas with their bounds; `extensible`: more values of a choice may come."""

    def inner(value: Any) -> Any:
        return bounded(value, text=text, extensible=extensible)

    if isinstance(node, list):
        return [inner(each) for each in node]
    if not isinstance(node, dict):
        return node
    made: dict[str, Any] = {}
    for name, value in node.items():
        if name in _NAMED and isinstance(value, dict):
            made[name] = {each: inner(schema) for each, schema in value.items()}
        else:
            made[name] = value if name in _VALUES else inner(value)
    made |= _bounds(node, text)
    if isinstance(node.get("enum"), list) and len(node["enum"]) > 1:
        made.setdefault("x-extensible", extensible)
    return made


def _bounds(node: dict[str, Any], text: int) -> dict[str, Any]:
    told = node.get("type")
    kinds = told if isinstance(told, list) else [told] if isinstance(told, str) else []
    found: dict[str, Any] = {}
    if "string" in kinds and not CLOSED & node.keys() and node.get("format") not in SHORT:
        found["maxLength"] = MOST_DIGITS if node.get("format") == "decimal" else text
    if "array" in kinds and not {"maxItems", "prefixItems"} & node.keys():
        found["maxItems"] = MOST_ENTRIES
        if "items" not in node:
            found["items"] = {}
    for kind in kinds:
        if kind in FORMATS and not {"enum", "format"} & node.keys():
            found["format"] = FORMATS[kind]
    return found
