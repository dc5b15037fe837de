"""What types cannot see in metadata: names that lead nowhere, rules that never apply."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Hashable, Iterator
from datetime import date
from decimal import Decimal
from zoneinfo import available_timezones

import msgspec

from apis.runtime.metadata import Connection, Entity, Metadata, Owner, converted
from apis.runtime.offer_findings import offer_findings
from apis.runtime.typed_yaml import Finding, Place
from contracts.canonical.country import COUNTRY_CODES
from contracts.canonical.money import DECIMALS, Money, money_problems
from contracts.errors import Misconfigured
from contracts.ownership import NOBODYS, OURS, OWNERSHIP
from contracts.schemas import RECORDS

OBJECTS = {row.object: RECORDS[row.object] for row in OWNERSHIP}
"""Everything somebody is the system of record of, and its contract."""
TAX_MODULE = re.compile(r"^[a-z_]+(\.[a-z_]+)*$")
ADDRESS = re.compile(r"^https?://[^\s/]+")
BRACES = re.compile(r"\{([^}]*)\}")


def metadata_findings(metadata: Metadata, on: date) -> Iterator[Finding]:
    """Everything that one file tells about itself on that day."""
    for place, name, section in _names(metadata):
        if name not in getattr(metadata, section):
            yield place, f"there is no `{name}` in {section}"
    yield from _repeated(metadata)
    for name, entity in metadata.entities.items():
        yield from _entity(("entities", name), entity)
    for name, connection in metadata.connections.items():
        yield from _connection(("connections", name), connection, on)
    for at, owner in enumerate(metadata.ownership):
        yield from _ownership(("ownership", at), owner, metadata)
    yield from _approvals(metadata, on)
    yield from _rates(metadata)
    if metadata.matching.likely > metadata.matching.certain:
        yield ("matching", "likely"), "nobody is asked: it is above what is certain"
    yield from offer_findings(metadata, on)
    yield from _layers(metadata)


def _names(metadata: Metadata) -> Iterator[tuple[Place, str, str]]:
    """Every name of an entity or a connection: its place, the name, the section it must be in."""
    listed = (
        *("roles", "feeds", "ownership", "approvals", "duties", "deal_changes", "rate_cards"),
        "contacts",
    )
    for section in listed:
        for at, row in enumerate(getattr(metadata, section)):
            for member, among in (("entity", "entities"), ("connection", "connections")):
                if name := getattr(row, member, None):
                    yield (section, at, member), name, among
    for at, serving in enumerate(metadata.roles):
        for kind, name in serving.serves.items():
            yield ("roles", at, "serves", kind), name, "connections"
    for connection, layers in metadata.mappings.items():
        yield ("mappings", connection), connection, "connections"
        for name in layers.entities:
            yield ("mappings", connection, "entities", name), name, "entities"


def _repeated(metadata: Metadata) -> Iterator[Finding]:
    """Rows of which only one can apply."""
    rows: list[tuple[Place, Hashable]] = []
    rows += [(("feeds", n), (f.connection, f.object)) for n, f in enumerate(metadata.feeds)]
    rows += [(("contacts", n), c.connection) for n, c in enumerate(metadata.contacts)]
    rows += [(("rates", n), (r.source, r.to, r.on)) for n, r in enumerate(metadata.rates)]
    rows += [(("rate_cards", n), card.code) for n, card in enumerate(metadata.rate_cards)]
    rows += [(("templates", n), (t.code, t.version)) for n, t in enumerate(metadata.templates)]
    rows += [
        (("duties", n), (d.did, d.may_not, d.entity, d.valid_from))
        for n, d in enumerate(metadata.duties)
    ]
    rows += [
        (("deal_changes", n), (c.flow, c.entity, c.valid_from))
        for n, c in enumerate(metadata.deal_changes)
    ]
    rows += [
        (("ownership", n), (o.object, o.attribute, o.entity, o.valid_from))
        for n, o in enumerate(metadata.ownership)
    ]
    rows += [
        (("roles", n, "serves", kind), (kind, row.entity, row.valid_from))
        for n, row in enumerate(metadata.roles)
        for kind in row.serves
    ]
    first: dict[Hashable, Place] = {}
    for place, key in rows:
        earlier = first.setdefault((place[0], key), place)
        if earlier is not place:
            yield place, f"says again what {'.'.join(map(str, earlier))} says"


def _entity(place: Place, entity: Entity) -> Iterator[Finding]:
    for unit, hours in msgspec.structs.asdict(entity.hours).items():
        if not hours > 0:
            yield (*place, "hours", unit), f"{hours} is not above zero"
    if entity.country not in COUNTRY_CODES:
        yield (*place, "country"), f"{entity.country} is no ISO 3166 country"
    yield from currency_finding((*place, "currency"), entity.currency)
    for country, module in entity.tax_ids.items():
        if country not in COUNTRY_CODES:
            yield (*place, "tax_ids", country), f"{country} is no ISO 3166 country"
        if not TAX_MODULE.match(module) or not _exists(f"stdnum.{module}"):
            yield (*place, "tax_ids", country), f"python-stdnum has no `{module}`"


def currency_finding(place: Place, currency: str) -> Iterator[Finding]:
    """What is no currency of the world."""
    if currency not in DECIMALS:
        yield place, f"{currency} is no ISO 4217 currency"


def _connection(place: Place, connection: Connection, on: date) -> Iterator[Finding]:
    api, windows = connection.api, (*place, "windows")
    if api.retires_on and api.retires_on <= on:
        yield (*place, "api"), f"{api.version} ran out on {api.retires_on}"
    yield from _address((*place, "url"), connection.url)
    yield from _address((*place, "login_url"), connection.login_url)
    if shown := connection.record_url:
        if unknown := {*BRACES.findall(shown)} - {"url", "external_id"}:
            told = f"only {{url}} and {{external_id}} are filled in, not {{{min(unknown)}}}"
            yield (*place, "record_url"), told
        yield from _address((*place, "record_url"), shown.replace("{url}", "https://x"))
    for at, weekly in enumerate(connection.windows.weekly):
        if weekly.zone not in available_timezones():
            yield (*windows, "weekly", at, "zone"), f"there is no time zone {weekly.zone}"
    for at, once in enumerate(connection.windows.once):
        if once.until <= once.start:
            yield (*windows, "once", at, "until"), "this window ends before it begins"


def _address(place: Place, written: str | None) -> Iterator[Finding]:
    """What an `env:` reference may lead to is only known where it is used; its default is here."""
    kind, _, rest = (written or "").partition(":")
    address = rest.partition("|")[2] if kind == "env" else written
    if address and kind != "file" and not ADDRESS.match(address):
        yield place, "an address begins with https:// (or http://, for a sandbox) and a host"


def _ownership(place: Place, owner: Owner, metadata: Metadata) -> Iterator[Finding]:
    contract = OBJECTS.get(owner.object)
    if contract is None:
        yield (*place, "object"), f"there is no {owner.object}, only {', '.join(sorted(OBJECTS))}"
    elif owner.attribute in OURS | NOBODYS:
        yield (*place, "attribute"), f"{owner.attribute} has no owner that could be changed"
    elif owner.attribute and owner.attribute not in contract.__struct_fields__:
        told = f"a {owner.object} has no {owner.attribute}"
        yield (*place, "attribute"), f"{told}, only {', '.join(contract.__struct_fields__)}"
    played = {
        kind
        for row in metadata.roles
        if owner.entity is None or row.entity in (None, owner.entity)
        for kind in row.serves
    }
    if owner.system not in {"throughline", *played}:
        whom = f" for {owner.entity}" if owner.entity else ""
        yield (*place, "system"), f"no connection serves {owner.system}{whom} (see `roles`)"


def _approvals(metadata: Metadata, on: date) -> Iterator[Finding]:
    for at, rule in enumerate(metadata.approvals):
        place: Place = ("approvals", at, "above")
        written = {"amount": str(rule.above.amount), "currency": rule.above.currency}
        if problems := money_problems(written):
            for each in problems:
                yield (*place, each.pointer.strip("/")), each.message
            continue
        if rule.above.amount < 0:
            yield (*place, "amount"), f"{rule.above.amount} is below zero"
        if rule.until and rule.until < rule.valid_from:
            yield ("approvals", at, "until"), "it never applies: it ends before it begins"
        if currency := getattr(metadata.entities.get(rule.entity), "currency", None):
            try:
                converted(metadata, Money(Decimal(1), currency), rule.above.currency, on)
            except Misconfigured as missing:
                yield (*place, "currency"), missing.detail


def _rates(metadata: Metadata) -> Iterator[Finding]:
    for at, rate in enumerate(metadata.rates):
        yield from currency_finding(("rates", at, "from"), rate.source)
        yield from currency_finding(("rates", at, "to"), rate.to)
        if not rate.rate > 0:
            yield ("rates", at, "rate"), f"{rate.rate} is not above zero"
        if rate.source == rate.to:
            yield ("rates", at, "to"), f"{rate.to} is the currency it is from"


def _layers(metadata: Metadata) -> Iterator[Finding]:
    """A layer for a region or a unit that no entity is in lies over nothing."""
    regions = {entity.region for entity in metadata.entities.values()}
    units = {entity.unit for entity in metadata.entities.values()}
    for connection, layers in metadata.mappings.items():
        for name in layers.regions.keys() - regions:
            yield ("mappings", connection, "regions", name), f"no entity is in the region {name}"
        for name in layers.units.keys() - units:
            yield ("mappings", connection, "units", name), f"no entity has the unit {name}"


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
