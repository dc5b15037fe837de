"""Amounts and their currencies: rounding, adding up and sharing out without losing a cent.

No amount is ever a float. On the wire money is `{"amount": "1234.50", "currency": "EUR"}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Context, Decimal, Inexact, InvalidOperation
from fractions import Fraction
from typing import Annotated, Any, TypeVar, overload

import msgspec

from contracts.errors import FieldError

Currency = Annotated[
    str, msgspec.Meta(pattern="^[A-Z]{3}$", description="ISO 4217 code", examples=["EUR"])
]


class Money(msgspec.Struct, frozen=True):
    """An exact amount of one ISO 4217 currency."""

    amount: Decimal
    """In quotes, with a point: `"1234.50"`."""
    currency: Currency
    """ISO 4217 code, such as `EUR`."""


ISO_4217 = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN
        BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP
        GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT
        LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN
        NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE
        SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES
        WST XCD XCG YER ZAR ZMW ZWG""",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
"""Decimals of the minor unit -> currencies; metals, drawing rights and test codes have none."""

DECIMALS: dict[str, int] = {
    code: places for places, codes in ISO_4217.items() for code in codes.split()
}
RATE_DECIMALS = 6
RATES = frozenset({"rate", "unit_price", "card_rate", "bill_rate", "cost_rate"})
"""Members that are prices per unit: they may carry six decimals whatever the currency."""

WIDE = Context(prec=80)
"""Wide enough for any amount; what is rounded in it is meant to be."""
EXACT = Context(prec=80, traps=[Inexact, InvalidOperation])
"""Adding and multiplying in it never loses a digit: it raises instead."""
QUANTA = {places: Decimal(1).scaleb(-places) for places in {*ISO_4217, RATE_DECIMALS}}

Amount = TypeVar("Amount", Decimal, Money)


def decimals(currency: str) -> int:
    """How many decimals the currency's minor unit has; ValueError if there is no such currency."""
    try:
        return DECIMALS[currency]
    except KeyError:
        msg = f"{currency!r} is not an active ISO 4217 currency"
        raise ValueError(msg) from None


@overload
def rounded(value: Money, currency: str | None = None, mode: str = ROUND_HALF_UP) -> Money: ...
@overload
def rounded(value: Decimal, currency: str, mode: str = ROUND_HALF_UP) -> Decimal: ...
def rounded(
    value: Money | Decimal, currency: str | None = None, mode: str = ROUND_HALF_UP
) -> Money | Decimal:
    """The value at its currency's decimals; a bare amount needs the currency named."""
    if isinstance(value, Money):
        if currency not in (None, value.currency):
            msg = f"{value.currency} cannot be rounded as {currency}"
            raise ValueError(msg)
        return Money(_quantized(value.amount, value.currency, mode), value.currency)
    if currency is None:
        msg = "an amount is rounded in a currency"
        raise ValueError(msg)
    return _quantized(value, currency, mode)


def _quantized(amount: Decimal, currency: str, mode: str) -> Decimal:
    return amount.quantize(Decimal(1).scaleb(-decimals(currency)), rounding=mode, context=WIDE)


def exact(amount: Decimal, currency: str, *, rate: bool = False) -> Decimal:
    """The amount at its currency's decimals, a rate at up to six; ValueError if it has more."""
    try:
        return EXACT.quantize(amount, QUANTA[decimals(currency)])
    except Inexact:
        pass
    if rate:
        try:
            return EXACT.quantize(amount, QUANTA[RATE_DECIMALS]).normalize(EXACT)
        except Inexact:
            pass
    msg = f"{amount} has more decimals than {'a rate' if rate else currency} takes"
    raise ValueError(msg)


def total(currency: str, amounts: Iterable[Money]) -> Money:
    """The exact sum; ValueError if one of them is in another currency."""
    result = rounded(Decimal(0), currency)
    for money in amounts:
        if money.currency != currency:
            msg = f"{money.currency} cannot be added to {currency}"
            raise ValueError(msg)
        result = EXACT.add(result, money.amount)
    return Money(result, currency)


def shared(whole: Money, weights: Sequence[Decimal | int]) -> list[Money]:
    """The whole split by weight into amounts of its currency that add up to it exactly.

    Each part is its exact share cut down to the minor unit; the units left over go to the parts
    that lost most, the first ones where equal. A part of weight 0 gets nothing.
    """
    places = decimals(whole.currency)
    units = Fraction(whole.amount) * 10**places
    exact = [Fraction(weight) for weight in weights]
    if units.denominator != 1 or any(weight < 0 for weight in exact) or not sum(exact):
        msg = f"{whole.amount} {whole.currency} cannot be shared by the weights {list(weights)}"
        raise ValueError(msg)
    sign = -1 if units < 0 else 1
    shares = [abs(units) * weight / sum(exact) for weight in exact]
    parts = [int(share) for share in shares]
    by_loss = sorted(range(len(parts)), key=lambda at: parts[at] - shares[at])
    for at in by_loss[: int(abs(units)) - sum(parts)]:
        parts[at] += 1
    return [Money(_of_units(sign * part, places), whole.currency) for part in parts]


def _of_units(units: int, places: int) -> Decimal:
    digits = tuple(int(digit) for digit in str(abs(units)))
    return Decimal((int(units < 0), digits, -places))


def money_problems(value: Any, pointer: str = "", member: str = "") -> list[FieldError]:
    """What is wrong with the money anywhere in a decoded JSON value, before it becomes a struct.

    Money is every object with exactly `amount` and `currency`; `pointer` is where `value` sits
    and `member` the name it has there, since a rate may have more decimals than a price.
    """
    if isinstance(value, list):
        return [
            problem
            for at, item in enumerate(value)
            for problem in money_problems(item, f"{pointer}/{at}", member)
        ]
    if not isinstance(value, dict):
        return []
    if value.keys() == {"amount", "currency"}:
        return _problems_of(value["amount"], value["currency"], pointer, member)
    return [
        problem
        for name, item in value.items()
        for problem in money_problems(item, f"{pointer}/{_escaped(name)}", name)
    ]


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _problems_of(amount: Any, currency: Any, pointer: str, member: str) -> list[FieldError]:
    def problem(part: str, code: str, message: str) -> list[FieldError]:
        return [FieldError(pointer=f"{pointer}/{part}", code=code, message=message)]

    if not isinstance(currency, str) or currency not in DECIMALS:
        return problem("currency", "money-currency", f"{currency!r} is no ISO 4217 currency")
    if not isinstance(amount, str):
        return problem("amount", "money-not-string", 'write the amount as a string: "1234.50"')
    try:
        exponent = Decimal(amount).as_tuple().exponent
    except InvalidOperation:
        exponent = "n"
    if not isinstance(exponent, int) or not amount.isascii() or set(amount) - set("-0123456789."):
        return problem("amount", "money-not-number", f"{amount!r} is no decimal number")
    allowed = RATE_DECIMALS if member in RATES else decimals(currency)
    if -exponent > allowed:
        return problem("amount", "money-decimals", f"{currency} takes at most {allowed} decimals")
    return []
