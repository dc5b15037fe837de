"""The differences of two JSON Schemas (2020-12), by who writes and who reads the value.

`request`: every value of the old schema must be one of the new. `response`: the other way round.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from typing import Any, Literal

from contracts.changes import (
    MOST_FOLLOWED,
    At,
    Change,
    Direction,
    Document,
    Level,
    Promise,
    Report,
    deprecation,
    gone,
)
from contracts.forms import Form, Option, paired
from contracts.limits import limits
from contracts.meanings import meaning
from contracts.merging import (
    as_object,
    checked,
    entry,
    exact,
    joined,
    named,
    rest_of,
    takes_all,
    visible,
    whole,
    without,
)

Mode = Literal["backward", "forward", "full"]
DIRECTIONS: dict[Mode, tuple[Direction, ...]] = {
    "backward": ("request",),
    "forward": ("response",),
    "full": ("request", "response"),
}
"""New readers take old values; old readers take new values; both."""
OPAQUE = (
    "not", "if", "then", "else", "contains", "propertyNames", "patternProperties",
    "dependentRequired", "dependentSchemas", "unevaluatedItems", "uniqueItems", "discriminator",
    "contentEncoding", "contentMediaType", "allOf",
)  # fmt: skip
"""Words that are compared whole: whether another one takes values away is not decided here."""
KINDS = frozenset({"string", "number", "boolean", "array", "object"})
FORMS = ("anyOf", "oneOf")


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
        self._quiet: set[tuple[str, str, str]] = set()
        """What was looked at whole, and nothing found: most answers are alike."""

    def compare(self, old: Any, new: Any, at: At) -> None:
        """Tell all differences of two schemas; a schema inside itself is told once."""
        was, old_at = whole(self.old, old, at.old)
        now, new_at = whole(self.new, new, at.new)
        inside = (exact(was), exact(now), at.direction)
        if inside in self._inside or inside in self._quiet:
            return
        before = len(self.report.found)
        self._inside.add(inside)
        try:
            self._forms(form_of(self.old, was, old_at), form_of(self.new, now, new_at), at)
        finally:
            self._inside.discard(inside)
        if not self._inside and len(self.report.found) == before:
            self._quiet.add(inside)

    def _forms(self, was: Form, now: Form, at: At) -> None:
        if not was.options or not now.options:
            self._nulls(was, now, at)
            return
        if was.nullable != now.nullable:
            bad = now.nullable == (at.direction == "response")
            word = "became-nullable" if now.nullable else "became-not-nullable"
            says = f"{at.place} may {'now' if now.nullable else 'no longer'} be null"
            self._tell("error" if bad else "info", word, at, says)
        several = len(was.options) > 1 or len(now.options) > 1
        if was.word != now.word and len(was.options) > 1 and len(now.options) > 1:
            bad = (now.word == "one-of") == (at.direction == "request")
            says = f"{at.place} is {now.word} several forms, not {was.word}"
            self._tell("error" if bad else "info", f"{was.word}-became-{now.word}", at, says)
        found = paired(was, now)
        for option in found.lost:
            level: Level = "error" if at.direction == "request" else "info"
            name, meant = was.label(option), meaning(self.old, option.schema)
            says = f"{at.place} can no longer be {name}"
            self._tell(level, f"{was.word}-removed", at, says, name, meant)
        for option in found.more:
            level = "error" if at.direction == "response" else "info"
            name, meant = now.label(option), meaning(self.new, option.schema)
            says = f"{at.place} may now be {name}"
            self._tell(level, f"{now.word}-added", at, says, name, meant)
        for before, after in found.kept:
            inner = at._replace(old=before.pointer, new=after.pointer)
            if several:
                inner = inner._replace(place=f"{at.place}<{was.label(before)}>")
            self._single(before.schema, after.schema, inner)

    def _nulls(self, was: Form, now: Form, at: At) -> None:
        """Tell another type where one side is null and nothing else."""
        wide, narrow = (now, was) if at.direction == "request" else (was, now)
        told = words(was), words(now)
        if told[0] == told[1]:
            return
        fits = not narrow.options and wide.nullable >= narrow.nullable
        self._retyped(at, *told, fits=fits, meant=[
            [meaning(document, option.schema) for option in form.options]
            for document, form in ((self.old, was), (self.new, now))
        ])  # fmt: skip

    def _single(self, old: Document, new: Document, at: At) -> None:
        was, now = kinds_of(old), kinds_of(new)
        if not self._kinds(old, new, at):
            return
        self._values(old, new, at)
        for limit in limits(old, new, integers=was == now == {"integer"}):
            fits = limit.widens if at.direction == "request" else limit.narrows
            says = f"{at.place}: {limit.says}"
            self._tell("info" if fits else "error", limit.rule, at, says, *limit.told)
        for word in OPAQUE:
            self._opaque(word, old, new, at)
        if exact(old.get("default")) != exact(new.get("default")) and at.direction == "request":
            level: Level = "error" if at.subject == "parameter" else "warn"
            told = json.dumps(old.get("default")), json.dumps(new.get("default"))
            says = f"{at.place}: the default is {told[1]}, not {told[0]}"
            self._tell(level, "default-value-changed", at, says, *told)
        self._object(old, new, at)
        self._items(old, new, at)

    def _opaque(self, word: str, old: Document, new: Document, at: At) -> None:
        if word not in old and word not in new:
            return
        was, now = meaning(self.old, old.get(word)), meaning(self.new, new.get(word))
        if exact(was) != exact(now):
            kebab = "".join(f"-{c.lower()}" if c.isupper() else c for c in word)
            level: Level = "info" if self._relaxes(word, old, new, at) else "error"
            says = f"{at.place}: {word} is another"
            self._tell(level, f"{kebab}-changed", at, says, was, now)

    def _relaxes(self, word: str, old: Document, new: Document, at: At) -> bool:
        """Whether a word that is compared whole only came where, or went from where, it may."""
        wide, narrow = (new, old) if at.direction == "request" else (old, new)
        if word == "uniqueItems":
            return bool(narrow.get(word)) >= bool(wide.get(word))
        if word == "patternProperties":
            return word not in wide and takes_all(rest_of(wide))
        return word not in wide

    def _kinds(self, old: Document, new: Document, at: At) -> bool:
        """Tell another type; whether anything is left to compare."""
        was, now = kinds_of(old), kinds_of(new)
        if was == now:
            return True
        wide, narrow = (now, was) if at.direction == "request" else (was, now)
        fits = all(covers(wide, kind) for kind in narrow)
        told = " or ".join(sorted(was)), " or ".join(sorted(now))
        meant = [] if fits else [meaning(self.old, old), meaning(self.new, new)]
        self._retyped(at, *told, fits=fits, meant=meant)
        return fits

    def _retyped(self, at: At, was: str, now: str, *, fits: bool, meant: list[Any]) -> None:
        word = "type-changed" if not fits else "type-generalized"
        if fits and at.direction == "response":
            word = "type-specialized"
        says = f"{at.place} is {now}, not {was}"
        self._tell("info" if fits else "error", word, at, says, was, now, *meant)

    def _values(self, old: Document, new: Document, at: At) -> None:
        was, now = values_of(old), values_of(new)
        if exact(was) == exact(now):
            return
        request = at.direction == "request"
        if was is None or now is None:
            bad = (was is None) == request
            word = "became-enum" if was is None else "enum-removed"
            says = f"{at.place} is now {'one of a list' if was is None else 'any value'}"
            self._tell("error" if bad else "info", word, at, says, now if was is None else was)
            return
        for value in without(was, now):
            says = f"{at.place} can no longer be {value}"
            self._tell("error" if request else "info", "enum-value-removed", at, says, value)
        for value in without(now, was):
            level: Level = "info" if request or old.get("x-extensible") else "warn"
            says = f"{at.place} may now be {value}"
            self._tell(level, "enum-value-added", at, says, value)

    def _object(self, old: Document, new: Document, at: At) -> None:
        was, now = (
            visible(document, schema, at.direction)
            for document, schema in ((self.old, old), (self.new, new))
        )
        needed, needs = set(old.get("required", ())), set(new.get("required", ()))
        for name, (schema, told) in was.items():
            inner = at.into(name, "properties", name)
            if name not in now:
                self._lost(told, new, inner, required=name in needed)
                continue
            self._kept(name in needed, name in needs, inner)
            deprecation(self.report, inner, inner.subject_name, Promise(told, now[name][1]))
            self.compare(schema, now[name][0], inner)
        for name in now.keys() - was.keys():
            inner = at.into(name, "properties", name)
            if at.direction == "response":
                self._tell("info", "added", inner, f"{inner.place} is new")
                continue
            must = name in needs and (name not in needed or name in old.get("properties", {}))
            rule = f"new-{'required' if must else 'optional'}-request-property"
            says = f"{inner.place} is new and {'must' if must else 'may'} be given"
            meant = meaning(self.new, now[name][0])
            self.report.add("error" if must else "info", rule, inner, says, meant)
        for name in (needs | needed) - old.get("properties", {}).keys() - now.keys():
            self._kept(name in needed, name in needs, at.into(name, "required"))
        self._rest(old, new, at)

    def _lost(self, told: Document, new: Document, at: At, *, required: bool) -> None:
        """Tell a field that is gone: refused where the object takes no such other, else ignored."""
        level: Level = "warn"
        if self.strict or required or (at.direction == "request" and self._refused(told, new, at)):
            level = "error"
        if at.direction == "response":
            name = f"response-{'required' if required else 'optional'}-property"
            gone(self.report, at, told, name, level)
        else:
            gone(self.report, at, told, at.subject_name, level)

    def _refused(self, told: Document, new: Document, at: At) -> bool:
        """Whether what was sent is no longer taken, now that nothing names it."""
        name = at.field.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
        takes = joined(*(named(new, name) or [rest_of(new)]))
        if takes is False or takes_all(takes):
            return takes is False
        apart = Report(self.report.document, self.report.today)
        Schemas(self.old, self.new, apart).compare(told, takes, at)
        return any(change.level == "error" for change in apart.found)

    def _kept(self, was: bool, now: bool, at: At) -> None:  # noqa: FBT001 - before and after
        if was == now:
            return
        bad = now == (at.direction == "request")
        word = "became-required" if now else "became-optional"
        says = f"{at.place} {'must now always' if now else 'need no longer'} be there"
        self._tell("error" if bad else "info", word, at, says)

    def _rest(self, old: Document, new: Document, at: At) -> None:
        """What members beside those named may be."""
        was, now = rest_of(old), rest_of(new)
        if was is now is False:
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
        for index in range(max(len(each.get("prefixItems", ())) for each in (old, new))):
            inner = at.into(str(index), "prefixItems", str(index))
            self.compare(entry(old, index), entry(new, index), inner)
        if "items" in old or "items" in new:
            self.compare(old.get("items", True), new.get("items", True), at.into("*", "items"))

    def _tell(self, level: Level, word: str, at: At, says: str, *told: Any) -> None:
        self.report.add(level, f"{at.subject_name}-{word}", at, says, *told)


def form_of(document: Document, schema: Any, pointer: str, depth: int = 0) -> Form:
    """A schema as the forms it may have, references and parts followed."""
    if depth > MOST_FOLLOWED:
        msg = f"{pointer} refers to itself"
        raise ValueError(msg)
    told, pointer = whole(document, schema, pointer)
    word = next((word for word in FORMS if word in told), None)
    if word is None:
        option = Option(document, key_of(told, pointer), told, pointer)
        there = kinds_of(told) and values_of(told) != []
        return Form(may_be_null(told), [option] if there else [])
    beside = {name: value for name, value in told.items() if name != word}
    nulls, options = 0, {}
    for index, part in enumerate(told[word]):
        place = f"{pointer}/{word}/{index}"
        one = checked(as_object(part), place)
        every = {**one, "allOf": [beside, *one.get("allOf", ())]}
        inner = form_of(document, every, place, depth + 1)
        nulls += inner.nullable
        options.update({(each.name, exact(each.schema)): each for each in inner.options})
    if word == "anyOf":
        return Form(nulls > 0, list(options.values()), "any-of")
    return Form(nulls == 1, list(options.values()), "one-of")


def words(form: Form) -> str:
    """What a value may be, in words."""
    kinds = {kind for option in form.options for kind in kinds_of(option.schema)}
    return " or ".join([*sorted(kinds), *(["null"] if form.nullable else [])]) or "nothing"


def may_be_null(schema: Document) -> bool:
    """Whether its type and its list of values both let null be."""
    kinds, values = schema.get("type", "null"), schema.get("enum", [None])
    return "null" in (kinds if isinstance(kinds, list) else [kinds]) and None in values


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


def schema_changes(
    old: Document, new: Document, *, name: str, mode: Mode = "backward", today: date = date.min
) -> list[Change]:
    """The differences of two schemas of their own, such as two versions of an event's."""
    for word in ("openapi", "swagger", "asyncapi"):
        if word in old or word in new:
            told = next(each[word] for each in (old, new) if word in each)
            msg = f"an OpenAPI 3.1 document or a JSON Schema is expected, not {word} {told}"
            raise ValueError(msg)
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
