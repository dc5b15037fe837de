"""Whose a record is, and the one clause that keeps a client to its part of the firm."""

from __future__ import annotations

from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Select, String, Table

from apis.runtime.context import CURRENT, Rows
from apis.runtime.store import change, insert_new, table
from contracts.canonical.identity import Source
from contracts.errors import Rejected

DEALS = table(
    "process",
    "whose_deals",
    Column("connection", String(80), primary_key=True),
    Column("external_id", String(120), primary_key=True),
    Column("entity", String(40)),
    Column("customer", String(26)),
)
"""The entity and the golden customer of each deal, and so of its runs and their work items."""
SEVERAL = "several"
"""In place of a customer: the deal was moved, so what is kept of it is no one customer's to see."""
FORBIDDEN = 403
By = Literal["feed", "us"]


def opened(what: Table, rows: Rows | None) -> Select[Any]:
    """Every question on a read model begins here: it finds what the client may see.

    `what` has an `entity` and a `customer`, our id; a row that has none yet belongs to nobody who
    is restricted.
    """
    return sa.select(what).where(*part_of(what, rows))


def part_of(what: Table, rows: Rows | None) -> list[sa.ColumnElement[bool]]:
    """The clauses that leave only what a client may see of a table."""
    if rows is None:
        return []
    of = ((what.c.entity, rows.entities), (what.c.customer, rows.customers))
    return [column.in_(mine) for column, mine in of if mine is not None]


def deals_of(
    connection: sa.ColumnElement[str], record: sa.ColumnElement[str], rows: Rows | None
) -> list[sa.ColumnElement[bool]]:
    """The same of what names a deal by its connection and its id there."""
    if rows is None:
        return []
    mine = sa.select(DEALS.c.connection).where(
        DEALS.c.connection == connection, DEALS.c.external_id == record, *part_of(DEALS, rows)
    )
    return [mine.exists()]


def is_of(connection: Connection, source: Source, rows: Rows | None) -> bool:
    """Whether a client may see a deal; one that nobody has heard of it may not."""
    if rows is None:
        return True
    mine = {"connection": source.connection, "external_id": source.external_id}
    asked = opened(DEALS, rows).where(*(DEALS.c[name] == value for name, value in mine.items()))
    return connection.execute(asked).first() is not None


def belongs(
    connection: Connection,
    source: Source,
    entity: str | None,
    customer: str | None,
    by: By = "feed",
) -> None:
    """Keep whose a deal is, as its feed or our own records tell."""
    key = {"connection": source.connection, "external_id": source.external_id}
    if insert_new(connection, DEALS, **key, entity=entity, customer=customer):
        return
    mine = (DEALS.c[name] == value for name, value in key.items())
    told = {"_entity": entity, "_customer": customer}
    connection.execute(sa.update(DEALS).where(*mine).values(**told_anew(DEALS, by)), told)


def told_anew(what: Table, by: By) -> dict[str, Any]:
    """The entity and the customer of a row once `_entity` and `_customer` are told of it.

    What is None is not known. By another customer a deal was moved; ourselves may say it was one.
    """
    kept, told = what.c.customer, sa.bindparam("_customer", type_=sa.String)
    same = sa.or_(kept.is_(None), kept == told)
    moved = kept == SEVERAL if by == "us" else sa.not_(same)
    return {
        "entity": sa.func.coalesce(sa.bindparam("_entity", type_=sa.String), what.c.entity),
        "customer": sa.case((told.is_(None), kept), (moved, SEVERAL), else_=told),
    }


def merged(connection: Connection, customer: str, into: str) -> None:
    """A person said that two customers are one: what was of the first is of the other."""
    change(connection, DEALS, {"customer": customer}, customer=into)


def whole_firm(*_: Any) -> None:
    """Guard of a route that is about all of the firm: who sees a part of it is refused."""
    if CURRENT.get().context.rows is not None:
        raise Rejected(
            "rows.restricted",
            "this client sees only a part of the firm, and this is about all of it",
            status=FORBIDDEN,
            owner="caller",
            remedy="ask with a client that sees all rows",
        )
