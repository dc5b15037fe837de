"""Which roles may see a field; applied where records are encoded for an audience."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from functools import cache
from typing import Annotated, Any, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

Roles = AbstractSet[str]
UNTYPED = (Any, object)


def visible_to(*roles: str) -> msgspec.Meta:
    """Mark a field: only these roles see it. The published schema says so as `x-visible-to`."""
    named = list(roles)
    return msgspec.Meta(extra={"visible_to": named}, extra_json_schema={"x-visible-to": named})


FINANCE_ONLY = visible_to("finance")
STAFFING_AND_FINANCE = visible_to("finance", "resource-management")
COMMERCIAL = visible_to("finance", "resource-management", "delivery-director", "sales-operations")


@cache
def restricted(contract: type[msgspec.Struct]) -> dict[str, frozenset[str]]:
    """The contract's restricted fields and the roles that see each; all others are open."""
    found = {}
    for name, hint in get_type_hints(contract, include_extras=True).items():
        if roles := _roles(hint):
            found[name] = frozenset(roles)
    return found


def _roles(hint: Any) -> list[str]:
    if get_origin(hint) is not Annotated:
        return []
    extras = [meta.extra for meta in get_args(hint)[1:] if isinstance(meta, msgspec.Meta)]
    return [role for extra in extras for role in (extra or {}).get("visible_to", [])]


class Hidden(NamedTuple):
    """A field of a contract that not everybody sees whole: from whom it is kept, and what is told.

    `roles` is None where only parts of its value are restricted.
    """

    name: str
    roles: Roles | None
    instead: Any


@cache
def hidden(contract: type[msgspec.Struct]) -> tuple[Hidden, ...]:
    """The fields to look at before a record is told; TypeError for one that cannot be left out."""
    roles, found, hints = restricted(contract), [], get_type_hints(contract)
    for field in msgspec.structs.fields(contract):
        if field.name in roles:
            if field.required:
                msg = f"{contract.__name__}.{field.name} is restricted and has no default"
                raise TypeError(msg)
            factory = field.default_factory
            instead = field.default if factory is msgspec.NODEFAULT else factory()
            found.append(Hidden(field.name, roles[field.name], instead))
        elif concerns(hints[field.name]):
            found.append(Hidden(field.name, None, None))
    return tuple(found)


@cache
def concerns(hint: Any) -> bool:
    """Whether something restricted may be in a value of this type; in untyped data it may."""
    return any(part in UNTYPED or (_is_record(part) and restricted(part)) for part in _parts(hint))


def structs_in(*hints: Any) -> list[type[msgspec.Struct]]:
    """Every contract that values of these types are made of."""
    found = {part: None for hint in hints for part in _parts(hint) if _is_record(part)}
    return list(found)


@cache
def _parts(hint: Any) -> tuple[Any, ...]:
    seen: dict[Any, None] = {}
    ahead = [hint]
    while ahead:
        part = ahead.pop()
        if part not in seen:
            seen[part] = None
            ahead += get_type_hints(part).values() if _is_record(part) else get_args(part)
    return tuple(seen)


def _is_record(part: Any) -> bool:
    return isinstance(part, type) and issubclass(part, msgspec.Struct)


def told(value: Any, roles: Roles, untyped: Mapping[str, Roles]) -> Any:
    """A value without what these roles may not see; `untyped` are the names where no type says."""
    kind: Any = type(value)
    if is_open(kind) or not value:
        return value
    if kind is dict:
        return {
            name: told(each, roles, untyped)
            for name, each in value.items()
            if name not in untyped or untyped[name] & roles
        }
    if kind in (list, tuple):
        return [told(each, roles, untyped) for each in value]
    changed: dict[str, Any] = {}
    for name, seen_by, instead in hidden(kind):
        whole = getattr(value, name)
        part = told(whole, roles, untyped) if seen_by is None or seen_by & roles else instead
        if part is not whole:
            changed[name] = part
    return msgspec.structs.replace(value, **changed) if changed else value


@cache
def is_open(kind: type) -> bool:
    """Whether every value of this kind is told to everybody as it is."""
    return not hidden(kind) if _is_record(kind) else kind not in (dict, list, tuple)
