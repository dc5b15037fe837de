"""The parameters of an operation: how each is written, and what it may hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from apis.gateway.guard import Header, Where, parameter_error, repeated, unknown
from apis.gateway.schemas import Check, Schemas
from contracts.errors import FieldError

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,40})")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,40})(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,2})?")
_WORDS = {"true": True, "false": False}
_PLAIN = frozenset({"string"})
_DELIMITERS = {"form": ",", "simple": ",", "spaceDelimited": " ", "pipeDelimited": "|"}
_STYLES = {"query": "form", "header": "simple", "path": "simple"}
_NOT_OURS = frozenset({"accept", "content-type", "authorization", "idempotency-key"})
"""Headers that OpenAPI describes elsewhere, and the one that the gateway itself reads."""


class Parameter(msgspec.Struct, frozen=True):
    """One parameter of an operation, ready to be read and checked."""

    name: str
    where: Where
    required: bool
    several: bool
    """Whether it is a list."""
    delimiter: str | None
    """What separates the entries of a list that comes once; None where it may be repeated."""
    kinds: frozenset[str]
    """The types of the value, or of each entry."""
    check: Check | None
    """None for a text of which nothing more is said."""

    def errors(self, texts: list[str]) -> Iterator[FieldError]:
        """What is wrong with what was given."""
        if self.check is None:
            return
        if self.several:
            if self.delimiter:
                texts = texts[0].split(self.delimiter) if texts[0] else []
            options: list[Any] = [[next(_read(text.strip(), self.kinds)) for text in texts]]
        else:
            options = list(_read(texts[0], self.kinds))
        if any(map(self.check.fits, options)):
            return
        for path, code, sentence in self.check.faults(options[0]):
            subject = f"an entry of {self.name}" if path else self.name
            yield parameter_error(self.name, self.where, code, f"{subject} {sentence}")

    def header_errors(self, lines: list[str]) -> Iterator[FieldError]:
        """What is wrong with a header; several lines of it are one list (RFC 9110, 5.3)."""
        if len(lines) > 1 and not self.several:
            yield repeated(self.name, "header")
        else:
            yield from self.errors([",".join(lines)])


class Parameters(msgspec.Struct, frozen=True):
    """What an operation takes beside its body."""

    query: dict[str, Parameter] = {}
    needed: tuple[str, ...] = ()
    """The query parameters that may not be left out."""
    path: tuple[tuple[int, Parameter], ...] = ()
    """Those of which more is said than that they are text, by their place in the path."""
    headers: tuple[tuple[bytes, Parameter], ...] = ()

    def errors(self, rest: str, query: bytes, headers: list[Header]) -> list[FieldError]:
        """Everything that is wrong with the parameters of a request."""
        found: list[FieldError] = []
        if self.path:
            parts = rest.split("/")
            for place, parameter in self.path:
                found += parameter.errors([parts[place]])
        if query or self.needed:
            found += self._in_query(query)
        for name, parameter in self.headers:
            if lines := lines_of(name, headers):
                found += parameter.header_errors(lines)
            elif parameter.required:
                found.append(_missing(parameter))
        return found

    def _in_query(self, query: bytes) -> Iterator[FieldError]:
        given: dict[str, list[str]] = {}
        for name, text in parse_qsl(query.decode(), keep_blank_values=True):
            given.setdefault(name, []).append(text)
        for name, texts in given.items():
            parameter = self.query.get(name)
            if parameter is None:
                yield unknown(name, self.query)
            elif len(texts) > 1 and (not parameter.several or parameter.delimiter):
                yield repeated(name)
            else:
                yield from parameter.errors(texts)
        yield from (_missing(self.query[name]) for name in self.needed if name not in given)


def lines_of(name: bytes, headers: Iterable[Header]) -> list[str]:
    """Every value that a header came with; `name` is in small letters."""
    return [value.decode("latin-1") for each, value in headers if each.lower() == name]


def parameters_of(schemas: Schemas, template: str, method: str) -> Parameters:
    """Read what the document says; ValueError for a style that is not checked here."""
    query: dict[str, Parameter] = {}
    placed: list[tuple[int, Parameter]] = []
    headers: list[tuple[bytes, Parameter]] = []
    steps = template.split("/")
    for place, told in _described(schemas, template, method).values():
        parameter = _parameter(schemas, place, told)
        if parameter.where == "query":
            query[parameter.name] = parameter
        elif parameter.where == "header":
            headers.append((parameter.name.lower().encode(), parameter))
        elif f"{{{parameter.name}}}" not in steps:
            msg = f"the path parameter {parameter.name} does not fill a part of {template}"
            raise ValueError(msg)
        elif parameter.check is not None:
            placed.append((steps.index(f"{{{parameter.name}}}"), parameter))
    needed = tuple(name for name, each in query.items() if each.required)
    return Parameters(query, needed, tuple(placed), tuple(headers))


def _described(
    schemas: Schemas, template: str, method: str
) -> dict[tuple[str, str], tuple[tuple[str, ...], dict[str, Any]]]:
    """The parameters of the path, and over them those of the operation."""
    found = {}
    place, item = schemas.find("paths", template)
    for at, within in ((place, item), schemas.find(*place, method)):
        for index in range(len(within.get("parameters", ()))):
            spot, told = schemas.find(*at, "parameters", str(index))
            if told["in"] == "header" and told["name"].lower() in _NOT_OURS:
                continue
            found[told["in"], told["name"]] = spot, told
    return found


def parameter_of(schemas: Schemas, place: tuple[str, ...], name: str) -> Parameter:
    """A header of an answer, which is described as a parameter without its name."""
    spot, told = schemas.find(*place)
    return _parameter(schemas, spot, {**told, "in": "header", "name": name})


def _parameter(schemas: Schemas, place: tuple[str, ...], told: dict[str, Any]) -> Parameter:
    where, name = told["in"], told["name"]
    spoken = f"the {where} parameter {name}"
    if where not in _STYLES:
        msg = f"{spoken} cannot be checked: only query, header and path parameters are"
        raise ValueError(msg)
    style = told.get("style", _STYLES[where])
    if style not in _DELIMITERS or "content" in told:
        written = "content" if "content" in told else f"style {style}"
        msg = f"{spoken} cannot be checked: it is written as {written}"
        raise ValueError(msg)
    spot, schema = schemas.find(*place, "schema")
    kinds = schemas.kinds(*spot) if schema else _PLAIN
    several = "array" in kinds and "string" not in kinds
    if "object" in kinds and "string" not in kinds:
        msg = f"{spoken} cannot be checked: it is an object"
        raise ValueError(msg)
    explode = told.get("explode", style == "form")
    delimiter = None if explode and where == "query" else _DELIMITERS[style]
    plain = not schema or schema.keys() <= {"type", "description", "title", "examples", "example"}
    check = None if plain and "string" in kinds else schemas.check(*spot)
    entries = schemas.kinds(*spot, "items") if several else kinds
    required = bool(told.get("required"))
    return Parameter(name, where, required, several, delimiter, entries, check)


def _read(text: str, kinds: frozenset[str]) -> Iterator[Any]:
    """The values a text may stand for, the most particular first."""
    told = False
    if "boolean" in kinds and text in _WORDS:
        told = True
        yield _WORDS[text]
    if "integer" in kinds and _WHOLE.fullmatch(text):
        told = True
        yield int(text)
    elif "number" in kinds and _NUMBER.fullmatch(text):
        told = True
        yield float(text)
    if not told or "string" in kinds:
        yield text


def _missing(parameter: Parameter) -> FieldError:
    told = f"the {parameter.where} parameter {parameter.name} is missing"
    return parameter_error(parameter.name, parameter.where, "missing", told)
