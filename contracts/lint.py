"""What is looked at when a published document is held against the rules, and what is found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import msgspec

from contracts.api_changes import Operation, operations, parameters
from contracts.changes import Document, escaped, resolved

MUTATIONS = frozenset({"post", "put", "patch", "delete"})
Told = tuple[str, str]
"""Where something is wrong, as a JSON Pointer, and what."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One place of one document that breaks a rule, and what to do about it."""

    rule: str
    document: str
    pointer: str
    says: str
    remedy: str
    operation: str | None = None


class Part(NamedTuple):
    """A schema, where it stands, and the name of the field that it describes."""

    schema: Document
    pointer: str
    field: str = ""
    beside: Document = {}  # noqa: RUF012 - read only
    """The schema of the object that the field is in."""


class Around(NamedTuple):
    """What a document is held against beside itself."""

    vendors: Collection[str] = ()
    """Words that belong to one vendor alone."""
    own: Mapping[str, Document] = {}
    """Schemas of system APIs that no contract of ours describes, by name."""
    faults: Callable[[Document, str, Any], list[str]] = lambda _document, _pointer, _value: []
    """What a value breaks of the schema that stands at a place of a document."""
    shape: Callable[[Document], list[Told]] = lambda _document: []
    """Where a document is not what its own specification asks for."""


class Look:
    """A document with its operations and schemas laid out."""

    def __init__(self, name: str, document: Document, around: Around | None = None) -> None:
        self.name = name
        self.document = document
        self.around = around or Around()

    @cached_property
    def operations(self) -> list[Operation]:
        """Its operations."""
        return [operation for _, operation in operations(self.document)]

    @property
    def tier(self) -> str:
        """Whose document it is."""
        return self.name.partition("/")[0]

    def parameters(self, operation: Operation) -> Iterator[tuple[Document, str]]:
        """The parameters of an operation and where each stands."""
        for _, told in parameters(self.document, operation):
            yield told

    def responses(self, operation: Operation) -> Iterator[tuple[str, Document, str]]:
        """The answers of an operation: status, what is said, and where."""
        for status, told in operation.told.get("responses", {}).items():
            yield (
                status,
                *resolved(self.document, told, f"{operation.pointer}/responses/{escaped(status)}"),
            )

    def body(self, operation: Operation) -> tuple[Document, str]:
        """What may be sent to an operation; nothing where it takes no body."""
        place = f"{operation.pointer}/requestBody"
        told, place = resolved(self.document, operation.told.get("requestBody"), place)
        return self.json(told, place)

    def answers(self, operation: Operation) -> Iterator[tuple[str, Document, str]]:
        """The schemas of what succeeds: status, schema and where."""
        for status, told, place in self.responses(operation):
            if status.startswith("2") and told.get("content"):
                yield status, *self.json(told, place)

    def json(self, told: Document, place: str) -> tuple[Document, str]:
        """The schema of the first content type, its reference followed."""
        for kind, media in told.get("content", {}).items():
            inner = f"{place}/content/{escaped(kind)}/schema"
            return resolved(self.document, media.get("schema"), inner)
        return {}, place

    def follow(self, schema: Any, pointer: str) -> tuple[Document, str]:
        """What a schema refers to."""
        return resolved(self.document, schema, pointer)

    def forms(self, schema: Document, pointer: str) -> Iterator[tuple[Document, str]]:
        """The forms that a value may have, but null."""
        told, place = self.follow(schema, pointer)
        word = next((word for word in ("anyOf", "oneOf") if word in told), None)
        if word is None:
            if told.get("type") != "null":
                yield told, place
            return
        for index, part in enumerate(told[word]):
            yield from self.forms(part, f"{place}/{word}/{index}")

    def parts(self) -> Iterator[Part]:
        """Every schema of the document, each where it stands."""
        components = self.document.get("components", {})
        if "$defs" in self.document:  # a schema of its own
            yield from parts_of(Part(self.document, ""))
        for name, schema in components.get("schemas", {}).items():
            yield from parts_of(Part(schema, f"/components/schemas/{escaped(name)}"))
        for kind in ("responses", "headers", "parameters"):
            for name, told in components.get(kind, {}).items():
                yield from self._said(told, f"/components/{kind}/{escaped(name)}")
        for operation in self.operations:
            for parameter, place in self.parameters(operation):
                if not place.startswith("/components"):
                    name = parameter["name"] if parameter["in"] == "query" else ""
                    schema = parameter.get("schema", {})
                    yield from parts_of(Part(schema, f"{place}/schema", name))
            told = operation.told
            yield from self._said(told.get("requestBody", {}), f"{operation.pointer}/requestBody")
            for status, answer in told.get("responses", {}).items():
                yield from self._said(answer, f"{operation.pointer}/responses/{escaped(status)}")

    def _said(self, told: Document, place: str) -> Iterator[Part]:
        if isinstance(told.get("schema"), dict):
            yield from parts_of(Part(told["schema"], f"{place}/schema"))
        for name, header in told.get("headers", {}).items():
            yield from self._said(header, f"{place}/headers/{escaped(name)}")
        for kind, media in told.get("content", {}).items():
            schema = media.get("schema", {})
            yield from parts_of(Part(schema, f"{place}/content/{escaped(kind)}/schema"))


def parts_of(part: Part) -> Iterator[Part]:
    """A schema and every schema inside it; references are not followed."""
    schema, pointer, field, _ = part
    if not isinstance(schema, dict):
        return
    yield part
    for name, inner in schema.get("properties", {}).items():
        yield from parts_of(Part(inner, f"{pointer}/properties/{escaped(name)}", name, schema))
    for name, inner in schema.get("$defs", {}).items():
        yield from parts_of(Part(inner, f"{pointer}/$defs/{escaped(name)}"))
    for word in ("items", "additionalProperties", "not", "propertyNames", "contains"):
        if isinstance(schema.get(word), dict):
            yield from parts_of(Part(schema[word], f"{pointer}/{word}"))
    for word in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for index, inner in enumerate(schema.get(word, ())):
            yield from parts_of(Part(inner, f"{pointer}/{word}/{index}", field, part.beside))


class Rule(NamedTuple):
    """A rule by a stable id: what it looks at, and what to do where it is broken."""

    id: str
    remedy: str
    told: Callable[[Look], Iterator[Told]]
    first: bool = False
    """Whether the others cannot look at a document that breaks it."""


def findings(look: Look, rules: Collection[Rule]) -> Iterator[Finding]:
    """Every place of the document that breaks one of the rules."""
    for rule in rules:
        told = list(rule.told(look))
        for pointer, says in told:
            yield Finding(
                rule=rule.id,
                document=look.name,
                pointer=pointer,
                says=says,
                remedy=rule.remedy,
                operation=None if rule.first else operation_at(look, pointer),
            )
        if told and rule.first:
            return


def operation_at(look: Look, pointer: str) -> str | None:
    """The operation that a place is in."""
    ids = {each.pointer: each.told.get("operationId") for each in look.operations}
    return ids.get("/".join(pointer.split("/")[:4]))
