"""`entities.yaml` as types: what differs per legal entity, region, acquired unit or connection.

Values and paths, never expressions; secrets are references, resolved when used and never kept. What
it says of a connection stands in `connections.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Generic, Literal, TypeVar

import msgspec

from apis.runtime.connections import FROM, WEEKDAYS, Connection, Count, Feed, Layers, Section
from apis.runtime.context import CURRENT
from apis.runtime.mapping import Overrides
from apis.runtime.typed_yaml import Lines, read_yaml
from contracts.canonical.contract import Percent, ProjectTemplate, RateCard
from contracts.canonical.money import Currency, Money
from contracts.canonical.party import Country
from contracts.errors import Misconfigured
from contracts.runs import DecisionKind

__all__ = ["WEEKDAYS", "Connection", "Feed", "Layers"]
T = TypeVar("T")
Rows = TypeVar("Rows", "Serving", "DealChanges")
Kind = Literal["crm", "psa", "erp", "hcm", "billing", "tax", "signature"]


class Hours(Section, frozen=True, kw_only=True):
    """How many hours a sold unit plans; what is sold by the piece plans none."""

    hour: Decimal = Decimal(1)
    """Hours, above 0, of one that is sold as `hour`."""
    day: Decimal = Decimal(8)
    """Hours, above 0, of one that is sold as `day`."""
    month: Decimal = Decimal(160)
    """Hours, above 0, of one that is sold as `month`."""


class Entity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A legal entity; `tax_ids` is a customer's country -> python-stdnum module of its number."""

    name: str
    """Its legal name, as findings say it."""
    country: Country
    """ISO 3166 code, such as `GB`; nothing is decided by it."""
    region: str
    """Which layer of `regions` in the mappings it takes; a location that the books must know."""
    unit: str | None = None
    """The firm it was acquired as: which layer of `units` in the mappings it takes."""
    currency: Currency
    """ISO 4217 code, such as `EUR`; `check` asks for its rates on the cards, and to the currency of
    an approval."""
    tax_ids: dict[Country, str] = {}
    """Country of a customer to the check of its tax number: `{DE: eu.vat}`; one that is not here is
    not checked."""
    tax_code_required: bool = True
    """Whether a customer without a tax code keeps a deal waiting."""
    purchase_order_required: bool = False
    """Whether a deal without a purchase order waits for sales."""
    rate_card_required: bool = False
    """Whether a role sold by time that is on no rate card keeps a deal waiting."""
    free_lines: bool = False
    """Whether a line may be worth nothing: then it is planned and never billed."""
    tax_codes: tuple[str, ...] = ()
    """Those that its customers may have; left out, any."""
    payment_terms: tuple[str, ...] = ()
    """Those in use: `check` asks for each in the books' code list; a deal with others is not
    refused."""
    service_lines: tuple[str, ...] = ()
    """Those that its deals may have; left out, any."""
    dimensions: dict[str, str] = {}
    """Dimension to value, on each of its projects: `{class: external}`; wins over `department` and
    `location` of the deal."""
    hours: Hours = Hours()
    """What a unit that is sold by time plans."""
    retainer_months: Count = 12
    """Months for which a retainer without an end is billed ahead, at least 1."""


class Serving(Section, frozen=True, kw_only=True):
    """Which connection plays which part, for one entity or all, from a day on."""

    entity: str | None = None
    """The name of one of `entities`; left out, for all that have no row of their own."""
    valid_from: date | None = msgspec.field(name=FROM, default=None)
    """First day; left out, always. Of rows for the same, the last that began holds."""
    serves: dict[Kind, str]
    """Part to the name of one of `connections`: `{crm: salesforce}`."""


class Owner(Section, frozen=True, kw_only=True):
    """Another system of record than the default, for an object or one attribute of it."""

    object: str
    """As in `contracts/ownership.py`: `customer`, `legal-entity`."""
    attribute: str | None = None
    """One of its fields; left out, the whole object. `id` and `key` stay ours."""
    entity: str | None = None
    """The name of one of `entities`; left out, all. A row with it, or with an attribute, goes
    first."""
    system: Kind | Literal["throughline"]
    """The part that holds the truth; it must be one that `roles` serve, or `throughline`."""
    valid_from: date | None = msgspec.field(name=FROM, default=None)
    """First day; left out, always."""


class Approval(Section, frozen=True, kw_only=True):
    """Above this value a flow of the entity waits for this role."""

    entity: str
    """The name of one of `entities`."""
    flow: str
    """`deal_to_project`: no other asks for approvals."""
    above: Money
    """A deal worth more waits, compared in this currency by `rates`; of several, the highest it is
    above."""
    owner: str
    """The role that may approve; `check` asks for a client that has it."""
    valid_from: date = msgspec.field(name=FROM)
    """First day on which a deal was won that it is for."""
    until: date | None = None
    """Last such day; left out, it does not end."""


class Duty(Section, frozen=True, kw_only=True):
    """Who did the one for a record may not do the other; a comment is a decision proposed."""

    entity: str | None = None
    """The name of one of `entities`; left out, all."""
    did: DecisionKind | Literal["start", "comment"]
    """What somebody did before, for the same record."""
    may_not: DecisionKind
    """What that person may not decide then, by whatever client: 403 `work-item.duties-conflict`."""
    valid_from: date | None = msgspec.field(name=FROM, default=None)
    """First day (UTC) on which it is refused; left out, always."""


class DealChanges(Section, frozen=True, kw_only=True):
    """What becomes of a project whose deal changes; `owner` decides about what is held."""

    entity: str | None = None
    """The name of one of `entities`; left out, all that have no row of their own."""
    flow: str = "deal_to_project"
    """Whose deals: `deal_to_project`, the only one that has any."""
    reopened: Literal["hold", "reverse", "amend"] = "hold"
    """A won deal is open again: `hold` its project, `reverse` all; `amend` leaves it until it is
    won again."""
    lost: Literal["hold", "reverse"] = "hold"
    """A won deal is lost: `hold` its project and ask, or `reverse` all that was made."""
    changed: Literal["amend", "keep"] = "amend"
    """It is won with other terms: `amend` contract, project and billing, or `keep` them."""
    owner: str = "delivery-operations"
    """The role that is asked; `check` asks for a client that has it."""
    valid_from: date | None = msgspec.field(name=FROM, default=None)
    """First day (UTC) on which it holds; left out, always."""


class Matching(Section, frozen=True, kw_only=True):
    """From which score on it is the same customer, and from which on a person is asked."""

    certain: Percent = 90
    """Points of 100 from which the best customer of the books is taken, unless something speaks
    against it."""
    likely: Percent = 50
    """Points of 100 from which a person is asked, up to `certain`; below, a new one is made."""


class Contacts(Section, frozen=True, kw_only=True):
    """Which of a deal's contacts a connection gets: those who play one of these roles."""

    connection: str
    """The name of one of `connections`, each once; one that is not here gets none."""
    roles: tuple[str, ...]
    """As the CRM calls them, in any case: `[Billing, Decision Maker]`."""


class ExchangeRate(Section, frozen=True, kw_only=True):
    """What one unit of `from` was worth from this day on."""

    source: Currency = msgspec.field(name=FROM)
    """ISO 4217 code, such as `EUR`."""
    to: Currency
    """ISO 4217 code of another; the pair serves both ways."""
    rate: Decimal
    """Above 0, such as `"1.085000"`: units of `to` for one of `from`."""
    on: date
    """First day; it holds until a later row of the pair."""


class Metadata(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    version: Literal[1]
    """Of the form of this file."""
    entities: dict[str, Entity]
    """The firm's legal entities, by the name that deals and rows call them: `DE`."""
    connections: dict[str, Connection]
    """Accounts at vendors, by the name under `/system`: `salesforce`."""
    roles: tuple[Serving, ...] = ()
    """Which connection is the CRM, the PSA, the ERP, for whom and from when."""
    feeds: tuple[Feed, ...] = ()
    """What is read from connections to hear of won and changed deals."""
    mappings: dict[str, Layers] = {}
    """What a connection maps otherwise than `system_apis/<vendor>/mapping.py`, by its name."""
    ownership: tuple[Owner, ...] = ()
    """Only what differs from `contracts/ownership.py`."""
    approvals: tuple[Approval, ...] = ()
    """From which value on a person must agree; without any nobody is asked."""
    duties: tuple[Duty, ...] = ()
    """Who may not decide what, beside this: nobody approves what they asked for."""
    deal_changes: tuple[DealChanges, ...] = ()
    """What becomes of projects whose deal changes; without any the defaults of a row hold."""
    contacts: tuple[Contacts, ...] = ()
    """Which systems get which of a deal's contacts; one that is not named gets none."""
    matching: Matching = Matching()
    """When a customer of the books is ours."""
    templates: tuple[ProjectTemplate, ...] = ()
    """What a sold package becomes; one that no template takes waits for a person."""
    rate_cards: tuple[RateCard, ...] = ()
    """What roles cost by agreement; a deal keeps the price at which it was sold."""
    rates: tuple[ExchangeRate, ...] = ()
    """Exchange rates, by which deals are compared with `approvals`."""
    stewards: dict[str, str] = {}
    """Object (`customer`) or part (`erp`) to the role that is asked when a write is refused."""

    @classmethod
    def load(cls, path: Path) -> Metadata:
        """Read the file; Misconfigured `settings.invalid` names file, line and place."""
        return read_metadata(path)[0]


def read_metadata(path: Path) -> tuple[Metadata, Lines]:
    """Read the file and where its places stand, as `Metadata.load` does."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured("settings.invalid", f"{path.name}: {error}") from None
    return read_yaml(path.name, text, Metadata)


def converted(metadata: Metadata, value: Money, currency: str, on: date) -> Decimal:
    """The value in `currency` at the latest rate up to that day, in either direction."""
    if value.currency == currency:
        return value.amount
    known = [rate for rate in metadata.rates if rate.on <= on]
    pair = {(value.currency, currency), (currency, value.currency)}
    if not (found := [rate for rate in known if (rate.source, rate.to) in pair]):
        raise Misconfigured(
            "rate.missing",
            f"there is no exchange rate from {value.currency} to {currency} on or before {on}",
            remedy="add the rate under `rates` in the metadata",
        )
    latest = max(found, key=lambda rate: (rate.on, rate.to == currency))
    if latest.to == currency:
        return value.amount * latest.rate
    return value.amount / latest.rate


def approval_for(
    metadata: Metadata, entity: str, flow: str, value: Money, on: date
) -> Approval | None:
    """The highest limit that the value exceeds on that day, each compared in its own currency."""
    highest, found = Decimal(-1), None
    for rule in metadata.approvals:
        asked = rule.entity == entity and rule.flow == flow
        if not asked or not rule.valid_from <= on <= (rule.until or on):
            continue
        amount = converted(metadata, value, rule.above.currency, on)
        if amount > rule.above.amount and rule.above.amount / amount > highest:
            highest, found = rule.above.amount / amount, rule
    return found


def in_force(rows: tuple[Rows, ...], entity: str | None, on: date) -> list[Rows]:
    """Rows that hold for an entity that day: last its own, and of those what began last."""
    fits = [row for row in rows if row.entity in (None, entity) and (row.valid_from or on) <= on]
    return sorted(fits, key=lambda row: (row.entity is not None, row.valid_from or date.min))


def serving(metadata: Metadata, kind: Kind, entity: str | None, on: date) -> str | None:
    """The connection that plays this part."""
    rows = [row for row in in_force(metadata.roles, entity, on) if kind in row.serves]
    return rows[-1].serves[kind] if rows else None


def crms(metadata: Metadata) -> list[str]:
    """The connections that deals are won in."""
    return sorted({row.serves["crm"] for row in metadata.roles if "crm" in row.serves})


def changes_of(metadata: Metadata, flow: str, entity: str | None, on: date) -> DealChanges:
    """What becomes of a project whose deal changes."""
    rows = [row for row in in_force(metadata.deal_changes, entity, on) if row.flow == flow]
    return rows[-1] if rows else DealChanges()


def effective_mapping(
    metadata: Metadata,
    connection: str,
    object: str,  # noqa: A002 - the word
    entity: str | None = None,
) -> Overrides:
    """What the connection maps otherwise for this entity, every layer laid over the one below."""
    layers = metadata.mappings.get(connection, Layers())
    party = metadata.entities.get(entity or "")
    stack = [layers.base]
    if party is not None:
        stack += [layers.regions.get(party.region, {}), layers.entities.get(entity or "", {})]
        stack += [layers.units.get(party.unit or "", {})]
    result = Overrides()
    for layer in stack:
        if object in layer:
            result = result.over(layer[object])
    return result


class PerEntity(Generic[T]):
    """What differs by legal entity, made once for each; that of None is for all without a name."""

    def __init__(self, metadata: Metadata, make: Callable[[str | None], T]) -> None:
        self._made = {entity: make(entity) for entity in (None, *metadata.entities)}

    def __iter__(self) -> Iterator[T]:
        return iter(self._made.values())

    def of(self, entity: str | None) -> T:
        """The entity's, else that of None."""
        return self._made.get(entity) or self._made[None]

    def own(self, entity: str | None = None) -> T:
        """The entity's, else that of the one the call is for."""
        known = entity if entity in self._made else None
        return self.of(known or CURRENT.get().context.entity)
