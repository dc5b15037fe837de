"""The rate card is beside what was sold: the sold rate stays, the discount is told."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from contracts.canonical.contract import Contract, ContractLine, ContractVersion, Rate, RateCard
from contracts.canonical.deal import Deal
from contracts.canonical.identity import Ref, Source
from contracts.canonical.money import Money
from process_apis.rates import beside_cards

WON_ON = date(2026, 3, 31)
CUSTOMER = Ref("C", "001A")


def eur(amount: str) -> Money:
    return Money(Decimal(amount), "EUR")


def rate(amount: str, **given: Any) -> Rate:
    plain: dict[str, Any] = {"role": "SENIOR", "rate": eur(amount), "from_on": date(2026, 1, 1)}
    return Rate(**plain | given)


def card(*rates: Rate, **given: Any) -> RateCard:
    return RateCard(code="c", name="Card", rates=rates, **given)


def compared(*cards: RateCard, **given: Any) -> ContractLine:
    """A line of ten hours sold at 180 an hour, beside these cards."""
    plain: dict[str, Any] = {"role": "SENIOR", "quantity": Decimal(10), "unit": "hour"}
    plain |= {"unit_price": eur("180.00"), "total": eur("1800.00")}
    line = ContractLine(number=1, **plain | given)
    version = ContractVersion(number=1, value=line.total, lines=(line,), from_on=WON_ON)
    contract = Contract(
        id="K",
        deal=Source("salesforce", "006A"),
        customer=CUSTOMER,
        entity="DE",
        billing_model="time_and_materials",
        currency=line.total.currency,
        versions=(version,),
    )
    deal = Deal(state="won", region="EMEA", closed_on=WON_ON)
    [found] = beside_cards(contract, cards, deal).current.lines
    assert (found.unit_price, found.total) == (line.unit_price, line.total)
    return found


def test_the_sold_rate_stays_and_its_discount_is_told() -> None:
    line = compared(card(rate("200.00")))
    assert (line.card_rate, line.discount_percent) == (eur("200.00"), Decimal("10.00"))


def test_a_line_above_the_card_has_a_discount_below_zero() -> None:
    assert compared(card(rate("160.00"))).discount_percent == Decimal("-12.50")


def test_a_product_sold_by_time_is_its_role() -> None:
    line = compared(card(rate("240.00")), role=None, product_code="SENIOR")
    assert line.discount_percent == Decimal("25.00")


@pytest.mark.parametrize(
    ("cards", "holds"),
    [
        ([card(rate("200.00", region="AMER"))], None),
        ([card(rate("200.00"), rate("210.00", region="EMEA"))], "210.00"),
        ([card(rate("200.00", unit="day"))], None),
        ([card(rate("200.00", rate=Money(Decimal(200), "USD")))], None),
        ([card(rate("200.00", to_on=WON_ON))], None),
        ([card(rate("200.00"), rate("220.00", from_on=WON_ON))], "220.00"),
        ([card(rate("200.00"), entity="US")], None),
        ([card(rate("200.00")), card(rate("230.00"), entity="DE")], "230.00"),
        (
            [
                card(rate("230.00"), entity="DE"),
                card(rate("190.00"), customer=Ref(None, "001A")),
                card(rate("150.00"), customer=Ref("X", "001B")),
            ],
            "190.00",
        ),
    ],
)
def test_the_card_that_names_customer_and_entity_most_closely_holds(
    cards: list[RateCard], holds: str | None
) -> None:
    line = compared(*cards)
    assert line.card_rate == (eur(holds) if holds else None)
    assert (line.discount_percent is None) == (holds is None)
