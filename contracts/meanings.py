"""What a part of a document means: references followed, without what only people are told."""

from __future__ import annotations

from typing import Any

from contracts.changes import Document, target
from contracts.merging import exact

TOLD = frozenset(
    {"title", "summary", "description", "example", "examples", "externalDocs", "tags", "$comment"}
)
NAMED = frozenset({
    "properties", "patternProperties", "dependentSchemas", "content", "encoding", "headers",
    "responses", "callbacks",
})  # fmt: skip
"""Words whose members are called as somebody liked."""
VALUES = frozenset({"const", "default", "dependentRequired", "mapping"})
CHOICES = frozenset({"required", "enum", "type"})
UNORDERED = frozenset({"anyOf", "oneOf", "allOf", "parameters"})


def meaning(document: Document, node: Any) -> Any:
    """A part of a document in one form, whatever it was called and in whatever order it stood."""
    return _meaning(document, node, {})


def alike(one: tuple[Document, Any], other: tuple[Document, Any]) -> bool:
    """Whether parts of two documents mean the same."""
    return exact(meaning(*one)) == exact(meaning(*other))


def _meaning(document: Document, node: Any, known: dict[str, int] | None) -> Any:
    """A reference is followed once and then is its number; without any known, it is its name."""
    if isinstance(node, list):
        return [_meaning(document, each, known) for each in node]
    if not isinstance(node, dict):
        return node
    made: dict[str, Any] = {}
    for name in sorted(node.keys() - {"$ref", "$defs", "deprecated"} - TOLD, key=str):
        value = node[name]
        if str(name).startswith("x-"):
            continue
        if name in VALUES:
            made[name] = value
        elif name in CHOICES and isinstance(value, list):
            made[name] = sorted(value, key=exact)
        elif name in NAMED and isinstance(value, dict):
            made[name] = {
                each: _meaning(document, value[each], known) for each in sorted(value, key=str)
            }
        elif name in UNORDERED and isinstance(value, list):
            order = sorted(value, key=lambda each: exact(_meaning(document, each, None)))
            made[name] = _meaning(document, order, known)
        else:
            made[name] = _meaning(document, value, known)
    if not isinstance(reference := node.get("$ref"), str):
        return made
    led = _led(document, reference, known)
    return {"allOf": [led, made]} if made else led


def _led(document: Document, reference: str, known: dict[str, int] | None) -> Any:
    if known is None:
        return {"$ref": reference}
    if reference in known:
        return {"$ref": known[reference]}
    known[reference] = len(known)
    return _meaning(document, target(document, reference, "")[0], known)
