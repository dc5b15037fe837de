"""What a request that came before did is not done again: it is answered from what came of it then.

The gateway sends a request again when it lost its answer, under the same request key. What it came
to is written with its effect, in one transaction, so there is never the one without the other.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy import Column, Connection, Float, String, Text

from apis.runtime.context import CURRENT
from apis.runtime.store import change, find, insert_new, table

P = ParamSpec("P")
T = TypeVar("T")
KEPT_S = 32 * 86_400
"""Longer than any gateway asks again."""
MOST_FORGOTTEN = 10

REQUESTS = table(
    "runtime",
    "requests",
    Column("key", String(300), primary_key=True),
    Column("at", Float(53), nullable=False, index=True),
    Column("body", Text, nullable=False),
)


def once(
    connection: Connection,
    kind: type[T],
    at: datetime,
    work: Callable[Concatenate[Connection, P], T],
    *args: P.args,
    **kwargs: P.kwargs,
) -> T:
    """Do it, or answer what came of it when this very request was here before."""
    key = CURRENT.get().context.request_key
    if key is None:
        return work(connection, *args, **kwargs)
    # first, so that the same request beside this one waits here
    if not insert_new(connection, REQUESTS, key=key, at=at.timestamp(), body=""):
        row: Any = find(connection, REQUESTS, key=key)
        return msgspec.json.decode(row.body, type=kind)
    made = work(connection, *args, **kwargs)
    body = msgspec.json.encode(made).decode()
    change(connection, REQUESTS, {"key": key}, body=body)
    _forget(connection, at.timestamp() - KEPT_S)
    return made


def _forget(connection: Connection, before: float) -> None:
    """Each that comes takes some with it that nobody asks for any more."""
    old = (
        sa.select(REQUESTS.c.key)
        .where(REQUESTS.c.at < before)
        .limit(MOST_FORGOTTEN)
        .with_for_update(skip_locked=True)
    )
    connection.execute(sa.delete(REQUESTS).where(REQUESTS.c.key.in_(old)))
