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
    day: Decimal = Decimal(8)
    month: Decimal = Decimal(160)


class Entity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A legal entity; `tax_ids` is a customer's country -> python-stdnum module of its number.

    `dimensions` are those that all its projects have; an empty list of values allows any.
    """

    name: str
    country: Country
    region: str
    unit: str | None = None
    currency: Currency
    tax_ids: dict[Country, str] = {}
    tax_code_required: bool = True
    purchase_order_required: bool = False
    rate_card_required: bool = False
    free_lines: bool = False
    tax_codes: tuple[str, ...] = ()
    payment_terms: tuple[str, ...] = ()
    service_lines: tuple[str, ...] = ()
    dimensions: dict[str, str] = {}
    hours: Hours = Hours()
    retainer_months: Count = 12


class Serving(Section, frozen=True, kw_only=True):
    """Which connection plays which part, for one entity or all, from a day on."""

    entity: str | None = None
    valid_from: date | None = msgspec.field(name=FROM, default=None)
    serves: dict[Kind, str]


class Owner(Section, frozen=True, kw_only=True):
    """Another system of record than the default, for an object or one attribute of it."""

    object: str
    attribute: str | None = None
    entity: str | None = None
    system: Kind | Literal["throughline"]
    valid_from: date | None = msgspec.field(name=FROM, default=None)


class Approval(Section, frozen=True, kw_only=True):
    """Above this value a flow of the entity waits for this role."""

    entity: str
    flow: str
    above: Money
    owner: str
    valid_from: date = msgspec.field(name=FROM)
    until: date | None = None


class Duty(Section, frozen=True, kw_only=True):
    """Who did the one for a record may not do the other; a comment is a decision proposed."""

    entity: str | None = None
    did: DecisionKind | Literal["start", "comment"]
    may_not: DecisionKind
    valid_from: date | None = msgspec.field(name=FROM, default=None)


class DealChanges(Section, frozen=True, kw_only=True):
    """What becomes of a project whose deal changes; `owner` decides about what is held."""

    entity: str | None = None
    flow: str = "deal_to_project"
    reopened: Literal["hold", "reverse", "amend"] = "hold"
    lost: Literal["hold", "reverse"] = "hold"
    changed: Literal["amend", "keep"] = "amend"
    owner: str = "delivery-operations"
    valid_from: date | None = msgspec.field(name=FROM, default=None)


class Matching(Section, frozen=True, kw_only=True):
    """From which score on it is the same customer, and from which on a person is asked."""

    certain: Percent = 90
    likely: Percent = 50


class Contacts(Section, frozen=True, kw_only=True):
    """Which of a deal's contacts a connection gets: those who play one of these roles."""

    connection: str
    roles: tuple[str, ...]


class ExchangeRate(Section, frozen=True, kw_only=True):
    """What one unit of `source` was worth from this day on."""

    source: Currency = msgspec.field(name=FROM)
    to: Currency
    rate: Decimal
    on: date


class Metadata(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    version: Literal[1]
    entities: dict[str, Entity]
    connections: dict[str, Connection]
    roles: tuple[Serving, ...] = ()
    feeds: tuple[Feed, ...] = ()
    mappings: dict[str, Layers] = {}
    ownership: tuple[Owner, ...] = ()
    approvals: tuple[Approval, ...] = ()
    duties: tuple[Duty, ...] = ()
    deal_changes: tuple[DealChanges, ...] = ()
    contacts: tuple[Contacts, ...] = ()
    matching: Matching = Matching()
    templates: tuple[ProjectTemplate, ...] = ()
    rate_cards: tuple[RateCard, ...] = ()
    rates: tuple[ExchangeRate, ...] = ()
    stewards: dict[str, str] = {}

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
