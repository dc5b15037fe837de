"""Values that fit a JSON Schema, for examples and forms."""

from __future__ import annotations

import re
from math import ceil
from typing import Any

from apis.portal.shapes import Schema, choices, followed

SAMPLES = {
    "date-time": "2026-01-31T09:30:00Z", "date": "2026-01-31", "time": "09:30:00",
    "uuid": "6f1c1f7e-2f0b-4c6e-9a55-0c8f2f1f6a01", "email": "person@example.com",
    "uri": "https://example.com/", "decimal": "1234.50",
}  # fmt: skip
NAMED = {
    "currency": "EUR", "country": "DE", "amount": "1234.50", "entity": "DE", "email":
    "person@example.com", "name": "Example", "system": "crm", "connection": "crm",
    "external_id": "0065e00000ABCDE", "code": "example", "state": "open",
}  # fmt: skip
TRIED = (
    "example", "1234.50", "1234.5", "0.25", "12", "EUR", "DE", "2026-01-31", "P1D", "a", "A1",
    "AB", "person@example.com", "https://example.com/", "123456",
)  # fmt: skip
EMPTY: tuple[Any, ...] = (None, "", [], {})
"""What says nothing as an example."""
MOST_NESTED = 6


class Examples:
    """Values that fit the schemas of a document; `whole`: also members that may be left out."""

    def __init__(self, document: Schema, *, whole: bool) -> None:
        self._document = document
        self._whole = whole

    def of(self, schema: Schema, name: str = "", seen: tuple[str, ...] = ()) -> Any:
        """One value; where a schema leads back to itself, the shortest that fits."""
        if "$ref" in schema:
            seen = (*seen, schema["$ref"])
        own = followed(schema, self._document)
        for said in ("example", "const", "default"):
            if own.get(said) not in EMPTY:
                return own[said]
        if own.get("examples"):
            return own["examples"][0]
        if own.get("enum"):
            return own["enum"][0]
        if several := choices(own):
            fitting = [each for each in several if each.get("$ref") not in seen]
            return self.of(fitting[0], name, seen) if fitting else None
        kinds = own.get("type", "object" if "properties" in own else None)
        kind = next((k for k in kinds if k != "null"), "null") if isinstance(kinds, list) else kinds
        return self._of_kind(kind, own, name, seen)

    def _of_kind(self, kind: str | None, own: Schema, name: str, seen: tuple[str, ...]) -> Any:
        if kind == "object":
            return self._object(own, seen)
        if kind == "array":
            held = own.get("items")
            deep = not isinstance(held, dict) or held.get("$ref") in seen
            few = max(int(own.get("minItems", 0)), 0 if deep else 1)
            return [self.of(held, name, seen) for _ in range(few)] if isinstance(held, dict) else []
        if kind == "string":
            return text_of(own, name)
        if kind in {"integer", "number"}:
            return number_of(own)
        return {"boolean": False, "null": None}.get(kind or "null", "any value")

    def _object(self, own: Schema, seen: tuple[str, ...]) -> dict[str, Any]:
        needed = set(own.get("required", ()))
        made = {}
        for name, schema in own.get("properties", {}).items():
            held = schema if isinstance(schema, dict) else {}  # `true` is any value
            again = _leads_to(held) & set(seen)
            if name in needed or (self._whole and not again and len(seen) < MOST_NESTED):
                made[name] = self.of(held, name, seen)
        extra = own.get("additionalProperties")
        if not made and isinstance(extra, dict) and own.get("minProperties"):
            made["name"] = self.of(extra, "name", seen)
        return made


def number_of(own: Schema) -> float:
    """A number that fits: one, or the least that may be."""
    least = own.get("minimum", own.get("exclusiveMinimum", 0) + ("exclusiveMinimum" in own))
    most: Any = own.get("maximum", own.get("exclusiveMaximum", 1))
    step = own.get("multipleOf", 1 if own.get("type") == "integer" else None)
    number: float = max(least, min(most, 1))
    return step * ceil(number / step) if step else number


def text_of(own: Schema, name: str) -> str:
    """A text that fits: by its format, its name, or the first that its pattern and length take."""
    pattern = re.compile(str(own.get("pattern", "")))
    least, most = int(own.get("minLength", 0)), int(own.get("maxLength", 10_000))
    usual = [SAMPLES.get(str(own.get("format"))), NAMED.get(name), *TRIED]
    for text in filter(None, usual):
        if pattern.search(text) and least <= len(text) <= most:
            return text
    return "x" * max(least, 1)


def _leads_to(schema: Schema) -> set[str]:
    inner = [schema, *choices(schema), schema.get("items") or {}]
    return {str(each["$ref"]) for each in inner if isinstance(each, dict) and "$ref" in each}
