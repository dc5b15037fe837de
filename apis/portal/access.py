"""More than the sandbox: asked for by who owns an application, decided by somebody else."""

from __future__ import annotations

import secrets
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy import Column, Connection, Float, String, Text

from apis.gateway.policy import ClientRows
from apis.gateway.registered import GRANTED, changed, put
from apis.portal.applications import By, one
from apis.runtime.store import find, insert_new, table

OPEN = "open"
Decision = Literal["approved", "rejected", "withdrawn"]
MOST_SHOWN = 100

ACCESS = table(
    "gateway",
    "access_requests",
    Column("id", String(16), primary_key=True),
    Column("client", String(200), nullable=False, index=True),
    Column("person", String(200), nullable=False),
    Column("plan", String(200), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("state", String(20), nullable=False, index=True),
    Column("asked_at", Float, nullable=False),
    Column("decided_at", Float),
    Column("decided_by", String(200)),
    Column("answer", Text, nullable=False),
)


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for, why, and what became of it."""

    id: str
    client: str
    person: str
    plan: str
    scopes: str
    reason: str
    state: str
    asked_at: float
    decided_at: float | None
    decided_by: str | None
    answer: str


def _wish(row: Any) -> Wish:
    return Wish(**{name: getattr(row, name) for name in Wish.__struct_fields__})


def ask(
    connection: Connection, client: str, plan: str, scopes: frozenset[str], *, reason: str, by: By
) -> bool:
    """Ask for a plan and scopes; False while something is open."""
    changed(connection)  # first: who asks at the same moment waits
    still = sa.select(ACCESS.c.id).where(ACCESS.c.client == client, ACCESS.c.state == OPEN)
    if one(connection, client) is None or connection.execute(still).first() is not None:
        return False
    made, asked = secrets.token_hex(6), " ".join(sorted(scopes))
    insert_new(
        connection, ACCESS, id=made, client=client, person=by.person, plan=plan, scopes=asked,
        reason=reason, state=OPEN, asked_at=by.now, answer="",
    )  # fmt: skip
    by.told(connection, "access.asked", client, access=made, plan=plan, scopes=asked)
    return True


def of_client(connection: Connection, client: str) -> list[Wish]:
    """All that was asked for an application, the latest first."""
    of = sa.select(ACCESS).where(ACCESS.c.client == client)
    return list(map(_wish, connection.execute(of.order_by(ACCESS.c.asked_at.desc()))))


def known(connection: Connection, access: str) -> Wish | None:
    """One of them."""
    row = find(connection, ACCESS, id=access)
    return _wish(row) if row else None


def waiting(connection: Connection) -> list[Wish]:
    """What waits for a decision, the oldest first; then what was decided last."""
    still = sa.select(ACCESS).where(ACCESS.c.state == OPEN).order_by(ACCESS.c.asked_at)
    done = sa.select(ACCESS).where(ACCESS.c.state != OPEN).order_by(ACCESS.c.decided_at.desc())
    parts = [connection.execute(each.limit(MOST_SHOWN)).all() for each in (still, done)]
    return [_wish(row) for part in parts for row in part]


def end(connection: Connection, wish: Wish, state: Decision, answer: str, by: By) -> bool:
    """Decide on what is open; False where somebody was first."""
    mine = sa.update(ACCESS).where(ACCESS.c.id == wish.id, ACCESS.c.state == OPEN)
    told = mine.values(state=state, answer=answer, decided_at=by.now, decided_by=by.person)
    if connection.execute(told).rowcount != 1:
        return False
    by.told(connection, f"access.{state}", wish.client, access=wish.id, asked_by=wish.person)
    return True


def approve(
    connection: Connection, wish: Wish, rows: ClientRows | None, answer: str, by: By
) -> bool:
    """Grant what was asked for; False where it was decided already, or is nobody's any more."""
    changed(connection)
    application = one(connection, wish.client)
    if application is None or not end(connection, wish, "approved", answer, by):
        return False
    was = application.client
    scopes = was.scopes | frozenset(wish.scopes.split())
    client = msgspec.structs.replace(was, plan=wish.plan, scopes=scopes, rows=rows or was.rows)
    put(connection, wish.client, client, stage=GRANTED, ends_at=None)
    after = {
        "plan": client.plan,
        "scopes": sorted(scopes),
        "rows": msgspec.to_builtins(client.rows),
    }
    by.told(connection, "application.granted", wish.client, **after)
    return True


def withdraw_all(connection: Connection, client: str, by: By) -> None:
    """Nothing is asked for an application that is deleted."""
    for wish in of_client(connection, client):
        if wish.state == OPEN:
            end(connection, wish, "withdrawn", "", by)
