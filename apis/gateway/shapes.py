"""What an OpenAPI 3.1 document must be made of before anything is read from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema_rs as js

from apis.runtime.typed_yaml import Finding

METHODS = ("get", "post", "put", "patch", "delete", "head")
_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}


def _object(members: dict[str, Any], *required: str) -> dict[str, Any]:
    """An object with some members of these forms; one with `$ref` says the rest elsewhere."""
    plain = {"properties": members, "required": required}
    return {"if": {"required": ["$ref"]}, "then": _REFERENCE, "else": plain, "type": "object"}


def _named(form: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": form}


def _listed(form: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": form}


_REFERENCE = {"properties": {"$ref": _TEXT}}
_CONTENT = _named(_object({"schema": {"type": ["object", "boolean"]}}))
_SAID = {"schema": {"type": "object"}, "style": _TEXT, "explode": _FLAG, "required": _FLAG}
_PARAMETER = _object({"name": _TEXT, "in": _TEXT, **_SAID}, "name", "in")
_HEADERS = _named(_object(_SAID))
_BODY = _object({"content": _CONTENT, "required": _FLAG})
_RESPONSE = _object({"content": _CONTENT, "headers": _HEADERS})
_SECURITY = _listed(_named(_listed(_TEXT)))
_OPERATION = {
    "type": "object",
    "properties": {
        "operationId": {"type": "string", "minLength": 1},
        "summary": _TEXT,
        "parameters": _listed(_PARAMETER),
        "requestBody": _BODY,
        "responses": _named(_RESPONSE),
        "security": _SECURITY,
    },
}
_ITEM = _object({"parameters": _listed(_PARAMETER), **dict.fromkeys(METHODS, _OPERATION)})
_COMPONENTS = {
    "schemas": _named({"type": ["object", "boolean"]}),
    "parameters": _named(_PARAMETER),
    "headers": _HEADERS,
    "requestBodies": _named(_BODY),
    "responses": _named(_RESPONSE),
    "securitySchemes": _named(_object({"type": _TEXT})),
}
_DOCUMENT = js.Draft202012Validator(
    {
        "type": "object",
        "required": ["paths"],
        "properties": {
            "info": {"type": "object"},
            "paths": _named(_ITEM),
            "components": {"type": "object", "properties": _COMPONENTS},
            "security": _SECURITY,
        },
    }
)


def shape_findings(document: Any) -> Iterator[Finding]:
    """Where a document is not made as OpenAPI 3.1 has it."""
    for error in _DOCUMENT.iter_errors(document):
        yield tuple(error.instance_path), error.message
