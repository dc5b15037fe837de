"""The steps by which PSA and ERP follow a changed contract, or stand still with its deal."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from sqlalchemy import Connection

from apis.runtime import runs
from apis.runtime.flow import Approved, Step, current, step, write_own
from apis.runtime.made import made_before
from contracts.canonical.billing import BillingLine, BillingSchedule
from contracts.canonical.contract import Contract, DeliveryTerms
from contracts.canonical.deal import Deal
from contracts.canonical.identity import Ref
from contracts.canonical.project import Milestone, Project, StaffingRequest, Task
from contracts.errors import NotFound, Rejected, error_of
from contracts.events import ContractActivated
from contracts.ports import Outcome
from process_apis import customer_master
from process_apis import project_setup as setup
from process_apis.deal_rules import FINANCE, SALES, STAFFING
from process_apis.engagement import first_version, project_of, schedule_of, staffing_of
from process_apis.rates import beside_cards

SYSTEM = setup.SYSTEM
W = TypeVar("W", Task, Milestone)


async def followed_in_psa(project: Project, contract: Contract, terms: DeliveryTerms) -> Project:
    """The project as the contract has it now: what earlier runs made stays where it fits."""
    planned, schedule, requests = await latest_in_psa()
    await planned_figures(project)
    if planned is None:
        project = await setup.work_breakdown_for(project)
    else:
        project = await added_work_for(project, planned)
        await replanned_work_for(project, planned)
    wanted = schedule_of(contract, project, terms)
    if schedule is None or amounts(schedule) != amounts(wanted):
        if schedule is not None:
            await replaced_schedule(schedule)
        await setup.billing_schedule_for(project, wanted)
    asked = staffing_of(project)
    if not requests or needs(requests) != needs(asked):
        if requests:
            await replaced_requests(requests)
        await setup.staffing_requests_for(project, asked)
    return project


async def followed_in_erp(project: Project, contract: Contract, terms: DeliveryTerms) -> None:
    """The project in the books as the contract has it now, and the schedule it follows."""
    await booked_figures(project)
    await setup.booked_schedule_for(project, schedule_of(contract, project, terms))


async def latest_in_psa() -> tuple[
    Project | None, BillingSchedule | None, list[StaffingRequest] | None
]:
    """What earlier runs made of the project that nobody has taken back."""
    work = (setup.work_breakdown_for, added_work_for)
    steps: list[Step[Any, Any]] = [*work, setup.billing_schedule_for, setup.staffing_requests_for]
    made = await made_before(current(), steps)
    found: dict[str, Any] = {each.step.name: each.value for each in made}
    project = found.get(added_work_for.name) or found.get(setup.work_breakdown_for.name)
    schedule = found.get(setup.billing_schedule_for.name)
    return project, schedule, found.get(setup.staffing_requests_for.name)


@step(owner=STAFFING, keep="it has the figures of the contract")
async def planned_figures(project: Project) -> Ref:
    """State, budget and days of the project where work is planned, as they were sold last."""
    psa = setup.psa_of(project.extensions[SYSTEM])
    return await psa.update_project(project.external_id or "", project, project.key or "")


@step(owner=FINANCE, keep="it has the figures of the contract")
async def booked_figures(project: Project) -> Ref:
    """State, price and days of the project in the books, as they were sold last."""
    erp = setup.erp_of(project.extensions[SYSTEM])
    return await erp.update_project(project.external_id or "", project, project.key or "")


@step(owner=STAFFING, keep="tasks and milestones go with their project")
async def added_work_for(project: Project, planned: Project) -> Project:
    """Tasks and milestones that were sold in addition to those that are there."""
    tasks, milestones = (
        with_known_ids(project.tasks, planned.tasks),
        with_known_ids(project.milestones, planned.milestones),
    )
    more = [task for task in tasks if task.external_id is None]
    reached = [milestone for milestone in milestones if milestone.external_id is None]
    if more or reached:
        key = f"task-{project.id}-v{project.contract_version}"
        made = setup.all_made(
            await setup.psa_of(project.extensions[SYSTEM]).create_tasks(
                project.external_id or "", more, reached, key
            )
        )
        tasks = with_new_ids(tasks, made[: len(more)])
        milestones = with_new_ids(milestones, made[len(more) :])
    return msgspec.structs.replace(project, tasks=tasks, milestones=milestones)


@step(owner=STAFFING, keep="it is planned as it was sold last")
async def replanned_work_for(project: Project, planned: Project) -> Ref:
    """Hours and days of tasks and milestones, where another number or day was sold than before."""
    tasks, milestones = (
        anew(project.tasks, planned.tasks),
        anew(project.milestones, planned.milestones),
    )
    if tasks or milestones:
        psa, key = setup.psa_of(project.extensions[SYSTEM]), f"plan-{project.id}"
        told = await psa.update_tasks(project.external_id or "", tasks, milestones, key)
        setup.all_made([each for each in told if not gone(each)])
    return Ref(project.id, project.external_id)


def anew(wanted: Sequence[W], there: Sequence[W]) -> list[W]:
    """What is there and was sold with other hours or days than it was planned with."""
    known = {each.external_id: plan(each) for each in there if each.external_id}
    return [each for each in wanted if known.get(each.external_id or "", plan(each)) != plan(each)]


def plan(work: Task | Milestone) -> tuple[object, ...]:
    """How much of it there is, and when."""
    if isinstance(work, Milestone):
        return (work.due_on,)
    return (work.planned_hours, work.starts_on, work.ends_on)


def gone(told: Outcome) -> bool:
    """Whether people have taken the record out of the plan: then there is nothing to follow."""
    return told.problem is not None and isinstance(error_of(told.problem), NotFound)


def with_known_ids(wanted: Sequence[W], there: Sequence[W]) -> tuple[W, ...]:
    """What is wanted, with the ids of what is there under the same name, each used once."""
    ids: dict[str, list[str | None]] = {}
    for each in there:
        ids.setdefault(each.name, []).append(each.external_id)
    return tuple(
        msgspec.structs.replace(each, external_id=(ids.get(each.name) or [None]).pop(0))
        for each in wanted
    )


def with_new_ids(wanted: Sequence[W], made: Sequence[str | None]) -> tuple[W, ...]:
    """What is wanted, with the ids that were made for those that had none."""
    new = iter(made)
    return tuple(
        each if each.external_id else msgspec.structs.replace(each, external_id=next(new))
        for each in wanted
    )


@step(owner=setup.DELIVERY, keep="another schedule has taken its place")
async def replaced_schedule(schedule: BillingSchedule) -> Ref:
    """What was to be billed by an earlier version of the contract is not."""
    await setup.cancelled_billing(schedule)
    return Ref(schedule.id)


@step(owner=STAFFING, keep="other requests have taken their place")
async def replaced_requests(requests: list[StaffingRequest]) -> list[StaffingRequest]:
    """Roles that an earlier version of the contract asked for need not be found."""
    await setup.cancelled_requests(requests)
    return requests


@step(owner=STAFFING, keep="on hold: nothing is planned on it")
async def held_plan(project: Project) -> Ref:
    """The project on hold where work is planned."""
    psa = setup.psa_of(project.extensions[SYSTEM])
    return await psa.set_project_state(project.external_id or "", "on_hold", project.key or "")


@step(owner=FINANCE, keep="on hold: nothing is booked or billed on it")
async def held_books(project: Project) -> Ref:
    """The project on hold in the books."""
    erp = setup.erp_of(project.extensions[SYSTEM])
    return await erp.set_project_state(project.external_id or "", "on_hold", project.key or "")


@step(owner=SALES, keep="it says what was agreed last")
async def amended_contract(contract: Contract, deal: Deal) -> Contract:
    """The contract with its next version, which is what the deal says now."""
    contract = beside_cards(contract, current().runtime.metadata.rate_cards, deal)
    run_id = current().run_id
    kept = await write_own("contract", agreed_anew, run_id, contract, value=contract)
    return kept or contract


def agreed_anew(connection: Connection, run_id: str, contract: Contract) -> Contract:
    """Keep the contract's next version and announce it, in one transaction."""
    kept = customer_master.amend_contract(connection, contract)
    told = ContractActivated(contract=kept, run_id=run_id)
    runs.announce(connection, "contract.activated", told, run_id, current().runtime.clock.now())
    return kept


@step(owner=SALES, keep="on hold as long as its deal is not won")
async def held_contract(contract: Contract) -> Contract:
    """The contract on hold, with all its versions."""
    kept = await write_own(
        "contract", customer_master.set_contract_state, contract.id, "held", value=contract
    )
    return kept or contract


def amended(contract: Contract, deal: Deal, approved: Approved | None) -> Contract:
    """The contract with what the deal says now as its next version."""
    if deal.value is None or deal.billing_model is None or deal.entity != contract.entity:
        raise moved("legal entity")
    if deal.value.currency != contract.currency:
        raise moved("currency")
    version = msgspec.structs.replace(
        first_version(deal, deal.value, approved),
        number=contract.current.number + 1,
        reason="amended",
    )
    return msgspec.structs.replace(
        contract,
        name=deal.name,
        sow_number=deal.sow_number,
        purchase_order=deal.purchase_order,
        billing_model=deal.billing_model,
        versions=(*contract.versions, version),
    )


def moved(what: str) -> Rejected:
    """A project cannot be carried from one customer, currency or legal entity to another."""
    return Rejected(
        f"deal.{what.replace(' ', '-')}-changed",
        f"the deal has another {what} than its contract: its project cannot follow",
        owner=SALES,
        remedy=f"sell it in the {what} of the contract, or abandon and win it as a deal of its own",
    )


def in_step(project: Project, contract: Contract, deal: Deal, terms: DeliveryTerms) -> Project:
    """A project that exists, with what the contract and the deal say now."""
    now = project_of(contract, deal, terms)
    return msgspec.structs.replace(
        now,
        external_id=project.external_id,
        customer=project.customer,
        extensions=project.extensions,
    )


def amounts(schedule: BillingSchedule) -> list[BillingLine]:
    """What is billed when, whatever it is called elsewhere."""
    return [msgspec.structs.replace(each, external_id=None) for each in schedule.lines]


def needs(requests: list[StaffingRequest]) -> list[tuple[str, Decimal, object, object]]:
    """Which roles are needed, how long and when."""
    return [(each.role, each.hours, each.starts_on, each.ends_on) for each in requests]
