"""What is billed and paid: schedules, invoices, credit notes, payments and their application."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, Protocol

import msgspec

from contracts.canonical.deal import BillingModel
from contracts.canonical.identity import Ref
from contracts.canonical.moment import Moment
from contracts.canonical.money import EXACT, Currency, Money, rounded, shared, total
from contracts.canonical.party import BankAccount
from contracts.canonical.visibility import FINANCE_ONLY
from contracts.errors import FieldError


class BillingLine(msgspec.Struct, frozen=True, kw_only=True):
    """An amount that becomes billable on a day or with a milestone."""

    number: int
    external_id: str | None = None
    name: str | None = None
    milestone: str | None = None
    bill_on: date | None = None
    total: Money
    state: Literal["planned", "released", "invoiced", "cancelled"] = "planned"
    invoice: Ref | None = None


class BillingSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """When which part of a contract is billed; the lines add up to `total`."""

    id: str | None = None
    external_id: str | None = None
    key: str | None = None
    entity: str | None = None
    customer: Ref | None = None
    contract: Ref | None = None
    contract_version: int | None = None
    project: Ref | None = None
    billing_model: BillingModel
    total: Money
    lines: tuple[BillingLine, ...] = ()
    payment_terms: str | None = None
    purchase_order: str | None = None
    changed_at: Moment | None = None
    extensions: dict[str, str] = {}


class InvoiceLine(msgspec.Struct, frozen=True, kw_only=True):
    """One billed item; `total` is without tax."""

    number: int
    name: str | None = None
    product_code: str | None = None
    project: Ref | None = None
    billing_line: int | None = None
    quantity: Decimal | None = None
    unit_price: Money | None = None
    total: Money
    tax: Money | None = None
    tax_code: str | None = None
    dimensions: dict[str, str] = {}


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """A demand for money: the lines add up to `net`, and `gross` is `net` with `tax`."""

    id: str | None = None
    external_id: str | None = None
    key: str | None = None
    number: str | None = None
    entity: str | None = None
    customer: Ref
    project: Ref | None = None
    schedule: Ref | None = None
    state: Literal["draft", "posted", "sent", "part_paid", "paid", "void", "disputed"] = "draft"
    currency: Currency
    net: Money
    tax: Money
    gross: Money
    lines: tuple[InvoiceLine, ...] = ()
    invoiced_on: date | None = None
    due_on: date | None = None
    purchase_order: str | None = None
    document_url: str | None = None
    changed_at: Moment | None = None
    extensions: dict[str, str] = {}


class CreditNote(msgspec.Struct, frozen=True, kw_only=True):
    """Takes back all or a part of an invoice; amounts are positive, the note turns them round."""

    id: str | None = None
    external_id: str | None = None
    key: str | None = None
    number: str | None = None
    entity: str | None = None
    customer: Ref
    invoice: Ref | None = None
    state: Literal["draft", "posted", "applied", "void"] = "draft"
    reason: str | None = None
    net: Money
    tax: Money
    gross: Money
    lines: tuple[InvoiceLine, ...] = ()
    credited_on: date | None = None
    changed_at: Moment | None = None
    extensions: dict[str, str] = {}


class CashApplication(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a payment that settles one invoice."""

    invoice: Ref
    amount: Money
    discount: Money | None = None
    written_off: Money | None = None
    applied_on: date | None = None


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """Money received; what is not applied stays on the customer's account."""

    id: str | None = None
    external_id: str | None = None
    key: str | None = None
    entity: str | None = None
    customer: Ref | None = None
    amount: Money
    received_on: date
    method: str | None = None
    reference: str | None = None
    payer_account: Annotated[BankAccount | None, FINANCE_ONLY] = None
    applications: tuple[CashApplication, ...] = ()
    state: Literal["received", "applied", "returned"] = "received"
    changed_at: Moment | None = None
    extensions: dict[str, str] = {}


class HasTotal(Protocol):
    """A line that has a total."""

    @property
    def total(self) -> Money:
        """What this line comes to."""


def line_total_problem(header: Money, lines: Iterable[HasTotal]) -> FieldError | None:
    """Why the lines do not add up to the header, or None if they do (or there are none)."""
    totals = [line.total for line in lines]
    if not totals:
        return None
    if strange := {money.currency for money in totals} - {header.currency}:
        message = f"lines in {', '.join(sorted(strange))} under a header in {header.currency}"
        return FieldError(pointer="/lines", code="lines.currency", message=message)
    found = total(header.currency, totals).amount
    if found == header.amount:
        return None
    message = f"the lines add up to {found} {header.currency}, the header says {header.amount}"
    return FieldError(pointer="/lines", code="lines.total", message=message)


def billing_lines(whole: Money, weights: Sequence[Decimal | int]) -> tuple[BillingLine, ...]:
    """Planned lines that share the whole by weight and add up to it exactly."""
    return tuple(
        BillingLine(number=number, total=part)
        for number, part in enumerate(shared(whole, weights), start=1)
    )


def line_total(quantity: Decimal, unit_price: Money) -> Money:
    """Quantity times price, rounded once, in the price's currency."""
    return rounded(Money(EXACT.multiply(quantity, unit_price.amount), unit_price.currency))


def unapplied(payment: Payment) -> Money:
    """What is left of a payment after its applications."""
    used = total(payment.amount.currency, (part.amount for part in payment.applications))
    return Money(EXACT.subtract(payment.amount.amount, used.amount), used.currency)


def gross_problem(invoice: Invoice | CreditNote) -> FieldError | None:
    """Why net and tax do not make the gross amount, or None if they do."""
    try:
        found = total(invoice.gross.currency, (invoice.net, invoice.tax))
    except ValueError as error:
        return FieldError(pointer="/gross", code="gross.currency", message=str(error))
    if found == invoice.gross:
        return None
    message = f"net and tax are {found.amount}, gross says {invoice.gross.amount}"
    return FieldError(pointer="/gross", code="gross.total", message=message)
