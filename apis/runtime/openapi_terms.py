"""What our documents say beside the routes: whose they are, who may call, limits and bounds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from apis.gateway.policy import Api, Version
from contracts.bounds import bounded

Document = dict[str, Any]
MUTATIONS = frozenset({"post", "put", "patch", "delete"})
OAUTH = "oauth"
MOST_PARAMETER = 2_000
"""Letters of a parameter: a few of them fit into an address."""
ENDING = frozenset({"deprecated", "x-status", "x-since", "x-sunset", "x-replacement"})
"""What says of a part of a document, or of all of it, that it ends."""
_REFERENCE = re.compile("#/components/schemas/(.+)")
HEADERS = {
    "RateLimit": "What is left of each limit, and when it is whole again.",
    "RateLimit-Policy": "The limits of the plan and of the operation.",
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "A name of this request: sent again, it is answered as the first time.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


class Terms(msgspec.Struct, frozen=True):
    """What holds for one version of an API, by the policy."""

    about: str = ""
    api: Api = Api()
    version: Version = Version()
    scopes: Mapping[str, str] = {}
    """The scope that opens each operation."""


def with_terms(made: Document, terms: Terms) -> Document:
    """The document with all that is promised beside its routes."""
    made["info"] = made["info"] | info_of(terms, made["info"])
    tags: dict[str, str] = {}
    for path, item in made["paths"].items():
        name = path.strip("/").partition("/")[0]
        tags.setdefault(name, f"Everything about {name.replace('-', ' ')}.")
        for method, operation in item.items():
            operation["tags"] = [name]
            if scope := terms.scopes.get(operation["operationId"]):
                operation["security"] = [{OAUTH: [scope]}]
            _limits(operation)
            if method in MUTATIONS:
                _mutation(operation)
    made["tags"] = [{"name": name, "description": told} for name, told in tags.items()]
    components = made["components"]
    said = json.dumps(made["paths"])
    components["responses"] = {
        name: told
        for name, told in components["responses"].items()
        if f'"#/components/responses/{name}"' in said
    }
    components["headers"] = {name: limit_header(told) for name, told in HEADERS.items()}
    if terms.scopes:
        components["securitySchemes"] = {OAUTH: security(sorted(set(terms.scopes.values())))}
    return with_bounds(made)


def retold(frozen: Document, terms: Terms) -> Document:
    """The document of an older major: its promises as they are, and what became of the version."""
    info = {name: told for name, told in frozen["info"].items() if name not in ENDING}
    return frozen | {"info": info | info_of(terms, info)}


def marked(released: Any, published: Any) -> Any:
    """What was released, with what is marked now as ending: more may not change of it."""
    if isinstance(released, dict) and isinstance(published, dict):
        kept = {
            name: marked(told, published.get(name))
            for name, told in released.items()
            if not _ending(name, told)
        }
        return kept | {name: told for name, told in published.items() if _ending(name, told)}
    if isinstance(released, list) and isinstance(published, list):
        same = len(released) == len(published)
        return (
            [marked(*pair) for pair in zip(released, published, strict=True)] if same else released
        )
    return released


def _ending(name: str, told: Any) -> bool:
    """Whether this says that something ends; a field of such a name is described by an object."""
    return name in ENDING and not isinstance(told, dict | list)


def info_of(terms: Terms, info: Document) -> Document:
    """Whose API it is, for whom, how secret, how well served, and until when."""
    api, version = terms.api, terms.version
    told = {
        "description": info.get("description") or terms.about or info["title"],
        "contact": {"name": api.owner or "nobody"},
        "x-owner": api.owner,
        "x-audience": api.audience,
        "x-data-class": api.data_class,
        "x-slo": msgspec.to_builtins(api.service_level),
    }
    if version.status == "deprecated":
        days = {"x-since": version.since, "x-sunset": version.sunset}
        told |= {"x-status": "deprecated"}
        told |= {name: day.isoformat() for name, day in days.items() if day}
        newer = max((n for n, each in api.versions.items() if each.status == "current"), default=0)
        if newer:
            told["x-replacement"] = f"v{newer}"
    return told


def limit_header(told: str) -> Document:
    """A header that comes where the plan has limits that are counted."""
    return {"description": told, "schema": {"type": "string"}}


def limit_headers() -> Document:
    """The headers of every answer that was counted."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in HEADERS}


def _limits(operation: Document) -> None:
    for status, answer in operation["responses"].items():
        if status < "400":
            answer.setdefault("headers", {}).update(limit_headers())


def _mutation(operation: Document) -> None:
    """What the gateway takes of everything that writes."""
    operation.setdefault("parameters", []).append(dict(_KEY))


def security(scopes: list[str]) -> Document:
    """How a caller gets what opens the operations: for itself, or for a person."""
    told = {scope: f"Whatever {scope} opens." for scope in scopes}
    return {
        "type": "oauth2",
        "flows": {
            "clientCredentials": {"tokenUrl": "/oauth/token", "scopes": told},
            "authorizationCode": {
                "authorizationUrl": "/oauth/authorize",
                "tokenUrl": "/oauth/token",
                "scopes": told,
            },
        },
    }


def with_bounds(made: Document) -> Document:
    """The document with its numbers, texts and lists bounded; choices in answers may grow."""
    schemas = made["components"]["schemas"]
    answers = [o["responses"] for item in made["paths"].values() for o in item.values()]
    answered = reachable([*answers, made["components"]["responses"]], schemas)
    for name in schemas:
        schemas[name] = bounded(schemas[name], extensible=name in answered)
    for word in ("responses", "headers"):
        made["components"][word] = bounded(made["components"][word])
    for item in made["paths"].values():
        for operation in item.values():
            parameters = operation.get("parameters", [])
            for parameter in parameters:
                schema = parameter["schema"]
                parameter["schema"] = bounded(schema, text=MOST_PARAMETER, extensible=False)
            operation["responses"] = bounded(operation["responses"])
            if "requestBody" in operation:
                operation["requestBody"] = bounded(operation["requestBody"], extensible=False)
    return made


def reachable(node: Any, schemas: Document) -> set[str]:
    """The schemas that something refers to, however far."""
    found: set[str] = set()
    left = [node]
    while left:
        each = left.pop()
        if isinstance(each, list):
            left += each
        elif isinstance(each, dict):
            left += each.values()
            told = _REFERENCE.fullmatch(str(each.get("$ref", "")))
            if told and told[1] not in found:
                found.add(told[1])
                left.append(schemas.get(told[1]))
    return found
