"""The routes of the Crm port, served by every CRM; a body is one object of the port's arguments."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

import msgspec
from litestar import get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter, SkipValidation

from contracts.canonical.deal import Deal, DealFile, DealMark, DealMarking, DealPage
from contracts.canonical.identity import Ref, Source
from contracts.canonical.party import Customer
from contracts.ports import About, Crm, Outcome

ServedCrm = NamedDependency[SkipValidation[Crm]]


class Key(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Our key for a customer, and the customer as the system of `origin` has it."""

    key: str
    customer: Customer | None = None
    origin: Source | None = None


class Marking(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to write back on a deal."""

    mark: DealMark


class CustomerBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Customers to make or update."""

    customers: list[Customer]


class MarkBatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Deals to mark."""

    marks: list[DealMarking]


@get("/about", operation_id="about")
async def about(crm: ServedCrm) -> About:
    """Vendor, pinned version and the day it retires."""
    return await crm.about()


@get("/deals/{external_id:str}", operation_id="getDeal")
async def get_deal(crm: ServedCrm, external_id: FromPath[str]) -> Deal:
    """One deal, as the CRM knows it now."""
    return await crm.get_deal(external_id)


@get("/deals/{external_id:str}/file", operation_id="getDealFile")
async def get_deal_file(crm: ServedCrm, external_id: FromPath[str]) -> DealFile:
    """A deal with its lines, customer, parents and contact, read at one moment."""
    return await crm.get_deal_file(external_id)


@get("/deals", operation_id="listDeals")
async def list_deals(
    crm: ServedCrm,
    changed_since: FromQuery[datetime],
    cursor: Annotated[str | None, QueryParameter(min_length=1)] = None,
    in_state: Annotated[str | None, QueryParameter(name="state")] = None,  # `state` is Litestar's
    closed_since: FromQuery[date | None] = None,
) -> DealPage:
    """Deals changed since a moment, in that order, with the gaps met on the way."""
    return await crm.list_deals(changed_since, cursor, in_state, closed_since)


@get("/customers/{external_id:str}", operation_id="getCustomer")
async def get_customer(crm: ServedCrm, external_id: FromPath[str]) -> Customer:
    """One customer, as the CRM knows it now."""
    return await crm.get_customer(external_id)


@get("/customers", operation_id="findCustomer")
async def find_customer(crm: ServedCrm, key: FromQuery[str]) -> Ref | None:
    """The customer that carries our key, if there is one."""
    return await crm.find_customer(key)


@put("/customers/{external_id:str}/key", operation_id="markCustomer")
async def mark_customer(crm: ServedCrm, external_id: FromPath[str], data: JSONBody[Key]) -> Ref:
    """Our key on the customer the deal came with, and what the owner of `origin` has of it."""
    return await crm.mark_customer(external_id, data.key, data.customer, data.origin)


@put("/deals/{external_id:str}/mark", operation_id="markDeal")
async def mark_deal(crm: ServedCrm, external_id: FromPath[str], data: JSONBody[Marking]) -> Ref:
    """The project's key and status on its deal."""
    return await crm.mark_deal(external_id, data.mark)


@post("/customers/upserts", operation_id="upsertCustomers", status_code=200)
async def upsert_customers(crm: ServedCrm, data: JSONBody[CustomerBatch]) -> list[Outcome]:
    """Customers made or updated by our key; each record has its own outcome."""
    return await crm.upsert_customers(data.customers)


@post("/deals/marks", operation_id="markDeals", status_code=200)
async def mark_deals(crm: ServedCrm, data: JSONBody[MarkBatch]) -> list[Outcome]:
    """Marks on many deals; each record has its own outcome."""
    return await crm.mark_deals(data.marks)


routes = [
    about,
    get_deal,
    get_deal_file,
    list_deals,
    get_customer,
    find_customer,
    mark_customer,
    mark_deal,
    upsert_customers,
    mark_deals,
]
