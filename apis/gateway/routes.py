"""The operations of an API version, read once from its OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from apis.gateway.policy import MODES, Modes, Version
from apis.gateway.windows import Named

METHODS = ("get", "post", "put", "patch", "delete", "head")


class Route(msgspec.Struct, frozen=True):
    """All that is known of one operation before it is called."""

    operation: str
    scope: str
    target: str
    limits: Named
    body: Literal["none", "optional", "required"]
    array: bool
    query: dict[str, bool] = {}
    """The query parameters it takes, and whether each may come more than once."""
    modes: Modes = MODES


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
    document: dict[str, Any],
    scopes: dict[str, str],
    limits: dict[str, Named],
    modes: Modes,
) -> Mount:
    """Read the operations of one version from its document; `scopes` by operation id."""
    mount = Mount(target, version, successor, document, {}, {})
    tier, api, _ = target.split("/")
    for template, item in document.get("paths", {}).items():
        path = template.removeprefix(f"/{target}") or "/"
        shape = tuple(None if part.startswith("{") else part for part in path.split("/"))
        methods: dict[str, Route] = {}
        for method in METHODS:
            if (operation := item.get(method)) is None:
                continue
            name = operation.get("operationId", "")
            own = f"{api}.{'read' if method in ('get', 'head') else 'write'}"
            scope = scopes.get(name, own if tier == "system" else "")
            needed, array = _body_of(operation)
            taken = _query_of([*item.get("parameters", ()), *operation.get("parameters", ())])
            methods[method.upper()] = Route(
                name, scope, target, limits.get(name, ()), needed, array, taken, modes
            )
        if None in shape:
            mount.shapes.setdefault(len(shape), []).append((shape, methods))
        else:
            mount.plain[path] = methods
    for shapes in mount.shapes.values():
        shapes.sort(key=lambda each: [part is None for part in each[0]])  # the plainest first
    return mount


def _body_of(operation: dict[str, Any]) -> tuple[Literal["none", "optional", "required"], bool]:
    body = operation.get("requestBody")
    if body is None:
        return "none", False
    schema = body.get("content", {}).get("application/json", {}).get("schema", {})
    return "required" if body.get("required") else "optional", schema.get("type") == "array"


def _query_of(parameters: list[dict[str, Any]]) -> dict[str, bool]:
    query = [each for each in parameters if each["in"] == "query"]
    return {each["name"]: each.get("schema", {}).get("type") == "array" for each in query}
