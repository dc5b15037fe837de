"""Schemas whose forms hold each other: to tell all that is wrong with a value takes too long.

Of a value of several forms the validator makes the faults of every form. Where two of them lead to
the same union again, that is twice the work and memory for each level of the value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

UNIONS = ("anyOf", "oneOf")
REFERENCES = ("$ref", "$dynamicRef")
NOTHING = {"type": "null"}
Target = Callable[[str], Any]


def tangled(schema: Any, target: Target) -> bool:
    """Whether two forms of a union in this schema lead to it again; so too where nobody can say.

    `target` gives what a reference leads to, and ValueError where it cannot tell.
    """
    try:
        return any(_again(node, target) for node in _reached(schema, target))
    except ValueError:
        return True


def _again(node: Any, target: Target) -> bool:
    for word in UNIONS:
        told = node.get(word) if isinstance(node, dict) else None
        forms = [each for each in told if each != NOTHING] if isinstance(told, list) else []
        if len(forms) > 1 and sum(_leads(each, node, target) for each in forms) > 1:
            return True
    return False


def _leads(form: Any, union: Any, target: Target) -> bool:
    return any(each is union for each in _reached(form, target))


def _reached(schema: Any, target: Target) -> list[Any]:
    """Every part of a schema, references followed, once each."""
    seen: dict[int, Any] = {}
    left = [schema]
    while left:
        node = left.pop()
        if id(node) in seen or not isinstance(node, dict | list):
            continue
        seen[id(node)] = node
        left += node.values() if isinstance(node, dict) else node
        if isinstance(node, dict):
            named = (node.get(word) for word in REFERENCES)
            left += [target(each) for each in named if isinstance(each, str)]
    return list(seen.values())
