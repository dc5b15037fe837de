"""The record types of the sandbox account: standard fields, and the custom ones of the metadata.

A field's SuiteQL column is its name in lower case, unless it says otherwise; some are known to
the record API alone, some to SuiteQL alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

SQL_TYPES = {"number": "REAL", "ref": "INTEGER", "id": "INTEGER"}
JOB_STATUS = {"1": "Closed", "2": "In Progress", "3": "Not Awarded", "4": "Pending", "5": "Awarded"}
BILLING_TYPES = {
    "1": "Time and Materials",
    "2": "Fixed Bid, Interval",
    "3": "Fixed Bid, Milestone",
    "4": "Charge-Based",
    "5": "Fixed Bid",
}
HOLD = {"AUTO": "Auto", "ON": "On", "OFF": "Off"}


@dataclass(frozen=True)
class Field:
    """One field of a record, as writes are checked against it and queries name it."""

    name: str
    type: str = "text"
    length: int = 0
    required: bool = False
    readonly: bool = False
    to: str = ""
    values: dict[str, str] = field(default_factory=dict)
    column: str = ""
    in_record: bool = True
    in_query: bool = True

    @property
    def sql(self) -> str:
        """Its column in SuiteQL and in the database."""
        return self.column or self.name.lower()


@dataclass(frozen=True)
class RecordType:
    """A record type: its name in paths, its fields, its addresses, and who counts its ids."""

    name: str
    fields: dict[str, Field]
    addresses: bool = False
    counter: str = "list"
    number: str = ""

    @property
    def table(self) -> str:
        """Its name in SuiteQL and in the database."""
        return self.name.lower()

    @cached_property
    def columns(self) -> dict[str, Field]:
        """Fields by column."""
        return {each.sql: each for each in self.fields.values()}


def _text(names: str, length: int = 0) -> list[Field]:
    return [Field(name, length=length) for name in names.split()]


def _of(kind: str, names: str, *, readonly: bool = False) -> list[Field]:
    return [Field(name, kind, readonly=readonly) for name in names.split()]


def _ref(name: str, to: str, *, required: bool = False, column: str = "") -> Field:
    return Field(name, "ref", to=to, required=required, column=column)


def _list(name: str) -> RecordType:
    named = [Field("name", required=True, length=60), *_of("boolean", "isInactive")]
    return _type(name, named)


def _type(
    name: str,
    declared: list[Field],
    *,
    addresses: bool = False,
    counter: str = "list",
    number: str = "",
) -> RecordType:
    fields = [
        Field("id", "id", readonly=True),
        Field("externalId", length=255),
        *declared,
        *_of("datetime", "dateCreated lastModifiedDate", readonly=True),
    ]
    named = {each.name: each for each in fields}
    return RecordType(name, named, addresses=addresses, counter=counter, number=number)


ENTITY = [
    Field("entityId", length=83),
    Field("companyName", length=83, required=True),
    _ref("currency", "currency"),
    _ref("billingSchedule", "billingSchedule"),
    *_text("comments", 4000),
    *_of("boolean", "isInactive"),
]
CUSTOMER = [
    *ENTITY,
    *_of("boolean", "isPerson taxable"),
    _ref("subsidiary", "subsidiary", required=True),
    _ref("parent", "customer"),
    _ref("terms", "term"),
    _ref("taxItem", "salesTaxItem"),
    *_text("vatRegNumber", 20),
    *_text("email phone altPhone fax", 254),
    *_text("url", 100),
    *_text("accountNumber", 99),
    *_of("number", "creditLimit"),
    Field("creditHoldOverride", "enum", values=HOLD),
    Field("onCreditHold", "boolean", readonly=True, in_record=False),
    Field("balance", "number", readonly=True, in_query=False),
]
CONTACT = [
    Field("entityId", length=83, required=True),
    _ref("company", "customer"),
    _ref("subsidiary", "subsidiary"),
    *_text("firstName lastName title email phone", 254),
    *_of("boolean", "isInactive"),
]
JOB = [
    *ENTITY,
    _ref("parent", "customer", column="customer"),
    _ref("subsidiary", "subsidiary"),
    Field("jobBillingType", "enum", values=BILLING_TYPES),
    Field("entityStatus", "enum", values=JOB_STATUS),
    *_of("number", "jobPrice estimatedRevenue estimatedCost"),
    *_of("date", "startDate projectedEndDate endDate"),
    *_of("boolean", "allowTime allowExpenses limitTimeToAssignees"),
    _ref("custentity_tl_department", "department"),
    _ref("custentity_tl_class", "classification"),
    _ref("custentity_tl_location", "location"),
    *_text("custentity_tl_purchase_order", 45),
]
ADDRESS_BOOK = RecordType(
    "customerAddressbook",
    {
        each.name: each
        for each in (
            Field("internalId", "id"),
            _ref("entity", "customer"),
            Field("addressBookAddress", "id"),
            *_of("boolean", "defaultBilling defaultShipping"),
            *_text("label"),
        )
    },
)
ADDRESS = RecordType(
    "customerAddressbookEntityAddress",
    {
        each.name: each
        for each in (
            Field("nkey", "id"),
            *_text("addr1 addr2 addr3 city state zip addressee attention", 150),
            Field("country"),
        )
    },
)
RECORDS: dict[str, RecordType] = {
    each.name: each
    for each in (
        _type("customer", CUSTOMER, addresses=True, counter="entity", number="CUST"),
        _type("contact", CONTACT, counter="entity"),
        _type("job", JOB, counter="entity", number="PRJ"),
        _list("subsidiary"),
        _type(
            "currency",
            [
                Field("name", required=True),
                Field("symbol", length=4, required=True),
                *_of("boolean", "isInactive"),
            ],
        ),
        _list("term"),
        _list("salesTaxItem"),
        _list("billingSchedule"),
        _list("department"),
        _list("classification"),
        _list("location"),
    )
}
TABLES = {each.table: each for each in (*RECORDS.values(), ADDRESS_BOOK, ADDRESS)}


def tables() -> list[str]:
    """The DDL of all record types."""
    ddl = []
    for kind in TABLES.values():
        columns = []
        for n, each in enumerate(kind.fields.values()):
            of = "INTEGER PRIMARY KEY" if n == 0 else SQL_TYPES.get(each.type, "TEXT")
            columns.append(f'"{each.sql}" {of}')
        ddl.append(f'CREATE TABLE IF NOT EXISTS "{kind.table}" ({", ".join(columns)})')
        if "externalId" in kind.fields:
            name = f'"{kind.table}_externalid"'
            ddl.append(f'CREATE UNIQUE INDEX IF NOT EXISTS {name} ON "{kind.table}" ("externalid")')
    ddl.append("CREATE INDEX IF NOT EXISTS addressbook_entity ON customeraddressbook (entity)")
    return ddl
