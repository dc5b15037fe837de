"""Where a vendor keeps a field, and the function that reads a record by a table of such places."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from types import NoneType, UnionType
from typing import Annotated, Any, Protocol, Union, get_args, get_origin

import msgspec

from contracts.canonical.money import DECIMALS, RATES, Money, exact
from contracts.errors import FieldError, Misconfigured, Rejected

Raw = Callable[[Mapping[str, Any]], dict[str, Any]]
EMPTY: Mapping[str, Any] = {}


class Readable(Protocol):
    """What a place needs of the map that reads the records inside it."""

    raw: Raw

    @property
    def paths(self) -> tuple[str, ...]: ...  # noqa: D102 - of Map
    @property
    def columns(self) -> str: ...  # noqa: D102 - of Map
    def write(self, value: Any) -> dict[str, Any]: ...  # noqa: D102 - of Map
    def over(self, overrides: Any) -> Any: ...  # noqa: D102 - of Map
    def vendor_path(self, parts: list[str]) -> str | None: ...  # noqa: D102 - of Map


class At(msgspec.Struct, frozen=True):
    """A value at a vendor path, if need be translated by a code list.

    The vendor takes texts up to `longest` characters; a longer one is `cut`, or refused.
    """

    path: str
    readonly: bool = False
    table: Mapping[Any, Any] | None = None
    loose: bool = False
    longest: int | None = None
    cut: bool = False


class Flags(msgspec.Struct, frozen=True):
    """A value that the vendor derives from several of its fields: never written."""

    paths: tuple[str, ...]
    table: Mapping[Any, Any]


class Const(msgspec.Struct, frozen=True):
    """A value the vendor does not hold: the same for every record, never written."""

    value: str


class Children(msgspec.Struct, frozen=True):
    """A list of records, each read by another map; `{}` in `column` stands for its columns."""

    path: str
    map: Readable
    column: str | None = None
    whole: str | None = None
    readonly: bool = False


class Inside(msgspec.Struct, frozen=True):
    """One record at a path (the record itself without one), read by another map, never written."""

    path: str | None
    map: Readable


Place = At | Flags | Const | Children | Inside


def at(path: str, *, readonly: bool = False, longest: int | None = None, cut: bool = False) -> At:
    """The value at `path`; a readonly one is left out of writes, a longer one refused or `cut`."""
    return At(path, readonly, longest=longest, cut=cut)


def codes(
    path: str, table: Mapping[Any, Any], *, readonly: bool = False, loose: bool = False
) -> At:
    """The value at `path` by a code list, vendor value -> canonical; `loose` ignores case."""
    return At(path, readonly, table, loose)


def flags(*args: Any) -> Flags:
    """Several paths, and a table of the tuple of their values."""
    return Flags(args[:-1], args[-1])


def const(value: str) -> Const:
    """The same value for every record."""
    return Const(value)


def children(
    path: str,
    each: Readable,
    *,
    column: str | None = None,
    whole: str | None = None,
    readonly: bool = False,
) -> Children:
    """The records listed at `path`; where `whole` says False some are missing: no reading."""
    return Children(path, each, column, whole, readonly)


def inside(path: str | None, by: Readable) -> Inside:
    """The record at a relationship path."""
    return Inside(path, by)


class CodeList(dict[Any, Any]):
    """Vendor value -> canonical value; one that is not there is an error, None stays None."""

    def __init__(self, field: str, path: str, place: At | Flags) -> None:
        super().__init__(place.table or {})
        if isinstance(place, At):
            self[None] = None
        self._names = (field, path)
        loose = isinstance(place, At) and place.loose
        self._folded = {str(k).casefold(): v for k, v in self.items()} if loose else {}

    def __missing__(self, value: Any) -> Any:
        found = self._folded.get(str(value).strip().casefold())
        if found is None:
            raise unknown_value(*self._names, value)
        return found


def unknown_value(field: str, path: str, value: Any) -> Misconfigured:
    """A value that no code list knows: for the steward of the mapping."""
    shown = ", ".join(map(repr, value)) if isinstance(value, tuple) else repr(value)
    message = f"{shown[:80]} is not in its code list"
    pointer = "/" + "/".join(field.split(".")[1:])
    return Misconfigured(
        "mapping.unknown-value",
        f"{field} (read from {path}): {message}",
        errors=(FieldError(pointer=pointer, code="unknown-value", message=message),),
        owner="integration",
        remedy="map the value in the code list of the metadata, or set it right in its system",
    )


def fitting(field: str, place: At, value: Any) -> Any:
    """A text as long as the vendor takes it: the end of a cut one is `...`."""
    if place.longest is None or not isinstance(value, str) or len(value) <= place.longest:
        return value
    if place.cut:
        return value[: place.longest - 3].rstrip() + "..."
    kind, _, name = field.partition(".")
    message = f"{len(value)} characters, where {place.path} takes {place.longest}"
    raise Rejected(
        f"{kind}.{name.replace('.', '-').replace('_', '-')}-too-long",
        f"the {name} {value[:80]!r} of a {kind} is too long: {message}",
        errors=(
            FieldError(pointer=f"/{name.replace('.', '/')}", code="too-long", message=message),
        ),
        remedy=f"shorten it to {place.longest} characters in the system that owns it, then retry",
    )


def reader(name: str, contract: Any, fields: Mapping[str, Place]) -> tuple[str, Raw]:
    """The source and the function that turns a record into what the contract is made of."""
    return _Reader(name).compiled(contract, fields)


class _Reader:
    """Writes one function: a line per relationship and per nested field, then one dict."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lines: list[str] = []
        self._known: dict[str, Any] = {"EMPTY": EMPTY, "texts": _texts, "whole_number": _whole}
        self._prefixes: dict[tuple[str, ...], str] = {(): "r"}

    def compiled(self, contract: Any, fields: Mapping[str, Place]) -> tuple[str, Raw]:
        tree: dict[str, Any] = {}
        for path, place in fields.items():
            *parents, last = path.split(".")
            node = tree
            for parent in parents:
                node = node.setdefault(parent, {})
            node[last] = place
        result = self._struct(contract, tree, self._name)
        lines = ["def raw(r):", "    get = r.get", *self._lines, f"    return {result}", ""]
        source = "\n".join(lines)
        exec(compile(source, f"<map of {self._name}>", "exec"), self._known)  # noqa: S102 - our own text
        return source, self._known["raw"]

    def _struct(self, contract: Any, tree: Mapping[str, Any], field: str) -> str:
        members = {member.name: member for member in msgspec.structs.fields(contract)}
        parts: dict[str, str] = {}
        for name, node in tree.items():
            if name not in members:
                raise Misconfigured("mapping.unknown-field", f"there is no field {field}.{name}")
            member = members[name]
            kind, nullable = _unwrapped(member.type)
            value = self._member(kind, node, f"{field}.{name}")
            if not nullable and not member.required and isinstance(node, At | Flags):
                made = member.default_factory
                plain = member.default if made is msgspec.NODEFAULT else made()
                default = self._name_of("default", plain)
                value = f"{default} if (v := {value}) is None else v"
            parts[member.encode_name] = value
        if contract is Money and parts.keys() == {"amount", "currency"}:
            exactly = self._name_of("exact", partial(_exact, field))
            parts["amount"] = f"{exactly}({parts['amount']}, {parts['currency']})"
        return "{" + ", ".join(f"{name!r}: {value}" for name, value in parts.items()) + "}"

    def _member(self, kind: Any, node: Any, field: str) -> str:
        if not isinstance(node, dict):
            value = self._leaf(node, field)
            return f"whole_number({value})" if kind is int else value
        if get_origin(kind) is dict:
            items = (
                f"{name!r}: {self._leaf(leaf, f'{field}.{name}')}" for name, leaf in node.items()
            )
            return "texts({" + ", ".join(items) + "})"
        if get_origin(kind) in (tuple, list):
            each, _ = _unwrapped(get_args(kind)[0])
            items = (self._nested(each, node[at], f"{field}.{at}") for at in sorted(node, key=int))
            return f"[e for e in ({', '.join(items)},) if e is not None]"
        return self._nested(kind, node, field)

    def _nested(self, contract: Any, tree: Mapping[str, Any], field: str) -> str:
        """A struct inside: None unless its first required member, else any, has a value."""
        if not isinstance(tree, dict):
            return self._leaf(tree, field)
        if not isinstance(contract, type) or not issubclass(contract, msgspec.Struct):
            raise Misconfigured("mapping.unknown-field", f"{field} has no fields of its own")
        members = {member.name: member for member in msgspec.structs.fields(contract)}
        required = {name for name, member in members.items() if member.required}
        asked = {}
        for name, node in tree.items():
            if not isinstance(node, Const | dict):
                asked[name] = self._assigned(self._leaf(node, f"{field}.{name}"))
        for name, node in () if asked else tree.items():  # it has only structs inside
            if isinstance(node, dict) and name in members:
                kind, _ = _unwrapped(members[name].type)
                asked[name] = self._assigned(self._member(kind, node, f"{field}.{name}"))
        lead = next((asked[name] for name in asked if name in required), None)
        some = [lead] if lead else list(asked.values())
        whole = self._struct(contract, {**tree, **{n: _Local(v) for n, v in asked.items()}}, field)
        return f"({whole} if {' or '.join(f'{name} is not None' for name in some)} else None)"

    def _leaf(self, place: Any, field: str) -> str:
        match place:
            case _Local():
                value = place.name
            case Const():
                value = repr(place.value)
            case Flags():
                table = self._name_of("codes", CodeList(field, " and ".join(place.paths), place))
                value = f"{table}[{', '.join(map(self._got, place.paths))},]"
            case Inside(path=None):
                value = f"{self._name_of('inside', place.map.raw)}(r)"
            case Inside(path=str(path)):
                by = self._name_of("inside", place.map.raw)
                found = self._assigned(self._got(path))
                value = f"({by}({found}) if {found} is not None else None)"
            case Children():
                value = self._list(place, field)
            case _ if place.table is None:
                value = self._got(place.path)
            case _:
                table = self._name_of("codes", CodeList(field, place.path, place))
                value = f"{table}[{self._got(place.path)}]"
        return value

    def _list(self, place: Children, field: str) -> str:
        if place.whole:
            cut = self._name_of("cut", lambda: _cut(field, place.path))
            self._lines.append(f"    if {self._got(place.whole)} is False: raise {cut}()")
        each = self._name_of("each", place.map.raw)
        return f"[{each}(x) for x in {self._got(place.path)} or ()]"

    def _got(self, path: str) -> str:
        *parents, last = path.split(".")
        owner = self._prefix(tuple(parents))
        return f"get({last!r})" if owner == "r" else f"{owner}.get({last!r})"

    def _prefix(self, parents: tuple[str, ...]) -> str:
        if parents not in self._prefixes:
            value = f"{self._prefix(parents[:-1])}.get({parents[-1]!r}) or EMPTY"
            self._prefixes[parents] = self._assigned(value)
        return self._prefixes[parents]

    def _assigned(self, value: str) -> str:
        name = f"v{len(self._lines)}"
        self._lines.append(f"    {name} = {value}")
        return name

    def _name_of(self, kind: str, value: Any) -> str:
        name = f"{kind}{len(self._known)}"
        self._known[name] = value
        return name


class _Local(msgspec.Struct, frozen=True):
    """A value the function has already put into a local name."""

    name: str


def _unwrapped(kind: Any) -> tuple[Any, bool]:
    """The type without `Annotated` and `None`, and whether None was allowed."""
    if get_origin(kind) is Annotated:
        return _unwrapped(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        rest = [each for each in get_args(kind) if each is not NoneType]
        return _unwrapped(rest[0])[0], len(rest) < len(get_args(kind))
    return kind, kind is Any


def _exact(field: str, amount: Any, currency: Any) -> Any:
    """A vendor's `42800.0` is 42800.00 in euros and 42800 in yen; other types are refused later."""
    if type(amount) not in (Decimal, int) or currency not in DECIMALS:
        return amount
    try:
        return exact(Decimal(amount), currency, rate=field.rpartition(".")[2] in RATES)
    except ValueError as error:
        told = f"{field}: {error}"
        raise Misconfigured("mapping.money-decimals", told, owner="integration") from None


def _whole(value: Any) -> Any:
    """An int for a whole number that a vendor writes as `3.0`."""
    return (
        int(value) if isinstance(value, Decimal) and value == value.to_integral_value() else value
    )


def _texts(values: dict[str, Any]) -> dict[str, str]:
    """Extensions: what has a value, as text."""
    return {name: _text(value) for name, value in values.items() if value is not None}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _cut(field: str, path: str) -> Misconfigured:
    return Misconfigured(
        "mapping.truncated",
        f"{field} (read from {path}): the system sent only a part of the list",
        owner="integration",
    )
