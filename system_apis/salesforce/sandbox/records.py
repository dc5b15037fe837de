"""Creating, changing and deleting records with the checks a Salesforce org makes."""

from __future__ import annotations

from typing import Any

from apis.runtime.sandbox import Kit
from system_apis.salesforce.sandbox import derived
from system_apis.salesforce.sandbox.errors import Refused, no_such_column, not_found
from system_apis.salesforce.sandbox.queries import Record, attributes, whole
from system_apis.salesforce.sandbox.schema import BY_PREFIX, OBJECTS, Field, Object, tables
from system_apis.salesforce.sandbox.values import long_id, new_id, stamp, stored

Row = dict[str, Any]
WELL_KNOWN = {"user": "Integration User", "pricebook": "Standard Price Book"}


class Records:
    """The org's records; every write happens in the transaction of its call."""

    def __init__(self, kit: Kit) -> None:
        self.kit, self.db = kit, kit.db
        for statement in tables():
            self.db.execute(statement)

    def now(self) -> str:
        """The moment of a write, as the API shows it."""
        return stamp(self.kit.clock.now())

    def row(self, o: Object, record: str) -> Row | None:
        """The stored row, deleted or not."""
        sql = f'SELECT {o.columns} FROM "{o.name}" WHERE "Id"=?'  # noqa: S608 - names come from the schema
        found = self.db.execute(sql, [record]).fetchone()
        return dict(zip(o.fields, found, strict=True)) if found else None

    def live(self, o: Object, record: str) -> Row:
        """The row to write to; Refused if it never was or is deleted."""
        known = long_id(record)
        if known is None:
            raise not_found()
        row = self.row(o, known)
        if row is None:
            raise not_found()
        if row["IsDeleted"]:
            raise Refused("ENTITY_IS_DELETED", "entity is deleted")
        return row

    def show(self, o: Object, record: str, base: str, names: list[str] | None = None) -> Record:
        """One record for the API, with all its fields or those asked for."""
        row = self.row(o, long_id(record) or "")
        if row is None or row["IsDeleted"]:
            raise not_found()
        shown = whole(o, tuple(row.values()), base)
        if not names:
            return shown
        picked: Record = {"attributes": attributes(o.name, shown["Id"], base)}
        for name in names:
            field = o.by_lower.get(name.strip().lower())
            if field is None:
                raise no_such_column(name, o.name)
            picked[field.name] = shown[field.name]
        return {**picked, "Id": shown["Id"]}

    def find(self, o: Object, field: Field, value: str) -> list[str]:
        """The live records that carry this external id."""
        sql = f'SELECT "Id" FROM "{o.name}" WHERE "{field.name}"=? AND "IsDeleted"=0 ORDER BY 1'  # noqa: S608 - names come from the schema
        return [row[0] for row in self.db.execute(sql, [value])]

    def create(self, o: Object, data: Record, *, allow_save: bool = False) -> str:
        """Insert a record and all that follows from it; answers its id."""
        if any(name.lower() == "id" for name in data):
            text = "cannot specify Id in an insert call"
            raise Refused("INVALID_FIELD_FOR_INSERT_UPDATE", text, "Id")
        given = self.checked(o, data, creating=True)
        row: Row = {f.name: 0 if f.is_boolean else None for f in o.fields.values()}
        row |= given
        user = self.well_known("user")
        stamps = ("CreatedDate", "LastModifiedDate", "SystemModstamp")
        row |= dict.fromkeys(stamps, self.now()) | {"CreatedById": user, "LastModifiedById": user}
        if "OwnerId" in row:
            row["OwnerId"] = row["OwnerId"] or user
        derived.fill(self, o, row, given, creating=True)
        self._required(o, row)
        self._unique(o, row)
        derived.duplicate_rule(self, o, row, allow_save=allow_save)
        row["Id"] = new_id(o.prefix, self.kit.next(o.name))
        self.insert(o, row)
        derived.follow(self, o, row)
        return str(row["Id"])

    def update(self, o: Object, record: str, data: Record, *, allow_save: bool = False) -> str:
        """Change the fields given; answers the 18-character id."""
        row = self.live(o, record)
        if any(name.lower() == "id" for name in data):
            text = "The Id field should not be specified in the sobject data."
            raise Refused("INVALID_FIELD", text)
        given = self.checked(o, data, creating=False)
        row |= given
        row |= {"LastModifiedDate": self.now(), "SystemModstamp": self.now()}
        row["LastModifiedById"] = self.well_known("user")
        derived.fill(self, o, row, given, creating=False)
        self._required(o, row)
        self._unique(o, {name: row[name] for name in ("Id", *given)})
        if "Name" in given:
            derived.duplicate_rule(self, o, row, allow_save=allow_save)
        self.save(o, row)
        derived.follow(self, o, row)
        return str(row["Id"])

    def upsert(
        self,
        o: Object,
        by: tuple[str, str],
        data: Record,
        base: str,
        *,
        update_only: bool = False,
        allow_save: bool = False,
    ) -> tuple[str, bool]:
        """Create or update by external id; answers the id and whether it is new."""
        field, value = self.key_field(o, by[0]), by[1]
        if any(name.lower() == field.name.lower() for name in data):
            text = f"The {field.name} field should not be specified in the sobject data."
            raise Refused("INVALID_FIELD", text)
        found = self.find(o, field, value)
        if len(found) > 1:
            paths = [f"{base}/sobjects/{o.name}/{record}" for record in found]
            raise Refused("MULTIPLE", "more than one record", status=300, body=paths)
        if found:
            return self.update(o, found[0], data, allow_save=allow_save), False
        if update_only:
            raise not_found()
        return self.create(o, {**data, field.name: value}, allow_save=allow_save), True

    def delete(self, o: Object, record: str) -> str:
        """Mark a record deleted, with what cannot live without it."""
        row = self.live(o, record)
        derived.deletable(self, o, row)
        for child, by in o.children.values():
            if OBJECTS[child].fields[by].required:
                sql = f'SELECT "Id" FROM "{child}" WHERE "{by}"=? AND "IsDeleted"=0'  # noqa: S608 - names come from the schema
                for (orphan,) in self.db.execute(sql, [row["Id"]]).fetchall():
                    self.delete(OBJECTS[child], orphan)
        row |= {"IsDeleted": 1, "LastModifiedDate": self.now(), "SystemModstamp": self.now()}
        self.save(o, row)
        derived.follow(self, o, row)
        return str(row["Id"])

    def insert(self, o: Object, row: Row) -> None:
        """The row as it is, unchecked."""
        marks = ", ".join("?" * len(o.fields))
        values = [row[name] for name in o.fields]
        self.db.execute(f'INSERT INTO "{o.name}" ({o.columns}) VALUES ({marks})', values)  # noqa: S608 - names come from the schema

    def save(self, o: Object, row: Row) -> None:
        """The row as it is, over the one with its id."""
        sets = ", ".join(f'"{name}"=?' for name in o.fields)
        values = [row[name] for name in o.fields]
        self.db.execute(f'UPDATE "{o.name}" SET {sets} WHERE "Id"=?', [*values, row["Id"]])  # noqa: S608 - names come from the schema

    def well_known(self, what: str) -> str:
        """The id of a record every org has."""
        kind = "User" if what == "user" else "Pricebook2"
        sql = f'SELECT "Id" FROM "{kind}" WHERE "Name"=?'  # noqa: S608 - one of two names
        found = self.db.execute(sql, [WELL_KNOWN[what]]).fetchone()
        return str(found[0]) if found else ""

    def key_field(self, o: Object, name: str) -> Field:
        """The external-id field of that name."""
        field = o.by_lower.get(name.lower())
        if field is None or not (field.external_id or field.name == "Id"):
            text = f"Provided external ID field does not exist or is not accessible: {name}"
            raise Refused("NOT_FOUND", text, status=404)
        return field

    def checked(self, o: Object, data: Record, *, creating: bool) -> Row:
        """The body as columns; Refused as the API refuses what does not fit."""
        given: Row = {}
        closed: list[str] = []
        for name, value in data.items():
            if name == "attributes":
                continue
            field = o.by_lower.get(name.lower())
            if field is None and (link := o.parents.get(name.lower())):
                given[link.name] = self._by_external_id(link, value)
                continue
            if field is None:
                raise no_such_column(name, o.name)
            if field.readonly or (field.create_only and not creating):
                closed.append(field.name)
                continue
            given[field.name] = self._fitting(field, stored(field, value))
        if closed:
            text = (
                f"Unable to create/update fields: {', '.join(closed)}. Please check the security"
                " settings of this field and verify that it is read/write for your profile or"
                " permission set."
            )
            raise Refused("INVALID_FIELD_FOR_INSERT_UPDATE", text, *closed)
        return given

    def _fitting(self, field: Field, value: Any) -> Any:
        if value is None:
            return None
        if field.restricted and value not in field.values:
            text = f"bad value for restricted picklist field: {value}"
            code = "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"
            raise Refused(code, text, field.name)
        return self._reference(field, value) if field.to else value

    def _reference(self, field: Field, value: str) -> str:
        known = long_id(value)
        if known is None or BY_PREFIX.get(known[:3]) is not OBJECTS[field.to]:
            label = field.name.removesuffix("Id")
            text = f"{label} ID: id value of incorrect type: {value}"
            raise Refused("MALFORMED_ID", text, field.name)
        row = self.row(OBJECTS[field.to], known)
        if row is None:
            text = "invalid cross reference id"
            raise Refused("INVALID_CROSS_REFERENCE_KEY", text)
        if row["IsDeleted"]:
            raise Refused("ENTITY_IS_DELETED", "entity is deleted")
        return known

    def _by_external_id(self, link: Field, value: Any) -> str | None:
        if value is None:
            return None
        if not isinstance(value, dict):
            text = f"Cannot deserialize instance of {link.relation} from {value}"
            raise Refused("JSON_PARSER_ERROR", text)
        parent = OBJECTS[link.to]
        keys = {k: v for k, v in value.items() if k != "attributes"}
        if len(keys) != 1:
            text = "The relationship must be given by exactly one external ID field"
            raise Refused("INVALID_FIELD", text)
        name, key = next(iter(keys.items()))
        field = self.key_field(parent, name)
        found = self.find(parent, field, str(key))
        if len(found) != 1:
            text = (
                f"Foreign key external ID: {key} not found for field {field.name} in entity"
                f" {parent.name}"
            )
            raise Refused("INVALID_FIELD", text)
        return found[0]

    @staticmethod
    def _required(o: Object, row: Row) -> None:
        missing = [f.name for f in o.fields.values() if f.required and row[f.name] is None]
        if missing:
            text = f"Required fields are missing: [{', '.join(missing)}]"
            raise Refused("REQUIRED_FIELD_MISSING", text, *missing)

    def _unique(self, o: Object, row: Row) -> None:
        if self.kit.settings.get("unique_external_ids") is False:
            return
        for field in o.external_ids:
            if (value := row.get(field.name)) is None:
                continue
            for other in self.find(o, field, value):
                if other != row.get("Id"):
                    text = (
                        f"duplicate value found: {field.name} duplicates value on record with id:"
                        f" {other}"
                    )
                    raise Refused("DUPLICATE_VALUE", text)
