"""No cent is lost: rounding, adding up and sharing out, in every currency there is."""

from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal

import msgspec
import pytest
from babel.core import get_global
from hypothesis import given
from hypothesis import strategies as st

from contracts.canonical.billing import (
    CashApplication,
    Invoice,
    InvoiceLine,
    Payment,
    billing_lines,
    gross_problem,
    line_total,
    line_total_problem,
    unapplied,
)
from contracts.canonical.identity import Ref
from contracts.canonical.money import (
    DECIMALS,
    ISO_4217,
    Money,
    decimals,
    money_problems,
    rounded,
    shared,
    total,
)
from contracts.canonical.project import BudgetLine

CURRENCIES = st.sampled_from(sorted(DECIMALS))
UNITS = st.integers(-(10**15), 10**15)
WEIGHTS = st.lists(st.decimals(0, 10**6, places=6), min_size=1, max_size=40).filter(any)


def euros(amount: str) -> Money:
    return Money(Decimal(amount), "EUR")


def money_of(units: int, currency: str) -> Money:
    return Money(Decimal(units).scaleb(-decimals(currency)), currency)


# The table ------------------------------------------------------------------------------------


def test_every_tender_of_today_is_in_the_table():
    in_use = {
        code
        for country in get_global("territory_currencies").values()
        for code, _begins, ends, tender in country
        if ends is None and tender
    }
    assert in_use <= DECIMALS.keys()
    assert DECIMALS.keys() - in_use == {  # units of account and second tenders
        "BOV", "CHE", "CHW", "CLF", "COU", "MXV", "SVC", "USN", "UYI", "UYW", "VED",
    }  # fmt: skip


def test_the_decimals_are_those_of_iso_4217_where_babel_follows_it():
    """CLDR shows some currencies without decimals that ISO 4217 gives them: prices, not books."""
    rounded_for_display = {
        "AFN", "ALL", "IQD", "IRR", "KPW", "LAK", "LBP", "MGA", "MMK", "RSD", "SOS", "SYP", "YER",
    }  # fmt: skip
    fractions = get_global("currency_fractions")
    babels = {code: fractions.get(code, fractions["DEFAULT"])[0] for code in DECIMALS}
    different = {code for code in DECIMALS if DECIMALS[code] != babels[code]}
    assert different == rounded_for_display


def test_no_currency_is_listed_twice():
    codes = [code for listed in ISO_4217.values() for code in listed.split()]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("code", ["DEM", "XAU", "XXX", "eur", ""])
def test_a_currency_nobody_pays_in_is_refused(code):
    with pytest.raises(ValueError, match="ISO 4217"):
        decimals(code)


# Rounding -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        ("10.005", "EUR", "10.01"),
        ("-10.005", "EUR", "-10.01"),
        ("1234.5", "JPY", "1235"),
        ("0.12345", "KWD", "0.123"),
        ("1.00005", "CLF", "1.0001"),
    ],
)
def test_half_a_unit_is_rounded_away_from_zero(amount, currency, expected):
    assert str(rounded(Decimal(amount), currency)) == expected


def test_a_firm_may_round_half_to_even():
    assert rounded(euros("10.005"), mode=ROUND_HALF_EVEN) == euros("10.00")


def test_money_is_not_rounded_as_another_currency():
    with pytest.raises(ValueError, match="EUR"):
        rounded(euros("1"), "JPY")


@given(CURRENCIES, st.decimals(-(10**30), 10**30, allow_nan=False, places=9))
def test_rounding_moves_by_at_most_half_a_unit_and_only_once(currency, amount):
    once = rounded(amount, currency)
    assert abs(once - amount) * 2 <= Decimal(1).scaleb(-decimals(currency))
    assert rounded(once, currency) == once
    assert once.as_tuple().exponent == -decimals(currency)


# Sums -----------------------------------------------------------------------------------------


@given(CURRENCIES, UNITS, WEIGHTS)
def test_what_is_shared_adds_up_to_the_whole(currency, units, weights):
    whole = money_of(units, currency)
    parts = shared(whole, weights)
    assert total(currency, parts) == whole
    assert all(rounded(part) == part for part in parts)
    assert line_total_problem(whole, [BudgetLine(name="x", total=part) for part in parts]) is None


@given(CURRENCIES, UNITS, WEIGHTS)
def test_no_part_is_a_whole_unit_away_from_its_exact_share(currency, units, weights):
    unit = Decimal(1).scaleb(-decimals(currency))
    for part, weight in zip(shared(money_of(units, currency), weights), weights, strict=True):
        exact = Decimal(units) * unit * weight / sum(weights)
        assert abs(part.amount - exact) < unit * Decimal("1.0000001")
        assert weight or not part.amount


def test_a_hundred_euros_in_three_parts():
    parts = shared(euros("100.00"), [1, 1, 1])
    assert [str(part.amount) for part in parts] == ["33.34", "33.33", "33.33"]


def test_a_credit_is_shared_like_the_charge_it_takes_back():
    charge, credit = shared(euros("0.05"), [1, 2]), shared(euros("-0.05"), [1, 2])
    assert [part.amount for part in credit] == [-part.amount for part in charge]


@pytest.mark.parametrize(
    ("whole", "weights"),
    [("10.00", []), ("10.00", [0, 0]), ("10.00", [2, -1]), ("10.001", [1, 1])],
)
def test_what_cannot_be_shared_fairly_is_refused(whole, weights):
    with pytest.raises(ValueError, match="cannot be shared"):
        shared(euros(whole), weights)


@given(CURRENCIES, st.lists(UNITS, max_size=60))
def test_a_sum_does_not_depend_on_the_order(currency, units):
    amounts = [money_of(unit, currency) for unit in units]
    assert total(currency, amounts) == total(currency, amounts[::-1])
    assert total(currency, amounts).amount == money_of(sum(units), currency).amount


def test_currencies_are_not_added_up():
    with pytest.raises(ValueError, match="USD cannot be added to EUR"):
        total("EUR", [euros("1"), Money(Decimal(1), "USD")])


# Headers and lines ----------------------------------------------------------------------------


def invoice(net: str, *lines: str) -> Invoice:
    return Invoice(
        customer=Ref("c1"),
        currency="EUR",
        net=euros(net),
        tax=euros("19.00"),
        gross=Money(Decimal(net) + 19, "EUR"),
        lines=tuple(
            InvoiceLine(number=at, total=euros(line)) for at, line in enumerate(lines, start=1)
        ),
    )


def test_an_invoice_adds_up():
    bill = invoice("100.00", "60.00", "40.00")
    assert line_total_problem(bill.net, bill.lines) is None
    assert gross_problem(bill) is None


def test_an_invoice_that_does_not_add_up_says_by_how_much():
    bill = invoice("100.00", "60.00", "40.01")
    problem = line_total_problem(bill.net, bill.lines)
    assert problem is not None
    assert (problem.pointer, problem.code) == ("/lines", "lines.total")
    assert "100.01" in problem.message


def test_a_line_in_another_currency_is_found():
    lines = [InvoiceLine(number=1, total=Money(Decimal(100), "USD"))]
    problem = line_total_problem(euros("100"), lines)
    assert problem is not None
    assert problem.code == "lines.currency"


def test_a_header_without_lines_is_no_problem():
    assert line_total_problem(euros("100"), []) is None


def test_gross_that_is_not_net_and_tax_is_found():
    bill = msgspec.structs.replace(invoice("100.00"), gross=euros("118.99"))
    problem = gross_problem(bill)
    assert problem is not None
    assert problem.code == "gross.total"


def test_instalments_add_up_to_the_fixed_price():
    lines = billing_lines(euros("10000.00"), [1] * 7)
    assert [line.number for line in lines] == [1, 2, 3, 4, 5, 6, 7]
    assert line_total_problem(euros("10000.00"), lines) is None


def test_hours_times_rate_are_rounded_once():
    assert line_total(Decimal("7.25"), euros("133.335")) == euros("966.68")


def test_a_payment_that_settles_two_invoices_leaves_the_rest_on_account():
    payment = Payment(
        amount=euros("500.00"),
        received_on=date(2026, 1, 31),
        applications=(
            CashApplication(invoice=Ref("i1"), amount=euros("300.00")),
            CashApplication(invoice=Ref("i2"), amount=euros("150.00")),
        ),
    )
    assert unapplied(payment) == euros("50.00")


# On the wire ----------------------------------------------------------------------------------


def test_money_on_the_wire():
    told = b'{"amount":"1234.50","currency":"EUR"}'
    assert msgspec.json.decode(told, type=Money) == euros("1234.50")
    assert msgspec.json.encode(euros("1234.50")) == told


@given(CURRENCIES, st.decimals(allow_nan=False, allow_infinity=False))
def test_amounts_survive_the_wire_digit_for_digit(currency, amount):
    money = Money(amount, currency)
    back = msgspec.json.decode(msgspec.json.encode(money), type=Money)
    assert back.amount.as_tuple() == amount.as_tuple()


@pytest.mark.parametrize(
    ("money", "pointer", "code"),
    [
        ({"amount": 1234.5, "currency": "EUR"}, "/value/amount", "money-not-string"),
        ({"amount": 12, "currency": "EUR"}, "/value/amount", "money-not-string"),
        ({"amount": None, "currency": "EUR"}, "/value/amount", "money-not-string"),
        ({"amount": "1.234", "currency": "EUR"}, "/value/amount", "money-decimals"),
        ({"amount": "1.5", "currency": "JPY"}, "/value/amount", "money-decimals"),
        ({"amount": "NaN", "currency": "EUR"}, "/value/amount", "money-not-number"),
        ({"amount": "1e3", "currency": "EUR"}, "/value/amount", "money-not-number"),
        ({"amount": " 1", "currency": "EUR"}, "/value/amount", "money-not-number"),
        ({"amount": "1,50", "currency": "EUR"}, "/value/amount", "money-not-number"),
        ({"amount": "1.00", "currency": "EURO"}, "/value/currency", "money-currency"),
        ({"amount": "1.00", "currency": ["EUR"]}, "/value/currency", "money-currency"),
    ],
)
def test_wrong_money_is_named_where_it_stands(money, pointer, code):
    (problem,) = money_problems({"value": money})
    assert (problem.pointer, problem.code) == (pointer, code)


def test_a_rate_may_have_six_decimals_where_a_price_may_not():
    price = {"amount": "133.333333", "currency": "EUR"}
    assert money_problems({"lines": [{"unit_price": price}]}) == []
    (problem,) = money_problems({"lines": [{"total": price}]})
    assert problem.pointer == "/lines/0/total/amount"


@given(CURRENCIES, UNITS)
def test_what_we_send_is_never_refused(currency, units):
    told = msgspec.to_builtins({"value": money_of(units, currency)})
    assert money_problems(told) == []
