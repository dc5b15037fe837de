"""The steps by which PSA and ERP follow a changed contract, or stand still with its deal."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

import msgspec
from sqlalchemy import Connection

from apis.runtime import runs
from apis.runtime.flow import Approved, Step, current, step, write_own
from apis.runtime.made import made_before
from contracts.canonical.billing import BillingSchedule
from contracts.canonical.contract import Contract, DeliveryTerms
from contracts.canonical.deal import Deal
from contracts.canonical.identity import Ref
from contracts.canonical.project import Milestone, Project, StaffingRequest, Task
from contracts.errors import NotFound, Rejected, error_of
from contracts.events import ContractActivated
from contracts.ports import Outcome
from process_apis import customer_master
from process_apis import project_setup as setup
from process_apis.changed_billing import (
    billing_to_follow,
    ids,
    replaced_requests,
    replaced_schedule,
    unbilled_schedule,
)
from process_apis.deal_rules import FINANCE, SALES, STAFFING
from process_apis.engagement import first_version, project_of, schedule_of, staffing_of
from process_apis.rates import beside_cards

SYSTEM = setup.SYSTEM
W = TypeVar("W", Task, Milestone)


class Planned(NamedTuple):
    """What earlier runs made of a project in the PSA, and nobody took back."""

    work: Project | None
    schedule: BillingSchedule | None
    requests: list[StaffingRequest]


async def planned_before() -> Planned:
    """What there is to follow: the latest of each."""
    work = (setup.work_breakdown_for, added_work_for)
    steps: list[Step[Any, Any]] = [*work, setup.billing_schedule_for, setup.staffing_requests_for]
    found = {each.step.name: each.value for each in await made_before(current(), steps)}
    return Planned(
        work=found.get(added_work_for.name) or found.get(setup.work_breakdown_for.name),
        schedule=found.get(setup.billing_schedule_for.name),
        requests=found.get(setup.staffing_requests_for.name) or [],
    )


async def wanted_schedule(
    project: Project, contract: Contract, terms: DeliveryTerms, planned: Planned
) -> BillingSchedule:
    """What is to be billed by the contract; what was invoiced stays in it as it is."""
    wanted = schedule_of(contract, project, terms)
    if planned.schedule is None or not planned.schedule.lines:
        return wanted
    return await billing_to_follow(project, wanted, planned.schedule)


async def resumed_in_psa(project: Project, contract: Contract, terms: DeliveryTerms) -> Project:
    """The project of a deal that was won before, as its contract has it now."""
    planned = await planned_before()
    wanted = await wanted_schedule(project, contract, terms, planned)
    project = await followed_in_psa(project, project, planned, wanted)
    await replaced(project, planned, wanted)
    return project


async def followed_in_psa(
    project: Project, before: Project, planned: Planned, wanted: BillingSchedule
) -> Project:
    """The project as the contract has it now, made beside what there is: that goes last of all."""
    await planned_figures(project, before)
    if planned.work is None:
        project = await setup.work_breakdown_for(project)
    else:
        project = await added_work_for(project, planned.work)
        await replanned_work_for(project, planned.work)
    if planned.schedule is None or ids(planned.schedule) != ids(wanted):
        await setup.billing_schedule_for(project, wanted)
    asked, there = staffing_of(project), planned.requests
    if needs(there) != needs(asked):
        await setup.staffing_requests_for(project, with_those_there(asked, there))
    return project


async def followed_in_erp(
    project: Project, before: Project, contract: Contract, terms: DeliveryTerms
) -> None:
    """The project in the books as the contract has it now, and the schedule it follows."""
    await booked_figures(project, before)
    await setup.booked_schedule_for(project, schedule_of(contract, project, terms))


async def replaced(project: Project, planned: Planned, wanted: BillingSchedule) -> None:
    """What an earlier version of the contract had and this one has not goes, for good.

    Bills go last: given up before, nothing that was to be billed is lost.
    """
    earlier, stay = planned.schedule, ids(wanted)
    old = [each for each in earlier.lines if each.external_id not in stay] if earlier else []
    gone = msgspec.structs.replace(earlier, lines=tuple(old)) if earlier and old else None
    if gone is not None:
        await unbilled_schedule(project, gone)
    asked = with_those_there(staffing_of(project), planned.requests)
    stay = {each.external_id for each in asked}
    if unwanted := [each for each in planned.requests if each.external_id not in stay]:
        await replaced_requests(unwanted)
    if gone is not None:
        await replaced_schedule(project, gone)


@step(owner=STAFFING)
async def planned_figures(project: Project, before: Project) -> Project:
    """State, budget and days where work is planned, as sold last; answers what they were."""
    psa = setup.psa_of(project.extensions[SYSTEM])
    await psa.update_project(project.external_id or "", project, project.key or "")
    return before


@planned_figures.undo
async def planned_as_before(before: Project) -> None:
    """The figures that the contract had before."""
    psa = setup.psa_of(before.extensions[SYSTEM])
    await psa.update_project(before.external_id or "", before, before.key or "")


@step(owner=FINANCE)
async def booked_figures(project: Project, before: Project) -> Project:
    """State, price and days in the books, as sold last; answers what they were."""
    erp = setup.erp_of(project.extensions[SYSTEM])
    await erp.update_project(project.external_id or "", project, project.key or "")
    return before


@booked_figures.undo
async def booked_as_before(before: Project) -> None:
    """The figures that the contract had before."""
    erp = setup.erp_of(before.extensions[SYSTEM])
    await erp.update_project(before.external_id or "", before, before.key or "")


@step(owner=STAFFING, keep="somebody may have booked time on it: take out what nobody needs")
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


@step(owner=STAFFING)
async def replanned_work_for(project: Project, planned: Project) -> list[Project]:
    """Hours and days as sold now, none for what is not sold any more; answers both plans."""
    sold = {task.external_id for task in project.tasks}
    unsold = (
        msgspec.structs.replace(task, planned_hours=Decimal())
        for task in planned.tasks
        if task.external_id not in sold and task.planned_hours
    )
    now = msgspec.structs.replace(project, tasks=(*project.tasks, *unsold))
    await work_as_in(now, planned)
    return [now, planned]


@replanned_work_for.undo
async def work_as_before(plans: list[Project]) -> None:
    """The hours and days that they had before."""
    now, planned = plans
    await work_as_in(planned, now)


async def work_as_in(wanted: Project, there: Project) -> None:
    """Tasks and milestones that are there get the hours and days that are wanted."""
    tasks, milestones = (
        anew(wanted.tasks, there.tasks),
        anew(wanted.milestones, there.milestones),
    )
    if tasks or milestones:
        psa, key = setup.psa_of(wanted.extensions[SYSTEM]), f"plan-{wanted.id}"
        told = await psa.update_tasks(wanted.external_id or "", tasks, milestones, key)
        setup.all_made([each for each in told if not gone(each)])


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


@step(owner=SALES)
async def amended_contract(contract: Contract, before: Contract, deal: Deal) -> list[Contract]:
    """The contract with its next version, which is what the deal says now, and as it was."""
    contract = beside_cards(contract, current().runtime.metadata.rate_cards, deal)
    run_id = current().run_id
    kept = await write_own("contract", agreed_anew, run_id, contract, value=contract)
    return [kept or contract, before]


@amended_contract.undo
async def contract_as_before(both: list[Contract]) -> None:
    """A version more, which says what the one before did: what was agreed is never forgotten."""
    contract, before = both
    version = msgspec.structs.replace(
        before.current, number=contract.current.number + 1, reason="taken back"
    )
    again = msgspec.structs.replace(before, versions=(*contract.versions, version))
    await write_own("contract", agreed_anew, current().run_id, again, value=again)


def agreed_anew(connection: Connection, run_id: str, contract: Contract) -> Contract:
    """Keep the contract's next version and announce it, in one transaction."""
    kept = customer_master.amend_contract(connection, contract)
    told = ContractActivated(contract=kept, run_id=run_id)
    at, number = current().runtime.clock.now(), kept.current.number
    runs.announce(connection, "contract.activated", told, run_id, at, number)
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
    return with_figures(project, project_of(contract, deal, terms))


def with_figures(project: Project, figures: Project) -> Project:
    """The project as one system has it, with the figures of another state of it."""
    return msgspec.structs.replace(
        figures,
        external_id=project.external_id,
        customer=project.customer,
        extensions=project.extensions,
    )


def with_those_there(
    asked: Sequence[StaffingRequest], there: Sequence[StaffingRequest]
) -> list[StaffingRequest]:
    """What is asked for; a request that says the same already is that one, with its id."""
    known = list(there)
    found = []
    for each in asked:
        same = next((one for one in known if need(one) == need(each)), None)
        if same is not None:
            known.remove(same)
        found.append(same or each)
    return found


def needs(requests: Sequence[StaffingRequest]) -> list[tuple[object, ...]]:
    """Which roles are needed, how long and when."""
    return [need(each) for each in requests]


def need(request: StaffingRequest) -> tuple[object, ...]:
    """A role, how long and when."""
    return request.role, request.hours, request.starts_on, request.ends_on


ONLY_CHANGED = (amended_contract, planned_figures, booked_figures, replanned_work_for)
"""They change back while their project goes on, and go with it when all of it is taken back."""
