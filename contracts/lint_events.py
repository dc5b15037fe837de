"""The rules for every event type of the catalog and the schema of what it carries."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from contracts import lint_fields as fields
from contracts.changes import escaped
from contracts.events import CATALOG, Event
from contracts.lint import Look, Rule, Told

TYPE = re.compile(r"[a-z]+(-[a-z]+)*\.[a-z]+(ed|on|st|un|ld)")
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)(\.(0|[1-9]\d*))?")
OWNERS = ("gateway", "system", "process", "experience")
SENSITIVE = re.compile(
    r"password|secret|token|api_key|iban|bank|salary|birth|social_security|passport|tax_id"
)
"""Names of what must not travel to whoever reads events."""


def registered(look: Look) -> Iterator[Told]:
    """A type is named by its object and what happened to it."""
    row = CATALOG.get(look.name)
    if row is None:
        yield "", f"{look.name} is not in the catalog"
    elif not TYPE.fullmatch(look.name):
        yield "", f"{look.name} is not <object>.<past tense>"
    elif not VERSION.fullmatch(row.version):
        yield "", f"{row.version} is no semantic version"


def owned(look: Look) -> Iterator[Told]:
    """Somebody announces it, as a step that was taken or as data that changed."""
    row = CATALOG.get(look.name)
    if row and row.owner not in OWNERS:
        yield "", f"{row.owner or 'nobody'} is no tier"


def ordered(look: Look) -> Iterator[Told]:
    """What it is ordered by is in what it carries."""
    row = CATALOG.get(look.name)
    node, place = look.follow(look.document, "")
    for step in row.key.split(".") if row else ():
        inner = node.get("properties", {}).get(step)
        if inner is None:
            yield place, f"the ordering key {row.key if row else ''} leads nowhere at {step}"
            return
        at = f"{place}/properties/{escaped(step)}"
        node, place = next(look.forms(inner, at), ({}, at))


def identified(look: Look) -> Iterator[Told]:
    """Who gets it twice can tell: its envelope always has an id and a source."""
    needed = {"id", "source", "type", "time"}
    told = {each.name for each in _fields() if each.required}
    for name in sorted(needed - told):
        yield "", f"the envelope of {look.name} need not have {name}"


def _fields() -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(Event)


def sensitive(look: Look) -> Iterator[Told]:
    """Nothing in it is for few eyes alone."""
    for part in look.parts():
        last = part.pointer.rpartition("/")[2]
        if last != escaped(part.field) or not part.field:
            continue
        if part.schema.get("x-visible-to"):
            told = ", ".join(part.schema["x-visible-to"])
            yield part.pointer, f"{part.field} is for {told} alone"
        elif SENSITIVE.search(part.field):
            yield part.pointer, f"{part.field} is for few eyes"


RULES = (
    Rule("event-registered", "name it <object>.<past tense> in contracts/events.py", registered),
    Rule("event-owner", "say the tier that announces it", owned),
    Rule("event-key", "order it by a field that it carries", ordered),
    Rule("event-id", "keep id, source, type and time in the envelope", identified),
    Rule("event-sensitive", "carry a reference, and let readers ask for the rest", sensitive),
    Rule("field-names", "name the field in snake_case", fields.field_names),
    Rule("examples-valid", "make the example a value of its schema", fields.examples_valid),
    Rule("standard-times", "type it datetime (`_at`) or date (`_on`)", fields.standard_times),
    Rule("standard-codes", "type it Currency or Country", fields.standard_codes),
    Rule("money-exact", "type it Money", fields.money_exact),
    Rule("number-format", "say int64 or double", fields.number_format),
    Rule("string-bounds", "say maxLength, a pattern or a format", fields.string_bounds),
    Rule("array-bounds", "say maxItems", fields.array_bounds),
    Rule("enum-extensible", "say by x-extensible whether more may come", fields.enum_extensible),
    Rule("null-is-absent", "make null the default, or the field required", fields.null_is_absent),
)
