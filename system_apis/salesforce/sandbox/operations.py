"""Names of what a call does, for faults and the log: `Opportunity.search`, `Account.upsert`.

A composite or collection is `composite.update` or `collections.<verb>`, followed by the operation
of each part; a fault may name either.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from apis.runtime.sandbox_wire import Call
from system_apis.salesforce.sandbox.queries import Queries
from system_apis.salesforce.sandbox.schema import BY_LOWER, BY_PREFIX, OBJECTS

FROM = re.compile(r"\bFROM\s+(\w+)", re.IGNORECASE)
CHILD = re.compile(r"\([^()]*\bFROM\b[^()]*\)", re.IGNORECASE)
QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'")
OUR_KEYS = ("TL_Customer_Key__c", "TL_Project_Key__c")
OTHER_KEYS = ("TL_Import_Key__c",)
OTHER_VERBS = ("upsert", "search", "describe")
VERBS = {"GET": "read", "POST": "create", "PATCH": "update", "DELETE": "delete"}
WHOLE = ("token.create", "limits.read", "sobjects.read", "versions.read", "resources.read")
NAMES = frozenset(
    {
        *(f"{name}.{verb}" for name in OBJECTS for verb in (*VERBS.values(), *OTHER_VERBS)),
        *(f"collections.{verb}" for verb in (*VERBS.values(), "upsert")),
        *(*WHOLE, "composite.update", "query.search"),
    }
)
"""Every name there is; what else a client asks for is not found."""


def operations(call: Call, queries: Queries) -> tuple[list[str], str | None]:  # noqa: PLR0911 - a table of paths
    """The operation of the call, those of its parts, and the business keys it carries."""
    if call.path == "/services/oauth2/token":
        return ["token.create"], None
    found = re.fullmatch(r"/services/data/v\d+\.0/(.*)", call.path)
    if found is None:
        return ["versions.read"], None
    steps = [unquote(step) for step in found.group(1).strip("/").split("/")]
    body = _body(call) if call.method in {"POST", "PATCH"} else None
    match steps:
        case ["composite"]:
            return _composite(body, queries)
        case ["composite", "sobjects", *rest]:
            return _collection(call, rest, body)
        case ["composite", *_]:
            return ["composite.update"], None
        case ["query" | "queryAll", locator]:
            return [f"{queries.object_of(locator)}.search"], None
        case ["query" | "queryAll"]:
            return [f"{_source(call.query.get('q', ''))}.search"], None
        case ["sobjects", name, *rest]:
            return [f"{_object(name)}.{_verb(call.method, rest)}"], _key(rest, body)
        case _:
            return [f"{steps[0] or 'resources'}.read"], None


def _body(call: Call) -> Any:
    try:
        return msgspec.json.decode(call.body)
    except msgspec.MsgspecError:
        return None


def _object(name: str) -> str:
    known = BY_LOWER.get(name.lower())
    return known.name if known else name


def _source(soql: str) -> str:
    text = QUOTED.sub("''", soql)
    while (shorter := CHILD.sub("", text)) != text:
        text = shorter
    found = FROM.search(text)
    return _object(found.group(1)) if found else "query"


def _verb(method: str, rest: list[str]) -> str:
    match rest:
        case ["describe", *_]:
            return "describe"
        case ["updated" | "deleted"]:
            return "search"
        case [_, _] if method == "PATCH":
            return "upsert"
    return VERBS.get(method, method.lower())


def _key(rest: list[str], body: Any) -> str | None:
    own = {rest[0]: rest[1]} if len(rest) > 1 else {}
    given = {**body, **own} if isinstance(body, dict) else own
    for name in (*OUR_KEYS, *rest[:1], *OTHER_KEYS):
        if isinstance(value := given.get(name), str):
            return value
    return None


def _composite(body: Any, queries: Queries) -> tuple[list[str], str | None]:
    names, keys = ["composite.update"], []
    parts = body.get("compositeRequest") if isinstance(body, dict) else None
    for part in parts if isinstance(parts, list) else []:
        if not isinstance(part, dict):
            continue
        url = urlsplit(str(part.get("url", "")))
        inner = Call(
            method=str(part.get("method", "")),
            path=url.path,
            query=dict(parse_qsl(url.query)),
            headers={},
            body=msgspec.json.encode(part.get("body")),
        )
        found, key = operations(inner, queries)
        names.append(found[0])
        keys += [key] if key else []
    return names, ",".join(keys) or None


def _collection(call: Call, rest: list[str], body: Any) -> tuple[list[str], str | None]:
    verb = VERBS.get(call.method, "read")
    if call.method == "PATCH" and rest:
        verb = "upsert"
    if call.method == "POST" and rest:
        verb = "read"
    names, keys = [f"collections.{verb}"], []
    records = body.get("records") if isinstance(body, dict) else None
    for record in records if isinstance(records, list) else []:
        if isinstance(record, dict):
            kind = rest[0] if rest else str((record.get("attributes") or {}).get("type"))
            names.append(f"{_object(kind)}.{verb}")
            by = [rest[1], str(record.get(rest[1]))] if verb == "upsert" and len(rest) > 1 else []
            key = _key(by, record)
            keys += [key] if key else []
    if call.method == "DELETE":
        for record in call.query.get("ids", "").split(","):
            known = BY_PREFIX.get(record[:3])
            names.append(f"{known.name if known else 'query'}.delete")
    return names, ",".join(keys) or None
