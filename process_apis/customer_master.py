"""Golden records and the cross-reference: which records of which systems are the same thing.

Owned by the process tier. A golden id is made in one place and any id finds the record.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy import Column, Connection, Index, Integer, String, Text

from apis.runtime import runs
from apis.runtime.flow import current
from apis.runtime.ids import child_id
from apis.runtime.store import change, find, insert_new, table
from apis.runtime.whose import By, belongs, merged
from contracts.canonical.contract import Contract
from contracts.canonical.identity import Source
from contracts.canonical.party import Customer
from contracts.errors import Rejected
from contracts.events import ContractChanged
from process_apis.deal_rules import Account, duplicate

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
FORMER = sa.select(XREF.c.external_id).where(
    XREF.c.object == "customer",
    XREF.c.connection == sa.bindparam("connection"),
    XREF.c.external_id != sa.bindparam("external_id"),
    XREF.c.id == sa.bindparam("id"),
    XREF.c.valid_to.is_not(None),
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
MATCHES = table(
    "process",
    "matches",
    Column("id", String(26), primary_key=True),
    Column("connection", String(80), primary_key=True),
    Column("external_id", String(120), primary_key=True),
    Column("score", Integer, nullable=False),
    Column("reasons", Text, nullable=False),
    Column("at", String(40), nullable=False),
)


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A record of a system that is a thing of ours; `score` out of 100 where it was judged."""

    object: str
    id: str
    record: Source
    at: datetime
    score: int | None = None
    reasons: tuple[str, ...] = ()


LEGAL_FORMS = (
    r"\b(gmbh|ag|se|kg|ohg|ltd|limited|plc|llp|llc|inc|incorporated|corp|corporation|co)\b"
)


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
    """The golden id of a record, made if it has none; two callers get the same.

    It follows from the record, so that after a restore it is the one that vendors were told.
    """
    if found := known(connection, object, source):
        return found
    mine = child_id(object, f"{source.connection}/{source.external_id}")
    place = {"connection": source.connection, "external_id": source.external_id}
    if insert_new(connection, XREF, object=object, **place, valid_from=at.isoformat(), id=mine):
        return mine
    made = known(connection, object, source)
    if made is None:
        msg = f"{object} {source} has no golden id although it was just made"
        raise RuntimeError(msg)
    return made


def golden_ids(
    connection: Connection, records: Sequence[tuple[str, Source]], at: datetime
) -> list[str]:
    """The golden id of each record; a deal comes before customers, as in its feed.

    All callers meet records in one order, so that no two wait for each other.
    """
    ordered = sorted(records, key=lambda each: (each[0], each[1].external_id), reverse=True)
    made = {each: golden(connection, *each, at) for each in ordered}
    return [made[each] for each in records]


def identified(
    connection: Connection,
    deal: Source,
    accounts: Sequence[Source],
    at: datetime,
    *,
    entity: str | None,
    by: By,
) -> list[str]:
    """The golden ids of a deal and of its customers, the first of whom it belongs to."""
    ids = golden_ids(connection, [("deal", deal), *(("customer", each) for each in accounts)], at)
    belongs(connection, deal, entity, ids[1], by)
    return ids


def sources(connection: Connection, object: str, golden_id: str) -> list[Source]:  # noqa: A002 - the word
    """Every record that is this thing now."""
    mine = sa.and_(XREF.c.object == object, XREF.c.id == golden_id, XREF.c.valid_to.is_(None))
    rows = connection.execute(sa.select(XREF.c.connection, XREF.c.external_id).where(mine)).all()
    return [Source(row.connection, row.external_id) for row in rows]


def living(connection: Connection, ids: Sequence[str], erp: str) -> frozenset[str]:
    """Those of these golden ids that a customer outside this ERP has now."""
    mine = sa.and_(XREF.c.object == "customer", XREF.c.id.in_(ids), XREF.c.valid_to.is_(None))
    asked = sa.select(XREF.c.id).where(mine, XREF.c.connection != erp)
    return frozenset(connection.execute(asked).scalars()) if ids else frozenset()


def namesake(connection: Connection, customer: Customer) -> str | None:
    """The golden id of another customer that is the same company by its match key."""
    row = find(connection, CUSTOMERS, match_key=match_key(customer))  # which is unique
    return None if row is None or row.id == customer.id else str(row.id)


def rivals(connection: Connection, customer: Customer, account: Source) -> list[Source]:
    """The accounts, in this account's system, of the customer that is the same company."""
    other = namesake(connection, customer)
    found = sources(connection, "customer", other) if other else []
    return [each for each in found if each.connection == account.connection]


def told_twice(connection: Connection, customer: Customer, account: Source, other: str) -> Rejected:
    """The duplicate as people read it: with the other's name and one of its accounts."""
    row = find(connection, CUSTOMERS, id=other)
    records = [each for each in sources(connection, "customer", other) if each != account]
    if row is None or not records:
        return duplicate(customer, account, None)
    records.sort(key=lambda each: each.connection != account.connection)
    known_as = msgspec.json.decode(row.body, type=Customer).name
    return duplicate(customer, account, Account(known_as, records[0]))


def match_key(customer: Customer) -> str:
    """What makes two customers the same: the tax id, else country and normalised name."""
    if customer.tax_id:
        return "tax:" + re.sub(r"[^A-Z0-9]", "", customer.tax_id.upper())
    return f"name:{customer.country or '??'}:{plain_name(customer.name)}"


def plain_name(name: str) -> str:
    """A company's name as names are compared: plain letters, without its legal form."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return " ".join(re.sub(LEGAL_FORMS, " ", re.sub(r"[^a-z0-9]+", " ", plain)).split())


def keep_customer(
    connection: Connection,
    customer: Customer,
    account: Source,
    stays: bool,  # noqa: FBT001 - what people decided
    at: datetime,
) -> Customer:
    """The golden record of a customer; of a duplicate nothing is kept until a person decided.

    `stays`: a person did, and this account is the one that remains: it becomes the known customer.
    """
    golden_id = customer.id or golden(connection, "customer", account, at)
    record = msgspec.structs.replace(customer, id=golden_id)
    if other := namesake(connection, record):
        if not stays:
            raise told_twice(connection, customer, account, other)
        link(connection, Link(object="customer", id=other, record=account, at=at), alone=True)
        merged(connection, golden_id, other)
        record = msgspec.structs.replace(customer, id=other)
    values = {
        "match_key": match_key(record),
        "body": encoded(record),
        "changed_at": at.isoformat(),
    }
    if insert_new(connection, CUSTOMERS, id=record.id, **values):
        return record
    if change(connection, CUSTOMERS, {"id": record.id}, **values):
        return record
    raise told_twice(connection, customer, account, namesake(connection, record) or "")


def link(connection: Connection, found: Link, *, alone: bool = False) -> None:
    """Note that a record is this thing, and why; what it was before ends, with history.

    `alone`: no other record of the same system is this thing any more.
    """
    record, at = found.record, found.at.isoformat()
    place = {"connection": record.connection, "external_id": record.external_id}
    row = {"object": found.object, **place, "id": found.id}
    earlier = known(connection, found.object, record)
    if earlier is None:
        insert_new(connection, XREF, **row, valid_from=at)
    elif earlier != found.id:
        this = XREF.c.external_id == record.external_id
        end(connection, found, sa.and_(this, XREF.c.id == earlier), merged_into=found.id)
        insert_new(connection, XREF, **row, valid_from=f"{at}~")
    if alone:
        other = XREF.c.external_id != record.external_id
        end(connection, found, sa.and_(other, XREF.c.id == found.id))
    if found.score is not None:
        why = {"score": found.score, "reasons": "; ".join(found.reasons)}
        insert_new(connection, MATCHES, id=found.id, **place, **why, at=at)


def end(connection: Connection, found: Link, which: sa.ColumnElement[bool], **more: str) -> None:
    """From now on these records of the same system are no longer what they were."""
    now = sa.and_(
        XREF.c.object == found.object,
        XREF.c.connection == found.record.connection,
        XREF.c.valid_to.is_(None),
        which,
    )
    connection.execute(sa.update(XREF).where(now).values(valid_to=found.at.isoformat(), **more))


def former(connection: Connection, golden_id: str, account: Source) -> list[Source]:
    """The accounts that the customer was before, in this account's system."""
    given = {
        "connection": account.connection,
        "external_id": account.external_id,
        "id": golden_id,
    }
    found = connection.execute(FORMER, given).scalars()
    return [Source(account.connection, each) for each in found]


def keep_contract(connection: Connection, contract: Contract, deal_id: str) -> Contract:
    """The contract of a deal: made once, and active again when the deal is won again."""
    row = find(connection, CONTRACTS, id=contract.id)
    if row is None:
        insert_new(
            connection,
            CONTRACTS,
            id=contract.id,
            deal_id=deal_id,
            customer_id=contract.customer.id,
            state=contract.state,
            body=encoded(contract),
        )
        return contract
    kept = renewed(msgspec.json.decode(row.body, type=Contract), contract)
    values = {"customer_id": kept.customer.id, "state": kept.state, "body": encoded(kept)}
    change(connection, CONTRACTS, {"id": contract.id}, **values)
    return kept


def renewed(earlier: Contract, contract: Contract) -> Contract:
    """The contract of a deal that was won before: as it was, or with the next version."""
    if terms(earlier) == terms(contract):
        return msgspec.structs.replace(earlier, state="active")
    number = earlier.current.number + 1
    version = msgspec.structs.replace(contract.current, number=number, reason="won again")
    return msgspec.structs.replace(
        contract, versions=(*earlier.versions, version), extensions=earlier.extensions
    )


def terms(contract: Contract) -> tuple[object, ...]:
    """What was agreed: whatever else changes, on a deal or a rate card, needs no new version."""
    version = contract.current
    return (
        version.value,
        tuple(
            msgspec.structs.replace(line, card_rate=None, discount_percent=None)
            for line in version.lines
        ),
        version.from_on,
        contract.purchase_order,
        contract.sow_number,
        contract.billing_model,
        contract.entity,
        contract.customer.id,
    )


def cancel_contract(connection: Connection, contract: Contract) -> Contract:
    """Take a contract back; it stays as a record of what was agreed."""
    return set_contract_state(connection, contract.id, "cancelled")


def set_contract_state(
    connection: Connection, contract_id: str, state: Literal["held", "cancelled"]
) -> Contract:
    """A contract in another state, with all its versions, which is announced."""
    row = find(connection, CONTRACTS, id=contract_id)
    changed = msgspec.structs.replace(msgspec.json.decode(row.body, type=Contract), state=state)
    change(connection, CONTRACTS, {"id": contract_id}, state=state, body=encoded(changed))
    told = ContractChanged(contract=changed, run_id=current().run_id)
    at = current().runtime.clock.now()
    runs.announce(connection, "contract.changed", told, told.run_id, at, state)
    return changed


def contract_of(connection: Connection, source: Source) -> Contract | None:
    """The contract of a deal, if it has one."""
    deal_id = known(connection, "deal", source)
    row = find(connection, CONTRACTS, deal_id=deal_id) if deal_id else None
    return msgspec.json.decode(row.body, type=Contract) if row else None


def amend_contract(connection: Connection, contract: Contract) -> Contract:
    """Keep a contract's next version; kept before, it is the same one."""
    values = {"state": contract.state, "body": encoded(contract)}
    change(connection, CONTRACTS, {"id": contract.id}, **values)
    return contract


def encoded(record: msgspec.Struct) -> str:
    """A record as it is stored."""
    return msgspec.json.encode(record).decode()
