"""Creating, changing and reading records with the checks a NetSuite account makes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from apis.runtime.sandbox import Kit
from system_apis.netsuite.sandbox.addresses import Addresses
from system_apis.netsuite.sandbox.errors import (
    Refused,
    invalid_field,
    missing_field,
    no_record,
)
from system_apis.netsuite.sandbox.schema import RECORDS, Field, RecordType, tables
from system_apis.netsuite.sandbox.values import Row, Unfit, plain, reference, stamp, stored

EXTERNAL_ID = re.compile(r"[A-Za-z0-9_-]+")
FIRST_ID = 1001
"""What the account came with has lower ones."""
MODES = {"error", "warning", "ignore"}


@dataclass(frozen=True)
class Strictness:
    """What to do with names and values that do not fit: `error`, or leave them out."""

    names: str = "warning"
    values: str = "error"


class Records:
    """The account's records; every write happens in the transaction of its call."""

    def __init__(self, kit: Kit) -> None:
        self.kit, self.db = kit, kit.db
        self.addresses = Addresses(kit)
        for statement in tables():
            self.db.execute(statement)

    def find(self, kind: RecordType, id_: str) -> int | None:
        """The internal id behind an id of a path, which may be `eid:<external id>`."""
        if id_.startswith("eid:"):
            where, value = "externalid", id_.removeprefix("eid:")
        elif id_.isdecimal():
            where, value = "id", id_
        else:
            return None
        sql = f'SELECT id FROM "{kind.table}" WHERE "{where}"=?'  # noqa: S608 - names come from the schema
        found = self.db.execute(sql, [value]).fetchone()
        return int(found[0]) if found else None

    def known(self, kind: RecordType, id_: str) -> int:
        """The same, or Refused."""
        if (found := self.find(kind, id_)) is None:
            raise no_record(kind.name, id_)
        return found

    def show(self, kind: RecordType, id_: int, base: str, *, expand: bool = False) -> Row:
        """One record as the API shows it: nothing that is empty, references with their names."""
        row = self.row(kind, id_)
        here = f"{base}/{kind.name}/{id_}"
        shown: Row = {"links": [{"rel": "self", "href": here}]}
        for field in kind.fields.values():
            value = row[field.sql]
            if value is None or not field.in_record:
                continue
            shown[field.name] = (
                self._shown_reference(field, value, base)
                if field.type == "ref"
                else plain(field, value)
            )
        if kind.addresses:
            shown["addressBook"] = self.addresses.show(id_, f"{here}/addressBook", expand=expand)
        return shown

    def row(self, kind: RecordType, id_: int) -> Row:
        """The stored columns."""
        names = ", ".join(f'"{name}"' for name in kind.columns)
        sql = f'SELECT {names} FROM "{kind.table}" WHERE id=?'  # noqa: S608 - names come from the schema
        return dict(zip(kind.columns, self.db.execute(sql, [id_]).fetchone(), strict=True))

    def create(self, kind: RecordType, body: Row, strict: Strictness, *, key: str = "") -> int:
        """A new record, at an external id if `key` names one; answers its internal id."""
        given, addresses = self._checked(kind, body, strict)
        now = stamp(self.kit.clock.now())
        row: Row = dict.fromkeys(kind.columns) | {"isinactive": "F"} | given
        row |= {"datecreated": now, "lastmodifieddate": now}
        row["externalid"] = key or row["externalid"]
        row["id"] = self.kit.next(kind.counter, FIRST_ID)
        if kind.number and not row["entityid"]:
            row["entityid"] = f"{kind.number}{row['id']}"
        self._complete(kind, row)
        columns = {name: row[name] for name in kind.columns}
        names, marks = ", ".join(f'"{n}"' for n in columns), ", ".join("?" * len(columns))
        sql = f'INSERT INTO "{kind.table}" ({names}) VALUES ({marks})'  # noqa: S608 - names come from the schema
        self.db.execute(sql, [*columns.values()])
        self.addresses.merge(row["id"], addresses)
        return int(row["id"])

    def update(
        self, kind: RecordType, id_: int, body: Row, strict: Strictness, *, replace: str = ""
    ) -> int:
        """Change the fields given; lines of a sublist are added unless `replace` names it."""
        given, addresses = self._checked(kind, body, strict)
        row = self.row(kind, id_) | given | {"lastmodifieddate": stamp(self.kit.clock.now())}
        self._complete(kind, row)
        sets = ", ".join(f'"{name}"=?' for name in kind.columns)
        sql = f'UPDATE "{kind.table}" SET {sets} WHERE id=?'  # noqa: S608 - names come from the schema
        self.db.execute(sql, [*(row[name] for name in kind.columns), id_])
        if "addressBook" in replace.split(","):
            self.addresses.clear(id_)
        self.addresses.merge(id_, addresses)
        return id_

    def upsert(
        self, kind: RecordType, key: str, body: Row, strict: Strictness, *, replace: str = ""
    ) -> tuple[int, bool]:
        """Create or change the record at an external id; answers its id and whether it is new."""
        if not EXTERNAL_ID.fullmatch(key):
            raise invalid_field("externalId", key)
        found = self.find(kind, f"eid:{key}")
        if found is None:
            return self.create(kind, body, strict, key=key), True
        return self.update(kind, found, body, strict, replace=replace), False

    def delete(self, kind: RecordType, id_: int) -> int:
        """Remove a record and its addresses, unless others stand on it."""
        for other in RECORDS.values():
            for field in other.fields.values():
                sql = f'SELECT 1 FROM "{other.table}" WHERE "{field.sql}"=?'  # noqa: S608 - names come from the schema
                if field.to == kind.name and self.db.execute(sql, [id_]).fetchone():
                    text = "This record cannot be deleted because it has dependent records."
                    raise Refused(
                        "THIS_RECORD_CANNOT_BE_DELETED_BECAUSE_IT_HAS_DEPENDENT_RECORDS", text
                    )
        if kind.addresses:
            self.addresses.clear(id_)
        self.db.execute(f'DELETE FROM "{kind.table}" WHERE id=?', [id_])  # noqa: S608 - names come from the schema
        return id_

    def _checked(self, kind: RecordType, body: Row, strict: Strictness) -> tuple[Row, list[Any]]:
        """The body as columns, and its address lines; Refused as the headers ask for it."""
        given: Row = {}
        addresses: list[Any] = []
        for name, value in body.items():
            if name == "links":
                continue
            if kind.addresses and name == "addressBook":
                addresses = self.addresses.checked(value)
                continue
            field = kind.fields.get(name)
            if field is None or not field.in_record:
                if strict.names == "error":
                    text = f"Error while accessing resource: Unknown property {name}."
                    raise Refused("INVALID_CONTENT", text, path=name)
                continue
            if field.readonly:
                continue
            try:
                given[field.sql] = self._fitting(field, value)
            except Unfit:
                if strict.values == "error":
                    raise invalid_field(name, value) from None
        return given, addresses

    def _fitting(self, field: Field, value: Any) -> Any:
        if field.type != "ref" or value is None:
            return stored(field, value)
        named = value.get("externalId") if isinstance(value, dict) else None
        wanted = f"eid:{named}" if named else reference(value)
        found = self.find(RECORDS[field.to], wanted or "")
        if found is None:
            raise Unfit
        return found

    def _complete(self, kind: RecordType, row: Row) -> None:
        """What follows from the rest, and what has to be there."""
        required = [f.name for f in kind.fields.values() if f.required and row[f.sql] is None]
        if required:
            raise missing_field(required)
        if kind.name == "customer":
            hold = row["creditholdoverride"] = row["creditholdoverride"] or "AUTO"
            row["isperson"] = row["isperson"] or "F"
            row["oncredithold"] = "T" if hold == "ON" else "F"  # nobody owes anything here
        if kind.name == "job":
            self._of_its_customer(row)
        self._alone(kind, row)

    def _of_its_customer(self, row: Row) -> None:
        """A project has its customer's subsidiary."""
        if row["customer"] is None:
            return
        customer = self.row(RECORDS["customer"], row["customer"])
        row["subsidiary"] = row["subsidiary"] or customer["subsidiary"]
        if row["subsidiary"] != customer["subsidiary"]:
            raise invalid_field("subsidiary", row["subsidiary"])

    def _alone(self, kind: RecordType, row: Row) -> None:
        for column, code in (("externalid", "DUP_EXT_ID"), ("entityid", "UNIQUE_CUST_ID_REQD")):
            if column not in kind.columns or row[column] is None:
                continue
            sql = f'SELECT 1 FROM "{kind.table}" WHERE "{column}"=? AND id IS NOT ?'  # noqa: S608 - names come from the schema
            if self.db.execute(sql, [row[column], row["id"]]).fetchone():
                text = f"Error while accessing resource: {row[column]} is in use already."
                raise Refused(code, text, path=kind.columns[column].name)

    def _shown_reference(self, field: Field, id_: int, base: str) -> Row:
        to = RECORDS[field.to]
        name = next((n for n in ("companyname", "symbol", "name") if n in to.columns), "id")
        sql = f'SELECT "{name}" FROM "{to.table}" WHERE id=?'  # noqa: S608 - names come from the schema
        known = self.db.execute(sql, [id_]).fetchone()
        link = {"rel": "self", "href": f"{base}/{to.name}/{id_}"}
        return {"links": [link], "id": str(id_), "refName": known[0] if known else None}


def strictness(headers: dict[str, str]) -> Strictness:
    """What the headers of a call ask for; any other word is refused."""
    found = {}
    for part, default in (("names", "warning"), ("values", "error")):
        header = f"x-netsuite-property{part.removesuffix('s')}validation"
        found[part] = headers.get(header, default).lower()
        if found[part] not in MODES:
            raise Refused("INVALID_HEADER", f"Invalid value of {header}", header=header)
    return Strictness(**found)
