"""Golden records and the cross-reference: which records of which systems are the same thing.

Owned by the process tier. A golden id is made in one place and any id finds the record.
"""

from __future__ import annotations

import re
import secrets
import unicodedata
from datetime import datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy import Column, Connection, Index, String, Text

from apis.runtime.flow import crockford
from apis.runtime.store import change, find, insert_new, table
from contracts.canonical.contract import Contract
from contracts.canonical.identity import Source
from contracts.canonical.party import Customer
from process_apis.deal_rules import Account

XREF = table(
    "process",
    "xref",
    Column("object", String(40), primary_key=True),
    Column("connection", String(80), primary_key=True),
    Column("external_id", String(120), primary_key=True),
    Column("valid_from", String(40), primary_key=True),
    Column("valid_to", String(40)),
    Column("id", String(26), nullable=False, index=True),
    Column("merged_into", String(26)),
    Index(
        "xref_now",
        "object",
        "connection",
        "external_id",
        unique=True,
        sqlite_where=sa.text("valid_to is null"),
        postgresql_where=sa.text("valid_to is null"),
    ),
)
KNOWN = sa.select(XREF.c.id).where(
    *(XREF.c[name] == sa.bindparam(name) for name in ("object", "connection", "external_id")),
    XREF.c.valid_to.is_(None),
)
CUSTOMERS = table(
    "process",
    "customers",
    Column("id", String(26), primary_key=True),
    Column("match_key", String(200), unique=True),
    Column("body", Text, nullable=False),
    Column("changed_at", String(40), nullable=False),
)
CONTRACTS = table(
    "process",
    "contracts",
    Column("id", String(26), primary_key=True),
    Column("deal_id", String(26), nullable=False, index=True),
    Column("customer_id", String(26), nullable=False, index=True),
    Column("state", String(12), nullable=False),
    Column("body", Text, nullable=False),
)
LEGAL_FORMS = (
    r"\b(gmbh|ag|se|kg|ohg|ltd|limited|plc|llp|llc|inc|incorporated|corp|corporation|co)\b"
)


def new_id(at: datetime) -> str:
    """A UUIDv7 as 26 characters: sorts by the moment it was made."""
    milliseconds = int(at.timestamp() * 1000)
    rest = secrets.randbits(74)
    number = (
        (milliseconds << 80)
        | (0x7 << 76)
        | ((rest >> 62) << 64)
        | (0b10 << 62)
        | (rest & ((1 << 62) - 1))
    )
    return crockford(number)


def known(connection: Connection, object: str, source: Source) -> str | None:  # noqa: A002 - the word
    """The golden id of a record, if it has one."""
    given = {
        "object": object,
        "connection": source.connection,
        "external_id": source.external_id,
    }
    found: str | None = connection.execute(KNOWN, given).scalar()
    return found


def golden(connection: Connection, object: str, source: Source, at: datetime) -> str:  # noqa: A002 - the word
    """The golden id of a record, made if it has none; two callers get the same."""
    if found := known(connection, object, source):
        return found
    insert_new(
        connection,
        XREF,
        object=object,
        connection=source.connection,
        external_id=source.external_id,
        valid_from=at.isoformat(),
        id=new_id(at),
    )
    made = known(connection, object, source)
    if made is None:
        msg = f"{object} {source} has no golden id although it was just made"
        raise RuntimeError(msg)
    return made


def sources(connection: Connection, object: str, golden_id: str) -> list[Source]:  # noqa: A002 - the word
    """Every record that is this thing now."""
    mine = sa.and_(XREF.c.object == object, XREF.c.id == golden_id, XREF.c.valid_to.is_(None))
    rows = connection.execute(sa.select(XREF.c.connection, XREF.c.external_id).where(mine)).all()
    return [Source(row.connection, row.external_id) for row in rows]


def other_account(connection: Connection, golden_id: str, account: Source) -> Account | None:
    """The account that a golden customer is besides this one, under the customer's name."""
    row = find(connection, CUSTOMERS, id=golden_id)
    others = [each for each in sources(connection, "customer", golden_id) if each != account]
    if row is None or not others:
        return None
    return Account(msgspec.json.decode(row.body, type=Customer).name, others[0])


def match_key(customer: Customer) -> str:
    """What makes two customers the same: the tax id, else country and normalised name."""
    if customer.tax_id:
        return "tax:" + re.sub(r"[^A-Z0-9]", "", customer.tax_id.upper())
    plain = unicodedata.normalize("NFKD", customer.name).encode("ascii", "ignore").decode().lower()
    words = re.sub(LEGAL_FORMS, " ", re.sub(r"[^a-z0-9]+", " ", plain)).split()
    return f"name:{customer.country or '??'}:{' '.join(words)}"


def keep_customer(
    connection: Connection, customer: Customer, source: Source, at: datetime
) -> Customer:
    """The golden record of a customer; whoever comes second adopts the record of the first."""
    golden_id = customer.id or golden(connection, "customer", source, at)
    record = msgspec.structs.replace(customer, id=golden_id)
    values = {"body": encoded(record), "changed_at": at.isoformat()}
    if change(connection, CUSTOMERS, {"id": golden_id}, **values):
        return record
    key = match_key(customer)
    if insert_new(connection, CUSTOMERS, id=golden_id, match_key=key, **values):
        return record
    winner = connection.execute(
        sa.select(CUSTOMERS.c.id).where(CUSTOMERS.c.match_key == key)
    ).scalar_one()
    adopt(connection, "customer", source, winner, at)
    return msgspec.structs.replace(record, id=winner)


def adopt(connection: Connection, object: str, source: Source, winner: str, at: datetime) -> None:  # noqa: A002 - the word
    """End the record's old identity and give it the winner's, with history."""
    mine = sa.and_(
        XREF.c.object == object,
        XREF.c.connection == source.connection,
        XREF.c.external_id == source.external_id,
        XREF.c.valid_to.is_(None),
        XREF.c.id != winner,
    )
    ended = connection.execute(
        sa.update(XREF).where(mine).values(valid_to=at.isoformat(), merged_into=winner)
    )
    if ended.rowcount:
        insert_new(
            connection,
            XREF,
            object=object,
            connection=source.connection,
            external_id=source.external_id,
            valid_from=at.isoformat() + "~",
            id=winner,
        )


def keep_contract(connection: Connection, contract: Contract, deal_id: str) -> Contract:
    """The contract of a deal: made once, activated again when the deal is won again."""
    row = find(connection, CONTRACTS, id=contract.id)
    if row is not None:
        earlier = msgspec.json.decode(row.body, type=Contract)
        contract = msgspec.structs.replace(
            earlier, state="active", activated_at=earlier.activated_at
        )
    values = {"state": contract.state, "body": encoded(contract)}
    new = insert_new(
        connection,
        CONTRACTS,
        id=contract.id,
        deal_id=deal_id,
        customer_id=contract.customer.id,
        **values,
    )
    if not new:
        change(connection, CONTRACTS, {"id": contract.id}, **values)
    return contract


def cancel_contract(connection: Connection, contract: Contract) -> None:
    """Take a contract back; it stays as a record of what was agreed."""
    ended = msgspec.structs.replace(contract, state="cancelled")
    mine = CONTRACTS.c.id == contract.id
    connection.execute(
        sa.update(CONTRACTS).where(mine).values(state="cancelled", body=encoded(ended))
    )


def encoded(record: msgspec.Struct) -> str:
    """A record as it is stored."""
    return msgspec.json.encode(record).decode()
