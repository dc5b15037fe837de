"""What an OpenAPI 3.1 document is made of: so that it can be read at all, and as we publish it.

Documents of others are often a little wrong and still say what the gateway needs of them; ours are
held against all of OpenAPI 3.1 that they use, which leaves callbacks, links and webhooks out.
"""

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
_READABLE = js.Draft202012Validator(
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


def unreadable(document: Any) -> Iterator[Finding]:
    """Where a document is not made as it must be for anything to be read from it."""
    for error in _READABLE.iter_errors(document):
        yield tuple(error.instance_path), error.message


# As we publish -------------------------------------------------------------------------------

_ANY: dict[str, Any] = {}
_SAYS = {"type": "string", "minLength": 1}
_SCHEMA = {"$ref": "https://json-schema.org/draft/2020-12/schema"}
_DOCS = {"type": "object", "required": ["url"]}


def _exactly(members: dict[str, Any], *required: str, **more: Any) -> dict[str, Any]:
    """An object with these members, extensions (`x-`) and no others; or a reference to one."""
    plain = {
        "properties": members,
        "patternProperties": {"^x-": True},
        "additionalProperties": False,
        "required": required,
        **more,
    }
    return {"if": {"required": ["$ref"]}, "then": _REFERENCE, "else": plain, "type": "object"}


def _keyed(pattern: str, form: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "patternProperties": {pattern: form, "^x-": True},
        "additionalProperties": False,
    }


def _when(member: str, value: str, *required: str, **members: Any) -> dict[str, Any]:
    """What else is asked where a member has this value."""
    is_so = {"properties": {member: {"const": value}}, "required": [member]}
    return {"if": is_so, "then": {"required": required, "properties": members}}


_NAME = "^[a-zA-Z0-9._-]+$"
_MEDIA = {"schema": _SCHEMA, "example": _ANY, "examples": {"type": "object"}, "encoding": _ANY}
_MEDIAS = _named(_exactly(_MEDIA))
_FORM = {
    "schema": _SCHEMA,
    "content": _MEDIAS | {"minProperties": 1, "maxProperties": 1},
    "description": _TEXT,
    "required": _FLAG,
    "deprecated": _FLAG,
    "style": _TEXT,
    "explode": _FLAG,
    "example": _ANY,
    "examples": {"type": "object"},
}
_HAS_FORM = {"if": {"required": ["content"]}, "else": {"required": ["schema"]}}
_GIVEN = _exactly(
    {
        "name": _SAYS,
        "in": {"enum": ["query", "header", "path", "cookie"]},
        "allowEmptyValue": _FLAG,
        "allowReserved": _FLAG,
        **_FORM,
    },
    "name",
    "in",
    allOf=[_HAS_FORM, _when("in", "path", "required", required={"const": True})],
)
_TOLD_HEADERS = _named(_exactly(_FORM, allOf=[_HAS_FORM]))
_SENT = _exactly({"description": _TEXT, "content": _MEDIAS, "required": _FLAG}, "content")
_ANSWER = _exactly(
    {"description": _TEXT, "headers": _TOLD_HEADERS, "content": _MEDIAS}, "description"
)
_SERVERS = _listed(_exactly({"url": _TEXT, "description": _TEXT, "variables": _ANY}, "url"))
_METHOD = _exactly(
    {
        "operationId": _SAYS,
        "summary": _TEXT,
        "description": _TEXT,
        "tags": _listed(_TEXT),
        "externalDocs": _DOCS,
        "deprecated": _FLAG,
        "parameters": _listed(_GIVEN),
        "requestBody": _SENT,
        "responses": _keyed(r"^([1-5](\d\d|XX)|default)$", _ANSWER),
        "security": _SECURITY,
        "servers": _SERVERS,
    }
)
_PATH = _exactly(
    {
        "summary": _TEXT,
        "description": _TEXT,
        "parameters": _listed(_GIVEN),
        "servers": _SERVERS,
        **dict.fromkeys((*METHODS, "options", "trace"), _METHOD),
    }
)
_SCHEME = _exactly(
    {
        "type": {"enum": ["apiKey", "http", "mutualTLS", "oauth2", "openIdConnect"]},
        "description": _TEXT,
        "name": _TEXT,
        "in": {"enum": ["query", "header", "cookie"]},
        "scheme": _TEXT,
        "bearerFormat": _TEXT,
        "flows": {"type": "object"},
        "openIdConnectUrl": _TEXT,
    },
    "type",
    allOf=[
        _when("type", "apiKey", "name", "in"),
        _when("type", "http", "scheme"),
        _when("type", "oauth2", "flows"),
        _when("type", "openIdConnect", "openIdConnectUrl"),
    ],
)
_PUBLISHED = js.Draft202012Validator(
    _exactly(
        {
            "openapi": _TEXT,
            "info": _exactly(
                {
                    "title": _SAYS,
                    "version": _SAYS,
                    "summary": _TEXT,
                    "description": _TEXT,
                    "termsOfService": _TEXT,
                    "contact": {"type": "object"},
                    "license": {"type": "object", "required": ["name"]},
                },
                "title",
                "version",
            ),
            "servers": _SERVERS,
            "tags": _listed({"type": "object", "required": ["name"]}),
            "externalDocs": _DOCS,
            "security": _SECURITY,
            "paths": _keyed("^/", _PATH),
            "components": _exactly(
                {
                    "schemas": _keyed(_NAME, {"type": ["object", "boolean"]}),
                    "parameters": _keyed(_NAME, _GIVEN),
                    "headers": _TOLD_HEADERS,
                    "requestBodies": _keyed(_NAME, _SENT),
                    "responses": _keyed(_NAME, _ANSWER),
                    "securitySchemes": _keyed(_NAME, _SCHEME),
                    "examples": {"type": "object"},
                }
            ),
        },
        "openapi",
        "info",
        "paths",
    )
)


def shape_findings(document: Any) -> Iterator[Finding]:
    """Where a document is not OpenAPI 3.1 as we publish it."""
    for error in _PUBLISHED.iter_errors(document):
        yield tuple(error.instance_path), error.message
