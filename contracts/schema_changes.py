"""The differences of two JSON Schemas (2020-12), by who writes and who reads the value.

`request`: every value of the old schema must be one of the new. `response`: the other way round.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import date
from typing import Any, Literal, NamedTuple

from contracts.changes import (
    At,
    Change,
    Direction,
    Document,
    Level,
    Promise,
    Report,
    deprecation,
    gone,
    resolved,
)

Mode = Literal["backward", "forward", "full"]
DIRECTIONS: dict[Mode, tuple[Direction, ...]] = {
    "backward": ("request",),
    "forward": ("response",),
    "full": ("request", "response"),
}
"""New readers take old values; old readers take new values; both."""
UPPER = {
    "maxLength": "max-length", "maximum": "max", "exclusiveMaximum": "exclusive-max",
    "maxItems": "max-items", "maxProperties": "max-properties", "maxContains": "max-contains",
}  # fmt: skip
LOWER = {
    "minLength": "min-length", "minimum": "min", "exclusiveMinimum": "exclusive-min",
    "minItems": "min-items", "minProperties": "min-properties", "minContains": "min-contains",
}  # fmt: skip
NOTHING = {"minLength": 0, "minItems": 0, "minProperties": 0}
"""Bounds that bound nothing."""
NARROWING = {"pattern": "pattern", "multipleOf": "multiple-of", "format": "format"}
"""Words that take values away; another one takes others away."""
WIDER = {("int32", "int64"), ("float", "double")}
OPAQUE = (
    "not", "if", "then", "else", "contains", "propertyNames", "patternProperties",
    "dependentRequired", "dependentSchemas", "unevaluatedProperties", "unevaluatedItems",
    "uniqueItems", "discriminator", "contentEncoding", "contentMediaType",
)  # fmt: skip
"""Words that are compared whole: whether another one takes values away is not decided here."""
KINDS = frozenset({"string", "number", "boolean", "array", "object"})
FORMS = ("anyOf", "oneOf")


class Form(NamedTuple):
    """A schema without its detours: may it be null, and what else may it be."""

    nullable: bool
    options: dict[str, tuple[Document, str]]
    word: str = "any-of"


class Schemas:
    """Compares the schemas of two documents."""

    def __init__(
        self, old: Document, new: Document, report: Report, *, strict: bool = False
    ) -> None:
        self.old = old
        self.new = new
        self.report = report
        self.strict = strict
        """Whether a field that is gone is an error even where it was optional."""
        self._inside: set[tuple[str, str, str]] = set()

    def compare(self, old: Any, new: Any, at: At) -> None:
        """Tell all differences of two schemas; a schema inside itself is told once."""
        was, old_at = resolved(self.old, old, at.old)
        now, new_at = resolved(self.new, new, at.new)
        inside = (old_at, new_at, at.direction)
        if inside in self._inside:
            return
        self._inside.add(inside)
        try:
            self._forms(form_of(self.old, was, old_at), form_of(self.new, now, new_at), at)
        finally:
            self._inside.discard(inside)

    def _forms(self, was: Form, now: Form, at: At) -> None:
        if was.nullable != now.nullable and was.options and now.options:
            bad = now.nullable == (at.direction == "response")
            word = "became-nullable" if now.nullable else "became-not-nullable"
            says = f"{at.place} may {'now' if now.nullable else 'no longer'} be null"
            self._tell("error" if bad else "info", word, at, says)
        gone_keys = [key for key in was.options if key not in now.options]
        new_keys = [key for key in now.options if key not in was.options]
        pairs = [(key, key) for key in was.options if key in now.options]
        if len(gone_keys) == len(new_keys) == 1:
            pairs.append((gone_keys.pop(), new_keys.pop()))
        several = len(was.options) > 1 or len(now.options) > 1
        for key in gone_keys:
            bad = at.direction == "request"
            says = f"{at.place} can no longer be {key}"
            self._tell("error" if bad else "info", f"{was.word}-removed", at, says, key)
        for key in new_keys:
            bad = at.direction == "response"
            says = f"{at.place} may now be {key}"
            self._tell("error" if bad else "info", f"{now.word}-added", at, says, key)
        for before, after in pairs:
            (old, old_at), (new, new_at) = was.options[before], now.options[after]
            inner = at._replace(old=old_at, new=new_at)
            if several:
                inner = inner._replace(place=f"{at.place}<{before}>")
            self._single(old, new, inner)

    def _single(self, old: Document, new: Document, at: At) -> None:
        was, now = kinds_of(old), kinds_of(new)
        if was and now and not self._kinds(was, now, at):
            return
        self._values(old, new, at)
        self._bounds(old, new, at)
        self._narrowing(old, new, at)
        for word in OPAQUE:
            if old.get(word) != new.get(word):
                kebab = "".join(f"-{c.lower()}" if c.isupper() else c for c in word)
                level: Level = "error" if self._relaxes(word, old, new, at) is None else "info"
                self._tell(level, f"{kebab}-changed", at, f"{at.place}: {word} is another", word)
        if old.get("default") != new.get("default") and at.direction == "request":
            level = "error" if at.subject == "parameter" else "warn"
            told = json.dumps(old.get("default")), json.dumps(new.get("default"))
            says = f"{at.place}: the default is {told[1]}, not {told[0]}"
            self._tell(level, "default-value-changed", at, says, *told)
        self._object(old, new, at)
        self._items(old, new, at)

    def _relaxes(self, word: str, old: Document, new: Document, at: At) -> bool | None:
        """Whether a word that is compared whole only came where, or went from where, it may."""
        if word == "uniqueItems":
            kept = bool(old.get(word)) == bool(new.get(word))
            return True if kept or bool(new.get(word)) == (at.direction == "response") else None
        return True if (word not in new if at.direction == "request" else word not in old) else None

    def _kinds(self, was: frozenset[str], now: frozenset[str], at: At) -> bool:
        """Tell another type; whether anything is left to compare."""
        if was == now:
            return True
        wide, narrow = (now, was) if at.direction == "request" else (was, now)
        fits = all(covers(wide, kind) for kind in narrow)
        told = " or ".join(sorted(was)), " or ".join(sorted(now))
        word = "type-changed" if not fits else "type-generalized"
        if fits and at.direction == "response":
            word = "type-specialized"
        says = f"{at.place} is {told[1]}, not {told[0]}"
        self._tell("info" if fits else "error", word, at, says, *told)
        return fits

    def _values(self, old: Document, new: Document, at: At) -> None:
        was, now = values_of(old), values_of(new)
        if was == now:
            return
        request = at.direction == "request"
        if was is None or now is None:
            bad = (was is None) == request
            word = "became-enum" if was is None else "enum-removed"
            says = f"{at.place} is now {'one of a list' if was is None else 'any value'}"
            self._tell("error" if bad else "info", word, at, says, now if was is None else was)
            return
        for value in (each for each in was if each not in now):
            says = f"{at.place} can no longer be {value}"
            self._tell("error" if request else "info", "enum-value-removed", at, says, value)
        for value in (each for each in now if each not in was):
            level: Level = "info" if request or old.get("x-extensible") else "warn"
            says = f"{at.place} may now be {value}"
            self._tell(level, "enum-value-added", at, says, value)

    def _bounds(self, old: Document, new: Document, at: At) -> None:
        for word, name in {**UPPER, **LOWER}.items():
            was, now = (each.get(word, NOTHING.get(word)) for each in (old, new))
            if was == now:
                continue
            if was is None or now is None:
                tighter, verb = was is None, "set" if was is None else "unset"
            else:
                tighter = (now < was) == (word in UPPER)
                verb = "decreased" if now < was else "increased"
            bad = tighter == (at.direction == "request")
            says = f"{at.place}: {word} is {now}, not {was}"
            self._tell("error" if bad else "info", f"{name}-{verb}", at, says, was, now)

    def _narrowing(self, old: Document, new: Document, at: At) -> None:
        for word, name in NARROWING.items():
            was, now = old.get(word), new.get(word)
            if was == now:
                continue
            verb = "added" if was is None else "removed" if now is None else "changed"
            bad = verb == "changed" or (verb == "added") == (at.direction == "request")
            order = (was, now) if at.direction == "request" else (now, was)
            if order in WIDER:
                bad = False
            says = f"{at.place}: {word} is {now}, not {was}"
            self._tell("error" if bad else "info", f"{name}-{verb}", at, says, was, now)

    def _object(self, old: Document, new: Document, at: At) -> None:
        was, now = old.get("properties", {}), new.get("properties", {})
        hidden = "readOnly" if at.direction == "request" else "writeOnly"
        needed, needs = set(old.get("required", ())), set(new.get("required", ()))
        for name, schema in was.items():
            inner = at.into(name, "properties", name)
            told, _ = resolved(self.old, schema, inner.old)
            if told.get(hidden):
                continue
            if name not in now:
                self._lost(told, new, inner, required=name in needed)
                continue
            self._kept(name in needed, name in needs, inner)
            fresh, _ = resolved(self.new, now[name], inner.new)
            promise = Promise(told, fresh)
            deprecation(self.report, inner, inner.subject_name, promise)
            self.compare(schema, now[name], inner)
        for name in (each for each in now if each not in was):
            inner = at.into(name, "properties", name)
            told, _ = resolved(self.new, now[name], inner.new)
            if told.get(hidden):
                continue
            if at.direction == "response":
                self._tell("info", "added", inner, f"{inner.place} is new")
            elif name in needs:
                says = f"{inner.place} is new and must be given"
                self.report.add("error", "new-required-request-property", inner, says)
            else:
                says = f"{inner.place} is new and may be given"
                self.report.add("info", "new-optional-request-property", inner, says)
        for name in sorted((needs - needed) - now.keys() - was.keys()):
            inner = at.into(name, "required")
            bad = at.direction == "request"
            says = f"{inner.place} must be given"
            self._tell("error" if bad else "info", "became-required", inner, says)
        self._rest(old, new, at)

    def _lost(self, told: Document, new: Document, at: At, *, required: bool) -> None:
        """Tell a field that is gone: refused where the object takes no others, else ignored."""
        level: Level = "warn"
        closed = new.get("additionalProperties") is False
        if self.strict or required or (closed and at.direction == "request"):
            level = "error"
        if at.direction == "response":
            name = f"response-{'required' if required else 'optional'}-property"
            gone(self.report, at, told, name, level)
        else:
            gone(self.report, at, told, at.subject_name, level)

    def _kept(self, was: bool, now: bool, at: At) -> None:  # noqa: FBT001 - before and after
        if was == now:
            return
        bad = now == (at.direction == "request")
        word = "became-required" if now else "became-optional"
        says = f"{at.place} {'must now always' if now else 'need no longer'} be there"
        self._tell("error" if bad else "info", word, at, says)

    def _rest(self, old: Document, new: Document, at: At) -> None:
        """What members beside those named may be."""
        was, now = (each.get("additionalProperties", True) for each in (old, new))
        if was == now:
            return
        if was is not False and now is not False:
            self.compare(was, now, at.into("*", "additionalProperties"))
            return
        closed = now is False
        bad = closed == (at.direction == "request")
        level: Level = "info" if not bad else "error" if closed else "warn"
        word = "additional-properties-closed" if closed else "additional-properties-opened"
        says = f"{at.place} takes {'no other members' if closed else 'other members'} now"
        self._tell(level, word, at, says)

    def _items(self, old: Document, new: Document, at: At) -> None:
        was, now = old.get("prefixItems", []), new.get("prefixItems", [])
        for index, pair in enumerate(zip(was, now, strict=False)):
            self.compare(*pair, at.into(str(index), "prefixItems", str(index)))
        if len(was) != len(now):
            says = f"{at.place} has {len(now)} first entries, not {len(was)}"
            self._tell("error", "type-changed", at, says, len(was), len(now))
        if "items" in old or "items" in new:
            self.compare(old.get("items", True), new.get("items", True), at.into("*", "items"))

    def _tell(self, level: Level, word: str, at: At, says: str, *told: Any) -> None:
        self.report.add(level, f"{at.subject_name}-{word}", at, says, *told)


def form_of(document: Document, schema: Document, pointer: str) -> Form:
    """A schema as the forms it may have, references and parts followed."""
    schema = merged(document, schema, pointer)
    word = next((word for word in FORMS if word in schema), None)
    if word is None:
        kinds = schema.get("type")
        values = schema.get("enum")
        nullable = "null" in (kinds if isinstance(kinds, list) else [kinds])
        if kinds is None:
            nullable = None in values if values is not None else "const" not in schema
        if kinds == "null" or values == [None]:
            return Form(nullable=True, options={})
        return Form(nullable, {key_of(schema, pointer): (schema, pointer)})
    beside = {name: value for name, value in schema.items() if name != word}
    nullable, options = False, {}
    for index, part in enumerate(schema[word]):
        told, place = resolved(document, part, f"{pointer}/{word}/{index}")
        inner = form_of(document, {**beside, **told}, place)
        nullable = nullable or inner.nullable
        for key, option in inner.options.items():
            options[key if key not in options else f"{key} {digest(option[0])}"] = option
    return Form(nullable, options, "any-of" if word == "anyOf" else "one-of")


def merged(document: Document, schema: Document, pointer: str) -> Document:
    """A schema with all its parts (`allOf`) in one; the tighter of two sayings is the later."""
    if "allOf" not in schema:
        return schema
    whole: Document = {}
    rest = {name: value for name, value in schema.items() if name != "allOf"}
    for index, part in enumerate([*schema["allOf"], rest]):
        told, place = resolved(document, part, f"{pointer}/allOf/{index}")
        told = merged(document, told, place)
        both = {
            "properties": {**whole.get("properties", {}), **told.get("properties", {})},
            "required": [*whole.get("required", ()), *told.get("required", ())],
        }
        whole = {**whole, **told, **{name: value for name, value in both.items() if value}}
    return whole


def key_of(schema: Document, pointer: str) -> str:
    """What one of several forms is called: its name, else its type."""
    place = pointer.rpartition("/")
    if place[0].endswith(("/schemas", "/$defs")):
        return place[2]
    if title := schema.get("title"):
        return str(title)
    if "type" not in schema and values_of(schema) is not None:
        return "one of a list"
    return " or ".join(sorted(kinds_of(schema))) or "any value"


def kinds_of(schema: Document) -> frozenset[str]:
    """The types of its values but null; all where nothing is said."""
    told = schema.get("type")
    if isinstance(told, str):
        return frozenset({told}) - {"null"}
    if isinstance(told, list):
        return frozenset(told) - {"null"}
    if (values := values_of(schema)) is not None:
        return frozenset(kind_of(value) for value in values)
    return KINDS


def kind_of(value: Any) -> str:
    """The type of a value."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    names = ((str, "string"), (float, "number"), (list, "array"), (dict, "object"))
    return next((name for kind, name in names if isinstance(value, kind)), "null")


def covers(kinds: Iterable[str], kind: str) -> bool:
    """Whether every value of a type is of one of these."""
    return kind in kinds or (kind == "integer" and "number" in kinds)


def values_of(schema: Document) -> list[Any] | None:
    """The only values it may have, null aside."""
    told = [schema["const"]] if "const" in schema else schema.get("enum")
    return None if told is None else [each for each in told if each is not None]


def digest(schema: Document) -> str:
    """A schema in a few letters, to tell forms of one name apart."""
    return hashlib.sha256(json.dumps(schema, sort_keys=True).encode()).hexdigest()[:6]


def schema_changes(
    old: Document, new: Document, *, name: str, mode: Mode = "backward", today: date = date.min
) -> list[Change]:
    """The differences of two schemas of their own, such as two versions of an event's."""
    report = Report(name, today)
    for direction in DIRECTIONS[mode]:
        at = At("", "", "", direction, "body")
        Schemas(old, new, report, strict=True).compare(old, new, at)
    return in_order(report.found)


def in_order(found: Iterable[Change]) -> list[Change]:
    """The worst first, each once."""
    levels = ("error", "warn", "info")
    once = {change.fingerprint: change for change in found}
    return sorted(once.values(), key=lambda it: (levels.index(it.level), it.place, it.rule))
