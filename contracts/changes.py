"""What changed between two published documents: a rule, how bad it is, where, and a fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any, Literal, NamedTuple

import msgspec

Level = Literal["error", "warn", "info"]
Direction = Literal["request", "response"]
Document = dict[str, Any]
GRACE = {"stable": 180, "beta": 30, "preview": 30}
"""For how many days what is deprecated is served at least, by its stability."""
STABILITY = ("draft", "alpha", "preview", "beta", "stable")
UNSTABLE = frozenset({"draft", "alpha"})
"""What is promised to nobody yet."""
MOST_FOLLOWED = 32


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One difference; `place` says where in words that survive a reordering of the document."""

    rule: str
    level: Level
    document: str
    place: str
    pointer: str
    says: str
    fingerprint: str
    operation: str | None = None
    field: str | None = None


class At(NamedTuple):
    """Where two documents are compared, and what is spoken of there."""

    place: str
    old: str
    new: str
    direction: Direction = "request"
    subject: str = "property"
    operation: str | None = None
    field: str = ""

    def into(self, name: str, *steps: str) -> At:
        """One member deeper; the steps are the way there in the document."""
        way = "".join(f"/{escaped(step)}" for step in steps)
        return self._replace(
            place=f"{self.place}/{name}",
            field=f"{self.field}/{escaped(name)}",
            old=self.old + way,
            new=self.new + way,
            subject="property",
        )

    @property
    def subject_name(self) -> str:
        """What rules call it: `request-property`, `response-body`."""
        return f"{self.direction}-{self.subject}"


class Report:
    """The changes found so far, and the day on which promises are held against."""

    def __init__(self, document: str, today: date) -> None:
        self.document = document
        self.today = today
        self.found: list[Change] = []
        self.lenient = False
        """Whether nothing is promised yet of what is compared now: all of it is said, no more."""
        self.grace = GRACE["stable"]
        """For how many days what is deprecated now is served at least."""

    def add(
        self, level: Level, rule: str, at: At, says: str, *told: Any, gone: bool = False
    ) -> None:
        """Remember a change; `told` tells it from other changes of this rule at this place."""
        parts = [self.document, rule, at.place, json.dumps(told, sort_keys=True, default=str)]
        self.found.append(
            Change(
                rule=rule,
                level="info" if self.lenient else level,
                document=self.document,
                place=at.place,
                pointer=at.old if gone else at.new,
                says=says,
                fingerprint=hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12],
                operation=at.operation,
                field=at.field or None,
            )
        )


def escaped(step: str) -> str:
    """A step as a JSON Pointer (RFC 6901) writes it."""
    return step.replace("~", "~0").replace("/", "~1")


def resolved(document: Document, node: Any, pointer: str) -> tuple[Document, str]:
    """What a node refers to, with what it says itself, and where that stands; not of a schema's."""
    for _ in range(MOST_FOLLOWED):
        if node is True or node is None:
            return {}, pointer
        if node is False:
            return {"not": {}}, pointer
        reference = node.get("$ref")
        if not isinstance(reference, str):
            return node, pointer
        found, stands = target(document, reference, pointer)
        beside = {name: value for name, value in node.items() if name != "$ref"}
        if isinstance(found, dict):
            node = {**found, **beside}
            pointer = stands
        else:
            node = found
    msg = f"{pointer} refers to itself"
    raise ValueError(msg)


def target(document: Document, reference: str, pointer: str) -> tuple[Any, str]:
    """What stands where a reference leads, and that place; ValueError if it leads nowhere."""
    found: Any = document
    for step in reference.removeprefix("#").strip("/").split("/") if reference != "#" else ():
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and name.isdigit() and int(name) < len(found):
            found = found[int(name)]
        elif not reference.startswith("#") or not isinstance(found, dict) or name not in found:
            msg = f"{pointer}: {reference} leads nowhere in this document"
            raise ValueError(msg)
        else:
            found = found[name]
    return found, reference.removeprefix("#")


def stability(node: Document, document: Document) -> str:
    """How much is promised of an operation, by itself or by its document."""
    told = node.get("x-stability-level") or document.get("info", {}).get("x-stability-level")
    return told if told in STABILITY else "stable"


def sunset_of(node: Document) -> date | None:
    """The day on which it ends, if that is said in a form that can be read."""
    try:
        return date.fromisoformat(str(node.get("x-sunset", ""))[:10])
    except ValueError:
        return None


def gone(report: Report, at: At, node: Document, name: str, level: Level) -> None:
    """Tell that something is no longer there; it may go after its sunset alone."""
    what = f"{at.place} was removed"
    told = node.get("x-sunset")
    ends = sunset_of(node)
    if not node.get("deprecated"):
        rule = (
            f"{name}-removed-without-deprecation" if name.startswith("api") else f"{name}-removed"
        )
        report.add(level, rule, at, f"{what} and was not deprecated before", gone=True)
    elif ends is None:
        says = f"{what}; it was deprecated without a day on which it ends"
        report.add("error", f"{name}-removed-without-sunset", at, says, told, gone=True)
    elif ends >= report.today:
        says = f"{what} before its sunset on {ends}"
        report.add("error", f"{name}-removed-before-sunset", at, says, told, gone=True)
    else:
        says = f"{what} after its sunset on {ends}"
        report.add("info", f"{name}-removed-with-deprecation", at, says, told, gone=True)


class Promise(NamedTuple):
    """A part of both documents that may be deprecated."""

    old: Document
    new: Document


def deprecation(report: Report, at: At, name: str, promise: Promise) -> None:
    """Hold what is deprecated against its grace: a sunset that is there, far enough, and kept."""
    for rule, level, says in _deprecated(report, at.place, promise):
        told = promise.old.get("x-sunset"), promise.new.get("x-sunset")
        report.add(level, f"{name}-{rule}", at, says, *told)


def _deprecated(report: Report, place: str, promise: Promise) -> Iterator[tuple[str, Level, str]]:
    (old, new), today, grace = promise, report.today, report.grace
    was, now = bool(old.get("deprecated")), bool(new.get("deprecated"))
    before, after = sunset_of(old), sunset_of(new)
    if not now:
        if was:
            yield "reactivated", "info", f"{place} is no longer deprecated"
        return
    if "x-sunset" in new and after is None:
        yield "sunset-parse", "error", f"{place}: x-sunset is no day such as 2027-06-30"
    elif was and before is not None:
        if after is None:
            yield "sunset-deleted", "error", f"{place} had its sunset on {before}; now it has none"
        elif after < before:
            told = f"{place} ends on {after}, sooner than the {before} that was promised"
            yield "sunset-date-changed-too-small", "error", told
        elif after > before:
            yield "sunset-date-changed", "info", f"{place} ends on {after}, not on {before}"
    elif after is None:
        yield "deprecated-sunset-missing", "error", f"{place} is deprecated without x-sunset"
    elif after < today + timedelta(days=grace):
        told = f"{place} ends on {after}: at least {grace} days must be given from {today}"
        yield "sunset-date-too-small", "error", told
    else:
        yield "deprecated", "info", f"{place} is deprecated and ends on {after}"
