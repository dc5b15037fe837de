"""What a sold deal amounts to: contract, project, billing schedule and staffing. Pure rules."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from decimal import Decimal

import msgspec

from apis.runtime.flow import Approved
from apis.runtime.ids import child_id
from contracts.canonical.billing import BillingLine, BillingSchedule
from contracts.canonical.contract import Contract, ContractLine, ContractVersion, DeliveryTerms
from contracts.canonical.deal import Deal
from contracts.canonical.identity import Ref, Source
from contracts.canonical.money import Money, shared, total
from contracts.canonical.party import Customer
from contracts.canonical.project import (
    Budget,
    BudgetLine,
    Project,
    StaffingRequest,
)
from process_apis.templates import (
    BILLED_WHEN_REACHED,
    Term,
    milestones_of,
    named,
    parts_of,
    role_of,
    sold_by,
    tasks_of,
)


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
            name=own_name(line.name, deal.name),
            product_code=line.product_code,
            role=line.role,
            quantity=line.quantity,
            unit=line.unit,
            unit_price=line.unit_price,
            total=line.total or value,
            starts_on=line.starts_on,
            ends_on=line.ends_on or deal.ends_on,
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


def own_name(line: str | None, deal: str | None) -> str | None:
    """What a line is called without its deal: some CRMs put the deal's name before it."""
    if line is None or deal is None:
        return line
    return line.removeprefix(deal).strip(" -:") or line


def project_of(contract: Contract, deal: Deal, terms: DeliveryTerms) -> Project:
    """The project as it was sold, with tasks, milestones and a budget that add up to the deal."""
    lines = sold_by(contract, terms, deal.ends_on)
    hours = sum((term.hours for term in lines if term.hours), Decimal(0))
    billed = contract.billing_model in BILLED_WHEN_REACHED
    project_id = child_id("project", contract.id)
    return Project(
        id=project_id,
        key=f"project-{project_id}",
        name=contract.name or f"Project {contract.sow_number}",
        entity=contract.entity,
        deal=Ref(deal.id, deal.external_id),
        contract=Ref(contract.id),
        contract_version=contract.current.number,
        template=next((term.template.code or None for term in lines), None),
        billing_model=contract.billing_model,
        state="active",
        currency=contract.currency,
        budget=Budget(
            total=contract.current.value,
            hours=hours or None,
            lines=tuple(budgeted(term) for term in lines),
        ),
        tasks=tuple(task for term in lines for task in tasks_of(term)),
        milestones=tuple(milestones_of(lines, billed=billed)),
        region=deal.region,
        service_line=deal.service_line,
        purchase_order=deal.purchase_order,
        dimensions=dimensions_of(deal, terms),
        starts_on=begins(deal),
        ends_on=deal.ends_on,
    )


def budgeted(term: Term) -> BudgetLine:
    """What a sold line may use."""
    role = role_of(term.line, term.hours)
    return BudgetLine(name=named(term.line), role=role, hours=term.hours, total=term.line.total)


def dimensions_of(deal: Deal, terms: DeliveryTerms) -> dict[str, str]:
    """Where the project's money is booked: by service line, region, and what its entity says."""
    found = {"department": deal.service_line, "location": deal.region, **terms.dimensions}
    return {name: value for name, value in found.items() if value}


def schedule_of(contract: Contract, project: Project, terms: DeliveryTerms) -> BillingSchedule:
    """When what is billed; time and materials have no lines, they are billed as they are worked."""
    lines = tuple(
        msgspec.structs.replace(line, number=number)
        for number, line in enumerate(billed(contract, project, terms), start=1)
        if line.total.amount
    )
    schedule_id = child_id("billing-schedule", contract.id, contract.current.number)
    return BillingSchedule(
        id=schedule_id,
        key=f"billing-schedule-{schedule_id}",
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


def billed(contract: Contract, project: Project, terms: DeliveryTerms) -> Iterator[BillingLine]:
    """Milestones as they are reached, the rest on each line's first day; a retainer by month."""
    lines = sold_by(contract, terms, project.ends_on)
    if contract.billing_model in BILLED_WHEN_REACHED:
        starts = [(term.starts_on, parts_of(term)[-1]) for term in lines]
        for day, part in by_day(starts):
            yield BillingLine(number=1, name="On start", bill_on=day, total=part)
        for each in project.milestones:
            if each.amount is not None:
                yield BillingLine(number=1, name=each.name, milestone=each.code, total=each.amount)
    elif contract.billing_model == "retainer":
        for day, part in by_day(part for term in lines for part in monthly(term, terms)):
            yield BillingLine(number=1, name=f"Retainer {day:%Y-%m}", bill_on=day, total=part)


def monthly(term: Term, terms: DeliveryTerms) -> Iterator[tuple[date, Money]]:
    """A line's price in equal parts, one for each month of its own term."""
    days = list(months(term.starts_on, term.ends_on, terms.retainer_months))
    return zip(days, shared(term.line.total, [1] * len(days)), strict=True)


def by_day(parts: Iterable[tuple[date, Money]]) -> Iterator[tuple[date, Money]]:
    """What is billed on each day, the first day first."""
    found: dict[date, list[Money]] = {}
    for day, part in parts:
        found.setdefault(day, []).append(part)
    for day, same in sorted(found.items()):
        yield day, total(same[0].currency, same)


def months(first: date, last: date | None, most: int) -> Iterator[date]:
    """The same day of each month from the first day to the last, or for so many months."""

    def later(n: int) -> date:
        year, month = divmod(first.month - 1 + n, 12)
        days = monthrange(first.year + year, month + 1)[1]
        return date(first.year + year, month + 1, min(first.day, days))

    n = most if last is None else (last.year - first.year) * 12 + last.month - first.month + 1
    yield first
    yield from (day for day in map(later, range(1, n)) if last is None or day <= last)


def staffing_of(project: Project) -> list[StaffingRequest]:
    """One request for each role of a sold line: for all the hours that its tasks plan."""
    asked: dict[tuple[str, str], StaffingRequest] = {}
    for task in project.tasks:
        if not task.role or not task.planned_hours:
            continue
        line = task.code.partition(".")[0]
        request = StaffingRequest(
            project=Ref(project.id, project.external_id),
            role=task.role,
            region=project.region,
            hours=task.planned_hours,
            starts_on=task.starts_on or project.starts_on or date.min,
            ends_on=task.ends_on,
        )
        known = asked.get((line, task.role))
        asked[line, task.role] = both(known, request) if known else request
    return list(asked.values())


def both(one: StaffingRequest, other: StaffingRequest) -> StaffingRequest:
    """Two requests for one role as one, from the first day of either to the last."""
    ends = (one.ends_on, other.ends_on)
    return msgspec.structs.replace(
        one,
        hours=one.hours + other.hours,
        starts_on=min(one.starts_on, other.starts_on),
        ends_on=max((day for day in ends if day), default=None) if all(ends) else None,
    )


def begins(deal: Deal) -> date:
    """The day work may begin."""
    starts_on = deal.starts_on or deal.closed_on
    assert starts_on is not None  # noqa: S101 - the rules have refused a deal without it
    return starts_on
