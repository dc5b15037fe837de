"""The maps of one connection, as its metadata has them for each legal entity, and the queries."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from apis.runtime.mapping import Map, Overrides
from apis.runtime.metadata import Metadata, PerEntity, effective_mapping
from apis.runtime.places import At
from apis.runtime.wire import at
from contracts.canonical.billing import BillingSchedule
from contracts.canonical.party import Address, Contact, Customer
from contracts.canonical.project import Project, ProjectState
from contracts.errors import Misconfigured
from contracts.ports import SAME_NAME, SAME_ORDER
from system_apis.netsuite.mapping import (
    BOOKABLE,
    CONTACT,
    CUSTOMER,
    LINE,
    OF_ADDRESS,
    PROJECT,
    ROW,
    SCHEDULE,
)
from system_apis.netsuite.suiteql import suiteql

Record = dict[str, Any]
CUSTOMERS = (
    "FROM customer c"
    " LEFT JOIN customeraddressbook b ON b.entity = c.id AND b.defaultbilling = 'T'"
    " LEFT JOIN customeraddressbookentityaddress a ON a.nkey = b.addressbookaddress"
)
FIXED = frozenset({"entity", "currency", "country"})
"""Not sent with an update: NetSuite refuses to move a customer that has transactions."""
SHORTEST_WORD = 3
ADDRESS_LINE = "address_line"


@dataclass(frozen=True)
class Variant:
    """The maps of one legal entity; those of None serve all that name no entity."""

    customer: Map[Customer]
    contact: Map[Contact]
    row: Map[Customer]
    project: Map[Project]
    schedule: Map[BillingSchedule]


class Maps:
    """How this connection's records are asked for, read and written."""

    def __init__(self, metadata: Metadata, connection: str) -> None:
        self._maps = PerEntity(metadata, partial(variant, metadata, connection))

    def customers(self, where: Iterable[str]) -> str:
        """The query for customers to which one of these applies."""
        paths = dict.fromkeys(path for each in self._maps for path in each.row.paths)
        columns = ", ".join(f"{table_of(path)}.{path}" for path in paths)
        either = " OR ".join(where)
        return f"SELECT {columns} {CUSTOMERS} WHERE {either} ORDER BY c.id"

    def alike(self, customer: Customer) -> list[str]:
        """Who a customer may be already: by key, tax number, name, and name's first word last."""
        row = self._maps.own(customer.entity).row
        key, tax_id, name = (f"c.{row.path(field)}" for field in ("key", "tax_id", "name"))
        ways = []
        if customer.key:
            ways.append(suiteql(f"{key} = {{}}", customer.key))
        if customer.tax_id and (digits := re.sub(r"[\W_]", "", customer.tax_id)):
            bare = f"REPLACE(REPLACE(REPLACE(UPPER({tax_id}), ' ', ''), '.', ''), '-', '')"
            ways.append(suiteql(f"{bare} = {{}}", digits.upper()))
        ways.append(suiteql(f"UPPER({name}) = UPPER({{}})", customer.name))
        word = customer.name.split(" ", 1)[0]
        if len(word) >= SHORTEST_WORD:
            start = suiteql(
                f"SUBSTR(UPPER({name} || ' '), 1, LENGTH({{0}})) = UPPER({{0}})", f"{word} "
            )
            ways.append(start)
        return ways

    def read(self, row: Record) -> Customer:
        """A customer by the maps of the entity that asks."""
        return self._maps.own().row.read(row)

    def key_column(self) -> str:
        """Where a customer's key is."""
        return self._maps.own().row.path("key")

    def new_customer(self, customer: Customer) -> Record:
        """A customer as it is made, less its key: that is its address."""
        given: Record = {"key": None, "addresses": billing_addresses(customer) or None}
        body = self._maps.own(customer.entity).customer.write(
            msgspec.structs.replace(customer, **given)
        )
        return {"isPerson": False, **body}

    def changeable(self, customer: Customer, before: Customer | None) -> tuple[str, ...]:
        """The attributes that an update may send: of addresses the one that bills go to, if new.

        NetSuite adds a line without a number to those that are there: one that nobody has read
        stays as it is.
        """
        fixed, billed = FIXED, billing_addresses(customer)
        if before is None or not billed or billed == billing_addresses(before):
            fixed |= {"addresses"}
        return tuple(name for name in self.sent(customer) if name not in fixed)

    def changed(
        self, customer: Customer, only: Iterable[str], before: Customer | None = None
    ) -> Record:
        """These attributes of a customer as an update; an address takes the place of the other."""
        left: Record = dict.fromkeys({*self.sent(customer)} - {*only})
        if "addresses" in only:
            left |= {"addresses": billing_addresses(customer)}
        body = self._maps.own(customer.entity).customer.write(
            msgspec.structs.replace(customer, **left)
        )
        if line := (before or customer).extensions.get(ADDRESS_LINE):
            for each in at(body, "addressBook.items") or ():
                each["internalId"] = line
        return body

    def person(self, contact: Contact) -> Record:
        """A person at a customer."""
        return self._maps.own().contact.write(contact)

    def sent(self, record: Customer | Contact | Project | BillingSchedule) -> tuple[str, ...]:
        """What is sent of a record."""
        if isinstance(record, Contact):
            return self._maps.own().contact.sent(record)
        own = self._maps.own(record.entity)
        if isinstance(record, Customer):
            return own.customer.sent(record)
        return (
            own.project.sent(record) if isinstance(record, Project) else own.schedule.sent(record)
        )

    def job(self, project: Project) -> Record:
        """A project as a job, less its key: that is its address."""
        fields = self._maps.own(project.entity).project
        if lost := {f"dimensions.{name}" for name in project.dimensions} - fields.fields.keys():
            raise Misconfigured(
                "mapping.unknown-dimension",
                f"NetSuite has no field for {', '.join(sorted(lost))} of a project",
                owner="integration",
                remedy="map the dimension to a custom field of the job in the metadata",
            )
        return fields.write(project) | booking(project.state)

    def job_name(self, project: Project) -> str:
        """A project's name as its job has it."""
        fields = self._maps.own(project.entity).project
        return str(at(fields.write({"name": project.name}), fields.path("name")))

    def same_job(self, project: Project) -> dict[str, tuple[str, str]]:
        """What tells that a job is this project's: why, the column, and the value it has then."""
        ways = {SAME_NAME: ("companyname", self.job_name(project))}
        field = self._maps.own(project.entity).project.fields.get("purchase_order")
        if project.purchase_order and isinstance(field, At):
            column = field.path.partition(".")[0].lower()
            ways[SAME_ORDER.format(project.purchase_order)] = (column, project.purchase_order)
        return ways

    def job_figures(self, project: Project) -> Record:
        """What follows a contract; customer, subsidiary, currency and dimensions stay."""
        fixed = Project(
            name=project.name,
            billing_model=project.billing_model,
            budget=project.budget,
            state=project.state,
            purchase_order=project.purchase_order,
            starts_on=project.starts_on,
            ends_on=project.ends_on,
        )
        return self._maps.own(project.entity).project.write(fixed) | booking(project.state)

    def job_state(self, state: ProjectState) -> Record:
        """A state as a job has it."""
        return self._maps.own().project.write({"state": state}) | booking(state)

    def job_schedule(self, schedule: BillingSchedule) -> Record:
        """The billing schedule that a job of this billing model follows."""
        return self._maps.own(schedule.entity).schedule.write(schedule)


def variant(metadata: Metadata, connection: str, entity: str | None) -> Variant:
    """The maps with what the metadata says for this entity; rows share the lists of `customer`."""

    def of(name: str) -> Overrides:
        return effective_mapping(metadata, connection, name, entity)

    lists = {name: table for name, table in of("customer").codes.items() if name in ROW.fields}
    return Variant(
        CUSTOMER.over(of("customer")),
        CONTACT.over(of("contact")),
        ROW.over(Overrides(codes=lists)).over(of("customer_row")),
        PROJECT.over(of("project")),
        SCHEDULE.over(of("billing_schedule")),
    )


def table_of(path: str) -> str:
    """The table of the query that has a column of a customer's row."""
    return "b" if path == LINE else "a" if path in OF_ADDRESS else "c"


def billing_addresses(customer: Customer) -> tuple[Address, ...]:
    """The address bills go to; with no other, the country alone."""
    found = [each for each in customer.addresses if each.kind == "billing"][:1]
    if not found and customer.country:
        found = [Address()]
    return tuple(
        msgspec.structs.replace(each, country=each.country or customer.country) for each in found
    )


def booking(state: ProjectState) -> Record:
    """Whether anybody may book on a job in this state, and whether it is listed at all."""
    open_ = state in BOOKABLE
    return {"allowTime": open_, "allowExpenses": open_, "isInactive": state == "cancelled"}
