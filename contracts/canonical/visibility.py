"""Which roles may see a field; applied where records are encoded for an audience."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec


def visible_to(*roles: str) -> msgspec.Meta:
    """Mark a field: only these roles see it. The published schema says so as `x-visible-to`."""
    named = list(roles)
    return msgspec.Meta(extra={"visible_to": named}, extra_json_schema={"x-visible-to": named})


FINANCE_ONLY = visible_to("finance")
STAFFING_AND_FINANCE = visible_to("finance", "resource-management")


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
