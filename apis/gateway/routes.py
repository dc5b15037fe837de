"""The operations of an API version, read once from its OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import msgspec

from apis.gateway.fields import Fields
from apis.gateway.idempotency import Keyed, keyed_of
from apis.gateway.policy import MODES, Modes, Version
from apis.gateway.requests import Rules, Takes, takes_of
from apis.gateway.responses import Gives, gives_of
from apis.gateway.schemas import Schemas
from apis.gateway.shapes import METHODS
from apis.gateway.windows import Named

_PART = re.compile(r"[^{}]*|\{[^{}]+\}")
_WHOLE = "a parameter is a whole part of a path"


class Route(msgspec.Struct, frozen=True):
    """All that is known of one operation before it is called."""

    operation: str
    scope: str
    target: str
    limits: Named = ()
    takes: Takes = Takes()
    gives: Gives | None = None
    """What it answers, where that is checked."""
    modes: Modes = MODES
    keyed: Keyed | None = None
    """What it says of request keys; None where nothing is changed."""
    fields: Fields | None = None
    """What a caller may use of it beside the operation itself."""


class Mount(msgspec.Struct, frozen=True):
    """One version of one API: its operations by path (None in a shape stands for a parameter)."""

    target: str
    version: Version
    successor: str | None
    document: dict[str, Any]
    plain: dict[str, dict[str, Route]]
    shapes: dict[int, list[tuple[tuple[str | None, ...], dict[str, Route]]]]

    def find(self, path: str) -> dict[str, Route] | None:
        """Find the operations at this path, by method."""
        if found := self.plain.get(path):
            return found
        parts = path.split("/")
        for shape, methods in self.shapes.get(len(parts), ()):
            if all(part == own if own is not None else part for part, own in zip(parts, shape)):  # noqa: B905 - same length by look-up
                return methods
        return None

    @property
    def routes(self) -> Iterator[tuple[str, Route]]:
        """Every operation with its method."""
        shaped = [methods for shapes in self.shapes.values() for _, methods in shapes]
        for methods in (*self.plain.values(), *shaped):
            yield from methods.items()


def mount_of(  # noqa: PLR0917 - all of it was decided by the caller
    target: str,
    version: Version,
    successor: str | None,
    schemas: Schemas,
    opened: Mapping[str, tuple[str | None, Named]],
    rules: Rules,
) -> tuple[Mount, list[str]]:
    """Read one version from its document, and what of it cannot be used.

    `opened` holds the scope and the limits of operations by their id.
    """
    document, found = schemas.document, []
    mount = Mount(target, version, successor, document, {}, {})
    tier, api, _ = target.split("/")
    system = tier == "system" and not rules.foreign
    seen: dict[tuple[str | None, ...], str] = {}
    for template, item in document.get("paths", {}).items():
        path = template.removeprefix(f"/{target}") or "/"
        shape = tuple(None if part.startswith("{") else part for part in path.split("/"))
        if (other := seen.setdefault(shape, template)) != template:
            found.append(f"{template} takes the same paths as {other}")
        elif not all(map(_PART.fullmatch, path.split("/"))):
            found.append(f"{template}: {_WHOLE}")
        methods: dict[str, Route] = {}
        for method in METHODS:
            if (operation := item.get(method)) is None:
                continue
            name = operation.get("operationId", "")
            own = f"{api}.{'read' if method in ('get', 'head') else 'write'}" if system else ""
            scope, limits = opened.get(name, (None, ()))
            try:
                takes = takes_of(schemas, template, method, rules)
                gives = gives_of(schemas, template, method, rules)
                off = rules.modes.requests == "off"
                fields = None if off else Fields(schemas, template, method)
            except ValueError as error:
                found.append(f"{method.upper()} {template}: {error}")
                takes, gives, fields = Takes(rules), None, None
            methods[method.upper()] = Route(
                name, scope or own, target, limits, takes, gives, rules.modes,
                keyed_of(method, name in rules.keyed or takes.parameters.keyed),
                fields if fields and fields.noted else None,
            )  # fmt: skip
        if None in shape:
            mount.shapes.setdefault(len(shape), []).append((shape, methods))
        else:
            mount.plain[path] = methods
    for shapes in mount.shapes.values():
        shapes.sort(key=lambda each: [part is None for part in each[0]])  # the plainest first
    return mount, found + list(_crossings(mount))


def _crossings(mount: Mount) -> Iterator[str]:
    """Templates that take one path with different scopes, and none is the plainer one."""
    for shapes in mount.shapes.values():
        for (one, ours), (other, theirs) in combinations(shapes, 2):
            apart = [pair for pair in zip(one, other, strict=True) if pair[0] != pair[1]]
            sides = {pair[0] is None for pair in apart}
            if len(sides) == 1 or not all(None in pair for pair in apart):
                continue
            for method in sorted(ours.keys() & theirs.keys()):
                if ours[method].scope != theirs[method].scope:
                    yield f"{method} {_shown(one)} and {_shown(other)} take one path for two scopes"


def _shown(shape: tuple[str | None, ...]) -> str:
    return "/".join("{}" if part is None else part for part in shape)
