"""Collections: up to 200 records in one call, each with its own outcome."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from apis.runtime.sandbox import Kit
from apis.runtime.sandbox_wire import Answer, Call
from system_apis.salesforce.sandbox.errors import Refused, json_answer, not_found, row_lock
from system_apis.salesforce.sandbox.records import Records
from system_apis.salesforce.sandbox.schema import BY_LOWER, BY_PREFIX, Object

MOST_RECORDS = 200
MOST_READ = 2000
ROLLED_BACK = "Record rolled back because not all records were valid and the request was using"
Record = dict[str, Any]
T = TypeVar("T")


class Collections:
    """`/composite/sobjects`: create, update, upsert, delete and read many."""

    def __init__(self, kit: Kit, records: Records) -> None:
        self.kit, self.records = kit, records

    def answer(self, call: Call, method: str, place: list[str], base: str) -> Answer:
        """One collection call: 200 whenever it is well formed."""
        if method in {"GET", "POST"} and len(place) == 1:
            return self._read(call, _object(place[0]), base)
        if method == "DELETE" and not place:
            ids = [i for i in call.query.get("ids", "").split(",") if i]
            whole = call.query.get("allOrNone", "false").lower() == "true"
            return self._each(call, [{"id": i} for i in ids], "delete", place, base, whole=whole)
        verb = {("POST", 0): "create", ("PATCH", 0): "update", ("PATCH", 2): "upsert"}.get(
            (method, len(place))
        )
        if verb is None:
            raise not_found()
        envelope = _decoded(call, dict[str, Any])
        records = envelope.get("records")
        if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
            raise Refused("JSON_PARSER_ERROR", "records is missing or no list of records")
        whole = bool(envelope.get("allOrNone", False))
        return self._each(call, records, verb, place, base, whole=whole)

    def _each(
        self,
        call: Call,
        records: list[Record],
        verb: str,
        place: list[str],
        base: str,
        *,
        whole: bool,
    ) -> Answer:
        if len(records) > MOST_RECORDS:
            text = f"record limit reached. cannot process more than {MOST_RECORDS} records"
            raise Refused("EXCEEDED_ID_LIMIT", text)
        results: list[Record] = []
        written: list[tuple[str, str]] = []
        self.kit.db.execute("SAVEPOINT collection")
        for index, record in enumerate(records):
            self.kit.db.execute("SAVEPOINT one")
            try:
                if call.locked in {0, index + 1}:
                    raise row_lock(str(record.get("id", "")))
                o, result = self._one(verb, record, place, base)
                results.append(result)
                written.append((o.name, result["id"]))
            except Refused as refused:
                self.kit.db.execute("ROLLBACK TO one")
                results.append(refused.listed())
            self.kit.db.execute("RELEASE one")
        if whole and not all(result["success"] for result in results):
            self.kit.db.execute("ROLLBACK TO collection")
            written = []
            rolled = Refused("ALL_OR_NONE_OPERATION_ROLLED_BACK", f"{ROLLED_BACK} AllOrNone header")
            results = [rolled.listed() if result["success"] else result for result in results]
        self.kit.db.execute("RELEASE collection")
        answer = json_answer(200, results)
        answer.written = written
        return answer

    def _one(self, verb: str, record: Record, place: list[str], base: str) -> tuple[Object, Record]:
        data = {k: v for k, v in record.items() if k.lower() not in {"id", "attributes"}}
        done: Record = {"success": True, "errors": []}
        if verb in {"update", "delete"}:
            known = next((v for k, v in record.items() if k.lower() == "id"), None)
            if not known:
                text = "Id not specified in an update call"
                raise Refused("MISSING_ARGUMENT", text, "Id")
            o = BY_PREFIX.get(str(known)[:3])
            if o is None:
                raise Refused("MALFORMED_ID", f"malformed id {known}", "Id")
            if self.records.row(o, str(known)) is None and verb == "delete":
                raise Refused("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
            write = self.records.delete if verb == "delete" else None
            done["id"] = write(o, known) if write else self.records.update(o, known, data)
            return o, done
        o = self._declared(record, place)
        if verb == "create":
            return o, {"id": self.records.create(o, data), **done}
        if any(k.lower() == "id" for k in record):
            text = "The Id field should not be specified in the sobject data."
            raise Refused("INVALID_FIELD", text)
        field = self.records.key_field(o, place[1])
        value = next((v for k, v in data.items() if k.lower() == field.name.lower()), None)
        if value is None:
            text = f"{field.name} not specified"
            raise Refused("MISSING_ARGUMENT", text, field.name)
        rest = {k: v for k, v in data.items() if k.lower() != field.name.lower()}
        known, created = self.records.upsert(o, (field.name, str(value)), rest, base)
        return o, {"id": known, **done, "created": created}

    @staticmethod
    def _declared(record: Record, place: list[str]) -> Object:
        kind = (record.get("attributes") or {}).get("type")
        if not isinstance(kind, str):
            raise Refused("INVALID_INPUT", "attributes.type must be given for each record")
        o = _object(kind)
        if place and _object(place[0]) is not o:
            text = f"type {kind} does not match the type in the path"
            raise Refused("INVALID_INPUT", text)
        return o

    def _read(self, call: Call, o: Object, base: str) -> Answer:
        if call.method == "POST":
            asked = _decoded(call, dict[str, list[str]])
            ids, names = asked.get("ids", []), asked.get("fields", [])
        else:
            ids, names = (call.query.get(k, "").split(",") for k in ("ids", "fields"))
        if len(ids) > MOST_READ:
            raise Refused("EXCEEDED_ID_LIMIT", f"cannot read more than {MOST_READ} records")
        found: list[Record | None] = []
        for record in ids:
            try:
                found.append(self.records.show(o, record, base, [n for n in names if n]))
            except Refused as refused:
                if refused.code != "NOT_FOUND":
                    raise
                found.append(None)
        return json_answer(200, found)


def _object(name: str) -> Object:
    if name.lower() not in BY_LOWER:
        raise not_found()
    return BY_LOWER[name.lower()]


def _decoded(call: Call, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(call.body, type=kind)
    except msgspec.MsgspecError as error:
        raise Refused("JSON_PARSER_ERROR", str(error)) from None
