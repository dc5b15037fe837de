"""What a sold deal amounts to: contract, project, billing schedule and staffing. Pure rules."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal

import msgspec

from apis.runtime.flow import Approved, child_id
from contracts.canonical.billing import BillingLine, BillingSchedule
from contracts.canonical.contract import Contract, ContractLine, ContractVersion
from contracts.canonical.deal import Deal, DealLine
from contracts.canonical.identity import Ref, Source
from contracts.canonical.money import Money, shared
from contracts.canonical.party import Customer
from contracts.canonical.project import (
    Budget,
    BudgetLine,
    Milestone,
    Project,
    StaffingRequest,
    Task,
)

HOURS = {"hour": Decimal(1), "day": Decimal(8), "month": Decimal(160)}
"""Planned hours of a unit that is sold; what is sold by the piece plans none."""
ACCEPTANCE = "acceptance"
MONTHS = 12
"""How long a retainer without an end is billed ahead: a change order prolongs it."""
EXTERNAL = "external"


def sold(
    source: Source, deal: Deal, customer: Customer, approved: Approved | None, at: datetime
) -> Contract:
    """The contract a deal amounts to."""
    assert deal.id is not None  # noqa: S101 - given with the accepted deal
    assert deal.value is not None  # noqa: S101 - the rules have refused a deal without value, day or model
    assert deal.billing_model is not None  # noqa: S101 - as above
    return Contract(
        id=child_id("contract", deal.id),
        deal=source,
        customer=Ref(customer.id, customer.external_id),
        entity=deal.entity or "",
        name=deal.name,
        sow_number=deal.sow_number,
        purchase_order=deal.purchase_order,
        billing_model=deal.billing_model,
        currency=deal.value.currency,
        versions=(first_version(deal, deal.value, approved),),
        activated_at=at,
    )


def first_version(deal: Deal, value: Money, approved: Approved | None) -> ContractVersion:
    """What was sold, line by line, and who let it pass if it was above a limit."""
    lines = tuple(
        ContractLine(
            number=number,
            name=line.name,
            product_code=line.product_code,
            role=line.role,
            quantity=line.quantity,
            unit=line.unit,
            unit_price=line.unit_price,
            total=line.total or value,
            starts_on=line.starts_on,
            ends_on=line.ends_on,
        )
        for number, line in enumerate(deal.lines, start=1)
    )
    version = ContractVersion(number=1, value=value, lines=lines, from_on=begins(deal))
    if approved is None:
        return version
    return msgspec.structs.replace(
        version,
        approved_by=approved.by,
        approved_at=approved.at,
        approval_limit=approved.limit,
    )


def project_of(contract: Contract, deal: Deal) -> Project:
    """The project as it was sold, with tasks, milestones and a budget that add up to the deal."""
    lines = tuple(
        BudgetLine(name=named(line), role=role_of(line), hours=hours_of(line), total=line.total)
        for line in deal.lines
        if line.total is not None
    )
    value = contract.current.value
    hours = sum((line.hours for line in lines if line.hours), Decimal(0))
    project_id = child_id("project", contract.id)
    return Project(
        id=project_id,
        key=f"project-{project_id}",
        name=contract.name or f"Project {contract.sow_number}",
        entity=contract.entity,
        deal=Ref(deal.id, deal.external_id),
        contract=Ref(contract.id),
        contract_version=contract.current.number,
        billing_model=contract.billing_model,
        state="active",
        currency=contract.currency,
        budget=Budget(total=value, hours=hours or None, lines=lines),
        tasks=tuple(tasks_of(deal)),
        milestones=tuple(milestones_of(contract, deal)),
        region=deal.region,
        service_line=deal.service_line,
        purchase_order=deal.purchase_order,
        dimensions=dimensions_of(deal),
        starts_on=begins(deal),
        ends_on=deal.ends_on,
    )


def dimensions_of(deal: Deal) -> dict[str, str]:
    """Where the project's money is booked: by service line, region, and who pays."""
    found = {"department": deal.service_line, "location": deal.region, "class": EXTERNAL}
    return {name: value for name, value in found.items() if value}


def tasks_of(deal: Deal) -> Iterator[Task]:
    """One task for each line that was sold."""
    for number, line in enumerate(deal.lines, start=1):
        yield Task(
            code=f"T{number}",
            name=named(line),
            role=role_of(line),
            planned_hours=hours_of(line),
            starts_on=line.starts_on or begins(deal),
            ends_on=line.ends_on or deal.ends_on,
        )


def milestones_of(contract: Contract, deal: Deal) -> Iterator[Milestone]:
    """What must be reached before it is billed: each line, or the whole once it is accepted."""
    if contract.billing_model == "milestone":
        for number, line in enumerate(deal.lines, start=1):
            name = f"{named(line)} delivered"
            due = line.ends_on or deal.ends_on
            yield Milestone(code=f"M{number}", name=name, due_on=due, amount=line.total)
    elif contract.billing_model == "fixed_price":
        half = shared(contract.current.value, (1, 1))[1]
        yield Milestone(code=ACCEPTANCE, name="Accepted", due_on=deal.ends_on, amount=half)


def schedule_of(contract: Contract, project: Project) -> BillingSchedule:
    """When what is billed; time and materials have no lines, they are billed as they are worked."""
    lines = tuple(
        msgspec.structs.replace(line, number=number)
        for number, line in enumerate(billed(contract, project), start=1)
    )
    return BillingSchedule(
        id=child_id("billing-schedule", contract.id),
        key=f"billing-schedule-{child_id('billing-schedule', contract.id)}",
        entity=contract.entity,
        customer=contract.customer,
        contract=Ref(contract.id),
        contract_version=contract.current.number,
        project=Ref(project.id, project.external_id),
        billing_model=contract.billing_model,
        total=contract.current.value,
        lines=lines,
        purchase_order=contract.purchase_order,
    )


def billed(contract: Contract, project: Project) -> Iterator[BillingLine]:
    """Milestones as they are reached, a fixed price in halves, a retainer month by month."""
    value, starts_on = contract.current.value, contract.current.from_on
    if contract.billing_model == "fixed_price":
        first, last = shared(value, (1, 1))
        yield BillingLine(number=1, name="On start", bill_on=starts_on, total=first)
        yield BillingLine(number=2, name="On acceptance", milestone=ACCEPTANCE, total=last)
    elif contract.billing_model == "milestone":
        for each in project.milestones:
            assert each.amount is not None  # noqa: S101 - the rules have refused an unpriced line
            yield BillingLine(number=1, name=each.name, milestone=each.code, total=each.amount)
    elif contract.billing_model == "retainer":
        days = list(months(starts_on, project.ends_on))
        for day, part in zip(days, shared(value, [1] * len(days)), strict=True):
            yield BillingLine(number=1, name=f"Retainer {day:%Y-%m}", bill_on=day, total=part)


def months(first: date, last: date | None) -> Iterator[date]:
    """The same day of each month from the first day to the last, or for a year."""

    def later(n: int) -> date:
        year, month = divmod(first.month - 1 + n, 12)
        most = monthrange(first.year + year, month + 1)[1]
        return date(first.year + year, month + 1, min(first.day, most))

    n = MONTHS if last is None else (last.year - first.year) * 12 + last.month - first.month + 1
    yield first
    yield from (day for day in map(later, range(1, n)) if last is None or day <= last)


def staffing_of(project: Project) -> list[StaffingRequest]:
    """One request for each task that plans a role's hours."""
    return [
        StaffingRequest(
            project=Ref(project.id, project.external_id),
            role=task.role,
            region=project.region,
            hours=task.planned_hours,
            starts_on=task.starts_on or project.starts_on or date.min,
            ends_on=task.ends_on,
        )
        for task in project.tasks
        if task.role and task.planned_hours
    ]


def begins(deal: Deal) -> date:
    """The day work may begin."""
    starts_on = deal.starts_on or deal.closed_on
    assert starts_on is not None  # noqa: S101 - the rules have refused a deal without it
    return starts_on


def named(line: DealLine) -> str:
    """What a line is called where people work on it."""
    return line.name or line.product_code or "Work"


def role_of(line: DealLine) -> str | None:
    """Who does what was sold: its role, else the product where it is sold by time."""
    return line.role or (line.product_code if hours_of(line) else None)


def hours_of(line: DealLine) -> Decimal | None:
    """The hours that a line plans, where it is sold by time."""
    factor = HOURS.get((line.unit or "").lower())
    return line.quantity * factor if factor and line.quantity else None
