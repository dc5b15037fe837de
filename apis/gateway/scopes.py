"""Which scope opens which operation: by name, by method, or as the API's own document says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apis.gateway.policy import Api
from apis.gateway.shapes import METHODS

READING = {"HEAD": "GET"}
OTHERS = "*"
WITH_SCOPES = frozenset({"oauth2", "openIdConnect"})


def opening(api: Api, document: dict[str, Any]) -> dict[str, str]:
    """The scope of each operation that has one."""
    scopes: dict[str, str] = {}
    by_method: dict[str, str] = {}
    for scope, told in api.scopes.items():
        if isinstance(told, list):
            scopes |= dict.fromkeys(told, scope)
        else:
            by_method |= dict.fromkeys(told.upper().split(), scope)
    if not api.foreign:
        return scopes
    for method, operation in _operations(document):
        own = by_method.get(method) or by_method.get(READING.get(method, OTHERS))
        scope = own or by_method.get(OTHERS) or ("" if api.scopes else _told(operation, document))
        if scope:
            scopes.setdefault(operation["operationId"], scope)
    return scopes


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for item in document.get("paths", {}).values():
        yield from ((method.upper(), item[method]) for method in METHODS if method in item)


def _told(operation: dict[str, Any], document: dict[str, Any]) -> str:
    """The one scope that the document asks for; nothing where it asks for none or for several."""
    schemes = document.get("components", {}).get("securitySchemes", {})
    asked = {
        scope
        for requirement in operation.get("security", document.get("security", ()))
        for name, scopes in requirement.items()
        if schemes.get(name, {}).get("type") in WITH_SCOPES
        for scope in scopes
    }
    return asked.pop() if len(asked) == 1 else ""
