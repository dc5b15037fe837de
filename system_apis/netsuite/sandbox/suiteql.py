"""SuiteQL: parsed as the Oracle dialect it is close to, checked, run on the account's tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError

from apis.runtime.sandbox import Kit
from apis.runtime.sandbox_wire import Call
from system_apis.netsuite.sandbox.errors import Refused
from system_apis.netsuite.sandbox.schema import TABLES
from system_apis.netsuite.sandbox.values import Row, listed

PAGE = 1000
MOST_ROWS = 100_000
FROM = re.compile(r"\bFROM\s+(\w+)", re.IGNORECASE)
QUOTED = re.compile(r"'(?:[^']|'')*'")
DATE_FORM = re.compile(r"'[YMD/.-]+'")
MARK = "\x00"
REFUSED = (exp.Limit, exp.With, exp.Placeholder, exp.Parameter, exp.Into, exp.Lock, exp.Dot)
FUNCTIONS = frozenset(
    {
        *("And", "Or", "Not", "Case", "If", "Cast", "Coalesce", "Upper", "Lower", "Substring"),
        *("Length", "Replace", "Trim", "Abs", "Round", "StrToDate"),
        *("Count", "Sum", "Min", "Max", "Avg"),
    }
)


class Queries:
    """Queries over everything the account holds, less what a fault hides."""

    def __init__(self, kit: Kit) -> None:
        self.kit, self.db = kit, kit.db
        for name, function in (("upper", str.upper), ("lower", str.lower)):
            self.db.create_function(name, 1, _of_text(function), deterministic=True)
        self.db.create_function("str_to_date", 2, _day, deterministic=True)

    def answer(self, call: Call, query: str, here: str) -> Row:
        """One page of what a query finds."""
        limit, offset = (_whole(call, name, default) for name, default in PAGING)
        if not 1 <= limit <= PAGE or offset % limit:
            raise _unfit(f"limit {limit} with offset {offset} is not a page")
        names, rows = self._run(query)
        page = rows[offset : offset + limit]
        more = offset + limit < len(rows)
        links = [{"rel": "self", "href": f"{here}?limit={limit}&offset={offset}"}]
        if more:
            links.append({"rel": "next", "href": f"{here}?limit={limit}&offset={offset + limit}"})
        return {
            "links": links,
            "count": len(page),
            "hasMore": more,
            "items": [_item(names, row) for row in page],
            "offset": offset,
            "totalResults": len(rows),
        }

    def _run(self, query: str) -> tuple[list[tuple[str, str]], list[Any]]:
        shape, values = shaped(query)
        plan = planned(shape)
        try:
            rows = self.db.execute(self._text(plan), values).fetchmany(MOST_ROWS)
        except (self.db.OperationalError, self.db.ProgrammingError) as error:
            raise _unfit(str(error)) from None
        return plan.names, rows

    def _text(self, plan: Plan) -> str:
        """The statement, without the records that a fault hides."""
        hidden = {table: self.kit.hidden_ids(kind.name) for table, kind in TABLES.items()}
        if not any(hidden.values()):
            return plan.text

        def less(node: Any) -> Any:
            some = hidden.get(node.name.lower()) if isinstance(node, exp.Table) else None
            if not some:
                return node
            ids = ", ".join(str(int(each)) for each in some)
            inner = f'SELECT * FROM "{node.name.lower()}" WHERE id NOT IN ({ids})'  # noqa: S608 - whole numbers
            alias = exp.TableAlias(this=exp.to_identifier(node.alias_or_name))
            return exp.Subquery(this=sqlglot.parse_one(inner), alias=alias)

        return str(plan.tree.transform(less).sql(dialect="sqlite"))


@dataclass(frozen=True)
class Plan:
    """A query that was checked: its tree, its statement, the names and types of what it answers."""

    tree: Any
    text: str
    names: list[tuple[str, str]]


PAGING = (("limit", PAGE), ("offset", 0))


def source(query: str) -> str:
    """The record type a query is about, for the log and faults."""
    found = FROM.search(QUOTED.sub("''", query))
    kind = TABLES.get(found.group(1).lower()) if found else None
    return kind.name if kind else "query"


def shaped(query: str) -> tuple[str, dict[str, Any]]:
    """The query with names for its texts, and the texts: queries of one shape are read once."""
    values: dict[str, Any] = {}

    def named(found: re.Match[str]) -> str:
        if DATE_FORM.fullmatch(found.group()):
            return found.group()
        name = f"p{len(values)}"
        values[name] = found.group()[1:-1].replace("''", "'")
        return f"'{MARK}{name}'"

    return QUOTED.sub(named, query), values


@lru_cache(maxsize=256)
def planned(shape: str) -> Plan:
    """What a query of this shape does; Refused if SuiteQL does not know it."""
    tree = _parsed(shape)
    names = _named(tree, _checked(tree))
    tree = tree.transform(_bound)
    try:
        text = tree.sql(dialect="sqlite", unsupported_level=ErrorLevel.RAISE)
    except SqlglotError as error:
        raise _unfit(str(error)) from None
    return Plan(tree, text, names)


def _bound(node: Any) -> Any:
    if isinstance(node, exp.Literal) and node.is_string and node.this.startswith(MARK):
        return exp.Placeholder(this=node.this.removeprefix(MARK))
    return node


def _parsed(query: str) -> Any:
    try:
        trees = sqlglot.parse(query, read="oracle")
    except SqlglotError as error:
        raise _unfit(str(error).splitlines()[0]) from None
    if len(trees) != 1 or not isinstance(trees[0], exp.Select | exp.Union):
        raise _unfit("only one SELECT is allowed")
    return trees[0]


def _checked(tree: Any) -> dict[str, str]:
    """The tables of a query by their alias; Refused where it uses what SuiteQL does not know."""
    tables: dict[str, str] = {}
    for node in tree.walk():
        known = isinstance(node, exp.Func) and type(node).__name__ in FUNCTIONS
        if isinstance(node, REFUSED) or (isinstance(node, exp.Func) and not known):
            raise _unfit(f"Syntax error in {node.sql()[:60]}")
        if isinstance(node, exp.Table):
            if node.name.lower() not in TABLES:
                raise _unfit(f"Record '{node.name}' was not found")
            tables[node.alias_or_name.lower()] = node.name.lower()
    made = {each.alias.lower() for each in tree.find_all(exp.Alias)}
    for column in tree.find_all(exp.Column):
        if column.name.lower() not in made and _kind(tables, column) is None:
            available = ", ".join(f"{name}={name}" for name in sorted(tables))
            text = f"Unknown identifier '{column.name}'. Available identifiers are: {{{available}}}"
            raise _unfit(text)
    return tables


def _kind(tables: dict[str, str], column: Any) -> str | None:
    """The type of a column, or None if no table of the query has it."""
    owner = column.table.lower()
    for alias, name in tables.items():
        field = TABLES[name].columns.get(column.name.lower())
        if owner in ("", alias) and field is not None and field.in_query:
            return field.type
    return None


def _named(tree: Any, tables: dict[str, str]) -> list[tuple[str, str]]:
    """The name and type of each column that is answered."""
    names = []
    for n, each in enumerate(tree.selects, 1):
        if isinstance(each, exp.Star) or isinstance(each.unalias(), exp.Star):
            raise _unfit("name the columns: * is not imitated")
        column = each.unalias()
        kind = _kind(tables, column) if isinstance(column, exp.Column) else None
        names.append(((each.alias_or_name or f"expr{n}").lower(), kind or "text"))
    return names


def _item(names: list[tuple[str, str]], row: Any) -> Row:
    """A row as it is answered: all texts, and nothing that is null."""
    pairs = zip(names, row, strict=True)
    return {"links": []} | {n: listed(kind, v) for (n, kind), v in pairs if v is not None}


def _whole(call: Call, name: str, default: int) -> int:
    text = call.query.get(name, str(default))
    if not text.isdecimal():
        raise _unfit(f"{name} is not a whole number")
    return int(text)


def _unfit(why: str) -> Refused:
    text = (
        "Invalid search query. Detailed unprocessed description follows."
        f" Search error occurred: {why}."
    )
    return Refused("INVALID_PARAMETER", text)


def _of_text(function: Any) -> Any:
    return lambda value: None if value is None else function(str(value))


def _day(text: str, form: str) -> str:
    return datetime.strptime(text, form).date().isoformat()  # noqa: DTZ007 - a day has no zone
