"""Running SOQL: rows become nested records, long results become pages."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from datetime import timedelta
from typing import Any

from apis.runtime.sandbox import Kit
from system_apis.salesforce.sandbox.errors import Refused
from system_apis.salesforce.sandbox.schema import OBJECTS, Object
from system_apis.salesforce.sandbox.soql import Plan, compile_query
from system_apis.salesforce.sandbox.values import Literals, new_id, stamp

PAGE, SMALLEST_PAGE = 2000, 200
OPEN_CURSORS = 10
CURSOR_AGE = timedelta(hours=48)
LARGEST_OFFSET = 2000
Record = dict[str, Any]


class Queries:
    """Answers of `/query`, `/queryAll` and `/query/<locator>`."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.cursors: OrderedDict[str, Cursor] = OrderedDict()
        self._cursors_made = int(kit.clock.timestamp())

    def run(self, text: str, base: str, *, every: bool, page: int = PAGE) -> Record:
        """The first page of a query; `every` reads deleted rows too."""
        plan, literals = compile_query(text, self.kit.clock.now().date().isoformat())
        every = every or plan.every_row
        rows = self._rows(plan, literals, every=every)
        if plan.count:
            return {"totalSize": rows[0][0], "done": True, "records": []}
        cursor = Cursor(self, plan, literals, rows, base, every=every, page=page)
        if len(rows) > page:
            self._keep(cursor)
        return cursor.page_from(0)

    def more(self, locator: str) -> Record:
        """The next page; a locator that is too old, evicted or unknown is refused."""
        name, _, start = locator.partition("-")
        cursor = self.cursors.get(name)
        old = cursor and self.kit.clock.now() - cursor.made_at > CURSOR_AGE
        if cursor is None or old or not start.isdigit():
            raise Refused("INVALID_QUERY_LOCATOR", "invalid query locator")
        return cursor.page_from(int(start))

    def object_of(self, locator: str) -> str:
        """Which object a locator pages over."""
        cursor = self.cursors.get(locator.partition("-")[0])
        return cursor.plan.source.name if cursor else "query"

    def _keep(self, cursor: Cursor) -> None:
        self._cursors_made += 1
        cursor.name = new_id("01g", self._cursors_made)
        self.cursors[cursor.name] = cursor
        while len(self.cursors) > OPEN_CURSORS:
            self.cursors.popitem(last=False)

    def _rows(
        self, plan: Plan, literals: Literals, *, every: bool, parent: str | None = None
    ) -> list[tuple[Any, ...]]:
        extra = "1" if every else 't."IsDeleted"=0'
        values = [slot(literals) for slot in plan.slots]
        if parent is not None:
            extra += f' AND t."{plan.linked_by}"=?'
            values.append(parent)
        if hidden := self.kit.hidden_ids(plan.source.name):
            extra += f' AND t."Id" NOT IN ({", ".join("?" * len(hidden))})'
            values += hidden
        limit = plan.limit(literals) if plan.limit else -1
        offset = plan.offset(literals) if plan.offset else 0
        if offset > LARGEST_OFFSET:
            text = "Maximum SOQL offset allowed is 2000"
            raise Refused("NUMBER_OUTSIDE_VALID_RANGE", text)
        return self.kit.db.execute(plan.sql(extra), [*values, limit, offset]).fetchall()

    def children(self, plan: Plan, parent: str, cursor: Cursor) -> Record | None:
        """The rows of a child relationship, paged like any other; null where there is none."""
        rows = self._rows(plan, cursor.literals, every=cursor.every, parent=parent)
        if not rows:
            return None
        inner = Cursor(
            self,
            plan,
            cursor.literals,
            rows,
            cursor.base,
            every=cursor.every,
            page=cursor.page,
        )
        if len(rows) > cursor.page:
            self._keep(inner)
        return inner.page_from(0)


class Cursor:
    """A result as it was when the query ran, read page by page."""

    def __init__(
        self,
        queries: Queries,
        plan: Plan,
        literals: Literals,
        rows: list[tuple[Any, ...]],
        base: str,
        *,
        every: bool,
        page: int,
    ) -> None:
        self.queries, self.plan, self.literals, self.rows = queries, plan, literals, rows
        self.base, self.every, self.page = base, every, page
        self.name = ""
        self.made_at = queries.kit.clock.now()

    def page_from(self, start: int) -> Record:
        """One page, with the address of the next."""
        end = start + self.page
        records = [self._record(row) for row in self.rows[start:end]]
        answer: Record = {"totalSize": len(self.rows), "done": end >= len(self.rows)}
        if not answer["done"]:
            answer["nextRecordsUrl"] = f"{self.base}/query/{self.name}-{end}"
        return {**answer, "records": records}

    def _record(self, row: tuple[Any, ...]) -> Record:
        found = record(self.plan, row, self.base)
        for relation, child in self.plan.children.items():
            found[relation] = self.queries.children(child, row[0], self)
        return found


def attributes(kind: str, record_id: str, base: str) -> Record:
    """What stands at the head of every record."""
    return {"type": kind, "url": f"{base}/sobjects/{kind}/{record_id}"}


def record(plan: Plan, row: tuple[Any, ...], base: str) -> Record:
    """One row as the API shows it: parents nested, null where there is none."""
    root: Record = {"attributes": attributes(plan.source.name, row[0], base)}
    for column, value in zip(plan.columns[1:], row[1:], strict=True):
        path = column.path
        here: Any = root
        for step in path[:-1]:
            if (here := here.setdefault(step, {})) is None:
                break
        if here is None:
            continue
        if path[-1]:
            here[path[-1]] = bool(value) if column.is_boolean else value
        elif value is None:
            _put(root, path[:-1], None)
        else:
            here["attributes"] = attributes(plan.kinds[path[:-1]].name, value, base)
    return root


def _put(root: Record, path: tuple[str, ...], value: Any) -> None:
    for step in path[:-1]:
        root = root[step]
    root[path[-1]] = value


def whole(o: Object, row: sqlite3.Row | tuple[Any, ...], base: str) -> Record:
    """A record with all its fields."""
    shown: Record = {
        f.name: bool(value) if f.is_boolean else value
        for f, value in zip(o.fields.values(), row, strict=True)
    }
    return {"attributes": attributes(o.name, shown["Id"], base), **shown}


def everything(db: sqlite3.Connection, base: str) -> dict[str, list[Record]]:
    """The whole org, deleted records included."""
    org = {}
    for name, o in OBJECTS.items():
        rows = db.execute(f'SELECT {o.columns} FROM "{name}" ORDER BY "Id"')  # noqa: S608 - names come from the schema
        org[name] = [whole(o, row, base) for row in rows]
    return org


def changed(kit: Kit, o: Object, start: str, end: str, *, deleted: bool) -> Record:
    """`/updated` and `/deleted`: ids between two moments."""
    sql = (
        f'SELECT "Id", "SystemModstamp" FROM "{o.name}"'  # noqa: S608 - names come from the schema
        ' WHERE "SystemModstamp">=? AND "SystemModstamp"<? AND "IsDeleted"=? ORDER BY 2, 1'
    )
    rows = kit.db.execute(sql, [start, end, int(deleted)]).fetchall()
    covered = min(end, stamp(kit.clock.now()))
    if not deleted:
        return {"ids": [row[0] for row in rows], "latestDateCovered": covered}
    earliest = stamp(kit.clock.now() - timedelta(days=30))
    records = [{"id": row[0], "deletedDate": row[1]} for row in rows]
    dates = {"earliestDateAvailable": earliest, "latestDateCovered": covered}
    return {"deletedRecords": records, **dates}
