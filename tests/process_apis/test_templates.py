"""How a sold package becomes work and bills: by its template, to the hour and to the cent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apis.runtime.metadata import Entity, Metadata
from contracts.canonical.billing import BillingSchedule, line_total_problem
from contracts.canonical.contract import (
    DeliveryTerms,
    ProjectTemplate,
    TemplateMilestone,
    TemplateTask,
    template_of,
)
from contracts.canonical.deal import BillingModel, Deal, DealLine
from contracts.canonical.identity import Source
from contracts.canonical.money import DECIMALS, Money, total
from contracts.canonical.party import Customer
from contracts.canonical.project import Project, missing_parents
from process_apis.engagement import project_of, schedule_of, sold, staffing_of
from process_apis.templates import terms_of

SOLD_AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
WON_ON, START = date(2026, 3, 1), date(2026, 4, 15)
DAY = Decimal(8)
ROLLOUT: dict[str, Any] = {
    "code": "rollout",
    "name": "Rollout",
    "packages": ("ROLLOUT",),
    "from_on": date(2024, 1, 1),
}


def template(**given: Any) -> ProjectTemplate:
    return ProjectTemplate(**(ROLLOUT | given))


def eur(amount: int) -> Money:
    return Money(Decimal(amount), "EUR")


def line(amount: str = "1000.00", currency: str = "EUR", **given: Any) -> DealLine:
    price = Money(Decimal(amount), currency)
    plain: dict[str, Any] = {"product_code": "ROLLOUT", "name": "Rollout", "total": price}
    return DealLine(**plain | given)


def planned(
    model: BillingModel, *lines: DealLine, templates: Sequence[ProjectTemplate]
) -> tuple[Project, BillingSchedule]:
    """The project and the schedule of a deal with these lines."""
    prices = [each.total for each in lines if each.total]
    deal = Deal(
        id="D" * 26,
        state="won",
        entity="DE",
        value=total(prices[0].currency, prices),
        billing_model=model,
        closed_on=WON_ON,
        starts_on=START,
        lines=lines,
    )
    party = Entity(name="Firm", country="DE", region="EMEA", currency="EUR")
    metadata = Metadata(
        version=1, entities={"DE": party}, connections={}, templates=tuple(templates)
    )
    terms: DeliveryTerms = terms_of(deal, metadata)
    customer = Customer(id="C", name="Elbtal GmbH")
    contract = sold(Source("salesforce", "006A"), deal, customer, None, SOLD_AT)
    project = project_of(contract, deal, terms)
    return project, schedule_of(contract, project, terms)


PHASES = (
    TemplateTask(code="lead", name="Project lead", role="PM", hours=Decimal(10)),
    TemplateTask(code="build", name="Build", share=75, lasts_days=30),
    TemplateTask(code="launch", name="Launch", share=25, starts_after_days=30, parent="build"),
)


def test_hours_are_planned_first_and_shares_split_what_they_leave() -> None:
    sale = line(quantity=Decimal(90), unit="hour")

    project, _ = planned("time_and_materials", sale, templates=[template(tasks=PHASES)])

    hours = {task.name: (task.role, task.planned_hours) for task in project.tasks}
    assert hours == {
        "Rollout: Project lead": ("PM", Decimal(10)),
        "Rollout: Build": ("ROLLOUT", Decimal(60)),
        "Rollout: Launch": ("ROLLOUT", Decimal(20)),
    }
    assert project.budget is not None
    assert (project.budget.hours, project.template) == (Decimal(90), "rollout")


def test_a_task_begins_and_ends_as_many_days_after_the_start_as_its_template_says() -> None:
    project, _ = planned("time_and_materials", line(), templates=[template(tasks=PHASES)])

    _, build, launch = project.tasks
    assert (build.starts_on, build.ends_on) == (START, date(2026, 5, 15))
    assert (launch.starts_on, launch.parent) == (date(2026, 5, 15), build.code)
    assert missing_parents(project.tasks) == []


def test_roles_are_asked_for_once_for_all_tasks_of_a_line() -> None:
    lines = [line(quantity=Decimal(90), unit="hour"), line(quantity=Decimal(2), unit="day")]
    project, _ = planned("time_and_materials", *lines, templates=[template(tasks=PHASES[1:])])

    asked = [(each.role, each.hours, each.starts_on) for each in staffing_of(project)]

    assert asked == [("ROLLOUT", Decimal(90), START), ("ROLLOUT", 2 * DAY, START)]


SIGNED = TemplateMilestone(code="design", name="Design signed off", share=30, due_after_days=30)
LIVE = TemplateMilestone(code="live", name="Live", share=50, due_after_days=90)


def test_a_price_is_billed_by_milestone_and_what_is_left_of_it_on_the_first_day() -> None:
    _, schedule = planned("fixed_price", line(), templates=[template(milestones=(SIGNED, LIVE))])

    told = [(each.bill_on, each.milestone, int(each.total.amount)) for each in schedule.lines]
    assert told == [(START, None, 200), (None, "design", 300), (None, "live", 500)]


def test_lines_that_reach_the_same_milestone_on_the_same_day_reach_it_once() -> None:
    later = line("2000.00", starts_on=date(2026, 7, 1))
    lines = (line(), line("500.00"), later)

    project, schedule = planned("milestone", *lines, templates=[template(milestones=(SIGNED,))])

    reached = [(each.due_on, each.amount) for each in project.milestones]
    assert reached == [(date(2026, 5, 15), eur(450)), (date(2026, 7, 31), eur(600))]
    assert len({each.code for each in project.milestones}) == 2
    assert [each.bill_on for each in schedule.lines[:2]] == [START, date(2026, 7, 1)]


def test_what_is_sold_in_ramps_is_billed_in_ramps() -> None:
    first = line("3000.00", starts_on=date(2026, 4, 1), ends_on=date(2026, 6, 30))
    second = line("8000.00", starts_on=date(2026, 6, 1), ends_on=date(2026, 9, 30))

    _, schedule = planned("retainer", first, second, templates=[template()])

    told = [(each.bill_on, int(each.total.amount)) for each in schedule.lines]
    assert told == [
        (date(2026, 4, 1), 1000),
        (date(2026, 5, 1), 1000),
        (date(2026, 6, 1), 3000),
        *((date(2026, month, 1), 2000) for month in (7, 8, 9)),
    ]


def test_without_milestones_a_line_is_billed_when_it_is_delivered() -> None:
    project, schedule = planned("fixed_price", line(), line("5.00"), templates=[template()])

    assert [each.name for each in project.milestones] == ["Rollout delivered"] * 2
    assert [each.milestone for each in schedule.lines] == ["M1", "M2"]


def test_what_is_billed_as_it_is_worked_reaches_milestones_that_bill_nothing() -> None:
    project, schedule = planned(
        "time_and_materials", line(), templates=[template(milestones=(SIGNED,))]
    )

    assert [(each.code, each.amount) for each in project.milestones] == [("design", None)]
    assert schedule.lines == ()


def test_what_is_given_away_is_planned_and_never_billed() -> None:
    free = line("0.00", quantity=Decimal(8), unit="hour")

    project, schedule = planned(
        "milestone", line(), free, templates=[template(milestones=(SIGNED,))]
    )

    assert project.tasks[1].planned_hours == 8
    assert [int(each.total.amount) for each in schedule.lines] == [700, 300]


MODELS: list[BillingModel] = ["time_and_materials", "fixed_price", "milestone", "retainer"]
SHARES = st.lists(st.integers(1, 33), max_size=3)


@pytest.mark.parametrize("model", MODELS)
@given(
    shares=SHARES,
    units=st.lists(st.integers(1, 10**9), min_size=1, max_size=4),
    currency=st.sampled_from(["EUR", "USD", "GBP", "JPY", "KWD"]),
    ends_on=st.none() | st.dates(date(2025, 1, 1), date(2029, 1, 1)),
)
def test_budget_and_bills_come_to_what_was_sold(
    model: BillingModel,
    shares: list[int],
    units: list[int],
    currency: str,
    ends_on: date | None,
) -> None:
    milestones = tuple(
        TemplateMilestone(code=f"m{n}", name="M", share=share, due_after_days=20 * (n % 2))
        for n, share in enumerate(shares)
    )
    amounts = [str(Decimal(unit).scaleb(-DECIMALS[currency])) for unit in units]
    lines = [line(each, currency, ends_on=ends_on) for each in amounts]

    project, schedule = planned(model, *lines, templates=[template(milestones=milestones)])

    assert project.budget is not None
    assert line_total_problem(project.budget.total, project.budget.lines) is None
    assert line_total_problem(schedule.total, schedule.lines) is None
    assert schedule.total == project.budget.total
    assert bool(schedule.lines) == (model != "time_and_materials")
    known = {each.code for each in project.milestones}
    assert {each.milestone for each in schedule.lines} <= {None, *known}


@given(
    shares=st.lists(st.integers(1, 50), min_size=1, max_size=2),
    quantity=st.decimals("0.25", "5000", places=2),
)
def test_planned_hours_come_to_what_was_sold(shares: list[int], quantity: Decimal) -> None:
    rest = 100 - sum(shares)
    tasks = tuple(
        TemplateTask(code=f"t{n}", name="T", share=share)
        for n, share in enumerate([*shares, rest] if rest else shares)
    )
    sale = line(quantity=quantity, unit="hour")

    project, _ = planned("time_and_materials", sale, templates=[template(tasks=tasks)])

    assert sum(task.planned_hours or 0 for task in project.tasks) == quantity
    assert sum(each.hours for each in staffing_of(project)) == quantity


ANY = template(code="any", packages=())
NEWER = template(code="newer", from_on=date(2026, 1, 1))
BY_MODEL = template(code="by-model", billing_models=("milestone",))
GERMAN = template(code="german", billing_models=("milestone",), entities=("DE",))
ENDED = template(code="ended", entities=("DE",), to_on=date(2026, 1, 1))


@pytest.mark.parametrize(
    ("package", "model", "entity", "on", "taken"),
    [
        ("ROLLOUT", "milestone", "DE", WON_ON, "german"),
        ("ROLLOUT", "milestone", "US", WON_ON, "by-model"),
        ("ROLLOUT", "retainer", "US", WON_ON, "newer"),
        ("ROLLOUT", "retainer", "US", date(2025, 12, 31), "rollout"),
        ("ROLLOUT", "retainer", "DE", date(2025, 12, 31), "ended"),
        ("AUDIT", "retainer", "DE", WON_ON, "any"),
        (None, "retainer", "DE", WON_ON, "any"),
        ("ROLLOUT", "retainer", "DE", date(2023, 12, 31), None),
    ],
)
def test_a_package_takes_the_template_that_names_it_most_closely_that_day(
    package: str | None, model: BillingModel, entity: str, on: date, taken: str | None
) -> None:
    known = [ANY, template(), NEWER, BY_MODEL, GERMAN, ENDED]

    found = template_of(known, package, model, entity, on)

    assert (found.code if found else None) == taken
