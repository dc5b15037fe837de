"""The routes of the Erp port, served by every ERP; a body is one object of the port's arguments."""

from __future__ import annotations

import msgspec
from litestar import get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, SkipValidation

from contracts.canonical.billing import BillingSchedule
from contracts.canonical.identity import Ref, Source
from contracts.canonical.party import Contact, Customer
from contracts.canonical.project import Project, ProjectState
from contracts.ports import About, Erp, ProjectMatch

ServedErp = NamedDependency[SkipValidation[Erp]]
LATER = frozenset(
    {
        "createInvoice",
        "getInvoice",
        "createCreditNote",
        "createPayment",
        "createRevenueSchedule",
    }
)
"""What the port promises and no ERP serves yet: billing and revenue bring them."""


class KeyedCustomer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A customer and our key for it."""

    customer: Customer
    key: str


class CustomerUpdate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A customer as it is to be, our key for it, where it was read from, and what it was before."""

    customer: Customer
    key: str
    origin: Source | None = None
    before: Customer | None = None


class Sought(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Customers that the ERP may have already."""

    customers: list[Customer]


class ContactUpsert(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A person at a customer, and the record it was read from."""

    contact: Contact
    origin: Source


class SoughtProject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A project that somebody may have made by hand."""

    project: Project


class KeyedProject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A project and our key for it."""

    project: Project
    key: str


class KeyedState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state a project gets, and our key for the change."""

    state: ProjectState
    key: str


class KeyedSchedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A billing schedule and our key for it."""

    schedule: BillingSchedule
    key: str


@get("/about", operation_id="about")
async def about(erp: ServedErp) -> About:
    """Vendor, pinned version and the day it retires."""
    return await erp.about()


@get("/customers/{external_id:str}", operation_id="getCustomer")
async def get_customer(erp: ServedErp, external_id: FromPath[str]) -> Customer:
    """One customer, as the ERP knows it now."""
    return await erp.get_customer(external_id)


@get("/customers", operation_id="findCustomer")
async def find_customer(erp: ServedErp, key: FromQuery[str]) -> Ref | None:
    """The customer that carries our key, if there is one."""
    return await erp.find_customer(key)


@post("/customers", operation_id="createCustomer")
async def create_customer(erp: ServedErp, data: JSONBody[KeyedCustomer]) -> Ref:
    """A customer to bill, once per key."""
    return await erp.create_customer(data.customer, data.key)


@post("/customers/matches", operation_id="matchCustomers", status_code=200)
async def match_customers(erp: ServedErp, data: JSONBody[Sought]) -> list[Customer]:
    """Customers with the key, tax number or name of one of these: who they may be already."""
    return await erp.match_customers(data.customers)


@put("/customers/{external_id:str}", operation_id="updateCustomer")
async def update_customer(
    erp: ServedErp, external_id: FromPath[str], data: JSONBody[CustomerUpdate]
) -> Ref:
    """A customer brought up to date; in a mirror with what is owned where `origin` is."""
    return await erp.update_customer(external_id, data.customer, data.key, data.origin, data.before)


@put("/contacts/{key:str}", operation_id="upsertContact")
async def upsert_contact(erp: ServedErp, key: FromPath[str], data: JSONBody[ContactUpsert]) -> Ref:
    """A person at a customer, made or brought up to date with the record it was read from."""
    return await erp.upsert_contact(key, data.contact, data.origin)


@post("/projects", operation_id="createProject")
async def create_project(erp: ServedErp, data: JSONBody[KeyedProject]) -> Ref:
    """The project as a job or dimension of the books, once per key."""
    return await erp.create_project(data.project, data.key)


@post("/projects/matches", operation_id="matchProjects", status_code=200)
async def match_projects(erp: ServedErp, data: JSONBody[SoughtProject]) -> list[ProjectMatch]:
    """Projects of its customer that may be it and carry no key of ours: made by hand."""
    return await erp.match_projects(data.project)


@put("/projects/{external_id:str}/key", operation_id="adoptProject")
async def adopt_project(
    erp: ServedErp, external_id: FromPath[str], data: JSONBody[KeyedProject]
) -> Ref:
    """Our key on a project that was made by hand, with state, budget and days as sold."""
    return await erp.adopt_project(external_id, data.project, data.key)


@put("/projects/{external_id:str}", operation_id="updateProject")
async def update_project(
    erp: ServedErp, external_id: FromPath[str], data: JSONBody[KeyedProject]
) -> Ref:
    """State, price and days of a project, after its contract has changed."""
    return await erp.update_project(external_id, data.project, data.key)


@put("/projects/{external_id:str}/state", operation_id="setProjectState")
async def set_project_state(
    erp: ServedErp, external_id: FromPath[str], data: JSONBody[KeyedState]
) -> Ref:
    """A project opened, held or closed for booking."""
    return await erp.set_project_state(external_id, data.state, data.key)


@post("/projects/{external_id:str}/billing-schedule", operation_id="createBillingSchedule")
async def create_billing_schedule(
    erp: ServedErp, external_id: FromPath[str], data: JSONBody[KeyedSchedule]
) -> Ref:
    """The mirror of the billing schedule, once per key."""
    return await erp.create_billing_schedule(external_id, data.schedule, data.key)


routes = [
    about,
    get_customer,
    find_customer,
    create_customer,
    match_customers,
    update_customer,
    upsert_contact,
    create_project,
    match_projects,
    adopt_project,
    update_project,
    set_project_state,
    create_billing_schedule,
]
