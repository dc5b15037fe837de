"""What was agreed and at which prices: contracts, packages, templates and rate cards."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from contracts.canonical.deal import BillingModel
from contracts.canonical.identity import Ref, Source
from contracts.canonical.moment import Moment
from contracts.canonical.money import Currency, Money
from contracts.canonical.visibility import COMMERCIAL

Percent = Annotated[int, msgspec.Meta(ge=1, le=100)]
Days = Annotated[int, msgspec.Meta(ge=0)]


class ContractLine(msgspec.Struct, frozen=True, kw_only=True):
    """One promise of a version, with the price at which it was sold.

    `card_rate` is what the rate card said that day; `discount_percent` how far the price was below.
    """

    number: int
    name: str | None = None
    product_code: str | None = None
    role: str | None = None
    quantity: Decimal | None = None
    unit: str | None = None
    unit_price: Money | None = None
    card_rate: Annotated[Money | None, COMMERCIAL] = None
    discount_percent: Annotated[Decimal | None, COMMERCIAL] = None
    total: Money
    starts_on: date | None = None
    ends_on: date | None = None


class ApprovalLimit(msgspec.Struct, frozen=True, kw_only=True):
    """The value above which a deal needs an approval, and the role that gives it."""

    above: Money
    owner: str


class ContractVersion(msgspec.Struct, frozen=True, kw_only=True):
    """What holds from a day on; a change order adds the next number, it never edits this one.

    A version above a limit says who approved it, when, and which limit that was.
    """

    number: int
    value: Money
    lines: tuple[ContractLine, ...] = ()
    from_on: date
    to_on: date | None = None
    reason: str | None = None
    signed_on: date | None = None
    approved_by: str | None = None
    approved_at: Moment | None = None
    approval_limit: Money | None = None


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """An agreement with a customer, made from a deal. Owner: Throughline."""

    id: str
    deal: Source
    customer: Ref
    entity: str
    name: str | None = None
    sow_number: str | None = None
    purchase_order: str | None = None
    billing_model: BillingModel
    currency: Currency
    state: Literal["draft", "active", "held", "ended", "cancelled"] = "active"
    versions: tuple[ContractVersion, ...]
    activated_at: Moment | None = None
    extensions: dict[str, str] = {}

    @property
    def current(self) -> ContractVersion:
        """The version that was agreed last."""
        return max(self.versions, key=lambda version: version.number)


class ServicePackage(msgspec.Struct, frozen=True, kw_only=True):
    """A service as it is sold: product code, billing model, price and the project it becomes."""

    id: str | None = None
    code: str
    name: str
    service_line: str | None = None
    billing_model: BillingModel
    price: Money | None = None
    template: str | None = None
    tax_code: str | None = None
    revenue_account: str | None = None
    active: bool = True
    extensions: dict[str, str] = {}


class TemplateTask(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a template's work breakdown; `parent` is the code of another.

    It plans `hours`, whatever was sold, or a percentage of what these leave of the sold hours.
    """

    code: str
    name: str
    parent: str | None = None
    role: str | None = None
    share: Percent | None = None
    hours: Decimal | None = None
    starts_after_days: Days = 0
    lasts_days: Days | None = None


class TemplateMilestone(msgspec.Struct, frozen=True, kw_only=True):
    """A point to reach, and the percentage of the price that may be billed then."""

    code: str
    name: str
    share: Percent | None = None
    due_after_days: Days | None = None


class ProjectTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """How what was sold becomes work: for these packages, billing models and entities, or for any.

    Without tasks a line is planned as it was sold; without milestones it is billed when it is
    delivered. What the milestones leave of a price is billed on the first day.
    """

    code: str
    version: int = 1
    name: str
    packages: tuple[str, ...] = ()
    billing_models: tuple[BillingModel, ...] = ()
    entities: tuple[str, ...] = ()
    from_on: date
    to_on: date | None = None
    tasks: tuple[TemplateTask, ...] = ()
    milestones: tuple[TemplateMilestone, ...] = ()
    extensions: dict[str, str] = {}


class DeliveryTerms(msgspec.Struct, frozen=True, kw_only=True):
    """How a deal is delivered, as metadata had it on the day: where, by which templates, in hours.

    `hours` has those of a sold unit; `dimensions` are the same for all projects of the entity.
    """

    sold_on: date
    psa: str | None = None
    erp: str | None = None
    templates: tuple[ProjectTemplate, ...] = ()
    hours: dict[str, Decimal] = {}
    retainer_months: int = 12
    dimensions: dict[str, str] = {}


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """The price of a unit of a role in a region and currency, from one day until before another."""

    role: str
    region: str | None = None
    rate: Money
    unit: Literal["hour", "day", "month"] = "hour"
    from_on: date
    to_on: date | None = None


class RateCard(msgspec.Struct, frozen=True, kw_only=True):
    """Agreed prices by role, region, currency and date; a customer's card beats the entity's."""

    code: str
    name: str
    entity: str | None = None
    customer: Ref | None = None
    rates: tuple[Rate, ...] = ()


def rate_of(card: RateCard, role: str, region: str | None, currency: str, on: date) -> Rate | None:
    """The rate that holds that day: one of the region before one for all regions, newest first."""
    fitting = [
        rate
        for rate in card.rates
        if (rate.role, rate.rate.currency) == (role, currency)
        and rate.region in (region, None)
        and rate.from_on <= on
        and (rate.to_on is None or on < rate.to_on)
    ]
    return max(fitting, key=lambda rate: (rate.region is not None, rate.from_on), default=None)


def cards_for(cards: Iterable[RateCard], entity: str, customer: Ref | None) -> list[RateCard]:
    """The cards that hold for a customer of an entity, the one that goes first at the front."""
    who = {customer.id, customer.external_id} - {None} if customer else set()
    fitting = [
        card
        for card in cards
        if card.entity in (None, entity)
        and (card.customer is None or who & {card.customer.id, card.customer.external_id})
    ]
    return sorted(fitting, key=lambda card: (card.customer is None, card.entity is None))


def template_of(
    templates: Iterable[ProjectTemplate],
    package: str | None,
    model: BillingModel,
    entity: str,
    on: date,
) -> ProjectTemplate | None:
    """The template of a package that day: named package, model, entity before any; then newest."""
    fitting = [
        each
        for each in templates
        if (not each.packages or package in each.packages)
        and (not each.billing_models or model in each.billing_models)
        and (not each.entities or entity in each.entities)
        and each.from_on <= on
        and (each.to_on is None or on < each.to_on)
    ]
    return max(
        fitting,
        key=lambda each: (
            *(bool(each.packages), bool(each.billing_models), bool(each.entities)),
            *(each.from_on, each.version),
        ),
        default=None,
    )


def version_on(versions: Iterable[ContractVersion], on: date) -> ContractVersion | None:
    """The version that holds on a day; where two overlap, the later number."""
    holding = [
        version
        for version in versions
        if version.from_on <= on and (version.to_on is None or on < version.to_on)
    ]
    return max(holding, key=lambda version: version.number, default=None)
