"""Names of what a call does, for faults and the log: `customer.search`, `job.upsert`.

A call for many records is `collections.<verb>`, followed by the operation of each record.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import msgspec

from apis.runtime.sandbox_wire import Call
from system_apis.netsuite.sandbox.login import TOKEN
from system_apis.netsuite.sandbox.schema import RECORDS, TABLES
from system_apis.netsuite.sandbox.suiteql import source

RECORD = "/services/rest/record/v1/"
SUITEQL = "/services/rest/query/v1/suiteql"
VERBS = {"GET": "read", "POST": "create", "PATCH": "update", "PUT": "upsert", "DELETE": "delete"}
NAMES = frozenset(
    {
        *(f"{name}.{verb}" for name in (*RECORDS, "collections") for verb in VERBS.values()),
        *(f"{kind.name}.search" for kind in TABLES.values()),
        *("token.create", "query.search", "async.read"),
    }
)
"""Every name there is; what else a client asks for is not found."""


def operations(call: Call) -> tuple[list[str], str | None]:
    """The operation of the call, those of its records, and the business key it carries."""
    if call.path == TOKEN:
        return ["token.create"], None
    if call.path == SUITEQL:
        body = body_of(call)
        query = body.get("q") if isinstance(body, dict) else None
        return [f"{source(str(query))}.search"], None
    if not call.path.startswith(RECORD):
        return ["async.read"], None
    steps = steps_of(call)
    name = steps[0] if steps[0] in RECORDS else "record"
    verb = VERBS.get(call.method, call.method.lower())
    if len(steps) == 1:
        return _many(call, name, verb)
    key = steps[1].removeprefix("eid:") if steps[1].startswith("eid:") else None
    return [f"{name}.{verb}"], key or _external_id(body_of(call))


def _many(call: Call, name: str, verb: str) -> tuple[list[str], str | None]:
    body = body_of(call)
    if call.method == "GET":
        return [f"{name}.search"], None
    items = body.get("items") if isinstance(body, dict) else None
    if not isinstance(items, list):
        return [f"{name}.{verb}"], _external_id(body)
    keys = [key for item in items if (key := _external_id(item))]
    return [f"collections.{verb}", *[f"{name}.{verb}"] * len(items)], ",".join(keys) or None


def steps_of(call: Call) -> list[str]:
    """The parts of a record's path."""
    return [unquote(step) for step in call.path.removeprefix(RECORD).strip("/").split("/")]


def body_of(call: Call) -> Any:
    """The JSON a call carries, or None."""
    try:
        return msgspec.json.decode(call.body)
    except msgspec.MsgspecError:
        return None


def _external_id(body: Any) -> str | None:
    found = body.get("externalId") if isinstance(body, dict) else None
    return found if isinstance(found, str) else None
