"""The steps that set up what was sold where work is done (PSA) and where money is booked (ERP)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TypeVar

import msgspec
from sqlalchemy import Connection

from apis.runtime import runs
from apis.runtime.context import CURRENT
from apis.runtime.flow import current, step, write_own
from apis.runtime.ids import child_id
from apis.runtime.waits import candidates
from contracts.canonical.billing import BillingSchedule
from contracts.canonical.contract import Contract, DeliveryTerms
from contracts.canonical.deal import Deal
from contracts.canonical.identity import Ref, Source
from contracts.canonical.project import Project, ProjectState, StaffingRequest
from contracts.errors import Conflict, error_of
from contracts.events import ProjectChanged
from contracts.ports import OTHER_CURRENCY, OTHER_CUSTOMER, Erp, Outcome, Psa
from process_apis import customer_master
from process_apis.customer_matching import Match
from process_apis.deal_rules import FINANCE, STAFFING, refused, untemplated
from process_apis.templates import terms_of

DELIVERY = "delivery-operations"
MADE_BY_HAND = ("project.made-by-hand", "project.not-found", OTHER_CUSTOMER, OTHER_CURRENCY)
"""What is asked of people about a project that may be there: they may say which one it is."""
T = TypeVar("T", bound=msgspec.Struct)
MADE = "made"
"""In the extensions of a schedule or a request: the records made with it, for their undo."""
SYSTEM = "system"
"""In the extensions of what a step made: the connection it was made in, for its undo."""


@step(owner=STAFFING)
async def delivery_terms_for(deal: Deal) -> DeliveryTerms:
    """Where the entity plans work and books money that day, and the templates of what was sold."""
    metadata, system = current().runtime.metadata, current().source.connection
    if missing := list(untemplated(deal, metadata, system)):
        raise refused(missing, system)
    return terms_of(deal, metadata)


@step(owner=STAFFING, adopts=MADE_BY_HAND)
async def project_for(
    psa: str,
    project: Project,
    client: Ref,
    known: bool,  # noqa: FBT001 - steps take positions
) -> Project:
    """The project where it is planned, once per contract; planned there is what was sold."""
    wanted = msgspec.structs.replace(project, customer=client)
    await by_hand(psa, psa_of(psa), wanted, known=known)
    made = await psa_of(psa).create_project(wanted, project.key or "")
    await linked("project", project.id, Source(psa, made.external_id or ""))
    return msgspec.structs.replace(wanted, external_id=made.external_id, extensions={SYSTEM: psa})


async def by_hand(name: str, system: Psa | Erp, project: Project, *, known: bool) -> None:
    """A project that was made by hand gets our key if a person adopted it; else they are asked.

    Only a customer who was `known` before this run can have one, and only where there is none of
    ours yet; who retries wants a new one.
    """
    decision = CURRENT.get().context.decided
    what, _, adopted = (decision or "").partition(":")
    if what == "adopt":
        await system.adopt_project(adopted, project, project.key or "")
        at, record = current().runtime.clock.now(), Source(name, adopted)
        this = customer_master.Link(object="project", id=project.id or "", record=record, at=at)
        await write_own("xref", partial(customer_master.link, alone=True), this)
    elif decision is None and known and not current().plan and not await ours(name, project):
        found = await system.match_projects(project)
        if found:
            candidates(current(), [Source(name, each.external_id) for each in found])
            told = (f"{each.external_id} ({', '.join(each.reasons)})" for each in found)
            raise Conflict(
                MADE_BY_HAND[0],
                f"{name} has what may be project {project.name!r} of this customer already,"
                f" made by hand: {'; '.join(told)}",
                remedy="adopt the one it is, or retry to make a new one",
                source=name,
            )


async def ours(name: str, project: Project) -> bool:
    """Whether we know the project in that system already."""
    records = await current().runtime.store.read(
        customer_master.sources, "project", project.id or ""
    )
    return any(each.connection == name for each in records)


@project_for.undo
async def cancelled_project(project: Project) -> None:
    """Nobody plans or works on it any more; its tasks go with it."""
    psa = psa_of(project.extensions[SYSTEM])
    await psa.set_project_state(project.external_id or "", "cancelled", project.key or "")


@step(owner=STAFFING, keep="they go with their project, on which nobody works")
async def work_breakdown_for(project: Project) -> Project:
    """Tasks and milestones as they were sold, each with the id it got."""
    if not project.tasks and not project.milestones:
        return project
    ids = all_made(
        await psa_of(project.extensions[SYSTEM]).create_tasks(
            project.external_id or "",
            list(project.tasks),
            list(project.milestones),
            f"task-{project.id}",
        )
    )
    tasks, milestones = ids[: len(project.tasks)], ids[len(project.tasks) :]
    return msgspec.structs.replace(
        project,
        tasks=with_ids(project.tasks, tasks),
        milestones=with_ids(project.milestones, milestones),
    )


@step(owner=DELIVERY)
async def billing_schedule_for(project: Project, schedule: BillingSchedule) -> BillingSchedule:
    """What is billed when, where the milestones are reached."""
    psa = project.extensions[SYSTEM]
    new = [line for line in schedule.lines if line.external_id is None]
    made: list[str | None] = []
    if new:
        made = all_made(
            await psa_of(psa).create_billing_lines(
                project.external_id or "",
                new,
                list(project.milestones),
                f"billing-line-{schedule.id}",
            )
        )
    there = tuple(line for line in schedule.lines if line.external_id is not None)
    return msgspec.structs.replace(
        schedule,
        project=Ref(project.id, project.external_id),
        lines=(*there, *with_ids(new, made)),
        extensions={SYSTEM: psa, MADE: " ".join(filter(None, made))},
    )


@billing_schedule_for.undo
async def cancelled_billing(schedule: BillingSchedule) -> None:
    """Nothing of what was made for it is ever billed."""
    lines = schedule.extensions.get(MADE, "").split()
    project = (schedule.project.external_id if schedule.project else None) or ""
    if lines:
        psa = psa_of(schedule.extensions[SYSTEM])
        all_made(await psa.cancel_billing_lines(project, lines, f"billing-line-{schedule.id}"))


@step(owner=FINANCE, adopts=MADE_BY_HAND)
async def booked_project_for(
    erp: str,
    project: Project,
    debtor: Ref,
    known: bool,  # noqa: FBT001 - as above
) -> Project:
    """The project in the books, under the customer that pays for it."""
    wanted = msgspec.structs.replace(project, customer=debtor, external_id=None, extensions={})
    await by_hand(erp, erp_of(erp), wanted, known=known)
    made = await erp_of(erp).create_project(wanted, project.key or "")
    await linked("project", project.id, Source(erp, made.external_id or ""))
    return msgspec.structs.replace(wanted, external_id=made.external_id, extensions={SYSTEM: erp})


@booked_project_for.undo
async def closed_project(project: Project) -> None:
    """Nothing can be booked on it any more."""
    erp = erp_of(project.extensions[SYSTEM])
    await erp.set_project_state(project.external_id or "", "cancelled", project.key or "")


@step(owner=FINANCE, keep="it goes with its project, in which nothing can be billed")
async def booked_schedule_for(project: Project, schedule: BillingSchedule) -> Ref:
    """The billing schedule that the books follow."""
    erp = erp_of(project.extensions[SYSTEM])
    wanted = msgspec.structs.replace(schedule, extensions={})
    return await erp.create_billing_schedule(project.external_id or "", wanted, schedule.key or "")


@step(owner=STAFFING)
async def staffing_requests_for(
    project: Project, requests: list[StaffingRequest]
) -> list[StaffingRequest]:
    """One request for every role that was sold."""
    new = [each for each in requests if each.external_id is None]
    psa, place = project.extensions[SYSTEM], Ref(project.id, project.external_id)
    made: list[str | None] = []
    if new:
        made = all_made(
            await psa_of(psa).create_staffing_requests(
                project.external_id or "", new, staffing_key(project)
            )
        )
    told = {SYSTEM: psa, MADE: " ".join(filter(None, made))}
    there = [each for each in requests if each.external_id is not None]
    return [
        msgspec.structs.replace(each, project=place, extensions=told)
        for each in (*there, *with_ids(new, made))
    ]


def staffing_key(project: Project) -> str:
    """The key of a project's requests: those of another version of its contract are others."""
    version = project.contract_version or 1
    return f"staffing-{project.id}" + (f"-v{version}" if version > 1 else "")


@staffing_requests_for.undo
async def cancelled_requests(requests: list[StaffingRequest]) -> None:
    """Nobody need be found any more for what was asked for here."""
    if requests:
        await cancelled(requests, requests[0].extensions.get(MADE, "").split())


async def cancelled(requests: Sequence[StaffingRequest], ids: list[str]) -> None:
    """Requests of one project are cancelled, by their ids."""
    place, psa = requests[0].project, psa_of(requests[0].extensions[SYSTEM])
    if ids:
        key = f"staffing-{place.id}"
        all_made(await psa.cancel_staffing_requests(place.external_id or "", ids, key))


def all_made(outcomes: Sequence[Outcome]) -> list[str | None]:
    """The ids of a batch; the first record that was refused speaks for all.

    What was made is answered from the ledger when the step is tried again.
    """
    for each in outcomes:
        if each.problem is not None:
            raise error_of(each.problem)
    return [each.external_id for each in outcomes]


def with_ids(records: Sequence[T], ids: Sequence[str | None]) -> tuple[T, ...]:
    """The records, each with its id."""
    pairs = zip(records, ids, strict=False)
    return tuple(msgspec.structs.replace(each, external_id=id_) for each, id_ in pairs)


async def linked(
    kind: str, golden_id: str | None, record: Source, match: Match | None = None
) -> None:
    """Note which record of which system this is, and why we think so."""
    found = customer_master.Link(
        object=kind,
        id=golden_id or "",
        record=record,
        at=current().runtime.clock.now(),
        score=match.score if match else None,
        reasons=match.reasons if match else (),
    )
    await write_own("xref", customer_master.link, found, value=record)


async def told_project(
    contract: Contract, state: ProjectState, project: Project | None = None
) -> None:
    """Announce that the project of a contract is on hold, cancelled or agreed anew."""
    running = current()
    changed = ProjectChanged(
        id=child_id("project", contract.id),
        state=state,
        project=project and msgspec.structs.replace(project, extensions={}),
        source=running.source,
        run_id=running.run_id,
    )
    await write_own("project.changed", announced_change, changed, value=changed)


def announced_change(connection: Connection, changed: ProjectChanged) -> None:
    """Announce the change; the same state in the same run is the same news."""
    at = current().runtime.clock.now()
    runs.announce(connection, "project.changed", changed, changed.run_id, at, changed.state)


def psa_of(name: str) -> Psa:
    """The PSA of that name, called as the current run."""
    connected: Psa = current().runtime.connect(Psa, f"system/{name}")
    return connected


def erp_of(name: str) -> Erp:
    """The ERP of that name, called as the current run."""
    connected: Erp = current().runtime.connect(Erp, f"system/{name}")
    return connected
