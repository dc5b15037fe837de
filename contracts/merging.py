"""A schema in one: what it refers to, its parts and what it says itself must all hold."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from contracts.changes import Direction, Document, target

UPPER = {
    "maxLength": "max-length", "maxItems": "max-items", "maxProperties": "max-properties",
    "maxContains": "max-contains", "maximum": "max", "exclusiveMaximum": "exclusive-max",
}  # fmt: skip
LOWER = {
    "minLength": "min-length", "minItems": "min-items", "minProperties": "min-properties",
    "minContains": "min-contains", "minimum": "min", "exclusiveMinimum": "exclusive-min",
}  # fmt: skip
NUMERIC = frozenset({"integer", "number"})
NUMBERS = frozenset({*UPPER, *LOWER, "multipleOf"})
LISTS = frozenset({"required", "enum", "allOf", "anyOf", "oneOf", "prefixItems"})
TEXTS = frozenset({"$ref", "pattern", "format"})
OBJECTS = frozenset(
    {"properties", "patternProperties", "dependentSchemas", "dependentRequired", "$defs"}
)
KINDS = (
    (NUMBERS, (int, float), "a number"), (LISTS, (list,), "a list"),
    (TEXTS, (str,), "a text"), (OBJECTS, (dict,), "an object"),
)  # fmt: skip
GROUPS = (
    ("if", "then", "else"), ("contains", "minContains", "maxContains"), ("anyOf",), ("oneOf",),
    ("pattern",), ("format",), ("multipleOf",),
)  # fmt: skip
"""Words that mean something together alone, or cannot be one: a second set of them stays apart."""


def whole(document: Document, node: Any, pointer: str) -> tuple[Document, str]:
    """A schema in one, and where what it is called by stands; what cannot be joined is `allOf`."""
    parts: dict[str, Document] = {}
    place = _part(document, node, pointer, parts, ())
    told: Document = {}
    for part in parts.values():
        told = both(told, part) if told else part
    return told, place


def _part(
    document: Document, node: Any, pointer: str, parts: dict[str, Document], way: tuple[str, ...]
) -> str:
    """Lay out what must hold, each once: what is referred to first, what is said beside it last."""
    told = checked({} if node is None else as_object(node), pointer)
    place = pointer
    if (reference := told.get("$ref")) is not None:
        if reference in way:
            msg = f"{pointer} refers to itself"
            raise ValueError(msg)
        found, stands = target(document, reference, pointer)
        place = _part(document, found, stands, parts, (*way, reference))
    for index, part in enumerate(told.get("allOf", ())):
        _part(document, part, f"{pointer}/allOf/{index}", parts, way)
    rest = {name: value for name, value in told.items() if name not in {"$ref", "allOf"}}
    if "const" in rest:
        rest["enum"] = common(rest.get("enum", [rest["const"]]), [rest.pop("const")])
    if rest:
        parts.setdefault(exact(rest), rest)
    return place


def as_object(node: Any) -> Any:
    """A schema that takes everything or nothing as one that says so."""
    return {} if node is True else {"not": {}} if node is False else node


def checked(schema: Any, pointer: str) -> Document:
    """A schema whose words hold what such words hold, as far as it is read here."""
    if not isinstance(schema, dict):
        msg = f"{pointer}: a schema is expected"
        raise ValueError(msg)  # noqa: TRY004 - what was read is wrong, not the code
    for name, value in schema.items():
        for words, kinds, told in KINDS:
            if name in words and (not isinstance(value, kinds) or isinstance(value, bool)):
                msg = f"{pointer}/{name}: {told} is expected"
                raise ValueError(msg)
    return schema


def both(one: Document, other: Document) -> Document:
    """What holds where both hold; of what is only told to people, the later."""
    made = {**one, **other}
    for word in one.keys() & other.keys() & JOINED.keys():
        made[word] = JOINED[word](one[word], other[word])
    names = {**one.get("properties", {}), **other.get("properties", {})}
    if names:
        made["properties"] = {
            name: joined(_member(one, name), _member(other, name)) for name in names
        }
    longest = max(len(each.get("prefixItems", ())) for each in (one, other))
    if longest:
        made["prefixItems"] = [joined(entry(one, n), entry(other, n)) for n in range(longest)]
    apart = [*one.get("allOf", ()), *other.get("allOf", ())]
    for group in GROUPS:
        first, second = (
            {word: each[word] for word in group if word in each} for each in (one, other)
        )
        if first and second and exact(first) != exact(second):
            kept, more = sorted((first, second), key=exact)
            made = {word: value for word, value in made.items() if word not in group} | kept
            apart.append(more)
    return {**made, "allOf": distinct(apart)} if apart else made


def named(schema: Document, name: str) -> list[Any]:
    """What a schema says of a member by its name, or else by what its name is like."""
    if name in schema.get("properties", {}):
        return [schema["properties"][name]]
    return [told for like, told in schema.get("patternProperties", {}).items() if fits(like, name)]


def fits(pattern: str, name: str) -> bool:
    """Whether a pattern is found in a name; one that is not known here is not."""
    try:
        return re.search(pattern, name) is not None
    except re.error:  # JSON Schemas have the patterns of another language
        return False


def _member(schema: Document, name: str) -> Any:
    found = named(schema, name)
    return joined(*found) if found else schema.get("additionalProperties", True)


def visible(
    document: Document, schema: Document, direction: Direction
) -> dict[str, tuple[Any, Document]]:
    """The members that are sent in this direction: as written, and in one."""
    hidden = "readOnly" if direction == "request" else "writeOnly"
    found = {
        name: (told, whole(document, told, f"/properties/{name}")[0])
        for name, told in schema.get("properties", {}).items()
    }
    return {name: both for name, both in found.items() if not both[1].get(hidden)}


def rest_of(schema: Document) -> Any:
    """What members may be that nothing names."""
    return schema.get("additionalProperties", schema.get("unevaluatedProperties", True))


def takes_all(schema: Any) -> bool:
    """Whether a schema refuses nothing, as it is written."""
    return schema is True or schema == {}


def entry(schema: Document, index: int) -> Any:
    """What an entry of a list must be, by its place."""
    first: Sequence[Any] = schema.get("prefixItems", ())
    return first[index] if index < len(first) else schema.get("items", True)


def joined(*schemas: Any) -> Any:
    """One schema of several that must all hold."""
    found = distinct(each for each in schemas if each is not True and each != {})
    return {"allOf": found} if len(found) > 1 else found[0] if found else True


def distinct(values: Iterable[Any]) -> list[Any]:
    """Each once, in their order."""
    return list({exact(value): value for value in values}.values())


def common(one: Iterable[Any], other: Iterable[Any]) -> list[Any]:
    """What is in both, in the order of the first."""
    there = {exact(value) for value in other}
    return [value for value in one if exact(value) in there]


def without(values: list[Any], others: list[Any]) -> list[Any]:
    """Those that are not among the others."""
    there = {exact(each) for each in others}
    return [each for each in values if exact(each) not in there]


def exact(value: Any) -> str:
    """A value as a text that tells it from any other, as JSON does: true is not 1, and 1.0 is."""
    return json.dumps(_plain(value), sort_keys=True, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _types(one: Any, other: Any) -> list[str]:
    """The types that both know; a whole number is a number."""
    was, more = (set(each if isinstance(each, list) else [each]) for each in (one, other))
    found = was & more
    if {"integer", "number"} <= was | more and was & NUMERIC and more & NUMERIC:
        found.add("integer")
    return sorted(found)


def _by_name(join: Callable[..., Any]) -> Callable[[Document, Document], Document]:
    def joining(one: Document, other: Document) -> Document:
        shared = {name: join(one[name], other[name]) for name in one.keys() & other.keys()}
        return {**one, **other, **shared}

    return joining


def _all(one: Any, other: Any) -> Any:
    return distinct([*one, *other])


JOINED: dict[str, Callable[[Any, Any], Any]] = {
    "type": _types,
    "enum": common,
    "required": _all,
    "not": lambda one, other: {"anyOf": distinct([one, other])},
    "patternProperties": _by_name(joined),
    "dependentSchemas": _by_name(joined),
    "dependentRequired": _by_name(_all),
    **dict.fromkeys(("additionalProperties", "unevaluatedProperties", "propertyNames"), joined),
    **dict.fromkeys(("items", "unevaluatedItems"), joined),
    **dict.fromkeys(("uniqueItems", "readOnly", "writeOnly"), lambda one, other: one or other),
    **dict.fromkeys(UPPER, min),
    **dict.fromkeys(LOWER, max),
}
