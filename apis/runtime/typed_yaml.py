"""YAML files as types: a typo stops the start and names file, line and place."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from contracts.errors import Misconfigured

T = TypeVar("T")


class _Yaml(yaml.SafeLoader):
    """YAML without its surprises: `no` and `22:00` stay text, fractions are Decimal."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - as in PyYAML
        seen: set[Any] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"`{key.value}` is there twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Yaml.yaml_implicit_resolvers = {}
_Yaml.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^(true|false)$"), "tf")
_Yaml.add_implicit_resolver("tag:yaml.org,2002:null", re.compile("^(null|~|)$"), "n~\0")
_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^(0|-?[1-9][0-9]*)$"), "-0123456789"
)
_Yaml.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^-?[0-9]+\.[0-9]+$"), "-0123456789"
)


def _fraction(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Decimal:
    return Decimal(loader.construct_scalar(node))


_Yaml.add_constructor("tag:yaml.org,2002:float", _fraction)


def read_yaml(path: Path, wanted: type[T]) -> T:
    """The file as its type; Misconfigured `settings.invalid` names file, line and place."""
    try:
        text = path.read_text("utf-8")
        value = yaml.load(text, _Yaml)  # noqa: S506 - a SafeLoader
        return msgspec.convert(value, wanted)
    except msgspec.ValidationError as error:
        message, place = _place(value, wanted, str(error))
        line = _line(yaml.compose(text, _Yaml), place)
        where = f"{path.name}:{line}: {'.'.join(map(str, place)) or 'the file'}"
        raise Misconfigured("settings.invalid", f"{where}: {message}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Misconfigured("settings.invalid", f"{path.name}: {error}") from None


def _place(value: Any, wanted: Any, error: str) -> tuple[str, list[str | int]]:
    """The message, and the path with the keys that msgspec writes as `[...]`."""
    message, _, path = error.partition(" - at `")
    place: list[str | int] = []
    inside = value
    for part in re.findall(r"\.([^.\[`]+)|\[(\d+|\.\.\.)\]", path):
        name: str | int = part[0] or (int(part[1]) if part[1].isdigit() else "")
        if name == "":
            name = _failing_key(value, place, inside, wanted, error)
        place.append(name)
        inside = inside[name]
    return message, place


def _failing_key(
    value: Any, place: list[str | int], inside: dict[str, Any], wanted: Any, error: str
) -> str:
    """The key without whose siblings the error is still the same."""
    for key, only in inside.items():
        try:
            msgspec.convert(_replaced(value, place, {key: only}), wanted)
        except msgspec.ValidationError as again:
            if str(again) == error:
                return key
    return next(iter(inside))


def _replaced(value: Any, place: list[str | int], by: Any) -> Any:
    if not place:
        return by
    copy = value.copy()
    copy[place[0]] = _replaced(value[place[0]], place[1:], by)
    return copy


def _line(node: Any, place: list[str | int]) -> int:
    """The line of the place, or of the nearest thing around it that the file has."""
    line: int = node.start_mark.line + 1
    for name in place:
        if isinstance(node, yaml.SequenceNode) and isinstance(name, int):
            node = node.value[name]
            line = node.start_mark.line + 1
        elif isinstance(node, yaml.MappingNode):
            found = [(key, child) for key, child in node.value if key.value == name]
            if not found:
                break
            line, node = found[0][0].start_mark.line + 1, found[0][1]
    return line
