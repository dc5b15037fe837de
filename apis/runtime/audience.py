"""What of a record a caller is told: fields that are kept from its roles are left out."""

from __future__ import annotations

from typing import Any

from apis.runtime.context import CURRENT
from contracts.canonical.visibility import hidden, is_open, restricted, structs_in, told
from contracts.schemas import contracts

NAMES: dict[str, frozenset[str]] = {
    name: roles
    for contract in structs_in(*contracts().values())
    for name, roles in restricted(contract).items()
}
"""Restricted fields by name, for what has no type: results of runs, plans and evidence."""


def shown(value: Any) -> Any:
    """What the caller may see of an answer; a flow, whoever it acts for, sees all."""
    kind: Any = type(value)
    if is_open(kind):
        return value
    context = CURRENT.get().context
    if context.actor.startswith("svc:"):
        return value
    return told(value, frozenset(context.roles), NAMES)


def settled(answer: Any) -> None:
    """Decide at start what of a route's answer is kept from whom."""
    for contract in structs_in(answer):
        hidden(contract)
