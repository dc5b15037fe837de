"""An OpenAPI 3.1 document and its schemas as checks, compiled at start.

jsonschema-rs checks (JSON Schema 2020-12): `format` counts, patterns run in linear time, and no
reference leaves the document. What a value breaks is told in the words our apps use.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import unquote

import jsonschema_rs as js

from apis.gateway.tangles import tangled
from apis.runtime.refusals import MOST, WORDS

BASE = "urn:document"
DECIMAL = r"^-?[0-9]+(\.[0-9]+)?$"
MOST_REFERENCES = 32
MOST_PATTERN_BYTES = 1 << 20
KINDS = frozenset({"string", "integer", "number", "boolean", "null", "array", "object"})
_NAMES = {"string": "str", "integer": "int", "number": "float", "boolean": "bool"}
_PYTHON = (
    (bool, "boolean"),
    (int, "integer"),
    (str, "string"),
    (list, "array"),
    (dict, "object"),
)
_FORMS = {"date-time": "RFC3339 encoded datetime"}
_BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "minLength": "at least {} letters long",
    "maxLength": "at most {} letters long",
    "minItems": "a list of at least {}",
    "maxItems": "a list of at most {}",
    "minProperties": "an object of at least {} members",
    "maxProperties": "an object of at most {} members",
    "multipleOf": "a multiple of {}",
}
FORMLESS = "fits none of the forms it may have"


class Fault(NamedTuple):
    """One thing a value breaks: where in it, a stable code and what is wrong with it."""

    path: tuple[str, ...]
    code: str
    sentence: str


class Check:
    """One schema, compiled."""

    __slots__ = ("_all", "_tangled", "fits")

    def __init__(self, validator: js.Draft202012Validator, *, tangled: bool = False) -> None:
        self.fits = validator.is_valid
        self._all = validator.iter_errors
        self._tangled = tangled

    def faults(self, value: Any) -> Iterator[Fault]:
        """Everything the value breaks; that it breaks something, where all would take too long."""
        if self._tangled:
            if not self.fits(value):
                yield Fault((), "invalid", FORMLESS)
            return
        for error in self._all(value):
            yield from _faults(error)


class Schemas:
    """What stands in one document, by JSON Pointer; ValueError where it cannot be used."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._checks: dict[str, Check] = {}
        self._registry = js.Registry([(BASE, _exact(document))], draft=js.Draft202012)
        self._options = js.RegexOptions(size_limit=MOST_PATTERN_BYTES)

    def find(self, *parts: str) -> tuple[tuple[str, ...], Any]:
        """The place and what stands there, references followed; None where there is nothing."""
        for followed in range(MOST_REFERENCES):
            node: Any = self.document
            for part in parts:
                node = node.get(part) if isinstance(node, dict) else _item(node, part)
            if followed and node is None:
                msg = f"there is nothing at #/{'/'.join(parts)}"
                raise ValueError(msg)
            if not isinstance(node, dict) or not isinstance(reference := node.get("$ref"), str):
                return parts, node
            if not reference.startswith("#/"):
                msg = f"{reference} lies outside the document"
                raise ValueError(msg)
            parts = _steps(reference)
        msg = f"{'/'.join(parts)} refers to itself"
        raise ValueError(msg)

    def check(self, *parts: str) -> Check:
        """The schema at this place, ready to check values."""
        steps = (part.replace("~", "~0").replace("/", "~1") for part in parts)
        pointer = "/".join(steps).replace("%", "%25").replace("{", "%7B").replace("}", "%7D")
        if pointer not in self._checks:
            self._checks[pointer] = self._compiled(pointer)
        return self._checks[pointer]

    def _compiled(self, pointer: str) -> Check:
        try:
            return Check(
                js.Draft202012Validator(
                    {"$ref": f"{BASE}#/{pointer}"},
                    registry=self._registry,
                    validate_formats=True,
                    pattern_options=self._options,
                    offline=True,
                ),
                tangled=tangled({"$ref": f"#/{pointer}"}, self._target),
            )
        except (js.ValidationError, js.ReferencingError, ValueError) as error:
            told = str(error).partition("\n")[0][:MOST]
            raise ValueError(told) from None

    def _target(self, reference: str) -> Any:
        """What a reference leads to, if only to another one."""
        if not reference.startswith("#/"):
            raise ValueError(reference)
        node: Any = self.document
        for part in _steps(unquote(reference)):
            node = node[part] if isinstance(node, dict) and part in node else _item(node, part)
        if node is None:
            raise ValueError(reference)
        return node

    def exact(self, *parts: str) -> bool:
        """Whether amounts of ours are anywhere in what this schema describes."""
        seen: set[str] = set()
        left: list[Any] = [self.find(*parts)[1]]
        while left:
            node = left.pop()
            if isinstance(node, list):
                left += node
            elif isinstance(node, dict):
                if node.get("format") == "decimal":
                    return True
                left += node.values()
                if isinstance(reference := node.get("$ref"), str) and reference not in seen:
                    seen.add(reference)
                    left.append(self.find(*_steps(reference))[1])
        return False

    def kinds(self, *parts: str, depth: int = 0) -> frozenset[str]:
        """The types a value at this place may have; all where the schema does not say."""
        parts, schema = self.find(*parts)
        if not isinstance(schema, dict) or depth > len(KINDS):
            return KINDS
        if "type" in schema:
            told = schema["type"]
            named = told if isinstance(told, list) else [told]
            return frozenset(each for each in named if isinstance(each, str))
        for word in ("anyOf", "oneOf"):
            if isinstance(forms := schema.get(word), list):
                each = range(len(forms))
                return frozenset().union(
                    *(self.kinds(*parts, word, str(at), depth=depth + 1) for at in each)
                )
        kinds, every = KINDS, schema.get("allOf")
        for at in range(len(every) if isinstance(every, list) else 0):
            kinds &= self.kinds(*parts, "allOf", str(at), depth=depth + 1)
        return kinds


def _steps(reference: str) -> tuple[str, ...]:
    """The way that a reference inside the document goes."""
    parts = reference.removeprefix("#/").split("/")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in parts)


def _item(node: Any, part: str) -> Any:
    if isinstance(node, list) and part.isdigit() and int(part) < len(node):
        return node[int(part)]
    return None


def _exact(value: Any) -> Any:
    """The document with the form of our decimal numbers said as a pattern."""
    if isinstance(value, dict):
        made = {name: _exact(held) for name, held in value.items()}
        if made.get("format") == "decimal" and made.get("type") == "string":
            made.setdefault("pattern", DECIMAL)
        return made
    return [_exact(each) for each in value] if isinstance(value, list) else value


def _faults(error: js.ValidationError) -> Iterator[Fault]:
    path = tuple(map(str, error.instance_path))
    name, told = error.kind.name, error.kind.as_dict()
    if name == "required":
        yield Fault((*path, told["property"]), "missing", "is missing")
    elif name in {"additionalProperties", "unevaluatedProperties"}:
        for unknown in told["unexpected"]:
            if len(unknown) > MOST:
                yield Fault(path, "unknown-field", f"has a name of over {MOST} letters")
            else:
                yield Fault((*path, unknown), "unknown-field", "is not known here")
    elif name in {"anyOf", "oneOf"} and "context" in told:
        yield from _choice(error, path)
    else:
        yield Fault(path, *_said(name, told, error.instance))


def _said(name: str, told: dict[str, Any], value: Any) -> tuple[str, str]:
    if name == "type":
        wanted = " or ".join(_worded(each) for each in told["types"])
        return "wrong-type", f"must be {wanted}, not {_worded(_kind(value))}"
    if name in {"enum", "const"}:
        shown = f'"{value[:MOST]}"' if isinstance(value, str) else _worded(_kind(value))
        return "unknown-value", f"cannot be {shown}"
    if name in {"format", "pattern"}:
        return "wrong-form", f"must {_form(told[name])}"
    if name in _BOUNDS:
        bound = next(iter(told.values()))
        return "out-of-range", "must be " + _BOUNDS[name].format(bound)
    return "invalid", "is not accepted"


def _form(told: str) -> str:
    if told == DECIMAL:
        return "be a decimal number"
    form = _FORMS.get(told, repr(told)[1:-1])  # as patterns of ours are listed
    return f"be {WORDS[form]}" if form in WORDS else f"match {told[:MOST]}"


def _choice(error: js.ValidationError, path: tuple[str, ...]) -> Iterator[Fault]:
    """What is wrong with a value of several forms, told of the form it comes nearest to."""
    branches = [each for each in error.kind.context if each]  # type: ignore[attr-defined]  # anyOf and oneOf have it
    near = [each for each in branches if not _other_kind(each, path)]
    if len(near) == 1:
        for inner in near[0]:
            yield from _faults(inner)
        return
    if branches and not near:
        wanted = {kind: None for each in branches for kind in getattr(each[0].kind, "types", ())}
        yield Fault(path, *_said("type", {"types": list(wanted)}, error.instance))
        return
    yield Fault(path, "invalid", FORMLESS)


def _other_kind(branch: list[js.ValidationError], path: tuple[str, ...]) -> bool:
    first = branch[0]
    return first.kind.name == "type" and tuple(map(str, first.instance_path)) == path


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = (
        (bool, "boolean"),
        (int, "integer"),
        (str, "string"),
        (list, "array"),
        (dict, "object"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), "number")


def _worded(kind: str) -> str:
    return WORDS.get(_NAMES.get(kind, kind), kind)
