"""YAML files as types: a mistake stops the start, and names its file, line and place.

Text stays text (`no`, `22:00`, `2026-01-31`); numbers are numbers, so exact ones are quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
import yaml

from contracts.errors import Misconfigured

T = TypeVar("T")
Place = tuple[str | int, ...]
Finding = tuple[Place, str]
"""Where in a file something is wrong, and what."""
NUMBER = re.compile(r"^-?[0-9]+(\.[0-9]+)?$")
QUOTED = 'write it in quotes, such as "1234.50", so that not a cent is lost'


class Lines:
    """The line of every place of a file."""

    def __init__(self, name: str, root: yaml.Node | None) -> None:
        self._name = name
        self._root = root

    def told(self, place: Place, message: str) -> str:
        """Say `gateway.yaml:12: plans.internal.rate: message`."""
        where = ".".join(map(str, place)) or "the file"
        return f"{self._name}:{self.of(place)}: {where}: {message}"

    def of(self, place: Place) -> int:
        """The line of the place, or of the nearest thing around it that the file has."""
        node, line = self._root, 1
        for name in place:
            if isinstance(node, yaml.SequenceNode) and isinstance(name, int):
                node = node.value[name]
                line = node.start_mark.line + 1
            elif isinstance(node, yaml.MappingNode):
                found = [(key, held) for key, held in node.value if key.value == str(name)]
                if not found:
                    break
                line, node = found[0][0].start_mark.line + 1, found[0][1]
        return line


class _Yaml(yaml.CSafeLoader):
    """YAML without its surprises: few words and numbers mean more than their text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - as in PyYAML
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a name is expected", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"`{key.value}` is there twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Yaml.yaml_implicit_resolvers = {}
_Yaml.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|false)$"), "tf")
_Yaml.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("^(null|~|)$"), ["n", "~", ""])
_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^(0|-?[1-9][0-9]*)$"), "-0123456789"
)
_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^-?[0-9]+\.[0-9]+$"), "-0123456789"
)


def _fraction(loader: _Yaml, node: yaml.ScalarNode) -> Decimal:
    return Decimal(loader.construct_scalar(node))


_Yaml.add_constructor("tag:yaml.org,2002:float", _fraction)


def read_yaml(name: str, text: str, wanted: type[T]) -> tuple[T, Lines]:
    """The text as its type; Misconfigured `settings.invalid` tells all mistakes, a line each."""
    root, value = _read(name, text)
    lines = Lines(name, root)
    if found := sorted(_mistakes(value, wanted, ()), key=lambda each: lines.of(each[0])):
        told = "\n".join(lines.told(*each) for each in found)
        raise Misconfigured("settings.invalid", told)
    return msgspec.convert(value, wanted), lines


def plain_yaml(name: str, text: str) -> tuple[Any, Lines]:
    """The text as plain values; Misconfigured `settings.invalid` where it is no YAML."""
    root, value = _read(name, text)
    return value, Lines(name, root)


def _read(name: str, text: str) -> tuple[yaml.Node | None, Any]:
    loader = _Yaml(text)
    try:
        root = loader.get_single_node()
        return root, loader.construct_document(root) if root else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f":{mark.line + 1}" if mark else ""
        raise Misconfigured("settings.invalid", f"{name}{line}: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        told = " ".join(str(error).split())
        raise Misconfigured("settings.invalid", f"{name}: {told}") from None


def _mistakes(value: Any, kind: Any, place: Place) -> Iterator[Finding]:
    """Every value on its own, so that all that is wrong is told at once and at its place."""
    plain = bare(kind)
    outer = get_origin(plain) or plain
    if isinstance(value, dict) and isinstance(outer, type) and issubclass(outer, msgspec.Struct):
        yield from _in_struct(value, outer, place)
    elif isinstance(value, dict) and outer is dict:
        names, held = get_args(plain)
        for name, inner in value.items():
            yield from _in_scalar(name, names, (*place, name))
            yield from _mistakes(inner, held, (*place, name))
    elif isinstance(value, list) and outer in (tuple, frozenset):
        for at, inner in enumerate(value):
            yield from _mistakes(inner, get_args(plain)[0], (*place, at))
    else:
        yield from _in_scalar(value, kind, place)


def _in_struct(value: dict[Any, Any], kind: type, place: Place) -> Iterator[Finding]:
    members = _members(kind)
    for name, inner in value.items():
        if name in members:
            yield from _mistakes(inner, members[name].type, (*place, name))
        else:
            yield (*place, name), f"there is no such setting, only {', '.join(sorted(members))}"
    for name, member in members.items():
        if member.required and name not in value:
            yield place, f"`{name}` is missing"


@cache
def _members(kind: type) -> dict[str, msgspec.structs.FieldInfo]:
    return {member.encode_name: member for member in msgspec.structs.fields(kind)}


def _in_scalar(value: Any, kind: Any, place: Place) -> Iterator[Finding]:
    if bare(kind) is Decimal and value is not None:
        if not isinstance(value, str):
            yield place, QUOTED
        elif not NUMBER.match(value):
            yield place, f"`{value}` is no decimal number"
        return
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        yield place, _sentence(str(error).partition(" - at ")[0], value, kind)


def _sentence(message: str, value: Any, kind: Any) -> str:
    """What is wrong, and how to write it; never the value, which may be a secret."""
    described = [each for each in getattr(_single(kind), "__metadata__", ()) if each.description]
    if "matching regex" in message and described:
        such = f", such as {described[0].examples[0]}" if described[0].examples else ""
        return f"expected {described[0].description}{such}"
    if isinstance(value, bool | int | Decimal) and "`str" in message:
        return f"{message}: write it in quotes"
    if isinstance(value, str) and "`bool" in message:
        return f"{message}: write true or false"
    if message.startswith("Invalid enum value"):
        return f"{message}, expected {' or '.join(choices(kind))}"
    return message


def choices(kind: Any) -> list[str]:
    """The values of a closed list, in its order; of other types none."""
    if get_origin(kind) is Literal:
        return [str(each) for each in get_args(kind)]
    parts = get_args(kind) if get_origin(kind) in (Annotated, Union, UnionType) else ()
    return [each for part in parts for each in choices(part)]


def bare(kind: Any) -> Any:
    """The type without what may be said about it, and without None."""
    only = _single(kind)
    return bare(get_args(only)[0]) if get_origin(only) is Annotated else only


def _single(kind: Any) -> Any:
    if get_origin(kind) not in (Union, UnionType):
        return kind
    rest = [each for each in get_args(kind) if each is not NoneType]
    return rest[0] if len(rest) == 1 else kind
