"""SOQL to SQL: parsed once per shape, literals bound as parameters.

A query's shape is its text with the literals cut out; shapes are compiled once and kept, so that
the same query for another deal costs a look-up.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedToken

from system_apis.salesforce.sandbox.errors import Refused
from system_apis.salesforce.sandbox.schema import (
    BY_LOWER,
    NUMBERS,
    OBJECTS,
    RELATION_NAMES,
    Field,
    Object,
)
from system_apis.salesforce.sandbox.values import Literal, Literals, bind, split_literals

DEEPEST = 5
CUT_OUT = re.compile(r":[sdtn]\d+")
GRAMMAR = Lark((Path(__file__).parent / "soql.lark").read_text(), parser="lalr")
SQL_OPERATORS = {"=": "IS", "!=": "IS NOT", "<>": "IS NOT"}
Slot = Callable[[Literals], Any]


@dataclass
class Column:
    """One value of a result row and the place in the record where it goes."""

    path: tuple[str, ...]
    is_boolean: bool


@dataclass
class Plan:
    """A compiled query: SQL, the parameters it takes, and how rows become records."""

    source: Object
    where: str = ""
    joins: dict[tuple[str, ...], str] = field(default_factory=dict)
    kinds: dict[tuple[str, ...], Object] = field(default_factory=dict)
    columns: list[Column] = field(default_factory=list)
    selects: list[str] = field(default_factory=list)
    children: dict[str, Plan] = field(default_factory=dict)
    slots: list[Slot] = field(default_factory=list)
    order: str = ""
    limit: Slot | None = None
    offset: Slot | None = None
    count: bool = False
    every_row: bool = False
    linked_by: str = ""
    relation: str = ""
    alias: str = ""

    def sql(self, extra: str) -> str:
        """The statement, narrowed by `extra` (deleted and hidden rows, a parent)."""
        joins = " ".join(self.joins.values())
        where = f"({self.where}) AND {extra}" if self.where else extra
        what = "count(*)" if self.count else ", ".join(self.selects)
        text = f'SELECT {what} FROM "{self.source.name}" t {joins} WHERE {where}'  # noqa: S608 - names come from the schema
        return f"{text} {self.order} LIMIT ? OFFSET ?"


class BadQuery(Exception):
    """A query refused at a place of its shape, before the place in the text is known."""

    def __init__(self, code: str, message: str, token: Any) -> None:
        self.code, self.message = code, message
        self.column = getattr(token, "column", token if isinstance(token, int) else 1)
        super().__init__(message)


def compile_query(text: str, today: str) -> tuple[Plan, Literals]:
    """The plan of a query and the literals of this one; Refused as the API refuses it."""
    shape, literals = split_literals(text)
    try:
        plan = _compile_shape(shape)
    except BadQuery as bad:
        raise _located(bad, text, shape, literals) from None
    literals["today"] = Literal("d", today)
    return plan, literals


def _located(bad: BadQuery, text: str, shape: str, literals: Literals) -> Refused:
    """The refusal with the place in the text, which was parsed with its literals cut out."""
    before, message = (
        CUT_OUT.sub(lambda cut: literals[cut.group()].text, part)
        for part in (shape[: bad.column - 1], bad.message)
    )
    column = len(before) + 1
    start = max(0, column - 31)
    near = text[start : column + 20].replace("\n", " ")
    place = f"\n{near}\n{' ' * (column - 1 - start)}^\nERROR at Row:1:Column:{column}\n"
    return Refused(bad.code, place + message)


@lru_cache(maxsize=512)
def _compile_shape(shape: str) -> Plan:
    try:
        tree = GRAMMAR.parse(shape)
    except UnexpectedToken as error:
        ended = error.token.type == "$END"
        at, found = (len(shape), "<EOF>") if ended else (error.column, error.token)
        raise BadQuery("MALFORMED_QUERY", f"unexpected token: '{found}'", at) from None
    except UnexpectedCharacters as error:
        found = shape[error.column - 1 : error.column]
        text = f"unexpected token: '{found}'"
        raise BadQuery("MALFORMED_QUERY", text, error.column) from None
    return _Compiler().query(_tree(tree.children[0]))


def _tree(node: Any) -> Tree[Token]:
    assert isinstance(node, Tree)  # noqa: S101 - the grammar says so
    return node


class _Compiler:
    """From syntax tree to plan, names checked against the schema."""

    def query(self, tree: Tree[Token], parent: Object | None = None) -> Plan:
        parts = {part.data: part for part in tree.children if isinstance(part, Tree)}
        plan = self._plan(parts["source"], parent)
        self._select(plan, parts["fields"])
        if "where" in parts:
            plan.where = self._condition(plan, parts["where"].children[1])
        if "order" in parts:
            sorts = [s for s in parts["order"].children if isinstance(s, Tree)]
            plan.order = "ORDER BY " + ", ".join(self._sort(plan, sort) for sort in sorts)
        if "limit" in parts:
            plan.limit = _whole_number(parts["limit"].children[1])
        if "offset" in parts:
            plan.offset = _whole_number(parts["offset"].children[1])
        tail = parts.get("tail")
        plan.every_row = tail is not None and str(tail.children[0]).upper() == "ALL"
        return plan

    def _plan(self, source: Tree[Token], parent: Object | None) -> Plan:
        name = str(source.children[0])
        if parent is None:
            if name.lower() not in BY_LOWER:
                text = (
                    f"sObject type '{name}' is not supported. If you are attempting to use a custom"
                    " object, be sure to append the '__c' after the entity name."
                )
                raise BadQuery("INVALID_TYPE", text, source.children[0])
            alias = str(source.children[1]).lower() if len(source.children) > 1 else ""
            return Plan(BY_LOWER[name.lower()], alias=alias)
        if name.lower() not in parent.children:
            text = f"Didn't understand relationship '{name}' in FROM part of query call."
            raise BadQuery("INVALID_TYPE", text, source.children[0])
        child, by = parent.children[name.lower()]
        return Plan(OBJECTS[child], linked_by=by, relation=RELATION_NAMES[name.lower()])

    def _select(self, plan: Plan, fields: Tree[Token]) -> None:
        self._add(plan, ("Id",), hidden=True)
        for item in map(_tree, fields.children):
            if item.data == "count":
                plan.count = True
            elif item.data == "all_fields":
                for name in plan.source.fields:
                    self._add(plan, (name,))
            elif item.data == "field":
                self._add(plan, tuple(str(item.children[0]).split(".")), item.children[0])
            else:
                child = self.query(_tree(item.children[0]), plan.source)
                plan.children[child.relation] = child

    def _add(
        self, plan: Plan, path: tuple[str, ...], token: Any = None, *, hidden: bool = False
    ) -> None:
        sql, found, names = self._resolve(plan, path, token)
        for depth in range(1, len(names)):  # the parent's own id says whether there is a parent
            parent = names[:depth]
            marker = Column((*parent, ""), is_boolean=False)
            if all(c.path != marker.path for c in plan.columns):
                plan.columns.append(marker)
                plan.selects.append(f'{_alias(parent)}."Id"')
        plan.columns.append(Column(("",) if hidden else names, found.is_boolean))
        plan.selects.append(sql)

    def _resolve(
        self, plan: Plan, path: tuple[str, ...], token: Any
    ) -> tuple[str, Field, tuple[str, ...]]:
        here, alias = plan.source, "t"
        own = len(path) > 1 and path[0].lower() in {plan.source.name.lower(), plan.alias}
        steps = path[1:] if own else path
        if len(steps) - 1 > DEEPEST:
            text = "SOQL relationships cannot be longer than 5 levels"
            raise BadQuery("INVALID_FIELD", text, token)
        seen: tuple[str, ...] = ()
        for step in steps[:-1]:
            link = here.parents.get(step.lower())
            if link is None:
                text = (
                    f"Didn't understand relationship '{step}' in field path. If you are attempting"
                    " to use a custom relationship, be sure to append the '__r' after the custom"
                    " relationship name."
                )
                raise BadQuery("INVALID_FIELD", text, token)
            seen = (*seen, link.relation)
            here, next_alias = OBJECTS[link.to], _alias(seen)
            join = (
                f'LEFT JOIN "{here.name}" {next_alias} ON {next_alias}."Id"={alias}."{link.name}"'
            )
            plan.joins.setdefault(seen, join)
            plan.kinds[seen] = here
            alias = next_alias
        found = here.by_lower.get(steps[-1].lower())
        if found is None:
            text = (
                f"No such column '{steps[-1]}' on entity '{here.name}'. If you are attempting to"
                " use a custom field, be sure to append the '__c' after the custom field name."
                " Please reference your WSDL or the describe call for the appropriate names."
            )
            raise BadQuery("INVALID_FIELD", text, token)
        return f'{alias}."{found.name}"', found, (*seen, found.name)

    def _condition(self, plan: Plan, node: Any) -> str:
        match node.data:
            case "conjunction" | "disjunction":
                word = " AND " if node.data == "conjunction" else " OR "
                parts = [c for c in node.children if isinstance(c, Tree)]
                return "(" + word.join(self._condition(plan, part) for part in parts) + ")"
            case "negation":
                return f"NOT coalesce({self._condition(plan, node.children[-1])}, 0)"
            case "compare":
                return self._compare(plan, node)
            case "like":
                return self._like(plan, node)
            case "semi_join":
                return self._semi_join(plan, node)
        return self._among(plan, node)

    def _compare(self, plan: Plan, node: Tree[Token]) -> str:
        path, operator, value = node.children
        sql, found, _ = self._resolve(plan, tuple(str(path).split(".")), path)
        plan.slots.append(self._slot(found, _tree(value).children[0], path))
        return f"{sql} {SQL_OPERATORS.get(str(operator), operator)} ?"

    def _like(self, plan: Plan, node: Tree[Token]) -> str:
        path, _, value = node.children
        sql, found, _names = self._resolve(plan, tuple(str(path).split(".")), path)
        token = _tree(value).children[0]
        literal = str(token)
        if found.is_id or found.type in {*NUMBERS, "boolean", "date", "datetime"}:
            text = f"invalid operator on {found.type} field"
            raise BadQuery("INVALID_QUERY_FILTER_OPERATOR", text, path)
        if not literal.startswith(":s"):
            raise BadQuery("MALFORMED_QUERY", f"unexpected token: '{literal}'", token)
        plan.slots.append(lambda known: known[literal].pattern)
        return f"{sql} LIKE ? ESCAPE '\\'"

    def _among(self, plan: Plan, node: Tree[Token]) -> str:
        path = node.children[0]
        sql, found, _ = self._resolve(plan, tuple(str(path).split(".")), path)
        values = [c.children[0] for c in node.children if isinstance(c, Tree)]
        plan.slots += [self._slot(found, value, path) for value in values]
        among = f"{sql} IN ({', '.join('?' * len(values))})"
        return f"({sql} IS NULL OR NOT {among})" if _negated(node) else among

    def _semi_join(self, plan: Plan, node: Tree[Token]) -> str:
        path, inner = node.children[0], node.children[-1]
        sql, _, _ = self._resolve(plan, tuple(str(path).split(".")), path)
        sub = self.query(_tree(inner))
        plan.slots += sub.slots
        joins, where = " ".join(sub.joins.values()), sub.where or "1"
        name, selected = sub.source.name, sub.selects[-1]
        found = f'SELECT {selected} FROM "{name}" t {joins} WHERE t."IsDeleted"=0 AND {where}'  # noqa: S608 - names come from the schema
        return f"{sql} {'NOT IN' if _negated(node) else 'IN'} ({found})"

    def _sort(self, plan: Plan, sort: Tree[Token]) -> str:
        words = [str(child).upper() for child in sort.children[1:]]
        path = sort.children[0]
        sql, _, _ = self._resolve(plan, tuple(str(path).split(".")), path)
        nulls = "LAST" if "LAST" in words else "FIRST"
        return f"{sql} {'DESC' if 'DESC' in words else 'ASC'} NULLS {nulls}"

    def _slot(self, found: Field, token: Any, at: Any) -> Slot:
        word = str(token)
        kind = token.type if token.type != "LITERAL" else word[1]
        if not _fits(found, kind):
            quotes = (
                "" if found.type not in {"boolean", *NUMBERS} else " and should not be enclosed"
            )
            text = f"value of filter criterion for field '{found.name}' must be of type"
            tail = f"{quotes} in quotes" if quotes else ""
            raise BadQuery("INVALID_FIELD", f"{text} {found.type}{tail}", at)
        if token.type == "LITERAL":
            return lambda known: bind(found, known[word], known)
        literal = Literal(kind, word)
        return lambda known: bind(found, literal, known)


def _fits(found: Field, kind: str) -> bool:
    if kind == "NULL":
        return True
    if found.type == "boolean":
        return kind in {"TRUE", "FALSE"}
    if found.type in NUMBERS:
        return kind == "n"
    if found.type in {"date", "datetime"}:
        return kind in {"d", "t", "RELATIVE"} and not (found.type == "date" and kind == "t")
    return kind == "s"


def _negated(node: Tree[Token]) -> bool:
    return any(isinstance(c, Token) and c.type == "NOT" for c in node.children)


def _alias(path: tuple[str, ...]) -> str:
    return "t_" + re.sub(r"\W", "", "_".join(path))


def _whole_number(token: Any) -> Slot:
    word = str(token)
    if not word.startswith(":n"):
        raise BadQuery("MALFORMED_QUERY", f"unexpected token: '{word}'", token)
    return lambda known: int(float(known[word].text))
