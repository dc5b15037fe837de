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
    """Its name within the template, each once; in the project it is `T1.<code>`, after the line's
    number."""
    name: str
    """What people see, after the name of the line."""
    parent: str | None = None
    """The code of the task of this template that it is below."""
    role: str | None = None
    """Who does it; left out, the line's role, or its product where it is sold by time."""
    share: Percent | None = None
    """Whole per cent of the hours that fixed ones leave, 1 to 100; those of a template make 100;
    not beside `hours`."""
    hours: Decimal | None = None
    """Fixed hours, above 0, such as `"4"`; not beside `share`."""
    starts_after_days: Days = 0
    """Days after the first day of the line."""
    lasts_days: Days | None = None
    """Days from its start to its end; left out, it ends with the line."""


class TemplateMilestone(msgspec.Struct, frozen=True, kw_only=True):
    """A point to reach, and the percentage of the price that may be billed then."""

    code: str
    """Its name within the template, each once; on one day, those of several lines are one."""
    name: str
    """What people see."""
    share: Percent | None = None
    """Whole per cent of the line's price, 1 to 100, together 100 at most; left out, it bills
    nothing."""
    due_after_days: Days | None = None
    """Days after the first day of the line; left out, its last day."""


class ProjectTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """How what was sold becomes work: for these packages, billing models and entities, or for any.

    Without tasks a line is planned as it was sold; without milestones it is billed when it is
    delivered. What the milestones leave of a price is billed on the first day.
    """

    code: str
    """Its name; with `version` each once."""
    version: int = 1
    """Of two that fit alike and begin on one day, the higher holds."""
    name: str
    """What it is called; nothing is decided by it."""
    packages: tuple[str, ...] = ()
    """Product codes of the lines it takes; left out, any, after those that name it."""
    billing_models: tuple[BillingModel, ...] = ()
    """Those of the deals it is for; left out, all."""
    entities: tuple[str, ...] = ()
    """Names of the entities it is for; left out, all."""
    from_on: date
    """First day on which a deal was won that it is for."""
    to_on: date | None = None
    """The day before which it ends; left out, it does not end."""
    tasks: tuple[TemplateTask, ...] = ()
    """The work breakdown of each line that takes it."""
    milestones: tuple[TemplateMilestone, ...] = ()
    """What is reached; with fixed price or by milestone, what is billed then."""
    extensions: dict[str, str] = {}
    """For notes of your own; nothing reads them."""


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
    """The role or product code on a line of a deal."""
    region: str | None = None
    """That of the deal; left out, any that has no rate of its own."""
    rate: Money
    """The price of one `unit`, above 0, up to six decimals; compared with lines in its currency
    only."""
    unit: Literal["hour", "day", "month"] = "hour"
    """The unit that the line is sold by; units are not converted."""
    from_on: date
    """First day on which a deal was won that it is for."""
    to_on: date | None = None
    """The day before which it ends; left out, it does not end. No two of a card overlap."""


class RateCard(msgspec.Struct, frozen=True, kw_only=True):
    """Agreed prices by role, region, currency and date; a customer's card beats the entity's."""

    code: str
    """Its name, each once."""
    name: str
    """What it is called; nothing is decided by it."""
    entity: str | None = None
    """The name of one of `entities`; left out, all."""
    customer: Ref | None = None
    """The one it was agreed with; left out, all."""
    rates: tuple[Rate, ...] = ()
    """Its prices."""


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
