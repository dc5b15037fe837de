"""The differences of two OpenAPI 3.1 documents of one API version; rules are named as oasdiff's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Any, NamedTuple

from contracts.changes import (
    GRACE,
    STABILITY,
    UNSTABLE,
    At,
    Change,
    Document,
    Promise,
    Report,
    deprecation,
    escaped,
    gone,
    resolved,
    stability,
)
from contracts.meanings import meaning
from contracts.merging import exact
from contracts.schema_changes import Schemas, in_order
from contracts.version_changes import addresses, calls, life, places, promised, signing_in

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
PARAMETER = re.compile(r"\{[^{}]*\}")
SUCCESS = re.compile(r"[123](?:[0-9]{2}|XX)")


class Operation(NamedTuple):
    """One operation of a document, with the path and the parameters it shares."""

    path: str
    method: str
    item: Document
    told: Document

    @property
    def pointer(self) -> str:
        """Where it stands."""
        return f"/paths/{escaped(self.path)}/{self.method}"

    @property
    def place(self) -> str:
        """How people call it."""
        return f"{self.method.upper()} {self.path}"


def api_changes(old: Document, new: Document, *, today: date, name: str = "") -> list[Change]:
    """Everything in which the new document differs, the worst first."""
    report = Report(name or name_of(new) or name_of(old), today)
    Apis(old, new, report).compare()
    return in_order(report.found)


def name_of(document: Document) -> str:
    """`<tier>/<api>/v<major>`, as the document's server says."""
    return next(iter(addresses(document)), "")


def removed(old: Document, *, today: date, name: str) -> list[Change]:
    """What it means that a whole version is no longer published."""
    report = Report(name, today)
    at = At(f"version {name}", "/info", "/info")
    gone(report, at, promised(old), "api-version", "error")
    return report.found


class Apis:
    """Compares two documents, operation by operation."""

    def __init__(self, old: Document, new: Document, report: Report) -> None:
        self.old = old
        self.new = new
        self.report = report
        self.schemas = Schemas(old, new, report)

    def compare(self) -> None:
        """Tell all differences."""
        life(self.report, self.old, self.new)
        was, now = dict(operations(self.old)), dict(operations(self.new))
        shapes = {shape for shape, _ in now}
        for key, operation in was.items():
            self.report.lenient = stability(operation.told, self.old) in UNSTABLE
            at = at_of(operation, operation)
            if key in now:
                self._operation(operation, now[key])
            else:
                name = "api" if key[0] in shapes else "api-path"
                gone(self.report, at, operation.told, name, "error")
        self.report.lenient = False
        places(self.report, At("this version", "/servers", "/servers"), self.old, self.new)
        signing_in(self.report, self.old, self.new, schemes(self.old) & schemes(self.new))
        at = At("webhook", "/webhooks", "/webhooks")
        self._calls(self.old.get("webhooks", {}), self.new.get("webhooks", {}), at)
        for key, operation in now.items():
            if key not in was:
                at = at_of(operation, operation)
                self.report.add("info", "endpoint-added", at, f"{at.place} is new")

    def _operation(self, was: Operation, now: Operation) -> None:
        at = at_of(was, now)
        before, after = stability(was.told, self.old), stability(now.told, self.new)
        if STABILITY.index(after) < STABILITY.index(before):
            says = f"{at.place} is {after}, not {before}"
            self.report.add("error", "api-stability-decreased", at, says, before, after)
        self.report.grace = GRACE.get(after, 0)
        deprecation(self.report, at, "api", Promise(was.told, now.told))
        ids = was.told.get("operationId"), now.told.get("operationId")
        if ids[0] != ids[1]:
            says = f"{at.place} is called {ids[1]}, not {ids[0]}"
            self.report.add("error", "api-operation-id-changed", at, says, *ids)
        if "servers" in {*was.item, *was.told, *now.item, *now.told}:
            places(self.report, at, served_by(self.old, was), served_by(self.new, now))
        self._security(was, now, at)
        self._parameters(was, now, at)
        self._body(was, now, at)
        self._responses(was, now, at)
        way = at._replace(old=f"{at.old}/callbacks", new=f"{at.new}/callbacks")
        way = way._replace(place=f"{at.place} callback")
        self._calls(was.told.get("callbacks", {}), now.told.get("callbacks", {}), way)

    def _calls(self, was: Document, now: Document, at: At) -> None:
        calls(self.report, at, (self.old, was), (self.new, now))

    def _security(self, was: Operation, now: Operation, at: At) -> None:
        """A caller that could pass before can pass with what it has."""
        before = was.told.get("security", self.old.get("security", []))
        after = now.told.get("security", self.new.get("security", []))
        for one in before or [{}]:
            if not after or any(passes(one, other) for other in after):
                continue
            word = "scope-added" if any(one.keys() >= each.keys() for each in after) else "added"
            told = " and ".join(f"{name} {' '.join(it)}".strip() for name, it in one.items())
            says = f"{at.place} can no longer be called with {told or 'nothing'}"
            self.report.add("error", f"api-security-{word}", at, says, one, after)

    def _parameters(self, was: Operation, now: Operation, at: At) -> None:
        before = dict(parameters(self.old, was))
        after = dict(parameters(self.new, now))
        for key, (told, place) in before.items():
            inner = parameter_at(at, told, place, after.get(key, ({}, place))[1])
            if key in after:
                self._parameter(told, after[key][0], inner)
            else:
                gone(self.report, inner, told, "request-parameter", "error")
        for key, (told, place) in after.items():
            if key in before:
                continue
            inner = parameter_at(at, told, place, place)
            needed = bool(told.get("required"))
            rule = f"new-{'required' if needed else 'optional'}-request-parameter"
            says = f"{inner.place} is new and {'must' if needed else 'may'} be given"
            meant = meaning(self.new, told)
            self.report.add("error" if needed else "info", rule, inner, says, meant)

    def _parameter(self, old: Document, new: Document, at: At) -> None:
        was, now = bool(old.get("required")), bool(new.get("required"))
        if was != now:
            word = "became-required" if now else "became-optional"
            says = f"{at.place} {'must be' if now else 'need not be'} given"
            self.report.add("error" if now else "info", f"request-parameter-{word}", at, says)
        before, after = written(old), written(new)
        for word in (each for each in before if before[each] != after[each]):
            says = f"{at.place} is written another way: {word}"
            told = word, before[word], after[word]
            self.report.add("error", "request-parameter-style-changed", at, says, *told)
        deprecation(self.report, at, "request-parameter", Promise(old, new))
        self.schemas.compare(old.get("schema"), new.get("schema"), into_schema(at))
        self._contents(old, new, at)

    def _body(self, was: Operation, now: Operation, at: At) -> None:
        steps = was.pointer + "/requestBody", now.pointer + "/requestBody"
        before, old_at = resolved(self.old, was.told.get("requestBody"), steps[0])
        after, new_at = resolved(self.new, now.told.get("requestBody"), steps[1])
        inner = at._replace(
            place=f"{at.place} body", old=old_at, new=new_at, subject="body", direction="request"
        )
        needs = bool(after.get("required"))
        if not before and after:
            rule = f"request-body-added-{'required' if needs else 'optional'}"
            says = f"{inner.place} {'must' if needs else 'may'} be sent"
            meant = meaning(self.new, after)
            self.report.add("error" if needs else "info", rule, inner, says, meant)
            return
        if before and not after:
            says = f"{inner.place} is no longer taken"
            self.report.add("error", "request-body-removed", inner, says, gone=True)
            return
        if bool(before.get("required")) != needs:
            word = "became-required" if needs else "became-optional"
            says = f"{inner.place} {'must' if needs else 'need not'} be sent"
            self.report.add("error" if needs else "info", f"request-body-{word}", inner, says)
        self._contents(before, after, inner)

    def _contents(self, old: Document, new: Document, at: At) -> None:
        """The media types of a body or an answer, and what each holds."""
        was, now = old.get("content", {}), new.get("content", {})
        for kind, told in was.items():
            inner = at._replace(place=f"{at.place} {kind}")
            way = f"/content/{escaped(kind)}"
            inner = inner._replace(old=at.old + way, new=at.new + way)
            name = "request-body" if at.direction == "request" else "response"
            if kind not in now:
                says = f"{at.place} is no longer {kind}"
                self.report.add("error", f"{name}-media-type-removed", inner, says, gone=True)
                continue
            self.schemas.compare(told.get("schema"), now[kind].get("schema"), into_schema(inner))
            parts = [
                meaning(document, {"encoding": media.get("encoding", {})})
                for document, media in ((self.old, told), (self.new, now[kind]))
            ]
            if exact(parts[0]) != exact(parts[1]):
                says = f"{inner.place}: the parts are encoded another way"
                self.report.add("error", f"{name}-encoding-changed", inner, says, *parts)
        for kind in (each for each in now if each not in was):
            name = "request-body" if at.direction == "request" else "response"
            rule = f"{name}-media-type-added"
            self.report.add("info", rule, at, f"{at.place} may be {kind}", kind)

    def _responses(self, was: Operation, now: Operation, at: At) -> None:
        before, after = was.told.get("responses", {}), now.told.get("responses", {})
        for status, told in before.items():
            steps = f"/responses/{escaped(status)}"
            old, old_at = resolved(self.old, told, was.pointer + steps)
            new, new_at = resolved(self.new, after.get(status), now.pointer + steps)
            inner = at._replace(
                place=f"{at.place} {status}", old=old_at, new=new_at,
                direction="response", subject="body",
            )  # fmt: skip
            if status not in after:
                if SUCCESS.fullmatch(status):
                    gone(self.report, inner, old, "response-success-status", "error")
                else:
                    gone(self.report, inner, old, "response-non-success-status", "warn")
                continue
            self._headers(old, new, inner)
            self._contents(old, new, inner)
        for status in (each for each in after if each not in before):
            inner = at._replace(new=f"{now.pointer}/responses/{escaped(status)}")
            says = f"{at.place} may answer {status}"
            kind = "success" if SUCCESS.fullmatch(status) else "non-success"
            self.report.add("info", f"response-{kind}-status-added", inner, says, status)

    def _headers(self, old: Document, new: Document, at: At) -> None:
        was = {name.lower(): (name, told) for name, told in old.get("headers", {}).items()}
        now = {name.lower(): (name, told) for name, told in new.get("headers", {}).items()}
        for key, (name, told) in was.items():
            inner = at._replace(place=f"{at.place} header {name}", subject="header")
            inner = inner._replace(old=f"{at.old}/headers/{escaped(name)}")
            header, old_at = resolved(self.old, told, inner.old)
            needed = bool(header.get("required"))
            if key not in now:
                word = "required" if needed else "optional"
                rule, level = f"{word}-response-header", "error" if needed else "warn"
                gone(self.report, inner, header, rule, level)  # type: ignore[arg-type]  # one of two levels
                continue
            other, place = now[key]
            fresh, new_at = resolved(self.new, place, f"{at.new}/headers/{escaped(other)}")
            inner = inner._replace(old=old_at, new=new_at)
            if needed and not fresh.get("required"):
                says = f"{inner.place} need no longer be there"
                self.report.add("error", "response-header-became-optional", inner, says)
            self.schemas.compare(header.get("schema"), fresh.get("schema"), into_schema(inner))
            self._contents(header, fresh, inner)


def operations(document: Document) -> Iterator[tuple[tuple[str, str], Operation]]:
    """Every operation by the shape of its path (names of parameters are no part of it)."""
    for path, told in document.get("paths", {}).items():
        item, _ = resolved(document, told, f"/paths/{escaped(path)}")
        for method in METHODS:
            if method in item:
                yield (
                    (PARAMETER.sub("{}", path), method),
                    Operation(path, method, item, item[method]),
                )


def served_by(document: Document, operation: Operation) -> Document:
    """What says where an operation is: itself, its path or the whole document."""
    nearer = (operation.told, operation.item)
    return next((each for each in nearer if "servers" in each), document)


def parameters(
    document: Document, operation: Operation
) -> Iterator[tuple[tuple[str, str], tuple[Document, str]]]:
    """The parameters of an operation; those in the path by their number, for they have no name."""
    numbers = {name: str(n) for n, name in enumerate(PARAMETER.findall(operation.path))}
    places = (
        (operation.item, operation.pointer.rpartition("/")[0]),
        (operation.told, operation.pointer),
    )
    for node, pointer in places:
        for index, told in enumerate(node.get("parameters", ())):
            found, place = resolved(document, told, f"{pointer}/parameters/{index}")
            name = found["name"].lower() if found["in"] == "header" else found["name"]
            if found["in"] == "path":
                name = numbers.get(f"{{{name}}}", name)
            yield (found["in"], name), (found, place)


def at_of(was: Operation, now: Operation) -> At:
    """Where an operation stands in both documents."""
    name = was.told.get("operationId")
    return At(was.place, was.pointer, now.pointer, "request", "operation", name)


def parameter_at(at: At, told: Document, old: str, new: str) -> At:
    """Where a parameter stands; uses of it are noted by this field."""
    place = f"{at.place} {told['in']} parameter {told['name']}"
    field = f"{told['in']}:{told['name']}"
    return at._replace(place=place, old=old, new=new, subject="parameter", field=field)


def into_schema(at: At) -> At:
    """The schema of a parameter, a header or a media type."""
    field = "body:" if at.direction == "request" and at.subject == "body" else at.field
    return at._replace(old=f"{at.old}/schema", new=f"{at.new}/schema", field=field)


def passes(one: dict[str, list[str]], other: dict[str, list[str]]) -> bool:
    """Whether who meets the one requirement meets the other."""
    return all(name in one and set(scopes) <= set(one[name]) for name, scopes in other.items())


def written(parameter: Document) -> dict[str, Any]:
    """How the values of a parameter are written, where nothing else is said too."""
    style = parameter.get("style", "form" if parameter["in"] in {"query", "cookie"} else "simple")
    return {
        "style": style,
        "explode": parameter.get("explode", style == "form"),
        "allowReserved": parameter.get("allowReserved", False),
        "content": "content" in parameter,
    }


def schemes(document: Document) -> set[str]:
    """What its operations ask callers to sign in with."""
    told: list[dict[str, Any]] = document.get("security", [])
    found = (each.told.get("security", told) for _, each in operations(document))
    return {name for each in found for one in each for name in one}
