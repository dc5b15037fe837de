"""The routes of the Psa port, served by every PSA; a body is one object of the port's arguments."""

from __future__ import annotations

import msgspec
from litestar import get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, SkipValidation

from contracts.canonical.billing import BillingLine
from contracts.canonical.identity import Ref, Source
from contracts.canonical.party import Contact, Customer
from contracts.canonical.project import Milestone, Project, ProjectState, StaffingRequest, Task
from contracts.ports import About, Outcome, ProjectMatch, Psa

ServedPsa = NamedDependency[SkipValidation[Psa]]


class CustomerUpsert(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A customer to make or update, whom to talk to there, and where it was read from."""

    customer: Customer
    contact: Contact | None = None
    origin: Source | None = None


class SoughtProject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A project that somebody may have made by hand."""

    project: Project


class KeyedProject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A project, and our key for it."""

    project: Project
    key: str


class StateChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The state a project gets."""

    state: ProjectState
    key: str


class WorkBreakdown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Tasks and milestones to make, or to plan anew."""

    tasks: list[Task]
    milestones: list[Milestone]
    key: str


class BillingPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lines to make, and the milestones that some of them wait for."""

    lines: list[BillingLine]
    milestones: list[Milestone]
    key: str


class LineCancellation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lines to cancel, by their ids."""

    lines: list[str]
    key: str


class Staffing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Roles to ask for."""

    requests: list[StaffingRequest]
    key: str


class StaffingCancellation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Requests to cancel, by their ids."""

    requests: list[str]
    key: str


@get("/about", operation_id="about")
async def about(psa: ServedPsa) -> About:
    """Vendor, pinned version and the day it retires."""
    return await psa.about()


@put("/customers/{key:str}", operation_id="upsertCustomer")
async def upsert_customer(
    psa: ServedPsa, key: FromPath[str], data: JSONBody[CustomerUpsert]
) -> Ref:
    """A customer made or updated by our key; one of the same name becomes ours."""
    return await psa.upsert_customer(key, data.customer, data.contact, data.origin)


@post("/projects", operation_id="createProject", status_code=201)
async def create_project(psa: ServedPsa, data: JSONBody[KeyedProject]) -> Ref:
    """A project without its work breakdown, once per key."""
    return await psa.create_project(data.project, data.key)


@get("/projects/{external_id:str}", operation_id="getProject")
async def get_project(psa: ServedPsa, external_id: FromPath[str]) -> Project:
    """One project, as the PSA knows it now."""
    return await psa.get_project(external_id)


@get("/projects", operation_id="findProject")
async def find_project(psa: ServedPsa, key: FromQuery[str]) -> Ref | None:
    """The project that carries our key, if there is one."""
    return await psa.find_project(key)


@post("/projects/matches", operation_id="matchProjects", status_code=200)
async def match_projects(psa: ServedPsa, data: JSONBody[SoughtProject]) -> list[ProjectMatch]:
    """Projects of its customer that may be it and carry no key of ours: made by hand."""
    return await psa.match_projects(data.project)


@put("/projects/{external_id:str}/key", operation_id="adoptProject")
async def adopt_project(
    psa: ServedPsa, external_id: FromPath[str], data: JSONBody[KeyedProject]
) -> Ref:
    """Our key on a project that was made by hand, with state, budget and days as sold."""
    return await psa.adopt_project(external_id, data.project, data.key)


@put("/projects/{external_id:str}", operation_id="updateProject")
async def update_project(
    psa: ServedPsa, external_id: FromPath[str], data: JSONBody[KeyedProject]
) -> Ref:
    """State, budget and days of a project, after its contract has changed."""
    return await psa.update_project(external_id, data.project, data.key)


@put("/projects/{external_id:str}/state", operation_id="setProjectState")
async def set_project_state(
    psa: ServedPsa, external_id: FromPath[str], data: JSONBody[StateChange]
) -> Ref:
    """A project activated, held or cancelled."""
    return await psa.set_project_state(external_id, data.state, data.key)


@post("/projects/{external_id:str}/tasks", operation_id="createTasks", status_code=201)
async def create_tasks(
    psa: ServedPsa, external_id: FromPath[str], data: JSONBody[WorkBreakdown]
) -> list[Outcome]:
    """Tasks and then milestones of a project, in that order, once per key and number."""
    return await psa.create_tasks(external_id, data.tasks, data.milestones, data.key)


@put("/projects/{external_id:str}/tasks", operation_id="updateTasks")
async def update_tasks(
    psa: ServedPsa, external_id: FromPath[str], data: JSONBody[WorkBreakdown]
) -> list[Outcome]:
    """Hours and days of tasks, then of milestones, after the contract has changed."""
    return await psa.update_tasks(external_id, data.tasks, data.milestones, data.key)


@post(
    "/projects/{external_id:str}/billing-lines", operation_id="createBillingLines", status_code=201
)
async def create_billing_lines(
    psa: ServedPsa, external_id: FromPath[str], data: JSONBody[BillingPlan]
) -> list[Outcome]:
    """What is billed when, once per key and number; `milestones` have the ids they got."""
    return await psa.create_billing_lines(external_id, data.lines, data.milestones, data.key)


@get("/projects/{external_id:str}/billing-lines/invoiced", operation_id="getInvoicedLines")
async def get_invoiced_lines(psa: ServedPsa, external_id: FromPath[str]) -> list[str]:
    """The ids of those lines of a project that are on an invoice: they stay as they are."""
    return await psa.get_invoiced_lines(external_id)


@post(
    "/projects/{external_id:str}/billing-lines/cancellations",
    operation_id="cancelBillingLines",
    status_code=200,
)
async def cancel_billing_lines(
    psa: ServedPsa, external_id: FromPath[str], data: JSONBody[LineCancellation]
) -> list[Outcome]:
    """Lines that must never be billed, by their ids."""
    return await psa.cancel_billing_lines(external_id, data.lines, data.key)


@post(
    "/projects/{external_id:str}/staffing-requests",
    operation_id="createStaffingRequests",
    status_code=201,
)
async def create_staffing_requests(
    psa: ServedPsa, external_id: FromPath[str], data: JSONBody[Staffing]
) -> list[Outcome]:
    """Roles to fill on a project, once per key and number."""
    return await psa.create_staffing_requests(external_id, data.requests, data.key)


@post(
    "/projects/{external_id:str}/staffing-requests/cancellations",
    operation_id="cancelStaffingRequests",
    status_code=200,
)
async def cancel_staffing_requests(
    psa: ServedPsa, external_id: FromPath[str], data: JSONBody[StaffingCancellation]
) -> list[Outcome]:
    """Requests that nobody need fill any more, by their ids."""
    return await psa.cancel_staffing_requests(external_id, data.requests, data.key)


routes = [
    about,
    upsert_customer,
    create_project,
    get_project,
    find_project,
    match_projects,
    adopt_project,
    update_project,
    set_project_state,
    create_tasks,
    update_tasks,
    create_billing_lines,
    get_invoiced_lines,
    cancel_billing_lines,
    create_staffing_requests,
    cancel_staffing_requests,
]
