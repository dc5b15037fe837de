"""What was sold: the deal, its lines, and the page in which a CRM hands deals over.

A field that a vendor may leave empty is optional here: the flow decides what it cannot do without.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Literal

import msgspec

from contracts.canonical.identity import Ref
from contracts.canonical.moment import Moment
from contracts.canonical.money import Money
from contracts.canonical.party import Contact, Customer

BillingModel = Literal["time_and_materials", "fixed_price", "milestone", "retainer"]
DealState = Literal["open", "won", "lost"]


class DealLine(msgspec.Struct, frozen=True, kw_only=True):
    """One thing sold; the sold price is kept even when the rate card says another."""

    external_id: str | None = None
    position: int | None = None
    product: Ref | None = None
    product_code: str | None = None
    name: str | None = None
    role: str | None = None
    quantity: Decimal | None = None
    unit: str | None = None
    unit_price: Money | None = None
    discount_percent: Decimal | None = None
    total: Money | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    extensions: dict[str, str] = {}


class Sow(msgspec.Struct, frozen=True, kw_only=True):
    """A statement of work: what was promised under which number, and the signed document."""

    number: str
    title: str | None = None
    deal: Ref | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    signed_on: date | None = None
    value: Money | None = None
    document_url: str | None = None


class Deal(msgspec.Struct, frozen=True, kw_only=True):
    """A sale, from the CRM. `owner` is the e-mail address of the person who sold it.

    `project_key` and `project_status` are what we wrote back: the CRM shows them, we own them.
    """

    id: str | None = None
    external_id: str | None = None
    number: str | None = None
    name: str | None = None
    state: DealState
    entity: str | None = None
    customer: Ref | None = None
    contact: Ref | None = None
    value: Money | None = None
    closed_on: date | None = None
    billing_model: BillingModel | None = None
    sow_number: str | None = None
    purchase_order: str | None = None
    region: str | None = None
    service_line: str | None = None
    starts_on: date | None = None
    ends_on: date | None = None
    owner: str | None = None
    project_key: str | None = None
    project_status: str | None = None
    lines: tuple[DealLine, ...] = ()
    changed_at: Moment | None = None
    extensions: dict[str, str] = {}


class DealFile(msgspec.Struct, frozen=True, kw_only=True):
    """All a flow needs to judge a deal, read at one moment; `parents` has the nearest first.

    `contacts` are all who play a part in it, `contact` is the first of them.
    """

    deal: Deal
    customer: Customer | None = None
    parents: tuple[Customer, ...] = ()
    contact: Contact | None = None
    contacts: tuple[Contact, ...] = ()


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A record that a feed could not read: it becomes a work item and the feed goes on."""

    external_id: str
    code: str
    detail: str
    object: str = "deal"
    at: Moment | None = None


class DealPage(msgspec.Struct, frozen=True, kw_only=True):
    """Deals in the order they changed; `until` is the watermark from which to go on later."""

    items: tuple[Deal, ...] = ()
    gaps: tuple[Gap, ...] = ()
    next: str | None = None
    until: Moment | None = None


class DealMark(msgspec.Struct, frozen=True, kw_only=True):
    """What we write back on a deal: the project's key and how far it is."""

    project_key: str
    status: str


class DealMarking(msgspec.Struct, frozen=True, kw_only=True):
    """One mark of a batch and the deal that gets it."""

    external_id: str
    mark: DealMark
