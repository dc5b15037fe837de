"""What was sold becomes a project, a billing schedule and staffing that add up to the deal."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.canonical.billing import line_total_problem
from contracts.canonical.contract import (
    Contract,
    DeliveryTerms,
    ProjectTemplate,
    TemplateMilestone,
)
from contracts.canonical.deal import BillingModel, Deal, DealLine
from contracts.canonical.identity import Source
from contracts.canonical.money import Money, total
from contracts.canonical.party import Customer
from process_apis.engagement import months, own_name, project_of, schedule_of, sold, staffing_of

TERMS = DeliveryTerms(
    sold_on=date(2026, 1, 20),
    hours={"hour": Decimal(1), "day": Decimal(8), "month": Decimal(160)},
    templates=(
        ProjectTemplate(
            code="fixed-price",
            name="Half on start, half on acceptance",
            billing_models=("fixed_price",),
            from_on=date(2024, 1, 1),
            milestones=(TemplateMilestone(code="acceptance", name="Accepted", share=50),),
        ),
    ),
)
SOLD_AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
MODELS = get_args(BillingModel)
CENTS = st.decimals("0.01", "999999.99", places=2)


def deal(
    model: BillingModel, *totals: Decimal, currency: str = "EUR", ends_on: date | None = None
) -> Deal:
    lines = tuple(
        DealLine(
            position=n,
            product_code="CONS-SENIOR",
            name="Senior Consultant",
            quantity=Decimal(40),
            unit="hour",
            total=Money(each, currency),
        )
        for n, each in enumerate(totals, start=1)
    )
    return Deal(
        id="0" * 25 + "D",
        external_id="006A",
        state="won",
        name="ERP rollout",
        entity="DE",
        value=total(currency, (line.total for line in lines if line.total)),
        billing_model=model,
        sow_number="SOW-1",
        region="EMEA",
        service_line="Implementation",
        starts_on=date(2026, 1, 31),
        ends_on=ends_on,
        lines=lines,
    )


def contract(sale: Deal) -> Contract:
    source = Source("salesforce", sale.external_id or "")
    return sold(source, sale, Customer(id="C", name="Elbtal GmbH"), None, SOLD_AT)


@pytest.mark.parametrize("model", MODELS)
@given(totals=st.lists(CENTS, min_size=1, max_size=5))
def test_no_cent_is_lost_between_deal_budget_and_billing(
    model: BillingModel, totals: list[Decimal]
) -> None:
    sale = deal(model, *totals)
    agreed = contract(sale)

    project = project_of(agreed, sale, TERMS)
    schedule = schedule_of(agreed, project, TERMS)

    assert project.budget is not None
    assert project.budget.total == schedule.total == sale.value
    assert line_total_problem(project.budget.total, project.budget.lines) is None
    assert line_total_problem(schedule.total, schedule.lines) is None


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("ERP rollout Senior Consultant", "Senior Consultant"),
        ("Senior Consultant", "Senior Consultant"),
        ("ERP rollout", "ERP rollout"),
        (None, None),
    ],
)
def test_a_line_is_called_without_the_name_of_its_deal(line: str | None, told: str | None) -> None:
    assert own_name(line, "ERP rollout") == told


def test_time_and_materials_are_billed_as_they_are_worked() -> None:
    sale = deal("time_and_materials", Decimal(7600))
    assert schedule_of(contract(sale), project_of(contract(sale), sale, TERMS), TERMS).lines == ()


def test_a_fixed_price_is_billed_half_on_start_half_once_it_is_accepted() -> None:
    sale = deal("fixed_price", Decimal("100.01"))
    project = project_of(contract(sale), sale, TERMS)

    first, last = schedule_of(contract(sale), project, TERMS).lines

    assert (first.bill_on, first.milestone) == (date(2026, 1, 31), None)
    assert (last.bill_on, last.milestone) == (None, "acceptance")
    assert [each.code for each in project.milestones] == ["acceptance"]


def test_each_milestone_is_billed_when_it_is_reached() -> None:
    sale = deal("milestone", Decimal(10), Decimal(20))
    project = project_of(contract(sale), sale, TERMS)

    lines = schedule_of(contract(sale), project, TERMS).lines

    assert [line.milestone for line in lines] == [each.code for each in project.milestones]
    assert [line.total.amount for line in lines] == [Decimal(10), Decimal(20)]


def test_a_retainer_is_billed_each_month_to_its_end() -> None:
    sale = deal("retainer", Decimal(100), ends_on=date(2026, 4, 30))

    lines = schedule_of(contract(sale), project_of(contract(sale), sale, TERMS), TERMS).lines

    days = [date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31), date(2026, 4, 30)]
    assert [line.bill_on for line in lines] == days


def test_a_retainer_without_an_end_is_billed_for_a_year() -> None:
    days = list(months(date(2026, 3, 1), None, 12))
    assert (len(days), days[-1]) == (12, date(2027, 2, 1))


@given(
    first=st.dates(date(2020, 1, 1), date(2030, 1, 1)),
    last=st.dates(date(2020, 1, 1), date(2035, 1, 1)),
)
def test_months_are_in_order_and_within_the_term(first: date, last: date) -> None:
    days = list(months(first, last, 12))
    assert days == sorted(set(days))
    assert days[0] == first
    assert all(day <= max(first, last) for day in days)


def test_every_role_that_was_sold_by_time_is_asked_for() -> None:
    sale = deal("time_and_materials", Decimal(10), Decimal(20))

    asked = staffing_of(project_of(contract(sale), sale, TERMS))

    assert [(each.role, each.hours) for each in asked] == [("CONS-SENIOR", Decimal(40))] * 2
