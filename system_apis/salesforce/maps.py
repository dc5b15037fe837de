"""The maps of one connection, as its metadata has them for each legal entity.

A query asks for what any entity maps; a record is read by the maps of the entity it names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal

import msgspec

from apis.runtime.mapping import Map, Overrides, inside
from apis.runtime.metadata import Metadata, PerEntity, effective_mapping
from apis.runtime.places import At, Const, Flags
from apis.runtime.wire import at
from contracts.canonical.deal import Deal, DealFile, DealMark, Gap
from contracts.canonical.party import Contact, Customer
from contracts.canonical.region import region_code
from contracts.errors import Rejected
from system_apis.salesforce.mapping import CONTACT, CUSTOMER, DEAL
from system_apis.salesforce.soql import columns, select, soql

Record = dict[str, Any]
PARENTS = 4
"""A path may name five relationships: the account and four above it."""
NO_OWNER = Overrides(fields={"account_manager": None})
ROLES = "OpportunityContactRoles"
MOST_CONTACTS = 50


@dataclass(frozen=True)
class Variant:
    """The maps of one legal entity; those of None serve all that name no entity."""

    deal: Map[Deal]
    customer: Map[Customer]
    above: Map[Customer]
    contact: Map[Contact]
    file: Map[DealFile]


class Maps:
    """How this connection's records are asked for, read and written."""

    def __init__(self, metadata: Metadata, connection: str) -> None:
        self._maps = PerEntity(metadata, partial(variant, metadata, connection))

    @cached_property
    def deal_columns(self) -> str:
        """What a query for deals selects."""
        return columns(path for each in self._maps for path in each.deal.paths)

    @cached_property
    def customer_columns(self) -> str:
        """What a query for accounts selects."""
        return columns(path for each in self._maps for path in each.customer.paths)

    @cached_property
    def file_columns(self) -> str:
        """What the query for a deal file selects: contacts come by their roles on the deal."""
        mine = [path for each in self._maps for path in each.file.paths]
        contact = columns(path for each in self._maps for path in each.contact.paths)
        named = ", ".join(f"Contact.{path}" for path in contact.split(", "))
        order = f"ORDER BY IsPrimary DESC, Id LIMIT {MOST_CONTACTS}"
        return columns([*mine, f"({select(f'Role, IsPrimary, {named}', ROLES, order)})"])

    @cached_property
    def chain_columns(self) -> str:
        """What the query for an account and those above it selects."""
        levels = ["Parent." * n for n in range(PARENTS + 2)]
        paths = [path for each in self._maps for path in each.above.paths]
        return columns(f"{level}{path}" for level in levels for path in paths)

    def path(self, word: Literal["deal", "customer"], field: str) -> str:
        """Where the vendor keeps a field: for conditions and upserts."""
        own = self._maps.own()
        return own.deal.path(field) if word == "deal" else own.customer.path(field)

    def state_is(self, state: str) -> str:
        """The condition for deals in this state."""
        place = self._maps.own().deal.fields["state"]
        found = [key for key, value in table_of(place).items() if value == state]
        if not found:
            raise Rejected("deal.unknown-state", f"there is no deal state {state}")
        if isinstance(place, Flags):
            each = [zip(place.paths, values, strict=True) for values in found]
            ways = [" AND ".join(soql(f"{path} = {{}}", v) for path, v in way) for way in each]
            return f"({ways[0]})" if len(ways) == 1 else f"(({') OR ('.join(ways)}))"
        return soql(f"{self.path('deal', 'state')} IN {{}}", found)

    def deal(self, record: Record) -> Deal:
        """A deal by the maps of its entity."""
        return self._of(record).deal.read(record)

    def deal_or_gap(self, record: Record) -> Deal | Gap:
        """A deal, or the gap that it is in a feed."""
        return self._of(record).deal.read_or_gap(record)

    def deal_file(self, record: Record) -> DealFile:
        """A deal with its account, those above it, and who plays a part in it."""
        maps = self._of(record)
        file = in_codes(maps.file.read(record))
        contacts = tuple(
            msgspec.structs.replace(
                maps.contact.read(role["Contact"]),
                role=role.get("Role"),
                primary=role.get("IsPrimary") is True,
            )
            for role in at(record, f"{ROLES}.records") or ()
            if role.get("Contact")
        )
        return msgspec.structs.replace(file, contact=next(iter(contacts), None), contacts=contacts)

    def customer(self, record: Record) -> Customer:
        """An account by the maps of the entity that asks."""
        return coded(self._maps.own().customer.read(record))

    def chain(self, record: Record | None, entity: str | None) -> list[Customer]:
        """An account and those above it, as far as the record has them."""
        found = []
        while record:
            found.append(coded(self._maps.of(entity).above.read(record)))
            record = record.get("Parent")
        return found

    def key(self, key: str) -> Record:
        """Our key, as an account keeps it."""
        return self._maps.own().customer.write({"key": key})

    def mark(self, mark: DealMark) -> Record:
        """The project's key and status, as a deal keeps them."""
        marked = {"project_key": mark.project_key, "project_status": mark.status}
        return self._maps.own().deal.write(marked)

    def account(self, customer: Customer, only: Iterable[str] | None = None) -> Record:
        """A customer as an account, or these attributes of it."""
        left = set() if only is None else {*self.sent(customer)} - {*only}
        given: Record = dict.fromkeys(left)
        return self._maps.own(customer.entity).customer.write(
            msgspec.structs.replace(customer, **given)
        )

    def sent(self, customer: Customer) -> tuple[str, ...]:
        """What `account` sends of a customer."""
        return self._maps.own(customer.entity).customer.sent(customer)

    def _of(self, record: Record) -> Variant:
        """The maps of the entity that a deal names; where it is kept is the same for all."""
        place = self._maps.of(None).deal.fields.get("entity")
        entity = place.value if isinstance(place, Const) else None
        if isinstance(place, At):
            told = at(record, place.path)
            entity = place.table.get(told) if place.table else told
        return self._maps.of(entity)


def variant(metadata: Metadata, connection: str, entity: str | None) -> Variant:
    """The maps with what the metadata says for this entity."""
    deal = DEAL.over(effective_mapping(metadata, connection, "deal", entity))
    customer = CUSTOMER.over(effective_mapping(metadata, connection, "customer", entity))
    contact = CONTACT.over(effective_mapping(metadata, connection, "contact", entity))
    above = customer.over(NO_OWNER)
    places = {"deal": inside(None, deal), "customer": inside("Account", customer)}
    for n in range(PARENTS):
        places[f"parents.{n}"] = inside("Account" + ".Parent" * (n + 1), above)
    return Variant(deal, customer, above, contact, Map(DealFile, places))


def in_codes(file: DealFile) -> DealFile:
    """The file with the addresses of its customers in codes."""
    customer = file.customer and coded(file.customer)
    parents = tuple(coded(each) for each in file.parents)
    return msgspec.structs.replace(file, customer=customer, parents=parents)


def coded(customer: Customer) -> Customer:
    """The customer with states by their codes: an org without state codes has text."""
    addresses = tuple(
        msgspec.structs.replace(each, region=region_code(each.country, each.region))
        for each in customer.addresses
    )
    return msgspec.structs.replace(customer, addresses=addresses)


def table_of(place: Any) -> dict[Any, Any]:
    """Vendor value -> canonical value, where a place has a code list."""
    return dict(getattr(place, "table", None) or {})
