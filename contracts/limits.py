"""What limits single values: bounds, steps, patterns and formats, and which of two takes more."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil, floor
from typing import Any, NamedTuple

from contracts.changes import Document
from contracts.merging import LOWER, UPPER

NOTHING = {"minLength": 0, "minItems": 0, "minProperties": 0}
"""Bounds that bound nothing."""
OF_ENTRIES = ("minContains", "maxContains")
NARROWING = {"pattern": "pattern", "multipleOf": "multiple-of", "format": "format"}
"""Words that take values away; another one takes others away."""
WIDER = {("int32", "int64"), ("float", "double")}
NUMBER = {"maximum": "exclusiveMaximum", "minimum": "exclusiveMinimum"}


class Limit(NamedTuple):
    """One limit that is another: whether each old value is in the new, and the other way round."""

    rule: str
    says: str
    told: tuple[Any, Any]
    widens: bool
    narrows: bool


class Bound(NamedTuple):
    """The nearest end on one side, if there is one."""

    word: str
    value: Any
    open: bool = False
    """Whether the end itself is no value."""


def limits(old: Document, new: Document, *, integers: bool) -> Iterator[Limit]:
    """Every limit in which two schemas differ; of whole numbers, each has a nearest neighbour."""
    for words, upper in ((UPPER, True), (LOWER, False)):
        for word in words:
            if word in NUMBER.values() or (word in OF_ENTRIES and _lists_alone(old, new)):
                continue
            was, now = (_bound(each, word, upper=upper, integers=integers) for each in (old, new))
            if was[1:] != now[1:]:
                yield _moved(was, now, upper=upper)
    for word, name in NARROWING.items():
        if old.get(word) != new.get(word):
            yield _narrowed(word, name, old.get(word), new.get(word))


def _lists_alone(old: Document, new: Document) -> bool:
    return "contains" not in old or "contains" not in new


def _bound(schema: Document, word: str, *, upper: bool, integers: bool) -> Bound:
    nothing = 1 if word == "minContains" else None
    value = schema.get(word, nothing)
    found = [] if value in (None, NOTHING.get(word)) else [Bound(word, value)]
    if (excluding := NUMBER.get(word, "")) in schema:
        end = schema[excluding]
        if integers:
            found.append(Bound(word, ceil(end) - 1 if upper else floor(end) + 1))
        else:
            found.append(Bound(excluding, end, open=True))
    return min(found, key=lambda it: _reach(it, upper=upper), default=Bound(word, None))


def _reach(bound: Bound, *, upper: bool) -> tuple[Any, bool]:
    """How far it lets values go: the more, the greater."""
    return (bound.value if upper else -bound.value), not bound.open


def _moved(was: Bound, now: Bound, *, upper: bool) -> Limit:
    there = was if now.value is None else now
    if was.value is None or now.value is None:
        narrows, verb = was.value is None, "set" if was.value is None else "unset"
    else:
        narrows = _reach(now, upper=upper) < _reach(was, upper=upper)
        verb = "decreased" if narrows == upper else "increased"
    says = f"{there.word} is {now.value}, not {was.value}"
    if was.word != now.word and verb not in {"set", "unset"}:
        says = f"{now.word} is {now.value}, where {was.word} was {was.value}"
    name = f"{(UPPER if upper else LOWER)[there.word]}-{verb}"
    return Limit(name, says, (was, now), widens=not narrows, narrows=narrows)


def _narrowed(word: str, name: str, was: Any, now: Any) -> Limit:
    verb = "added" if was is None else "removed" if now is None else "changed"
    widens = now is None or _within(word, was, now)
    narrows = was is None or _within(word, now, was)
    return Limit(f"{name}-{verb}", f"{word} is {now}, not {was}", (was, now), widens, narrows)


def _within(word: str, narrow: Any, wide: Any) -> bool:
    """Whether every value of one is one of the other, as far as that can be told."""
    if narrow is None:
        return False
    if word == "multipleOf":
        return wide > 0 and Fraction(str(narrow)) % Fraction(str(wide)) == 0
    return (narrow, wide) in WIDER
