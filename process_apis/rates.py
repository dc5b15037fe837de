"""What was sold beside the rate card: the card is a reference, the sold rate is what holds."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import ROUND_HALF_UP, Decimal

import msgspec

from contracts.canonical.contract import Contract, ContractLine, RateCard, cards_for, rate_of
from contracts.canonical.deal import Deal, DealLine
from contracts.canonical.money import Money

CENT, WHOLE = Decimal("0.01"), 100


def beside_cards(contract: Contract, cards: Iterable[RateCard], deal: Deal) -> Contract:
    """The contract, each line of its newest version with the rate of its role's card that day."""
    known = cards_for(cards, contract.entity, contract.customer)
    on = deal.closed_on or date.min
    lines = tuple(compared(line, known, deal.region, on) for line in contract.current.lines)
    version = msgspec.structs.replace(contract.current, lines=lines)
    return msgspec.structs.replace(contract, versions=(*contract.versions[:-1], version))


def compared(
    line: ContractLine, cards: Iterable[RateCard], region: str | None, on: date
) -> ContractLine:
    """The line with the card's rate, and how far below it was sold."""
    if (rate := card_rate(line, cards, region, on)) is None:
        return line
    sold_at = line.total.amount / line.quantity if line.quantity else rate.amount
    below = (1 - sold_at / rate.amount) * WHOLE
    discount = below.quantize(CENT, ROUND_HALF_UP)
    return msgspec.structs.replace(line, card_rate=rate, discount_percent=discount)


def card_rate(
    line: ContractLine | DealLine, cards: Iterable[RateCard], region: str | None, on: date
) -> Money | None:
    """The rate of the sold role, by the first card that has one for the unit that was sold."""
    role = line.role or line.product_code
    if role is None or line.total is None:
        return None
    for card in cards:
        rate = rate_of(card, role, region, line.total.currency, on)
        if rate is not None and rate.unit == (line.unit or "").lower() and rate.rate.amount:
            return rate.rate
    return None
