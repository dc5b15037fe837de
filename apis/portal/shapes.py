"""JSON Schemas as people read them; a `$ref` is followed, never for ever."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from apis.portal.changelog import inline
from apis.portal.markup import Child, Html, a, e, joined

Schema = dict[str, Any]
DEPTH = 2
"""How many levels are shown where they are used; deeper ones are links."""
MOST_TOGETHER = 8
"""How deep `allOf` is followed."""
BOUNDS = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "over {}",
    "exclusiveMaximum": "under {}",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "multipleOf": "a multiple of {}",
}
WORDS = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
}


def named_schema(schema: Schema) -> str:
    """The name of the schema that a `$ref` leads to."""
    return str(schema.get("$ref", "")).rpartition("/")[2]


def followed(schema: Any, document: Schema, deep: int = MOST_TOGETHER) -> Schema:
    """The schema itself, or the one its `$ref` leads to, with what stands beside it."""
    seen: set[str] = set()
    while isinstance(schema, dict) and "$ref" in schema and schema["$ref"] not in seen:
        seen.add(schema["$ref"])
        beside = {name: held for name, held in schema.items() if name != "$ref"}
        at: Any = document
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            part = part.replace("~1", "/").replace("~0", "~")  # noqa: PLW2901 - RFC 6901
            at = at.get(part, {}) if isinstance(at, dict) else {}
        schema = at | beside if isinstance(at, dict) else {}
    own = schema if isinstance(schema, dict) and "$ref" not in schema else {}
    return _together(own, document, deep) if own.get("allOf") and deep else own


def _together(own: Schema, document: Schema, deep: int) -> Schema:
    """One schema of all those that must hold at once."""
    whole = {name: held for name, held in own.items() if name != "allOf"}
    for each in own["allOf"]:
        part = followed(each, document, deep - 1)
        properties = part.get("properties", {}) | whole.get("properties", {})
        required = [*part.get("required", []), *whole.get("required", [])]
        whole = part | whole
        if properties:
            whole["properties"] = properties
        if required:
            whole["required"] = required
    return whole


def choices(schema: Schema) -> list[Schema]:
    """What a value may be, one of several; without null."""
    several = schema.get("anyOf") or schema.get("oneOf") or []
    return [each for each in several if isinstance(each, dict) and each.get("type") != "null"]


def sent(schema: Schema) -> Schema:
    """The schema of a parameter as a caller fills it in: whoever has no value leaves it out."""
    held = dict(schema)
    if isinstance(held.get("type"), list):
        held["type"] = [each for each in held["type"] if each != "null"]
    if isinstance(held.get("enum"), list):
        held["enum"] = [each for each in held["enum"] if each is not None]
    for several in ("anyOf", "oneOf"):
        if several in held and len(some := choices({several: held[several]})) < len(held[several]):
            del held[several]
            held |= some[0] if len(some) == 1 else {several: some}
    return held


def words(schema: Schema, document: Schema) -> Html:
    """What a value is, in a few words."""
    if named_schema(schema):
        return _named(schema)
    own = followed(schema, document)
    if several := own.get("anyOf") or own.get("oneOf"):
        told = [words(each, document) for each in several if isinstance(each, dict)]
        return joined([[Html(" or ") if n else None, each] for n, each in enumerate(told)])
    kinds = own.get("type") or ("a value" if "enum" in own or "const" in own else "any value")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    return joined(
        [[" or " if n else None, _kind(kind, own, document)] for n, kind in enumerate(kinds)]
    )


def _named(schema: Schema) -> Html:
    name = named_schema(schema)
    return a(f"#schema-{name}", name)


def _kind(kind: str, own: Schema, document: Schema) -> Child:
    if kind == "array":
        held = own.get("items")
        return ["list of ", words(held, document) if isinstance(held, dict) else "any value"]
    if kind == "object":
        extra = own.get("additionalProperties")
        if isinstance(extra, dict) and not own.get("properties"):
            return ["object, any names: ", words(extra, document)]
        return "object"
    told = WORDS.get(kind, kind)
    return f"{told} ({own['format']})" if own.get("format") and kind != "null" else told


def bounds(own: Schema) -> Iterator[Child]:
    """What else a value must keep to."""
    if "const" in own:
        yield ["always ", e("code", _plain(own["const"]))]
    if values := own.get("enum"):
        yield [
            "one of ",
            [[", " if n else None, e("code", _plain(v))] for n, v in enumerate(values)],
        ]
    for name, told in BOUNDS.items():
        if name in own:
            yield told.format(own[name])
    if "pattern" in own:
        yield ["as ", e("code", own["pattern"])]
    if "default" in own and own["default"] not in ({}, [], "", None):
        yield ["else ", e("code", _plain(own["default"]))]
    if own.get("deprecated"):
        yield e("strong", "deprecated")
    if roles := own.get("x-visible-to"):
        yield ["for ", ", ".join(map(str, roles)), " alone"]


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def members(schema: Schema, document: Schema, depth: int = DEPTH) -> Html | None:
    """The members of an object, or of what a list holds; None where it has none."""
    own = followed(schema, document)
    if own.get("type") == "array" and isinstance(own.get("items"), dict):
        return members(own["items"], document, depth)
    several = choices(own)
    if not own.get("properties") and several:
        told = [members(each, document, depth) for each in several]
        return joined(each for each in told if each) if any(told) else None
    if not own.get("properties"):
        extra = own.get("additionalProperties")
        return members(extra, document, depth) if isinstance(extra, dict) else None
    needed = set(own.get("required", ()))
    items = [
        _member(name, held, document, depth, needed=name in needed)
        for name, held in own["properties"].items()
        if isinstance(held, dict)
    ]
    return e("ul", items, class_="schema")


def _member(name: str, schema: Schema, document: Schema, depth: int, *, needed: bool) -> Html:
    own = followed(schema, document)
    only = choices(own)
    limits = [*bounds(own), *(each for one in only for each in bounds(followed(one, document)))]
    limits = limits if not named_schema(schema) else []
    inner = members(schema, document, depth - 1) if depth > 1 else None
    return e(
        "li",
        e("code", name), " ",
        e("span", words(schema, document), class_="type"),
        [" ", e("strong", "required")] if needed else None,
        [[", ", each] for each in limits],
        e("p", inline(str(own["description"]))) if own.get("description") else None,
        e("details", e("summary", "Members"), inner) if inner else None,
    )  # fmt: skip


def schema_sections(document: Schema) -> Html | None:
    """Every schema of a document by its name: where links to schemas lead."""
    schemas = document.get("components", {}).get("schemas", {})
    if not schemas:
        return None
    parts = []
    for name, schema in schemas.items():
        about = schema.get("description")
        inner = members(schema, document, 1)
        limits = [[", ", each] for each in bounds(schema)]
        parts.append(
            e(
                "section",
                e("h3", name),
                e("p", inline(str(about))) if about else None,
                inner or e("p", words(schema, document), limits),
                class_="operation",
                id=f"schema-{name}",
            )
        )
    return joined([e("h2", "Schemas", id="schemas"), parts])
