"""`entities.yaml` as types: what differs per legal entity, region, acquired unit or connection.

Values and paths, never expressions; secrets are references, resolved when used and never kept.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from apis.runtime.log import Secret
from apis.runtime.mapping import Overrides
from apis.runtime.typed_yaml import read_yaml
from contracts.canonical.money import DECIMALS, Currency, Money
from contracts.canonical.party import Country
from contracts.errors import Misconfigured

Kind = Literal["crm", "psa", "erp", "hcm", "billing", "tax", "signature"]
Reference = Annotated[str, msgspec.Meta(pattern="^(env|file):.")]
Rate = Annotated[str, msgspec.Meta(pattern="^[1-9][0-9]*/(s|min|h|day)$")]
Clocktime = Annotated[str, msgspec.Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$")]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
WEEKDAYS: tuple[str, ...] = get_args(Weekday)
SECONDS = {"s": 1, "min": 60, "h": 3600, "day": 86400}
TAX_MODULE = re.compile(r"^[a-z_]+(\.[a-z_]+)*$")
FROM = "from"


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the file; a member it does not know stops the start."""


class Entity(Section, frozen=True, kw_only=True):
    """A legal entity; `tax_ids` is a customer's country -> python-stdnum module of its number."""

    name: str
    country: Country
    region: str
    unit: str | None = None
    currency: Currency
    tax_ids: dict[Country, str] = {}
    tax_code_required: bool = True
    purchase_order_required: bool = False


class Auth(Section, frozen=True, kw_only=True):
    """How a connection signs in; `credentials` points at an object with the parts of its kind."""

    kind: Literal["client_credentials", "jwt"]
    credentials: Reference
    audience: str | None = None


class Api(Section, frozen=True, kw_only=True):
    """The vendor's API version we are pinned to, and when the vendor takes it away."""

    version: str
    retires_on: date | None = None


class Weekly(Section, frozen=True, kw_only=True):
    """Maintenance every week; a window whose end is not after its start ends the next day."""

    day: Weekday
    start: Clocktime = msgspec.field(name=FROM)
    until: Clocktime
    zone: str = "UTC"


class Once(Section, frozen=True, kw_only=True):
    """Announced maintenance."""

    start: datetime = msgspec.field(name=FROM)
    until: datetime


class Windows(Section, frozen=True, kw_only=True):
    """A connection's maintenance calendar."""

    weekly: tuple[Weekly, ...] = ()
    once: tuple[Once, ...] = ()


class Budgets(Section, frozen=True, kw_only=True):
    """What we may ask of a vendor: calls at a time, per period, per day."""

    concurrency: int = 10
    rate: Rate | None = None
    daily: int | None = None

    @property
    def calls_per_period(self) -> tuple[int, int] | None:
        """The rate as calls and the seconds they are for."""
        if self.rate is None:
            return None
        calls, unit = self.rate.split("/")
        return int(calls), SECONDS[unit]


class Connection(Section, frozen=True, kw_only=True):
    """An account at a vendor; `url` and `login_url` may be references with a default.

    `record_url` is where a person opens a record: `{url}` and `{external_id}` are filled in.
    """

    vendor: str
    url: str
    login_url: str | None = None
    record_url: str | None = None
    auth: Auth
    api: Api
    windows: Windows = Windows()
    budgets: Budgets = Budgets()
    search_lag_s: float = 60
    deadline_s: float = 10
    transport: Literal["httpx", "aiohttp"] = "httpx"
    max_answer_bytes: int = 10_000_000


class Serving(Section, frozen=True, kw_only=True):
    """Which connection plays which part, for one entity or all, from a day on."""

    entity: str | None = None
    valid_from: date | None = msgspec.field(name=FROM, default=None)
    serves: dict[Kind, str]


class Feed(Section, frozen=True, kw_only=True):
    """What is read from a connection, how often, and how far back each time."""

    connection: str
    object: str
    every_s: float = 30
    overlap_s: float = 300
    sweep_at: Clocktime | None = "02:30"
    begins_at: datetime | None = msgspec.field(name=FROM, default=None)


class Layers(Section, frozen=True, kw_only=True):
    """A connection's mapping, object by object: base < region < entity < acquired unit."""

    base: dict[str, Overrides] = {}
    regions: dict[str, dict[str, Overrides]] = {}
    entities: dict[str, dict[str, Overrides]] = {}
    units: dict[str, dict[str, Overrides]] = {}


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


class Template(Section, frozen=True, kw_only=True):
    """Which project template a deal takes at a connection."""

    connection: str
    external_id: str
    entity: str | None = None
    billing_model: str | None = None
    service_line: str | None = None


class ExchangeRate(Section, frozen=True, kw_only=True):
    """What one unit of `source` was worth from this day on."""

    source: Currency = msgspec.field(name=FROM)
    to: Currency
    rate: Decimal
    on: date


class Metadata(Section, frozen=True, kw_only=True):
    """The whole file."""

    version: Literal[1]
    entities: dict[str, Entity]
    connections: dict[str, Connection]
    roles: tuple[Serving, ...] = ()
    feeds: tuple[Feed, ...] = ()
    mappings: dict[str, Layers] = {}
    ownership: tuple[Owner, ...] = ()
    approvals: tuple[Approval, ...] = ()
    templates: tuple[Template, ...] = ()
    rates: tuple[ExchangeRate, ...] = ()
    stewards: dict[str, str] = {}

    @classmethod
    def load(cls, path: Path) -> Metadata:
        """Read the file; Misconfigured `settings.invalid` names file, line and place."""
        return read_yaml(path, cls)


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


def connection_for(metadata: Metadata, kind: Kind, entity: str | None, on: date) -> str:
    """The connection that plays this part; an entity's own row wins, then the latest start."""
    rows = [
        ((row.entity is not None, row.valid_from or date.min), row.serves[kind])
        for row in metadata.roles
        if kind in row.serves and row.entity in (None, entity) and (row.valid_from or on) <= on
    ]
    if not rows:
        raise Misconfigured("connection.missing", f"no connection serves {kind} for {entity}")
    return max(rows, key=lambda row: row[0])[1]


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


def maintenance_until(connection: Connection, now: datetime) -> datetime | None:
    """The end of the maintenance window that is open now, or None."""
    ends = [
        window.until for window in connection.windows.once if window.start <= now < window.until
    ]
    for weekly in connection.windows.weekly:
        zone = ZoneInfo(weekly.zone)
        today = now.astimezone(zone).date()
        for back in (0, 1):
            day = today - timedelta(days=back)
            start = datetime.combine(day, time.fromisoformat(weekly.start), zone)
            end = datetime.combine(day, time.fromisoformat(weekly.until), zone)
            end = end if end > start else end + timedelta(days=1)
            if WEEKDAYS[day.weekday()] == weekly.day and start <= now < end:
                ends.append(end.astimezone(UTC))
    return max(ends, default=None)


def resolve(reference: str, env: Mapping[str, str], home: Path) -> str:
    """The text of `env:NAME|default` or `file:{home}/path#pointer`; any other text is itself."""
    value = _referred(reference, env, home)
    if not isinstance(value, str):
        raise Misconfigured("reference.not-text", f"{reference} is not a text")
    return value


def secret(reference: str, env: Mapping[str, str], home: Path) -> Secret:
    """The secret a reference points at, read now: a rotated one needs no restart."""
    return Secret(_referred(reference, env, home, private=True))


def _referred(reference: str, env: Mapping[str, str], home: Path, *, private: bool = False) -> Any:
    kind, _, rest = reference.partition(":")
    if kind == "env":
        name, given, default = rest.partition("|")
        if name not in env and not given:
            raise Misconfigured("reference.missing", f"the environment has no {name}")
        return env.get(name, default)
    if kind != "file":
        return reference
    name, _, pointer = rest.replace("{home}", str(home)).partition("#")
    path = Path(name)
    try:
        if private and path.stat().st_mode & 0o077:
            raise Misconfigured("reference.open", f"{path} holds secrets: chmod 600 {path}")
        text = path.read_text("utf-8")
        value: Any = msgspec.json.decode(text) if pointer else text.strip()
        for part in filter(None, pointer.split("/")):
            value = value[part]
    except (OSError, ValueError, KeyError, TypeError) as error:
        detail = f"{reference} cannot be read ({type(error).__name__})"
        raise Misconfigured("reference.missing", detail) from None
    return value


def check(metadata: Metadata, on: date) -> list[str]:
    """List what types cannot see: names that lead nowhere, versions that ran out, missing rates."""
    return list(_problems(metadata, on))


def _problems(metadata: Metadata, on: date) -> Iterator[str]:
    for place, name, section in _names(metadata):
        if name not in getattr(metadata, section):
            yield f"{place}: there is no `{name}` in {section}"
    for name, entity in metadata.entities.items():
        yield from _entity_problems(f"entities.{name}", entity)
    for name, connection in metadata.connections.items():
        yield from _connection_problems(f"connections.{name}", connection, on)
    for at, rate in enumerate(metadata.rates):
        if not rate.rate > 0:
            yield f"rates[{at}].rate: {rate.rate} is not above zero"
    for at, rule in enumerate(metadata.approvals):
        if currency := getattr(metadata.entities.get(rule.entity), "currency", None):
            try:
                converted(metadata, Money(Decimal(1), currency), rule.above.currency, on)
            except Misconfigured as missing:
                yield f"approvals[{at}].above.currency: {missing.detail}"


def _entity_problems(place: str, entity: Entity) -> Iterator[str]:
    if entity.currency not in DECIMALS:
        yield f"{place}.currency: {entity.currency} is no ISO 4217 currency"
    for country, module in entity.tax_ids.items():
        if not TAX_MODULE.match(module) or not _exists(f"stdnum.{module}"):
            yield f"{place}.tax_ids.{country}: python-stdnum has no `{module}`"


def _connection_problems(place: str, connection: Connection, on: date) -> Iterator[str]:
    api = connection.api
    if api.retires_on and api.retires_on <= on:
        yield f"{place}.api: {api.version} ran out on {api.retires_on}"
    for at, window in enumerate(connection.windows.weekly):
        if window.zone not in available_timezones():
            yield f"{place}.windows.weekly[{at}].zone: there is no time zone {window.zone}"


def _names(metadata: Metadata) -> Iterator[tuple[str, str, str]]:
    """Every name of an entity or a connection: its place, the name, the section it must be in."""
    for section in ("roles", "feeds", "ownership", "approvals", "templates"):
        for at, row in enumerate(getattr(metadata, section)):
            for member, among in (("entity", "entities"), ("connection", "connections")):
                if name := getattr(row, member, None):
                    yield f"{section}[{at}].{member}", name, among
    for at, serving in enumerate(metadata.roles):
        for kind, name in serving.serves.items():
            yield f"roles[{at}].serves.{kind}", name, "connections"
    for connection, layers in metadata.mappings.items():
        yield f"mappings.{connection}", connection, "connections"
        for name in layers.entities:
            yield f"mappings.{connection}.entities.{name}", name, "entities"


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
