"""The rules for every schema, of an API as of an event: names, forms, bounds, lists of values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from contracts.changes import Document, escaped
from contracts.lint import Look, Part, Told
from contracts.schema_changes import kinds_of, values_of

SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
FORMATS = {"integer": {"int32", "int64"}, "number": {"float", "double", "decimal"}}
BOUNDED = {"date", "date-time", "time", "duration", "uuid"}
"""Formats that are no longer than they must be."""
TIMES = (
    (re.compile(r"_at$|(^|_)(timestamp|date_?time)$"), ("date-time",)),
    (re.compile(r"_on$"), ("date",)),
    (re.compile(r"(^|_)date$"), ("date", "date-time")),
    (re.compile(r"(^|_)time$"), ("date-time", "time")),
)
"""Names of what is a moment, a day or a time of day, and how RFC 3339 calls it."""
CODE = re.compile(r"(^|_)(currency|country|language)(_code)?$")
CODES = {"currency": "^[A-Z]{3}$", "country": "^[A-Z]{2}$", "language": "^[a-z]{2}$"}
MONEY = re.compile(
    r"(^|_)(amount|price|fee|total|subtotal|net|gross|tax|cost|revenue|budget|balance|discount)$"
)


def examples_valid(look: Look) -> Iterator[Told]:
    """Every example is a value of the schema it stands in, or beside."""
    for schema, pointer, *_ in look.parts():
        for place, value in examples(schema):
            for fault in look.around.faults(look.document, pointer, value):
                yield f"{pointer}/{place}", fault
    for node, pointer in beside_schemas(look.document, ""):
        for place, value in examples(node):
            for fault in look.around.faults(look.document, f"{pointer}/schema", value):
                yield f"{pointer}/{place}", fault


def examples(node: Document) -> Iterator[tuple[str, Any]]:
    """The examples of a schema (a list), or of what has one (by name), and where each stands."""
    if "example" in node:
        yield "example", node["example"]
    listed = node.get("examples", ())
    if isinstance(listed, dict):
        for name, told in listed.items():
            if "value" in told:
                yield f"examples/{escaped(name)}/value", told["value"]
    else:
        yield from ((f"examples/{index}", each) for index, each in enumerate(listed))


def beside_schemas(node: Any, pointer: str) -> Iterator[tuple[Document, str]]:
    """Whatever has a schema: media types, parameters and headers."""
    if isinstance(node, dict):
        if isinstance(node.get("schema"), dict):
            yield node, pointer
        for name, value in node.items():
            if name != "schema":
                yield from beside_schemas(value, f"{pointer}/{escaped(name)}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from beside_schemas(value, f"{pointer}/{index}")


def field_names(look: Look) -> Iterator[Told]:
    """Fields and query parameters are snake_case."""
    for _, pointer, field, _ in look.parts():
        last = pointer.rpartition("/")[2]
        if field and last in {escaped(field), "schema"} and not SNAKE.fullmatch(field):
            yield pointer, f"{field} is not in snake_case"


def standard_times(look: Look) -> Iterator[Told]:
    """Moments (`_at`) and dates (`_on`) are as RFC 3339 writes them."""
    for part, told in scalars(look):
        forms = next((forms for name, forms in TIMES if name.search(part.field)), None)
        if forms and (kinds_of(told) != {"string"} or told.get("format") not in forms):
            yield part.pointer, f"{part.field} is no {' or '.join(forms)}"


def standard_codes(look: Look) -> Iterator[Told]:
    """Currencies, countries and languages are codes of ISO 4217, 3166 and 639."""
    for part, told in scalars(look):
        if (name := CODE.search(part.field)) and values_of(told) is None:
            pattern = CODES[name[2]]
            if told.get("pattern") != pattern:
                yield part.pointer, f"{part.field} is not told by its pattern {pattern}"


def money_exact(look: Look) -> Iterator[Told]:
    """An amount is a decimal string beside its currency, never a number."""
    for part, told in scalars(look):
        if not MONEY.search(part.field) or values_of(told) is not None:
            continue
        if kinds_of(told) & {"number", "integer"}:
            yield part.pointer, f"{part.field} is a number: it would be rounded, or counts in cents"
        elif told.get("format") != "decimal":
            yield part.pointer, f"{part.field} is any text, not a decimal"
        elif "currency" not in part.beside.get("properties", {}):
            yield part.pointer, f"{part.field} has no currency beside it"


def number_format(look: Look) -> Iterator[Told]:
    """How large a number may be is said by its format."""
    for part in look.parts():
        if values_of(part.schema) is not None:
            continue
        for kind in types(part):
            if kind in FORMATS and part.schema.get("format") not in FORMATS[kind]:
                yield part.pointer, f"this {kind} has no format"


def string_bounds(look: Look) -> Iterator[Told]:
    """A text ends somewhere."""
    for part in look.parts():
        open_ended = not part.schema.keys() & {"maxLength", "enum", "const", "pattern"}
        if "string" in types(part) and open_ended and part.schema.get("format") not in BOUNDED:
            yield part.pointer, "this text has no maxLength"


def array_bounds(look: Look) -> Iterator[Told]:
    """A list ends somewhere."""
    for part in look.parts():
        if "array" in types(part) and not part.schema.keys() & {"maxItems", "prefixItems"}:
            yield part.pointer, "this list has no maxItems"


def enum_extensible(look: Look) -> Iterator[Told]:
    """A list of values says whether more may come."""
    for part in look.parts():
        if len(part.schema.get("enum", ())) > 1 and not isinstance(
            part.schema.get("x-extensible"), bool
        ):
            yield part.pointer, "x-extensible (true or false) is missing"


def null_is_absent(look: Look) -> Iterator[Told]:
    """A field that may be left out means the same when it is null."""
    for part in look.parts():
        for name, schema in part.schema.get("properties", {}).items():
            told, _ = look.follow(schema, part.pointer)
            if name in part.schema.get("required", ()) or not nullable(told):
                continue
            if told.get("default") is not None:
                place = f"{part.pointer}/properties/{escaped(name)}"
                yield place, f"{name} means null when null and {told['default']!r} when absent"


def types(part: Part) -> list[str]:
    """The types a schema says itself."""
    told = part.schema.get("type", ())
    return [told] if isinstance(told, str) else list(told)


def scalars(look: Look) -> Iterator[tuple[Part, Document]]:
    """Every field, or choice of one, that is text or a number where it is not null; as it is told.

    A reference is followed, so a name means the same whether its form is told here or shared.
    """
    for part in look.parts():
        told, _ = look.follow(part.schema, part.pointer)
        said = told.keys() & {"type", "enum", "const"}
        if part.field and said and kinds_of(told) & {"string", "number", "integer"}:
            yield part, told


def nullable(schema: Document) -> bool:
    """Whether a value may be null."""
    kinds = schema.get("type", ())
    forms = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    return "null" in kinds or None in schema.get("enum", ()) or any(map(nullable, forms))
