"""Where the tenant's records are kept: one table, found by kind, id, parent and name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from apis.runtime.sandbox import Kit
from system_apis.kantata.sandbox.schema import KINDS

FIRST_ID = 20_001
TABLES = (
    """CREATE TABLE IF NOT EXISTS records (kind TEXT, id INTEGER, parent INTEGER, name TEXT,
       created REAL, updated REAL, data TEXT, PRIMARY KEY (kind, id))""",
    "CREATE INDEX IF NOT EXISTS by_parent ON records (kind, parent)",
    "CREATE INDEX IF NOT EXISTS by_name ON records (kind, name)",
)
COLUMNS = "id, created, updated, data"
PARENTS = {"external_references": "subject_id", "custom_field_values": "subject_id"}
Row = dict[str, Any]


class Rows:
    """Rows with `id`, `created` and `updated` beside the fields of their kind."""

    def __init__(self, kit: Kit) -> None:
        self.kit, self.db = kit, kit.db
        for statement in TABLES:
            self.db.execute(statement)

    def next_id(self) -> int:
        """A number nobody had before, not even before a reset."""
        return self.kit.next("id", FIRST_ID)

    def save(self, kind: str, row: Row) -> None:
        """Insert or replace a row."""
        data = {k: v for k, v in row.items() if k not in {"id", "created", "updated"}}
        parent = row.get(PARENTS.get(kind, "workspace_id"))
        name = folded(kind, row.get(KINDS[kind].title))
        values = (kind, row["id"], parent, name, row["created"], row["updated"], json.dumps(data))
        self.db.execute("INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def new(self, kind: str, fields: Row, id_: int | None = None) -> Row:
        """A row made now."""
        now = self.kit.clock.timestamp()
        row = {"id": id_ or self.next_id(), "created": now, "updated": now, **fields}
        self.save(kind, row)
        return row

    def drop(self, kind: str, id_: int) -> None:
        """Gone for ever, with what hangs on it."""
        self.db.execute("DELETE FROM records WHERE kind=? AND id=?", [kind, id_])
        for hanging in PARENTS:
            model = KINDS[kind].model
            for row in self.of(hanging, id_):
                if row["subject_type"] == model:
                    self.drop(hanging, row["id"])

    def clear(self) -> None:
        """Nothing left; ids go on."""
        self.db.execute("DELETE FROM records")

    def get(self, kind: str, id_: int) -> Row | None:
        """One row."""
        return next(iter(self._found("kind=? AND id=?", kind, id_)), None)

    def all(self, kind: str) -> list[Row]:
        """Every row of a kind."""
        return self._found("kind=?", kind)

    def of(self, kind: str, parent: int) -> list[Row]:
        """The rows of a workspace, or of the subject of a reference or value."""
        return self._found("kind=? AND parent=?", kind, parent)

    def named(self, kind: str, name: str) -> list[Row]:
        """The rows of this name, whatever its case; references exactly."""
        return self._found("kind=? AND name=?", kind, folded(kind, name))

    def some(self, kind: str, ids: Iterable[int]) -> list[Row]:
        """These rows, as far as there are."""
        found = (self.get(kind, id_) for id_ in ids)
        return [row for row in found if row is not None]

    def references(self, kind: str, id_: int) -> list[Row]:
        """The external references of a record."""
        model = KINDS[kind].model
        return [r for r in self.of("external_references", id_) if r["subject_type"] == model]

    def _found(self, where: str, *values: Any) -> list[Row]:
        sql = f"SELECT {COLUMNS} FROM records WHERE {where}"  # noqa: S608 - our own words
        return [
            {"id": id_, "created": created, "updated": updated, **json.loads(data)}
            for id_, created, updated, data in self.db.execute(sql, values)
        ]


def folded(kind: str, name: Any) -> str | None:
    """A name as it is compared."""
    if not isinstance(name, str):
        return None
    return name if kind == "external_references" else name.casefold()
