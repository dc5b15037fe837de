"""Whether what metadata says of a connection fits its vendor: port, feeds, mapping overrides."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, get_origin

import msgspec

from apis.console.code_lists import type_at, unknown_value, unmapped
from apis.runtime.mapping import Map, Overrides
from apis.runtime.metadata import Layers, Metadata
from apis.runtime.places import Children, Inside
from apis.runtime.typed_yaml import Finding, Place, choices
from contracts import ports
from contracts.canonical.country import COUNTRY_CODES
from contracts.canonical.money import DECIMALS
from contracts.errors import Misconfigured

SCHEDULE = "billing_schedule"
"""The map of which of its own schedules an ERP follows, where it makes none."""
PATH = re.compile(r"^[A-Za-z_@][\w@:-]*(\.[\w@][\w@:-]*)*$", re.ASCII)


def connection_findings(metadata: Metadata) -> Iterator[Finding]:
    """What no connection to these vendors can do."""
    for name, connection in metadata.connections.items():
        folder = f"system_apis.{connection.vendor}"
        try:
            adapter = import_module(f"{folder}.adapter")
            mapping = import_module(f"{folder}.mapping")
        except ModuleNotFoundError as error:
            if not folder.startswith(error.name or folder):
                raise
            yield ("connections", name, "vendor"), f"there is no vendor {connection.vendor}"
            continue
        port = adapter.PORT
        told = listed(getattr(ports, port.capitalize()))
        for at, feed in enumerate(metadata.feeds):
            if feed.connection == name and feed.object not in told:
                only = f"only {', '.join(sorted(told))}" if told else "nor anything else"
                yield ("feeds", at, "object"), f"{port} lists no {feed.object}, {only}"
        for at, row in enumerate(metadata.roles):
            for kind, served in row.serves.items():
                if served == name and kind != port:
                    yield ("roles", at, "serves", kind), f"{name} serves {port} only"
        maps: Mapping[str, Map[Any]] = mapping.MAPS
        yield from _overrides(name, maps, metadata)
        layers = metadata.mappings.get(name, Layers())
        given = {each for _, objects in layers.each() for each in objects}
        optional: frozenset[str] = getattr(mapping, "OPTIONAL", frozenset[str]())
        if getattr(adapter, "CAPABILITIES", {}).get(ports.BILLING_SCHEDULES):
            optional |= {SCHEDULE}
        spare = optional - given
        needed = {each: by for each, by in maps.items() if each not in spare}
        yield from unmapped(name, port, needed, metadata)


def listed(port: type) -> set[str]:
    """The objects whose changes a kind of system lists: only those can be a feed."""
    return {
        each.name.removeprefix("list_").removesuffix("s").replace("_", "-")
        for each in ports.operations(port)
        if each.name.startswith("list_")
        and "changed_since" in inspect.signature(getattr(port, each.name)).parameters
    }


def _overrides(
    connection: str, maps: Mapping[str, Map[Any]], metadata: Metadata
) -> Iterator[Finding]:
    if (layers := metadata.mappings.get(connection)) is None:
        return
    for layer, objects in layers.each():
        for name, overrides in objects.items():
            place: Place = ("mappings", connection, *layer, name)
            if name not in maps:
                yield place, f"{connection} maps no {name}, only {', '.join(sorted(maps))}"
                continue
            elsewhere = [other[name].fields for _, other in layers.each() if name in other]
            paths = {field: path for fields in elsewhere for field, path in fields.items()}
            yield from _fields(place, maps[name], overrides)
            yield from _codes(place, maps[name], overrides, paths, metadata)
            for field, value in overrides.constants.items():
                at = (*place, "constants", field)
                wrong = _no_field(maps[name], field) or _no_value(
                    maps[name], field, value, metadata
                )
                if wrong:
                    yield at, wrong


def _fields(place: Place, by: Map[Any], overrides: Overrides) -> Iterator[Finding]:
    for field, path in overrides.fields.items():
        at = (*place, "fields", field)
        if wrong := _no_field(by, field):
            yield at, wrong
        elif path is None:
            if field in {
                each.name for each in msgspec.structs.fields(by.contract) if each.required
            }:
                yield at, f"a {by.name} cannot be without {field}"
        elif not PATH.match(path):
            yield at, f"`{path}` is no path: names with dots between them, such as Account.Name"
        else:
            yield from _refused(at, by, Overrides(fields={field: path}))


def _codes(
    place: Place,
    by: Map[Any],
    overrides: Overrides,
    paths: Mapping[str, str | None],
    metadata: Metadata,
) -> Iterator[Finding]:
    for field, table in overrides.codes.items():
        at = (*place, "codes", field)
        if wrong := _no_field(by, field):
            yield at, wrong
            continue
        mapped = {field: paths[field]} if paths.get(field) else {}
        yield from _refused(at, by, Overrides(fields=mapped, codes={field: table}))
        for theirs, ours in table.items():
            if wrong := _no_value(by, field, ours, metadata):
                yield (*at, theirs), wrong


def _refused(place: Place, by: Map[Any], overrides: Overrides) -> Iterator[Finding]:
    """What the map itself says, as it would at the start."""
    try:
        by.over(overrides)
    except Misconfigured as error:
        yield place, error.detail


def _no_field(by: Map[Any], field: str) -> str | None:
    """Why a canonical field cannot be mapped."""
    kind = type_at(*_innermost(by, field))
    if kind is None:
        return f"a {by.name} has no {field}"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return f"{field} has parts: map each, such as {field}.{kind.__struct_fields__[0]}"
    if get_origin(kind) in (tuple, dict):
        each = "external_id" if isinstance(by.fields.get(field), Children) else "0"
        return f"{field} holds several values: map each, such as {field}.{each}"
    return None


def _no_value(by: Map[Any], field: str, value: str, metadata: Metadata) -> str | None:
    """Why a field cannot have a value."""
    contract, inner = _innermost(by, field)
    kind = type_at(contract, inner)
    among = choices(kind)
    closed = {"entity": metadata.entities, "country": COUNTRY_CODES, "currency": DECIMALS}
    if among and value not in among:
        return f"{value} is no {field}, only {', '.join(among)}"
    if value not in closed.get(inner.rpartition(".")[2], {value}):
        return f"{value} is no {inner.rpartition('.')[2]} that is known"
    if told := unknown_value(metadata, inner, value):
        return told
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        return str(error)
    return None


def _innermost(by: Map[Any], field: str) -> tuple[Any, str]:
    """The contract a field belongs to, through lists and relationships with maps of their own."""
    for name, place in by.fields.items():
        if isinstance(place, Children | Inside) and field.startswith(f"{name}."):
            inner: Any = place.map
            return _innermost(inner, field.removeprefix(f"{name}."))
    return by.contract, field
