"""The canonical model, as the business speaks of it."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.canonical.contract import (
    Contract,
    ContractVersion,
    Rate,
    RateCard,
    rate_of,
    version_on,
)
from contracts.canonical.deal import Deal, DealLine
from contracts.canonical.identity import Ref, Source
from contracts.canonical.money import Money
from contracts.canonical.party import Customer, LegalEntity
from contracts.canonical.project import Task, missing_parents
from contracts.canonical.resource import CostRate, Resource, cost_rate_on
from contracts.canonical.revenue import RevenueLine, RevenueSchedule, recognised
from contracts.canonical.visibility import restricted
from contracts.schemas import contracts

DAYS = st.dates(date(2020, 1, 1), date(2030, 12, 31))


def pounds(amount: int) -> Money:
    return Money(Decimal(amount), "GBP")


@pytest.mark.parametrize("name", sorted(contracts()))
def test_a_contract_is_frozen_and_told_in_a_sentence(name):
    struct = contracts()[name]
    assert struct.__struct_config__.frozen
    assert struct.__doc__


@pytest.mark.parametrize("name", sorted(contracts()))
def test_moments_and_dates_are_named_as_such(name):
    for field in msgspec.structs.fields(contracts()[name]):
        told = str(field.type)
        if "datetime.datetime" in told and name != "event":  # CloudEvents names its own `time`
            assert field.name.endswith(("_at", "since", "until")), field.name
        elif "datetime.date" in told and "datetime.datetime" not in told:
            assert field.name.endswith(("_on", "since")), field.name
        assert "float" not in told or field.name in {"ms", "retry_after"}


def test_a_deal_that_sales_left_half_empty_can_still_be_read():
    deal = msgspec.json.decode(b'{"external_id": "006", "state": "won"}', type=Deal)
    assert deal.value is None
    assert deal.lines == ()


def test_a_moment_without_a_zone_is_refused():
    with pytest.raises(msgspec.ValidationError, match="changed_at"):
        msgspec.json.decode(b'{"state": "won", "changed_at": "2026-01-31T10:00:00"}', type=Deal)


def test_a_vendors_json_number_never_passes_through_float():
    line = msgspec.json.decode(b'{"quantity": 0.1234567890123456789}', type=DealLine)
    assert line.quantity == Decimal("0.1234567890123456789")


def test_custom_fields_survive_a_round_trip():
    deal = Deal(state="open", extensions={"x_competitor": "Initech"})
    assert msgspec.json.decode(msgspec.json.encode(deal), type=Deal) == deal


# Who may see what ------------------------------------------------------------------------------


def test_cost_rates_and_bank_details_are_not_for_everyone():
    assert restricted(Resource) == {"cost_rates": {"finance", "resource-management"}}
    assert restricted(Customer) == {"credit_limit": {"finance"}, "bank_accounts": {"finance"}}
    assert restricted(LegalEntity) == {"bank_accounts": {"finance"}}
    assert restricted(Deal) == {}


# What held on a day ----------------------------------------------------------------------------


def rate(region: str | None, amount: int, from_on: date, to_on: date | None = None) -> Rate:
    return Rate(role="consultant", region=region, rate=pounds(amount), from_on=from_on, to_on=to_on)


CARD = RateCard(
    code="UK-2026",
    name="United Kingdom 2026",
    rates=(
        rate(None, 100, date(2026, 1, 1)),
        rate("north", 90, date(2026, 1, 1), date(2026, 7, 1)),
        rate("north", 95, date(2026, 7, 1)),
    ),
)


@pytest.mark.parametrize(
    ("region", "on", "expected"),
    [
        ("south", date(2026, 3, 1), 100),
        ("north", date(2026, 6, 30), 90),
        ("north", date(2026, 7, 1), 95),
        (None, date(2026, 7, 1), 100),
    ],
)
def test_a_rate_of_the_region_beats_the_rate_of_all(region, on, expected):
    found = rate_of(CARD, "consultant", region, "GBP", on)
    assert found is not None
    assert found.rate == pounds(expected)


@pytest.mark.parametrize(
    ("role", "currency", "on"),
    [
        ("director", "GBP", date(2026, 3, 1)),
        ("consultant", "EUR", date(2026, 3, 1)),
        ("consultant", "GBP", date(2025, 12, 31)),
    ],
)
def test_a_rate_that_nobody_agreed_is_not_guessed(role, currency, on):
    assert rate_of(CARD, role, None, currency, on) is None


@given(st.lists(st.tuples(DAYS, DAYS), max_size=8), DAYS)
def test_the_latest_version_that_covers_the_day_holds(spans, on):
    versions = [
        ContractVersion(number=at, value=pounds(at), from_on=min(span), to_on=max(span))
        for at, span in enumerate(spans, start=1)
    ]
    covering = [item.number for item in versions if item.from_on <= on < item.to_on]
    found = version_on(versions, on)
    assert (found.number if found else None) == max(covering, default=None)


def test_a_change_order_adds_a_version_and_edits_none():
    first = ContractVersion(number=1, value=pounds(100), from_on=date(2026, 1, 1))
    second = ContractVersion(number=2, value=pounds(120), from_on=date(2026, 5, 1))
    contract = Contract(
        id="k1",
        deal=Source("salesforce", "006"),
        customer=Ref("c1"),
        entity="UK",
        billing_model="fixed_price",
        currency="GBP",
        versions=(second, first),
        activated_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    assert contract.current is second
    assert version_on(contract.versions, date(2026, 4, 30)) is first


def test_a_raise_does_not_change_what_last_month_cost():
    anna = Resource(
        name="Anna",
        cost_rates=(
            CostRate(rate=pounds(40), from_on=date(2026, 1, 1), to_on=date(2026, 4, 1)),
            CostRate(rate=pounds(44), from_on=date(2026, 4, 1)),
        ),
    )
    assert cost_rate_on(anna, date(2026, 3, 31)) == pounds(40)
    assert cost_rate_on(anna, date(2026, 4, 1)) == pounds(44)
    assert cost_rate_on(anna, date(2025, 12, 31)) is None


def test_revenue_counts_when_it_was_recognised_not_when_it_was_planned():
    def line(number: int, state: Any, on: date | None) -> RevenueLine:
        month = date(2026, number, 1)
        return RevenueLine(
            number=number, from_on=month, to_on=month, total=pounds(10), state=state,
            recognised_on=on,
        )  # fmt: skip

    schedule = RevenueSchedule(
        contract=Ref("k1"),
        method="straight_line",
        total=pounds(30),
        lines=(
            line(1, "recognised", date(2026, 1, 31)),
            line(2, "recognised", date(2026, 3, 31)),
            line(3, "planned", None),
        ),
    )
    assert recognised(schedule, date(2026, 2, 28)) == pounds(10)
    assert recognised(schedule, date(2026, 12, 31)) == pounds(20)


def test_a_task_under_a_task_that_is_not_there_is_found():
    tasks = (Task(code="1", name="Design"), Task(code="2.1", name="Test", parent="2"))
    assert missing_parents(tasks) == ["2.1"]
