"""The write ledger: what was sent to a vendor, by whom and why, and whether an answer came.

One row per thing that must exist once. A create is unique on connection, object and key, whatever
the run; an update or upsert is unique per step. The ledger is also the audit record of effects.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy import Column, Connection, Float, String, Text

from apis.runtime import audit
from apis.runtime.context import Context
from apis.runtime.events import publish
from apis.runtime.store import (
    Store,
    change,
    database_now,
    digest_key,
    find,
    new_row,
    seconds_now,
    table,
)
from apis.runtime.wire import Unanswered
from contracts.canonical.identity import Ref, Source
from contracts.canonical.money import Money
from contracts.events import VendorCalled, event_id, event_of

Kind = Literal["create", "update", "upsert", "delete"]
Find = Callable[[], Awaitable[Ref | None]]
LEASE_MARGIN_S = 1.0
WRITES = table(
    "system",
    "writes",
    Column("slot", String(64), primary_key=True),
    Column("connection", String(80), nullable=False),
    Column("operation", String(20), nullable=False),
    Column("object", String(80), nullable=False),
    Column("key", String(80), nullable=False, index=True),
    Column("request_key", String(300), nullable=False),
    Column("state", String(12), nullable=False, index=True),
    Column("sent_at", String(40), nullable=False),
    Column("lease", Float, nullable=False),
    Column("external_id", String(120)),
    Column("actor", String(200), nullable=False),
    Column("cause", String(300), nullable=False),
    Column("body_hash", String(64), nullable=False),
    Column("before_hash", String(64)),
    Column("before", Text),
    Column("after", Text),
)

UNSETTLED = sa.update(WRITES).where(WRITES.c.slot == sa.bindparam("of"), WRITES.c.state != "done")


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """One write: what it is about, under which business key, and how to find it again.

    `find` looks the key up at the vendor, or is None where a vendor cannot; `before` is what the
    flow already read; `undoes` says that this takes back the create of the record it is about.
    `attributes` are the canonical ones it sends, which must belong to this system; in a mirror they
    must belong to that of `origin`, the record they were read from. `entity` is the record's own,
    where it is not that of the call; `amount` is what the record is worth; `state` is the one it is
    in from now on, where the write is about that.
    """

    object: str
    key: str
    kind: Kind = "create"
    attributes: tuple[str, ...] = ()
    origin: Source | None = None
    entity: str | None = None
    find: Find | None = None
    before: Any = None
    undoes: bool = False
    amount: Money | None = None
    state: str | None = None


class Sending(msgspec.Struct, frozen=True, kw_only=True):
    """A write as the ledger keeps it; `operation` names its call on the list of calls."""

    connection: str
    write: Write
    context: Context
    n: int
    body: Any
    at: datetime
    lease_s: float
    operation: str = ""

    @property
    def request_key(self) -> str:
        """Run / step / n: the same step asks with the same key.

        Without one every call is another: a caller may give several of them one request id.
        """
        context = self.context
        return f"{context.request_key or context.traceparent or context.request_id}/{self.n}"

    @property
    def slot(self) -> str:
        """What can be written once: a record for a create, a step's write for anything else."""
        write = self.write
        parts = [self.connection, write.kind, write.object, write.key]
        if write.kind != "create":
            parts.append(self.request_key)
        return hashlib.sha256("\x00".join(parts).encode()).hexdigest()


class Claim(msgspec.Struct, frozen=True):
    """What to do now.

    `send` it, answer from a `done` row, `wait` for a lease, `find` it first, or `ask` a person.
    `before`: when this very step sent it before; whoever did may have died without a word.
    """

    act: Literal["send", "done", "wait", "find", "ask"]
    external_id: str | None = None
    wait_s: float = 0.0
    sent_at: datetime | None = None
    before: str | None = None


async def claim(store: Store, sending: Sending) -> Claim:
    """Record the intent before anything is sent, or say what became of an earlier one."""
    if await store.insert(claiming, new_intent(sending, store.digest_key)):
        return Claim("send")
    return await store.write(earlier, sending)


def claim_all(connection: Connection, sendings: Sequence[Sending]) -> list[Claim]:
    """`claim` of each, in one transaction."""
    statement, claims = claiming(connection.dialect.name), []
    secret = digest_key(connection)
    for each in sendings:
        new = connection.execute(statement, new_intent(each, secret)).rowcount == 1
        claims.append(Claim("send") if new else earlier(connection, each))
    return claims


def written(connection: Connection, sending: Sending) -> str | None:
    """The id of what an earlier sending of the same write has written; nothing is claimed."""
    row = find(connection, WRITES, slot=sending.slot, state="done")
    return None if row is None else row.external_id or ""


def new_intent(sending: Sending, secret: bytes) -> dict[str, Any]:
    """The row of a write that nobody has begun yet."""
    return intent(sending, secret) | {
        "slot": sending.slot,
        "connection": sending.connection,
        "operation": sending.write.kind,
        "object": sending.write.object,
        "key": sending.write.key,
        "lease_s": sending.lease_s,
    }


def earlier(connection: Connection, sending: Sending) -> Claim:
    """What became of an earlier sending of the same write."""
    mine = WRITES.c.slot == sending.slot
    row = connection.execute(sa.select(WRITES).where(mine).with_for_update()).one()
    held = became(connection, sending, row)
    if held.act == "wait" or row.request_key != sending.request_key:
        return held
    return msgspec.structs.replace(held, before=row.sent_at)


def became(connection: Connection, sending: Sending, row: Any) -> Claim:
    """What an earlier sending's row says is to be done now."""
    now, write = database_now(connection), sending.write
    mine = WRITES.c.slot == sending.slot
    if row.state == "done":
        return Claim("done", external_id=row.external_id)
    if row.state == "sent" and row.lease > now:
        return Claim("wait", wait_s=row.lease - now)
    if write.kind == "create" and row.state == "sent":
        return _lapsed(connection, sending, row, now)
    if row.state == "uncertain" and sending.context.decided is None:
        return Claim("ask")
    values = intent(sending, digest_key(connection)) | {"lease": now + sending.lease_s}
    connection.execute(sa.update(WRITES).where(mine).values(**values))
    return Claim("send")


@cache
def claiming(dialect: str) -> Any:
    """The insert of an intent unless its slot is taken; its lease runs from the database's now."""
    lease = seconds_now(dialect) + sa.bindparam("lease_s")
    return new_row(WRITES, dialect).values(lease=lease)


def intent(sending: Sending, secret: bytes) -> dict[str, Any]:
    """What a row says while nobody knows yet what became of it."""
    after = encoded(sending.body)
    before = None if sending.write.before is None else encoded(sending.write.before)
    return {
        "state": "sent",
        "sent_at": sending.at.isoformat(),
        "request_key": sending.request_key,
        "actor": sending.context.actor,
        "cause": sending.context.cause or sending.context.request_id,
        "body_hash": audit.digest(after, secret),
        "after": after,
        "before": before,
        "before_hash": audit.digest(before, secret),
    }


def _lapsed(connection: Connection, sending: Sending, row: Any, now: float) -> Claim:
    """A create without an answer: look it up, or where that cannot be done ask once per sending."""
    mine = WRITES.c.slot == sending.slot
    if sending.write.find is None:
        connection.execute(sa.update(WRITES).where(mine).values(state="uncertain", lease=0.0))
        return Claim("ask")
    connection.execute(sa.update(WRITES).where(mine).values(lease=now + sending.lease_s))
    return Claim("find", sent_at=datetime.fromisoformat(row.sent_at))


def doubt(connection: Connection, sending: Sending, since: datetime) -> Claim:
    """A create that may have been sent before the database was restored, by no row's account."""
    if sending.write.find is None:
        mine = WRITES.c.slot == sending.slot
        connection.execute(sa.update(WRITES).where(mine).values(state="uncertain", lease=0.0))
        return Claim("ask")
    return Claim("find", sent_at=since)


def resend(connection: Connection, sending: Sending) -> None:
    """A look-up found nothing for long enough: record that it is sent once more."""
    mine = WRITES.c.slot == sending.slot
    lease = database_now(connection) + sending.lease_s
    connection.execute(
        sa.update(WRITES).where(mine).values(sent_at=sending.at.isoformat(), lease=lease)
    )


def settle(
    connection: Connection, sending: Sending, external_id: str | None, status: int | None
) -> None:
    """The write exists: keep its id and announce the effect, in one transaction."""
    given = {"of": sending.slot, "state": "done", "external_id": external_id}
    if connection.execute(UNSETTLED, given).rowcount != 1:
        return
    write = sending.write
    if write.undoes:
        undo(connection, sending.connection, write, external_id)
    payload = VendorCalled(
        system=sending.connection,
        operation=write.kind,
        object=write.object,
        key=write.key,
        external_id=external_id,
        status=status,
        actor=sending.context.actor,
        cause=sending.context.cause or sending.context.request_id,
        amount=write.amount,
        undoes=write.undoes,
        state=write.state,
    )
    tell_effect(connection, sending, payload)


def settle_all(
    connection: Connection, became: Sequence[tuple[Sending, Ref | Exception]], status: int
) -> None:
    """What became of each record of one call, in one transaction."""
    for sending, outcome in became:
        if isinstance(outcome, Ref):
            settle(connection, sending, outcome.external_id, status)
        else:
            let_go(connection, sending, refused=not isinstance(outcome, Unanswered))


def tell_effect(connection: Connection, sending: Sending, payload: VendorCalled) -> None:
    """Announce an effect and record it for the audit."""
    event = event_of(
        "vendor.called",
        payload,
        id=event_id(sending.slot, sending.at.isoformat()),
        source=f"/system/{sending.connection}",
        time=sending.at,
        correlation_id=(sending.context.cause or "").partition("/")[0] or None,
    )
    publish(connection, "system", event)
    origin = sending.write.origin
    audit.record(
        connection,
        "system",
        at=sending.at,
        actor=sending.context.actor,
        action=f"{payload.object}.{payload.operation}",
        cause=payload.cause,
        object=payload.object,
        key=payload.key,
        system=sending.connection,
        before=sending.write.before,
        after=msgspec.to_builtins(sending.body, enc_hook=str),
        detail={"origin": msgspec.to_builtins(origin)} if origin else None,
    )


def let_go(connection: Connection, sending: Sending, *, refused: bool) -> None:
    """No effect: the vendor refused (it may be sent again), or nobody knows and the lease ends."""
    values: dict[str, Any] = {"state": "refused"} if refused else {"lease": 0.0}
    change(connection, WRITES, {"slot": sending.slot, "state": "sent"}, **values)


def undo(
    connection: Connection, connection_name: str, write: Write, external_id: str | None
) -> None:
    """A create was taken back at the vendor: it may be sent again."""
    made = WRITES.c.external_id == external_id if external_id else WRITES.c.key == write.key
    mine = sa.and_(
        WRITES.c.connection == connection_name,
        WRITES.c.operation == "create",
        WRITES.c.object == write.object,
        made,
    )
    connection.execute(sa.update(WRITES).where(mine).values(state="undone"))


def overwritten(sending: Sending, external_id: str) -> list[dict[str, Any]]:
    """What a write puts in the place of what the flow had read of the record, field by field."""
    if sending.write.before is None:
        return []
    record = {
        "system": sending.connection,
        "object": sending.write.object,
        "external_id": external_id,
    }
    before = dict(fields(msgspec.to_builtins(sending.write.before, enc_hook=str)))
    after = dict(fields(msgspec.to_builtins(sending.body, enc_hook=str)))
    return [
        record | {"field": name, "before": before.get(name), "after": value}
        for name, value in after.items()
        if value != before.get(name)
    ]


def fields(body: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of a body, those inside others by their dotted names."""
    for name, value in body.items():
        if isinstance(value, dict):
            yield from fields(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def encoded(value: Any) -> str:
    """A body as the audit record keeps it."""
    return msgspec.json.encode(value, enc_hook=str).decode()
