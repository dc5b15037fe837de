"""What a sold line plans and bills, by the project template of its package. Pure rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal

import msgspec

from apis.runtime.metadata import Metadata, serving
from contracts.canonical.contract import (
    Contract,
    ContractLine,
    DeliveryTerms,
    ProjectTemplate,
    TemplateMilestone,
    template_of,
)
from contracts.canonical.deal import Deal, DealLine
from contracts.canonical.money import Money, shared, total
from contracts.canonical.project import Milestone, Task

WHOLE = 100
BILLED_WHEN_REACHED = frozenset({"fixed_price", "milestone"})
"""Under these billing models milestones are what is billed; under others they only are reached."""


class Term(msgspec.Struct, frozen=True):
    """What a sold line is to its project: how its package is delivered, and when."""

    line: ContractLine
    template: ProjectTemplate
    starts_on: date
    ends_on: date | None
    hours: Decimal | None


def terms_of(deal: Deal, metadata: Metadata) -> DeliveryTerms:
    """How the deal is delivered by what metadata says of the day it was won."""
    on = deal.closed_on or date.min
    entity = metadata.entities[deal.entity or ""]
    used = [template for _, template in packages_of(deal, metadata) if template]
    return DeliveryTerms(
        sold_on=on,
        psa=serving(metadata, "psa", deal.entity, on),
        erp=serving(metadata, "erp", deal.entity, on),
        templates=tuple(each for each in metadata.templates if each in used),
        hours=msgspec.structs.asdict(entity.hours),
        retainer_months=entity.retainer_months,
        dimensions=entity.dimensions,
    )


def packages_of(
    deal: Deal, metadata: Metadata
) -> Iterator[tuple[DealLine, ProjectTemplate | None]]:
    """Each line that was sold and the template that it takes."""
    assert deal.billing_model is not None  # noqa: S101 - asked of deals that have one
    on = deal.closed_on or date.min
    for line in deal.lines:
        sold = (line.product_code, deal.billing_model, deal.entity or "", on)
        yield line, template_of(metadata.templates, *sold)


def sold_by(contract: Contract, terms: DeliveryTerms, ends_on: date | None) -> list[Term]:
    """The lines of the contract with what their templates need to know."""
    version, model = contract.current, contract.billing_model
    return [
        Term(
            line,
            template_of(terms.templates, line.product_code, model, contract.entity, terms.sold_on)
            or ProjectTemplate(code="", name="", from_on=terms.sold_on),
            line.starts_on or version.from_on,
            line.ends_on or ends_on,
            hours_of(line.quantity, line.unit, terms.hours),
        )
        for line in version.lines
    ]


def tasks_of(term: Term) -> Iterator[Task]:
    """The tasks of the template, each under its line's number; without any the line is one."""
    own = f"T{term.line.number}"
    if not term.template.tasks:
        yield Task(
            code=own,
            name=named(term.line),
            role=role_of(term.line, term.hours),
            planned_hours=term.hours,
            starts_on=term.starts_on,
            ends_on=term.ends_on,
        )
    fixed = sum((task.hours for task in term.template.tasks if task.hours), Decimal(0))
    left = max(Decimal(0), term.hours - fixed) if term.hours else None
    for task in term.template.tasks:
        hours = left * task.share / WHOLE if left is not None and task.share else task.hours
        starts_on = term.starts_on + timedelta(task.starts_after_days)
        lasts = None if task.lasts_days is None else starts_on + timedelta(task.lasts_days)
        yield Task(
            code=f"{own}.{task.code}",
            name=f"{named(term.line)}: {task.name}",
            parent=task.parent and f"{own}.{task.parent}",
            role=task.role or (role_of(term.line, term.hours) if hours else None),
            planned_hours=hours,
            starts_on=starts_on,
            ends_on=lasts or term.ends_on,
        )


def milestones_of(terms: Iterable[Term], *, billed: bool) -> list[Milestone]:
    """The milestones of all lines; those of one code and day are one, worth what each is worth."""
    met: dict[tuple[str, date | None], list[tuple[str, Money]]] = {}
    for term in terms:
        for each, amount in zip(reached(term, billed=billed), parts_of(term), strict=False):
            days = each.due_after_days
            due = term.ends_on if days is None else term.starts_on + timedelta(days)
            met.setdefault((each.code, due), []).append((each.name, amount))
    found: list[Milestone] = []
    for (code, due), parts in met.items():
        taken = any(each.code == code for each in found)
        worth = total(parts[0][1].currency, (amount for _, amount in parts))
        found.append(
            Milestone(
                code=f"{code}-on-{due}" if taken else code,
                name=parts[0][0],
                due_on=due,
                amount=worth if billed and worth.amount else None,
            )
        )
    return found


def reached(term: Term, *, billed: bool) -> tuple[TemplateMilestone, ...]:
    """The milestones of the line's template; what is billed has at least its delivery."""
    if term.template.milestones or not billed:
        return term.template.milestones
    name = f"{named(term.line)} delivered"
    return (TemplateMilestone(code=f"M{term.line.number}", name=name, share=WHOLE),)


def parts_of(term: Term) -> list[Money]:
    """The price by milestone and, last, what is billed on the first day; not a cent is lost."""
    shares = [each.share or 0 for each in reached(term, billed=True)]
    return shared(term.line.total, [*shares, max(0, WHOLE - sum(shares))])


def named(line: ContractLine) -> str:
    """What a line is called where people work on it."""
    return line.name or line.product_code or "Work"


def role_of(line: ContractLine | DealLine, hours: Decimal | None) -> str | None:
    """Who does what was sold: its role, else the product where it is sold by time."""
    return line.role or (line.product_code if hours else None)


def roles_of(
    line: DealLine, template: ProjectTemplate | None, units: dict[str, Decimal]
) -> Iterator[str]:
    """Who will be asked for: the roles of the tasks that plan hours."""
    hours = hours_of(line.quantity, line.unit, units)
    own = role_of(line, hours)
    tasks = template.tasks if template else ()
    planning = [each for each in tasks if each.hours or (each.share and hours)]
    asked = [each.role or own for each in planning] if tasks else [own if hours else None]
    yield from (role for role in asked if role)


def hours_of(
    quantity: Decimal | None, unit: str | None, known: dict[str, Decimal]
) -> Decimal | None:
    """The hours that a line plans, where it is sold by time."""
    factor = known.get((unit or "").lower())
    return quantity * factor if factor and quantity else None
