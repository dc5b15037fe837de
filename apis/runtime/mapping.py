"""Map: canonical field <-> vendor path, both ways.

Reading is compiled once per map to one plain function that builds nested dicts (`Map.source` shows
it); msgspec makes the contract of them, which checks every value. Writing walks the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Generic, TypeVar

import msgspec

from apis.runtime.places import (
    At,
    Children,
    Const,
    Flags,
    Inside,
    Place,
    at,
    children,
    codes,
    const,
    fitting,
    flags,
    inside,
    reader,
    unknown_value,
)
from apis.runtime.refusals import said
from contracts.canonical.deal import Gap
from contracts.errors import FieldError, Misconfigured

__all__ = ["Map", "Overrides", "at", "children", "codes", "const", "flags", "inside"]
C = TypeVar("C")
ABSENT: Any = object()
UNMAPPED = "set the record right in its system, or map the field or value in the metadata"
DRIFTED = (
    "see in that system what has become of the field: if it is called otherwise now, map its new"
    " name in the metadata; if it holds something else, set it right there; then retry"
)


class Overrides(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a deployment maps otherwise: other paths (null: not mapped), code lists, constants.

    Codes are vendor value -> canonical value and add to those that are there.
    """

    fields: dict[str, str | None] = {}
    """Our field to the vendor's path: `purchase_order: custentity_tl_po`; null maps it no more."""
    codes: dict[str, dict[str, str]] = {}
    """Our field, then the vendor's value to ours: `currency: {"1": USD}`; what is on no list waits
    for a person."""
    constants: dict[str, str] = {}
    """Our field to the one value that it is read as; it is not written."""

    def over(self, upper: Overrides) -> Overrides:
        """These with a layer laid on top."""
        codes = {
            name: {**self.codes.get(name, {}), **upper.codes.get(name, {})}
            for name in (*self.codes, *upper.codes)
        }
        return Overrides(
            fields={**self.fields, **upper.fields},
            codes=codes,
            constants={**self.constants, **upper.constants},
        )

    def differences(self, other: Overrides) -> list[str]:
        """What two deployments, or two acquired units, map otherwise: a line each."""
        mine, theirs = dict(self._entries()), dict(other._entries())
        return [
            f"{place}: {mine.get(place, '(default)')} | {theirs.get(place, '(default)')}"
            for place in sorted({*mine, *theirs})
            if mine.get(place, ABSENT) != theirs.get(place, ABSENT)
        ]

    def _entries(self) -> Iterator[tuple[str, str | None]]:
        yield from ((f"fields.{name}", path) for name, path in self.fields.items())
        yield from ((f"constants.{name}", value) for name, value in self.constants.items())
        for name, table in self.codes.items():
            yield from ((f"codes.{name}.{theirs}", ours) for theirs, ours in table.items())

    def below(self, field: str) -> Overrides:
        """What these say about the fields inside `field`."""
        start = f"{field}."
        return self._each(
            lambda table: {
                name.removeprefix(start): value
                for name, value in table.items()
                if name.startswith(start)
            }
        )

    def without(self, starts: tuple[str, ...]) -> Overrides:
        """What these say about all other fields."""
        return self._each(
            lambda table: {k: v for k, v in table.items() if not k.startswith(starts)}
        )

    def _each(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Overrides:
        return Overrides(
            fields=change(self.fields), codes=change(self.codes), constants=change(self.constants)
        )


class Map(Generic[C]):
    """A table of canonical paths and where a vendor keeps them; `readonly` is the vendor's own."""

    def __init__(
        self, contract: type[C], fields: Mapping[str, str | Place], *, name: str | None = None
    ) -> None:
        self.contract = contract
        self.name = name or re.sub(r"(?<=[a-z])(?=[A-Z])", "_", contract.__name__).lower()
        self.fields = {key: At(p) if isinstance(p, str) else p for key, p in fields.items()}
        self.source, self.raw = reader(self.name, contract, self.fields)
        self._variants: dict[bytes, Map[C]] = {}

    def read(self, record: Mapping[str, Any]) -> C:
        """The record as the contract; Misconfigured names the field and place of what is wrong."""
        try:
            return msgspec.convert(self.raw(record), self.contract)
        except msgspec.ValidationError as error:
            raise self._unreadable(str(error)) from None
        except (AttributeError, TypeError, ValueError, ArithmeticError):
            raise self._unreadable("the record has another shape than the map expects") from None

    def read_or_gap(self, record: Mapping[str, Any]) -> C | Gap:
        """The record, or the gap that it is in a feed."""
        try:
            return self.read(record)
        except Misconfigured as error:
            known = {name: self._plain(record, name) for name in ("external_id", "changed_at")}
            gap = {"object": self.name, "code": error.code, "detail": error.detail}
            gap |= {"external_id": str(known["external_id"]), "at": known["changed_at"]}
            try:
                return msgspec.convert(gap, Gap)
            except msgspec.ValidationError:
                return msgspec.convert(gap | {"at": None}, Gap)

    def unreadable(self, records: Iterable[Mapping[str, Any]]) -> dict[str, int]:
        """What live records hold that this map cannot read, and how often: asked before a start."""
        found: dict[str, int] = {}
        for record in records:
            if isinstance(gap := self.read_or_gap(record), Gap):
                found[gap.detail] = found.get(gap.detail, 0) + 1
        return found

    def write(self, value: Any) -> dict[str, Any]:
        """The vendor's fields: of a contract those that have a value, of a dict those it names.

        In a dict None clears the field, and nested and dotted names are the same. A map of one
        field also takes the bare value.
        """
        if not isinstance(value, Mapping | msgspec.Struct) and len(self.fields) == 1:
            value = {next(iter(self.fields)): value}
        body: dict[str, Any] = {}
        for name, place, found in self._sent(value):
            _put(body, place.path.split("."), self._written(name, place, found))
        return body

    def sent(self, value: Any) -> tuple[str, ...]:
        """The attributes of the contract that `write` sends: somebody has to own them."""
        return tuple({name.partition(".")[0]: None for name, _, _ in self._sent(value)})

    def _sent(self, value: Any) -> Iterator[tuple[str, At | Children, Any]]:
        for name, place in self.fields.items():
            if not isinstance(place, At | Children) or place.readonly:
                continue
            found = _found(value, name.split("."))
            if found is ABSENT or (found is None and isinstance(value, msgspec.Struct)):
                continue
            yield name, place, found

    @property
    def paths(self) -> tuple[str, ...]:
        """The vendor paths this map reads, each once; those of children stay with their map."""
        return tuple(dict.fromkeys(self._paths()))

    @property
    def columns(self) -> str:
        """What a query has to select, children and relationships included."""
        return ", ".join(self.paths)

    def path(self, field: str) -> str:
        """Where the vendor keeps a canonical field: for conditions of a query."""
        place = self.fields.get(field)
        if not isinstance(place, At):
            raise Misconfigured("mapping.unknown-field", f"{self.name}.{field} has no one path")
        return place.path

    def over(self, overrides: Overrides) -> Map[C]:
        """The map with a deployment's paths, code lists and constants; compiled once for each."""
        key = msgspec.json.encode(overrides, order="deterministic")
        if key not in self._variants:
            self._variants[key] = self._overridden(overrides)
        return self._variants[key]

    def _overridden(self, overrides: Overrides) -> Map[C]:
        fields: dict[str, Any] = dict(self.fields)
        nested = [name for name, p in fields.items() if isinstance(p, Children | Inside)]
        for name in nested:
            inner = fields[name].map.over(overrides.below(name))
            fields[name] = msgspec.structs.replace(fields[name], map=inner)
        mine = overrides.without(tuple(f"{name}." for name in nested))
        for name, path in mine.fields.items():
            old = fields.get(name)
            if path is None:
                fields.pop(name, None)
            elif isinstance(old, At):
                fields[name] = msgspec.structs.replace(old, path=path)
            else:
                fields[name] = At(path)
        fields |= {name: Const(value) for name, value in mine.constants.items()}
        for name, table in mine.codes.items():
            if not isinstance(old := fields.get(name), At):
                raise Misconfigured("mapping.unknown-field", f"{self.name}.{name} takes no codes")
            wider = msgspec.structs.replace(old, table={**(old.table or {}), **table})
            same = [n for n, p in fields.items() if old.table is not None and p == old] or [name]
            fields |= dict.fromkeys(same, wider)
        return Map(self.contract, fields, name=self.name)

    def _paths(self) -> Iterator[str]:
        for place in self.fields.values():
            if isinstance(place, At):
                yield place.path
            elif isinstance(place, Flags):
                yield from place.paths
            elif isinstance(place, Inside):
                start = f"{place.path}." if place.path else ""
                yield from (
                    f"{start}{path}" if path[0] != "(" else path for path in place.map.paths
                )
            elif isinstance(place, Children):
                yield (place.column or "{}").format(place.map.columns)

    def _written(self, name: str, place: At | Children, value: Any) -> Any:
        if isinstance(place, Children):
            return [place.map.write(item) for item in value or ()]
        value = msgspec.to_builtins(value, builtin_types=(Decimal,))
        if place.table is None or value is None:
            return fitting(f"{self.name}.{name}", place, value)
        for theirs, ours in place.table.items():
            if ours == value:
                return theirs
        raise unknown_value(f"{self.name}.{name}", place.path, value)

    def _plain(self, record: Mapping[str, Any], name: str) -> Any:
        place = self.fields.get(name)
        return record.get(place.path) if isinstance(place, At) else None

    def _unreadable(self, error: str) -> Misconfigured:
        message, _, where = error.partition(" - at `$.")
        parts = [p for p in re.sub(r"\[(\d+|\.\.\.)\]", "", where.rstrip("`")).split(".") if p]
        missing, told, sentence = said(message)
        parts += [missing] if missing else []
        field, path = ".".join((self.name, *parts)), self.vendor_path(parts)
        held = f" (read from {path})" if path else ""
        code = "unknown-value" if message.startswith("Invalid enum value") else "contract-drift"
        words = f" {sentence.replace('null', 'empty')}" if told != "invalid" else f": {message}"
        return Misconfigured(
            f"mapping.{code}",
            f"{field}{held}{words}",
            errors=(FieldError(pointer="/" + "/".join(parts), code=code, message=message),),
            owner="integration",
            remedy=DRIFTED if code == "contract-drift" else UNMAPPED,
        )

    def vendor_path(self, parts: list[str]) -> str | None:
        """The vendor's name of a canonical field, through children and list positions."""
        for name, place in self.fields.items():
            names = [part for part in name.split(".") if not part.isdigit()]
            if isinstance(place, At | Flags) and names == parts:
                return place.path if isinstance(place, At) else " and ".join(place.paths)
            if isinstance(place, Children | Inside) and parts[:1] == names:
                inner = place.map.vendor_path(parts[1:])
                return ".".join(filter(None, (place.path, inner)))
        return None


def _found(value: Any, names: list[str]) -> Any:
    for depth, name in enumerate(names):
        if isinstance(value, Mapping):
            if (dotted := ".".join(names[depth:])) in value:
                return value[dotted]
            value = value.get(name, ABSENT)
        elif isinstance(value, list | tuple):
            value = value[int(name)] if int(name) < len(value) else ABSENT
        elif value is not ABSENT and value is not None:
            value = getattr(value, name, ABSENT)
    return value


def _put(body: dict[str, Any], names: list[str], value: Any) -> None:
    for name in names[:-1]:
        body = body.setdefault(name, {})
    body[names[-1]] = value
