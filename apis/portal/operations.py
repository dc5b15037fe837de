"""The operations of a version as its page and its samples need them, read from its document."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from apis.gateway.routes import Mount, Route
from apis.gateway.shapes import METHODS
from apis.portal.examples import Examples
from apis.portal.shapes import followed, sent

NOT_IN_IDS = re.compile("[^A-Za-z0-9_.-]+")
JSON_TYPE = "application/json"


class Parameter(msgspec.Struct, frozen=True):
    """One parameter: its name, where it belongs, its schema and a value for it."""

    name: str
    place: str
    schema: dict[str, Any]
    required: bool
    description: str
    value: str


class Answer(msgspec.Struct, frozen=True):
    """One answer it may give."""

    status: str
    description: str
    schema: dict[str, Any] | None
    headers: tuple[str, ...]


class Operation(msgspec.Struct, frozen=True):
    """One operation; `body` is the schema of its body, `example` a value for it."""

    method: str
    path: str
    route: Route
    summary: str
    description: str
    parameters: tuple[Parameter, ...]
    body: dict[str, Any] | None
    body_type: str
    body_required: bool
    example: Any
    answers: tuple[Answer, ...]
    deprecated: bool
    idempotency: str

    @property
    def id(self) -> str:
        """What it is called."""
        return self.route.operation

    @property
    def anchor(self) -> str:
        """Where it is on the page."""
        return NOT_IN_IDS.sub("-", self.id).strip("-")

    def address(self) -> str:
        """Path and query with values for what is required."""
        path = self.path
        for each in self.parameters:
            if each.place == "path":
                path = path.replace(f"{{{each.name}}}", quote(each.value, safe=""))
        asked = {p.name: p.value for p in self.parameters if p.place == "query" and p.required}
        return f"{path}?{urlencode(asked)}" if asked else path


def operations_of(mount: Mount) -> Iterator[Operation]:
    """Every operation that is served, in the order of the document."""
    document = mount.document
    routes = {(route.operation, method): route for method, route in mount.routes}
    for path, item in document.get("paths", {}).items():
        for method in METHODS:
            described = item.get(method)
            if not isinstance(described, dict):
                continue
            route = routes.get((described.get("operationId", ""), method.upper()))
            if route is not None:
                shared = item.get("parameters", [])
                whole = f"/{mount.target}{path.removeprefix(f'/{mount.target}')}"
                yield _operation(method, whole, route, described | {"shared": shared}, document)


def _operation(
    method: str, path: str, route: Route, told: dict[str, Any], document: dict[str, Any]
) -> Operation:
    body = followed(told.get("requestBody") or {}, document)
    kinds = body.get("content") or {}
    kind = JSON_TYPE if JSON_TYPE in kinds else next(iter(kinds), "")
    schema = kinds.get(kind, {}).get("schema") if kind else None
    said = kinds.get(kind, {}).get("example")
    example = said
    if example is None and schema is not None:
        example = Examples(document, whole=False).of(schema)
    summary, about = (str(told.get(name) or "").strip() for name in ("summary", "description"))
    return Operation(
        method=method.upper(),
        path=path,
        route=route,
        summary=summary or route.operation,
        description="" if about == summary else about,
        parameters=tuple(_parameters(told, document)),
        body=schema,
        body_type=kind,
        body_required=bool(body.get("required")),
        example=example,
        answers=tuple(_answers(told, document)),
        deprecated=bool(told.get("deprecated")),
        idempotency=str(told.get("x-idempotency", "")),
    )


def _parameters(told: dict[str, Any], document: dict[str, Any]) -> Iterator[Parameter]:
    examples = Examples(document, whole=False)
    for each in [*told["shared"], *told.get("parameters", [])]:
        own = followed(each, document)
        schema = sent(own.get("schema") or {})
        sample = own.get("example")
        value = sample if sample is not None else examples.of(schema, own.get("name", ""))
        words = str(value).lower() if isinstance(value, bool) else str(value or "")
        yield Parameter(
            str(own.get("name")), str(own.get("in")), schema, bool(own.get("required")),
            str(own.get("description") or ""), words,
        )  # fmt: skip


def _answers(told: dict[str, Any], document: dict[str, Any]) -> Iterator[Answer]:
    for status, given in told.get("responses", {}).items():
        own = followed(given, document)
        kinds = own.get("content") or {}
        schema = next((held.get("schema") for held in kinds.values()), None)
        headers = tuple(own.get("headers") or ())
        yield Answer(str(status), str(own.get("description") or ""), schema, headers)
