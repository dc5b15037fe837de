"""What each kind of system must offer: methods that carry a route.

Path parameters go by name; what else a method takes is the query (GET) or the members of one JSON
body (all others). A method that writes takes our business key, so that it writes once.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from typing import Literal, Protocol, TypeVar

import msgspec

from contracts.canonical.billing import BillingLine, BillingSchedule, CreditNote, Invoice, Payment
from contracts.canonical.deal import Deal, DealFile, DealMark, DealMarking, DealPage
from contracts.canonical.identity import Ref, Source
from contracts.canonical.money import Money
from contracts.canonical.party import Address, Contact, Customer
from contracts.canonical.project import (
    Milestone,
    Project,
    ProjectState,
    StaffingRequest,
    Task,
)
from contracts.canonical.resource import Resource
from contracts.canonical.revenue import RevenueSchedule
from contracts.errors import Problem

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Function = TypeVar("Function", bound=Callable[..., object])


class Operation(msgspec.Struct, frozen=True):
    """The route of a port's method; `name` is the method, `id` the same in camelCase."""

    id: str
    method: Method
    path: str
    name: str
    summary: str
    status: int = 200


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one record of a batch: a reference or a problem, never both."""

    external_id: str | None = None
    ok: Ref | None = None
    problem: Problem | None = None


class ProjectMatch(msgspec.Struct, frozen=True, kw_only=True):
    """A project that somebody may have made by hand for the deal, and why it may be that one."""

    external_id: str
    reasons: tuple[str, ...]


SAME_NAME, SAME_ORDER = "it has the same name", "it carries purchase order {}"
"""Why a project that was made by hand may be the deal's; below, why it cannot."""
OTHER_CUSTOMER, OTHER_CURRENCY = "project.other-customer", "project.other-currency"
BILLING_SCHEDULES = "billing-schedule.create"
"""A capability: an ERP without it follows one of its own schedules, which metadata names."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """Which vendor is behind a connection, until when its version lives, what else it can do."""

    vendor: str
    version: str | None = None
    retires_on: date | None = None
    base_url: str | None = None
    connection: str | None = None
    docs: str | None = None
    capabilities: dict[str, bool] = {}


def operation(method: Method, path: str, *, status: int = 200) -> Callable[[Function], Function]:
    """Give a port's method its route."""

    def mark(function: Function) -> Function:
        first, *rest = function.__name__.split("_")
        named = first + "".join(word.capitalize() for word in rest)
        summary = (function.__doc__ or "").strip().splitlines()[0]
        route = Operation(named, method, path, function.__name__, summary, status)
        function.__operation__ = route  # type: ignore[attr-defined]  # read by `operations`
        return function

    return mark


def operations(port: type) -> tuple[Operation, ...]:
    """The port's routes, in the order they are written."""
    found = (getattr(member, "__operation__", None) for member in vars(port).values())
    return tuple(route for route in found if isinstance(route, Operation))


class Crm(Protocol):
    """Where deals, and the customers they are sold to, come from."""

    @operation("GET", "/about")
    async def about(self) -> About:
        """Vendor, pinned version and the day it retires."""

    @operation("GET", "/deals/{external_id}")
    async def get_deal(self, external_id: str) -> Deal:
        """One deal, as the CRM knows it now."""

    @operation("GET", "/deals/{external_id}/file")
    async def get_deal_file(self, external_id: str) -> DealFile:
        """A deal with its lines, customer, parents and contact, read at one moment."""

    @operation("GET", "/deals")
    async def list_deals(
        self,
        changed_since: datetime,
        cursor: str | None = None,
        state: str | None = None,
        closed_since: date | None = None,
    ) -> DealPage:
        """Deals changed since a moment, in that order, with the gaps met on the way."""

    @operation("GET", "/customers/{external_id}")
    async def get_customer(self, external_id: str) -> Customer:
        """One customer, as the CRM knows it now."""

    @operation("GET", "/customers")
    async def find_customer(self, key: str) -> Ref | None:
        """The customer that carries our key, if there is one."""

    @operation("PUT", "/customers/{external_id}/key")
    async def mark_customer(
        self,
        external_id: str,
        key: str,
        customer: Customer | None = None,
        origin: Source | None = None,
    ) -> Ref:
        """Our key on the customer the deal came with, and what the owner of `origin` has of it."""

    @operation("PUT", "/deals/{external_id}/mark")
    async def mark_deal(self, external_id: str, mark: DealMark) -> Ref:
        """The project's key and status on its deal."""

    @operation("POST", "/customers/upserts")
    async def upsert_customers(self, customers: list[Customer]) -> list[Outcome]:
        """Customers made or updated by our key; each record has its own outcome."""

    @operation("POST", "/deals/marks")
    async def mark_deals(self, marks: list[DealMarking]) -> list[Outcome]:
        """Marks on many deals; each record has its own outcome."""


class Psa(Protocol):
    """Where work is planned, staffed and recorded."""

    @operation("GET", "/about")
    async def about(self) -> About:
        """Vendor, pinned version and the day it retires."""

    @operation("PUT", "/customers/{key}")
    async def upsert_customer(
        self,
        key: str,
        customer: Customer,
        contact: Contact | None = None,
        origin: Source | None = None,
    ) -> Ref:
        """A customer made or updated by our key; one of the same name becomes ours.

        The address of one that is there changes where it is owned by the system of `origin`.
        """

    @operation("POST", "/projects", status=201)
    async def create_project(self, project: Project, key: str) -> Ref:
        """A project without its work breakdown, once per key."""

    @operation("GET", "/projects/{external_id}")
    async def get_project(self, external_id: str) -> Project:
        """One project, as the PSA knows it now."""

    @operation("GET", "/projects")
    async def find_project(self, key: str) -> Ref | None:
        """The project that carries our key, if there is one."""

    @operation("POST", "/projects/matches")
    async def match_projects(self, project: Project) -> list[ProjectMatch]:
        """Projects of its customer that may be it and carry no key of ours: made by hand."""

    @operation("PUT", "/projects/{external_id}/key")
    async def adopt_project(self, external_id: str, project: Project, key: str) -> Ref:
        """Our key on a project that was made by hand, with state, budget and days as sold."""

    @operation("PUT", "/projects/{external_id}")
    async def update_project(self, external_id: str, project: Project, key: str) -> Ref:
        """State, budget and days of a project, after its contract has changed."""

    @operation("PUT", "/projects/{external_id}/state")
    async def set_project_state(self, external_id: str, state: ProjectState, key: str) -> Ref:
        """A project activated, held or cancelled."""

    @operation("POST", "/projects/{external_id}/tasks", status=201)
    async def create_tasks(
        self, external_id: str, tasks: list[Task], milestones: list[Milestone], key: str
    ) -> list[Outcome]:
        """Tasks and then milestones of a project, in that order, once per key and number."""

    @operation("PUT", "/projects/{external_id}/tasks")
    async def update_tasks(
        self, external_id: str, tasks: list[Task], milestones: list[Milestone], key: str
    ) -> list[Outcome]:
        """Hours and days of tasks, then of milestones, after the contract has changed."""

    @operation("POST", "/projects/{external_id}/billing-lines", status=201)
    async def create_billing_lines(
        self, external_id: str, lines: list[BillingLine], milestones: list[Milestone], key: str
    ) -> list[Outcome]:
        """What is billed when, once per key and number; `milestones` have the ids they got."""

    @operation("GET", "/projects/{external_id}/billing-lines/invoiced")
    async def get_invoiced_lines(self, external_id: str) -> list[str]:
        """The ids of those lines of a project that are on an invoice: they stay as they are."""

    @operation("POST", "/projects/{external_id}/billing-lines/cancellations")
    async def cancel_billing_lines(
        self, external_id: str, lines: list[str], key: str
    ) -> list[Outcome]:
        """Lines that must never be billed, by their ids."""

    @operation("POST", "/projects/{external_id}/staffing-requests", status=201)
    async def create_staffing_requests(
        self, external_id: str, requests: list[StaffingRequest], key: str
    ) -> list[Outcome]:
        """Roles to fill on a project, once per key and number."""

    @operation("POST", "/projects/{external_id}/staffing-requests/cancellations")
    async def cancel_staffing_requests(
        self, external_id: str, requests: list[str], key: str
    ) -> list[Outcome]:
        """Requests that nobody need fill any more, by their ids."""


class Erp(Protocol):
    """Where money is booked."""

    @operation("GET", "/about")
    async def about(self) -> About:
        """Vendor, pinned version and the day it retires."""

    @operation("GET", "/customers/{external_id}")
    async def get_customer(self, external_id: str) -> Customer:
        """One customer, as the ERP knows it now."""

    @operation("GET", "/customers")
    async def find_customer(self, key: str) -> Ref | None:
        """The customer that carries our key, if there is one."""

    @operation("POST", "/customers", status=201)
    async def create_customer(self, customer: Customer, key: str) -> Ref:
        """A customer to bill, once per key."""

    @operation("POST", "/customers/matches")
    async def match_customers(self, customers: list[Customer]) -> list[Customer]:
        """Customers with the key, tax number or name of one of these: who they may be already."""

    @operation("PUT", "/customers/{external_id}")
    async def update_customer(
        self,
        external_id: str,
        customer: Customer,
        key: str,
        origin: Source | None = None,
        before: Customer | None = None,
    ) -> Ref:
        """A customer brought up to date; in a mirror with what is owned where `origin` is.

        `before` is the record as it was read last: what is overwritten of it is told.
        """

    @operation("PUT", "/contacts/{key}")
    async def upsert_contact(self, key: str, contact: Contact, origin: Source) -> Ref:
        """A person at a customer, made or brought up to date with the record it was read from."""

    @operation("POST", "/projects", status=201)
    async def create_project(self, project: Project, key: str) -> Ref:
        """The project as a job or dimension of the books, once per key."""

    @operation("POST", "/projects/matches")
    async def match_projects(self, project: Project) -> list[ProjectMatch]:
        """Projects of its customer that may be it and carry no key of ours: made by hand."""

    @operation("PUT", "/projects/{external_id}/key")
    async def adopt_project(self, external_id: str, project: Project, key: str) -> Ref:
        """Our key on a project that was made by hand, with state, budget and days as sold."""

    @operation("PUT", "/projects/{external_id}")
    async def update_project(self, external_id: str, project: Project, key: str) -> Ref:
        """State, price and days of a project, after its contract has changed."""

    @operation("PUT", "/projects/{external_id}/state")
    async def set_project_state(self, external_id: str, state: ProjectState, key: str) -> Ref:
        """A project opened, held or closed for booking."""

    @operation("POST", "/projects/{external_id}/billing-schedule", status=201)
    async def create_billing_schedule(
        self, external_id: str, schedule: BillingSchedule, key: str
    ) -> Ref:
        """The mirror of the billing schedule, once per key."""

    @operation("POST", "/invoices", status=201)
    async def create_invoice(self, invoice: Invoice, key: str) -> Ref:
        """An invoice, once per key."""

    @operation("GET", "/invoices/{external_id}")
    async def get_invoice(self, external_id: str) -> Invoice:
        """One invoice, as the ERP knows it now."""

    @operation("POST", "/credit-notes", status=201)
    async def create_credit_note(self, note: CreditNote, key: str) -> Ref:
        """A credit note, once per key."""

    @operation("POST", "/payments", status=201)
    async def create_payment(self, payment: Payment, key: str) -> Ref:
        """Money received and what it settles, once per key."""

    @operation("POST", "/revenue-schedules", status=201)
    async def create_revenue_schedule(self, schedule: RevenueSchedule, key: str) -> Ref:
        """When revenue is recognised, once per key."""


class Hcm(Protocol):
    """Where the people are known."""

    @operation("GET", "/about")
    async def about(self) -> About:
        """Vendor, pinned version and the day it retires."""

    @operation("GET", "/resources/{external_id}")
    async def get_resource(self, external_id: str) -> Resource:
        """One person, with the cost rate that holds now."""

    @operation("GET", "/resources")
    async def list_resources(self, changed_since: datetime) -> list[Resource]:
        """People changed since a moment; those who left included."""


class Billing(Protocol):
    """A billing platform, where an entity has one beside its ERP."""

    @operation("GET", "/about")
    async def about(self) -> About:
        """Vendor, pinned version and the day it retires."""

    @operation("POST", "/billing-schedules", status=201)
    async def create_billing_schedule(self, schedule: BillingSchedule, key: str) -> Ref:
        """A billing schedule, once per key."""

    @operation("POST", "/invoices", status=201)
    async def create_invoice(self, invoice: Invoice, key: str) -> Ref:
        """An invoice, once per key."""

    @operation("PUT", "/invoices/{external_id}/void")
    async def void_invoice(self, external_id: str, reason: str, key: str) -> Ref:
        """An invoice that must not be paid."""


class TaxQuote(msgspec.Struct, frozen=True, kw_only=True):
    """Tax per invoice line, in the order of the lines."""

    lines: tuple[Money, ...]
    tax_codes: tuple[str, ...] = ()
    reverse_charge: bool = False


class Tax(Protocol):
    """A tax engine."""

    @operation("POST", "/quotes")
    async def quote_tax(self, invoice: Invoice, seller: Address, buyer: Address) -> TaxQuote:
        """The tax of an invoice, nothing recorded."""

    @operation("POST", "/documents", status=201)
    async def record_tax(self, invoice: Invoice, key: str) -> Ref:
        """The tax of a posted invoice, reported once per key."""


class Signature(Protocol):
    """An e-signature service."""

    @operation("POST", "/envelopes", status=201)
    async def send_envelope(
        self, title: str, document_url: str, signers: list[str], key: str
    ) -> Ref:
        """A document sent out to be signed, once per key."""

    @operation("PUT", "/envelopes/{external_id}/void")
    async def void_envelope(self, external_id: str, reason: str, key: str) -> Ref:
        """A document that nobody need sign any more."""
