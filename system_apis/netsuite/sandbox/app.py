"""SuiteTalk REST of the sandbox account: from path to answer."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from apis.runtime.sandbox import Kit
from apis.runtime.sandbox_faults import Drift
from apis.runtime.sandbox_wire import Answer, Call
from system_apis.netsuite.sandbox import errors, seed
from system_apis.netsuite.sandbox.errors import Refused, json_answer, no_record
from system_apis.netsuite.sandbox.jobs import ASYNC, Jobs
from system_apis.netsuite.sandbox.login import TOKEN, Login
from system_apis.netsuite.sandbox.operations import (
    NAMES,
    RECORD,
    SUITEQL,
    body_of,
    operations,
    steps_of,
)
from system_apis.netsuite.sandbox.records import Records, strictness
from system_apis.netsuite.sandbox.schema import RECORDS, TABLES, RecordType
from system_apis.netsuite.sandbox.suiteql import Queries
from system_apis.netsuite.sandbox.values import Row

AT_ONCE = 5
MOST_RECORDS = 100
PAGE = 1000


def sandbox(kit: Kit) -> Account:
    """The NetSuite sandbox, as the kit loads it."""
    return Account(kit)


class Account:
    """One NetSuite account behind its REST API."""

    drift = Drift(
        renamed={"companyName": "_companyName", "companyname": "_companyname"},
        gone=frozenset({"hasMore"}),
        texts=(int, float, bool),
    )

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.login = Login(kit)
        self.records = Records(kit)
        self.queries = Queries(kit)
        self.jobs = Jobs(kit)
        kit.most_at_once = self._most_at_once
        if not kit.db.execute("SELECT 1 FROM subsidiary").fetchone():
            kit.db.execute("BEGIN IMMEDIATE")
            seed.furnish(self.records)
            kit.db.execute("COMMIT")

    def named(self) -> frozenset[str]:
        """Every operation, as `record.verb`."""
        return NAMES

    def operations(self, call: Call) -> tuple[list[str], str | None]:
        """What the call does, as `record.verb`, and the business key in it."""
        return operations(call)

    def answer(self, call: Call) -> Answer:
        """Act on one call of a client; errors come back as answers, undone."""
        if call.path == TOKEN:
            return self.login.grant(call)
        try:
            self._admit(call)
        except Refused as refused:
            return refused.answer()
        return self.kit.attempt(lambda: self._route(call))

    def _admit(self, call: Call) -> None:
        if call.crowded:
            if self.kit.settings.get("crowded") != "login":
                raise errors.too_many()
            refused = errors.no_login()
            refused.delay_s = float(self.kit.settings.get("crowded_s", 1))
            raise refused
        self.login.check(call)

    def refusal(self, fault: str, call: Call) -> Answer:
        """A fault of the whole call in the vendor's words."""
        if fault == "expire-token":
            self.login.sessions.kill(call)
        return errors.token_refusal(fault) if call.path == TOKEN else errors.refusal(fault)

    def state(self) -> dict[str, list[Any]]:
        """Every record of every type, addresses included."""
        base = f"https://sandbox{RECORD.rstrip('/')}"
        return {
            name: [
                self.records.show(kind, id_, base, expand=True)
                for (id_,) in self.kit.db.execute(f'SELECT id FROM "{kind.table}" ORDER BY id')  # noqa: S608 - names come from the schema
            ]
            for name, kind in RECORDS.items()
        }

    def reset(self) -> None:
        """An account as it comes: lists, no customers, no projects. Tokens die."""
        for name in (*TABLES, "_nonces", "_jobs"):
            self.kit.db.execute(f'DELETE FROM "{name}"')  # noqa: S608 - names come from the schema
        self.login.sessions.clear()
        seed.furnish(self.records)

    def example(self, name: str, options: dict[str, str]) -> list[dict[str, Any]] | None:
        """There are none: customers and projects come from the flow."""
        del name, options
        return None

    def _most_at_once(self, call: Call) -> int | None:
        """The cap on calls at once holds for the account; signing in does not count."""
        return None if call.path == TOKEN else int(self.kit.settings.get("concurrency", AT_ONCE))

    def _route(self, call: Call) -> Answer:
        if call.path.startswith(f"{ASYNC}/") and call.method == "GET":
            return self.jobs.show(call.path.removeprefix(f"{ASYNC}/").strip("/").split("/"))
        if call.path == SUITEQL and call.method == "POST":
            return self._query(call)
        if not call.path.startswith(RECORD):
            raise no_record("resource", call.path)
        if "respond-async" in call.headers.get("prefer", ""):
            return self._async(call)
        steps = steps_of(call)
        if steps[0] not in RECORDS:
            raise no_record("record type", steps[0])
        if len(steps) == 1:
            return self._collection(call, RECORDS[steps[0]])
        if len(steps) == len(["record", "id"]):
            return self._instance(call, RECORDS[steps[0]], steps[1])
        raise no_record("resource", call.path)

    def _query(self, call: Call) -> Answer:
        if "transient" not in call.headers.get("prefer", ""):
            text = "The Prefer header must be set to transient."
            raise Refused("INVALID_HEADER", text, header="Prefer")
        body = body_of(call)
        if not isinstance(body, dict) or not isinstance(body.get("q"), str):
            raise Refused("INVALID_PARAMETER", "The request body has no query in q.")
        found = self.queries.answer(call, body["q"], call.origin + SUITEQL)
        return json_answer(200, found, "collection")

    def _collection(self, call: Call, kind: RecordType) -> Answer:
        if call.method == "POST":
            return self._created(call, kind, given(call))
        if call.method != "GET":
            text = "The request must be asynchronous: Prefer: respond-async is missing."
            raise Refused("INVALID_HEADER", text, header="Prefer")
        limit, offset = int(call.query.get("limit", PAGE)), int(call.query.get("offset", "0"))
        ids = [
            row[0]
            for row in self.kit.db.execute(f'SELECT id FROM "{kind.table}" ORDER BY id').fetchall()  # noqa: S608 - names come from the schema
        ]
        here = f"{call.origin}{RECORD}{kind.name}"
        page = ids[offset : offset + limit]
        items = [
            {"links": [{"rel": "self", "href": f"{here}/{id_}"}], "id": str(id_)} for id_ in page
        ]
        paging = {"count": len(page), "hasMore": offset + limit < len(ids), "offset": offset}
        found = {"links": [{"rel": "self", "href": here}], "items": items, **paging}
        return json_answer(200, found | {"totalResults": len(ids)}, "collection")

    def _instance(self, call: Call, kind: RecordType, id_: str) -> Answer:
        if call.locked == 0:
            raise errors.changed()
        strict, replace = strictness(call.headers), call.query.get("replace", "")
        match call.method:
            case "GET":
                expand = call.query.get("expandSubResources") == "true"
                base = f"{call.origin}{RECORD.rstrip('/')}"
                known = self.records.known(kind, id_)
                return json_answer(
                    200, _only(self.records.show(kind, known, base, expand=expand), call)
                )
            case "PATCH":
                known = self.records.known(kind, id_)
                self.records.update(kind, known, given(call), strict, replace=replace)
                return Answer(204, written=[(kind.name, str(known))])
            case "PUT" if id_.startswith("eid:"):
                key = id_.removeprefix("eid:")
                known, _ = self.records.upsert(kind, key, given(call), strict, replace=replace)
                return self._written(call, kind, known)
            case "DELETE":
                known = self.records.delete(kind, self.records.known(kind, id_))
                return Answer(204, written=[(kind.name, str(known))])
        raise Refused("METHOD_NOT_ALLOWED", "The method is not allowed here.", status=405)

    def _created(self, call: Call, kind: RecordType, body: Row) -> Answer:
        if call.locked == 0:
            raise errors.changed()
        return self._written(call, kind, self.records.create(kind, body, strictness(call.headers)))

    def _written(self, call: Call, kind: RecordType, id_: int) -> Answer:
        """No body: the id is told in the address alone."""
        place = f"{call.origin}{RECORD}{kind.name}/{id_}"
        return Answer(204, headers={"Location": place}, written=[(kind.name, str(id_))])

    def _async(self, call: Call) -> Answer:
        """A call, or each record of one, done in turn; one that is refused stops no other."""
        self.jobs.repeated(call)
        acts = [partial(self._route, part) for part in _parts(call)]
        return self.jobs.accept(call, [self.kit.attempt(act) for act in acts])


def _parts(call: Call) -> list[Call]:
    """The calls that an asynchronous call stands for: one a record."""
    headers = {k: v for k, v in call.headers.items() if k != "prefer"}
    steps, body = steps_of(call), body_of(call)
    items = body.get("items") if isinstance(body, dict) else None
    if len(steps) > 1 or (call.method == "POST" and not isinstance(items, list)):
        return [Call(call.method, call.path, call.query, headers, call.body)]
    if call.method == "DELETE":
        items = [{"id": id_} for id_ in call.query.get("ids", "").split(",") if id_]
    if not isinstance(items, list) or not 1 <= len(items) <= MOST_RECORDS:
        raise Refused("INVALID_CONTENT", f"items must hold 1 to {MOST_RECORDS} records")
    parts = []
    for item in items:
        record = dict(item) if isinstance(item, dict) else {}
        place = call.path
        if call.method == "PUT":
            place += f"/eid:{record.pop('externalId', '')}"
        elif call.method != "POST":
            place += f"/{record.pop('id', '')}"
        parts.append(Call(call.method, place, call.query, headers, msgspec.json.encode(record)))
    return parts


def given(call: Call) -> Row:
    """The JSON object a call carries."""
    body = body_of(call)
    if not isinstance(body, dict):
        raise Refused(
            "INVALID_CONTENT", "Invalid content in the request body: it is no JSON object."
        )
    return body


def _only(shown: Row, call: Call) -> Row:
    """The fields a call asks for, or all."""
    asked = call.query.get("fields")
    if not asked:
        return shown
    return {name: value for name, value in shown.items() if name in {"links", *asked.split(",")}}
