"""When a won deal is ready to become a project: pure rules, each with an owner and a remedy."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal

import msgspec

from apis.runtime.metadata import Entity, Metadata, effective_mapping, serving
from contracts.canonical.contract import ApprovalLimit, cards_for
from contracts.canonical.deal import Deal, DealFile, DealLine
from contracts.canonical.identity import Source
from contracts.canonical.money import Money
from contracts.canonical.party import Customer
from contracts.canonical.region import is_region
from contracts.errors import FieldError, Rejected
from process_apis.rates import card_rate
from process_apis.templates import hours_of, packages_of, roles_of

SALES = "sales-operations"
FINANCE = "finance-master-data"
STAFFING = "resource-management"
INTEGRATION = "integration"
SAID_BY = {"dimensions.department": "service_line", "dimensions.location": "region"}
"""The field of a deal that a dimension of its project has its value from."""
NAMES = {
    "entity": "the selling legal entity",
    "billing_model": "the billing model",
    "sow_number": "the statement of work's number",
    "region": "the region",
    "service_line": "the service line",
    "starts_on": "the start date",
    "closed_on": "the day it was won",
}


class Account(msgspec.Struct, frozen=True):
    """An account of a customer that we know, and the customer's name."""

    name: str
    source: Source


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not right: where, what, who sets it right and how."""

    pointer: str
    code: str
    message: str
    owner: str
    remedy: str


def checked(file: DealFile, metadata: Metadata, system: str) -> None:
    """Pass, or Rejected with every finding; the first one gives code, owner and remedy."""
    findings = [
        *commercial(file.deal, metadata.entities, system),
        *untemplated(file.deal, metadata, system),
        *unrated(file.deal, metadata, system),
        *fiscal(file, metadata.entities, system),
        *unlisted(file, metadata, system),
    ]
    if findings:
        raise refused(findings, system)


def refused(findings: Sequence[Finding], system: str) -> Rejected:
    """All findings as one refusal."""
    first = findings[0]
    return Rejected(
        first.code,
        "; ".join(f"{each.message}" for each in findings),
        errors=tuple(
            FieldError(pointer=f.pointer, code=f.code, message=f.message) for f in findings
        ),
        owner=first.owner,
        remedy="; ".join(dict.fromkeys(each.remedy for each in findings)),
        source=system,
    )


def commercial(deal: Deal, entities: dict[str, Entity], system: str) -> Iterator[Finding]:
    """What sales must have agreed and written down."""
    place = f"deal {deal.name!r} in {system}"
    if deal.state != "won":
        yield Finding(
            "/state",
            "deal.not-won",
            f"{place} is {deal.state}, not won",
            SALES,
            "win the deal, or abandon this run",
        )
    for field, name in NAMES.items():
        if getattr(deal, field) is None:
            code = f"deal.{field.replace('_', '-')}-missing"
            yield Finding(
                f"/{field}",
                code,
                f"{place} lacks {name}",
                SALES,
                f"enter {name} on the deal in {system}",
            )
    entity = entities.get(deal.entity or "")
    if deal.entity and entity is None:
        known = ", ".join(sorted(entities))
        yield Finding(
            "/entity",
            "deal.entity-unknown",
            f"{place} is sold by {deal.entity}, which is none of {known}",
            SALES,
            f"choose one of {known} as the selling entity in {system}",
        )
    if entity and entity.purchase_order_required and not deal.purchase_order:
        yield Finding(
            "/purchase_order",
            "deal.purchase-order-missing",
            f"{place} lacks a purchase order, which {entity.name} needs",
            SALES,
            f"enter the purchase order's number on the deal in {system}",
        )
    if entity and entity.service_lines and deal.service_line not in {None, *entity.service_lines}:
        known = ", ".join(entity.service_lines)
        yield Finding(
            "/service_line",
            "deal.service-line-unknown",
            f"{place} is of the service line {deal.service_line}: {deal.entity} has {known}",
            SALES,
            f"choose one of {known} as the service line in {system}",
        )
    yield from priced(deal, place, system, free_lines=entity is not None and entity.free_lines)


def priced(deal: Deal, place: str, system: str, *, free_lines: bool = False) -> Iterator[Finding]:
    """Lines and header must tell the same story in one currency."""
    if deal.value is None or deal.value.amount <= 0:
        yield Finding(
            "/value",
            "deal.value-missing",
            f"{place} has no value",
            SALES,
            f"price the deal in {system}",
        )
        return
    if not deal.lines:
        yield Finding(
            "/lines",
            "deal.lines-missing",
            f"{place} has no lines",
            SALES,
            f"add what was sold to the deal in {system}",
        )
        return
    unclear = list(unpriced(deal.lines, deal.value.currency, place, system, free_lines=free_lines))
    yield from unclear
    if unclear:
        return
    totals = [line.total for line in deal.lines if line.total]
    total = sum((total.amount for total in totals), Decimal(0))
    if total != deal.value.amount:
        lines = shown(Money(total, deal.value.currency))
        told = f"{place} is worth {shown(deal.value)}, its lines add up to {lines}"
        yield Finding(
            "/value", "deal.lines-differ", told, SALES, f"make lines and value agree in {system}"
        )


def unpriced(
    lines: Sequence[DealLine], currency: str, place: str, system: str, *, free_lines: bool
) -> Iterator[Finding]:
    """Lines that are no order: words alone, no price, another currency, or worth nothing."""
    for at, line in enumerate(lines):
        called = f"line {at + 1} of {place} ({line.name or line.product_code or 'without a name'})"
        worth = line.total.amount if line.total else None
        if line.name and not (worth or line.product_code or line.quantity):
            code, told = "deal.line-description-only", f"{called} has a description alone"
            remedy = f"move the words to the deal's description in {system}"
        elif line.total and line.total.currency == currency:
            if worth or free_lines:
                continue
            code, told = "deal.line-without-value", f"{called} is worth nothing"
            remedy = f"price the line, or take it off the deal in {system}"
        else:
            code, told = "deal.lines-unpriced", f"{called} is without a total in {currency}"
            remedy = f"price every line of the deal in {system}"
        yield Finding(f"/lines/{at}", code, told, SALES, remedy)


def untemplated(deal: Deal, metadata: Metadata, system: str) -> Iterator[Finding]:
    """Every package that is sold has a project template."""
    if deal.billing_model is None or deal.entity not in metadata.entities:
        return
    for at, (line, template) in enumerate(packages_of(deal, metadata)):
        if template is None:
            package = line.product_code or f"{line.name or 'a line'} (without a product code)"
            model = deal.billing_model.replace("_", " ")
            told = f"sells {package} in {deal.entity}, billed by {model}"
            yield Finding(
                f"/lines/{at}/product_code",
                "package.template-missing",
                f"deal {deal.name!r} in {system} {told}, for which there is no project template",
                STAFFING,
                f"add one to the templates in the metadata, or correct the deal in {system}",
            )


def unrated(deal: Deal, metadata: Metadata, system: str) -> Iterator[Finding]:
    """Where the entity wants it, every role that is sold by time has a rate on the card."""
    entity = metadata.entities.get(deal.entity or "")
    if deal.entity is None or deal.closed_on is None or not (entity and entity.rate_card_required):
        return
    cards = cards_for(metadata.rate_cards, deal.entity, deal.customer)
    units = msgspec.structs.asdict(entity.hours)
    for at, line in enumerate(deal.lines):
        by_time = hours_of(line.quantity, line.unit, units)
        if not by_time or card_rate(line, cards, deal.region, deal.closed_on):
            continue
        role = line.role or line.product_code or line.name
        told = f"sells {role} by the {line.unit} in {deal.region or 'no region'}"
        yield Finding(
            f"/lines/{at}/unit_price",
            "rate-card.rate-missing",
            f"deal {deal.name!r} in {system} {told}, which is on no rate card of {deal.entity}",
            FINANCE,
            "add the rate to the rate cards in the metadata, then retry",
        )


def unlisted(file: DealFile, metadata: Metadata, system: str) -> Iterator[Finding]:
    """Values that later steps write by code lists of the metadata, and that are on none."""
    deal = file.deal
    if deal.entity not in metadata.entities or deal.billing_model is None:
        return
    place = f"deal {deal.name!r} in {system}"
    values = {name: list(each) for name, each in written(file, metadata)}
    for kind in ("psa", "erp"):
        connection = serving(metadata, kind, deal.entity, deal.closed_on or date.min)
        for name, needed in values.items() if connection else ():
            mapped = effective_mapping(metadata, connection or "", name, deal.entity)
            for field, value in needed:
                unsent = field in mapped.constants or mapped.fields.get(field, "") is None
                if field not in mapped.codes or unsent or not value:
                    continue
                if value in mapped.codes[field].values():
                    continue
                said = SAID_BY.get(field, field.rpartition(".")[2])
                told = f"{said.replace('_', ' ')} {value!r} of the {name.replace('_', ' ')}"
                yield Finding(
                    f"/{said}",
                    "mapping.unknown-value",
                    f"{place}: the {told} is on no code list of {connection}",
                    INTEGRATION,
                    f"add it to the mappings of {connection} in the metadata,"
                    f" or correct the deal in {system}; then retry",
                )


def written(
    file: DealFile, metadata: Metadata
) -> Iterator[tuple[str, Iterable[tuple[str, str | None]]]]:
    """What later steps say of each object in fields that may have code lists."""
    deal, customer = file.deal, file.customer or Customer(name="")
    entity = metadata.entities[deal.entity or ""]
    common = {"entity": deal.entity, "currency": deal.value.currency if deal.value else None}
    model = {"billing_model": deal.billing_model}
    booked = {"department": deal.service_line, "location": deal.region, **entity.dimensions}
    dimensions = {f"dimensions.{name}": value for name, value in booked.items()}
    sold = {"region": deal.region, "service_line": deal.service_line}
    taxed = {"tax_code": customer.tax_code, "payment_terms": customer.payment_terms}
    yield "customer", (common | taxed).items()
    yield "project", (common | model | sold | dimensions).items()
    yield "billing_schedule", model.items()
    units = msgspec.structs.asdict(entity.hours)
    roles = {
        role
        for line, template in packages_of(deal, metadata)
        for role in roles_of(line, template, units)
    }
    yield "staffing_request", [("role", role) for role in sorted(roles)]


def fiscal(file: DealFile, entities: dict[str, Entity], system: str) -> Iterator[Finding]:
    """What finance must know of the customer to send an invoice."""
    customer, entity = file.customer, entities.get(file.deal.entity or "")
    if customer is None:
        yield Finding(
            "/customer",
            "deal.customer-missing",
            f"deal {file.deal.name!r} in {system} has no customer",
            SALES,
            f"link the deal to its account in {system}",
        )
        return
    place = f"customer {customer.name!r} (account {customer.external_id}) in {system}"
    if not customer.country:
        yield Finding(
            "/customer/country",
            "customer.country-missing",
            f"{place} has no country in its billing address",
            FINANCE,
            f"complete the billing address in {system}",
        )
    address = next((each for each in customer.addresses if each.kind == "billing"), None)
    if address and address.region and not is_region(customer.country, address.region):
        yield Finding(
            "/customer/addresses/0/region",
            "customer.region-unknown",
            f"{place} is in {address.region[:80]!r}, which is no state of {customer.country}",
            FINANCE,
            f"choose the state of the billing address in {system}, then retry",
        )
    if entity and entity.tax_code_required and not customer.tax_code:
        yield Finding(
            "/customer/tax_code",
            "customer.tax-code-missing",
            f"{place} has no tax code, so no invoice can be taxed",
            FINANCE,
            f"enter the tax code on the account in {system}, then retry",
        )
    known = entity.tax_codes if entity else ()
    if known and customer.tax_code not in {None, *known}:
        told = f"{place} has the tax code {customer.tax_code}: {file.deal.entity} has"
        yield Finding(
            "/customer/tax_code",
            "customer.tax-code-unknown",
            f"{told} {', '.join(known)}",
            FINANCE,
            f"enter one of {', '.join(known)} on the account in {system}, then retry",
        )
    if entity and (module := entity.tax_ids.get(customer.country or "")):
        yield from tax_identity(customer, module, place, system)
    elif entity and entity.tax_ids and not (customer.country or customer.tax_id):
        yield tax_id_missing(place, system)


def tax_id_missing(place: str, system: str) -> Finding:
    """Without a country nobody knows whether it is needed: what is entered then is both at once."""
    return Finding(
        "/customer/tax_id",
        "customer.tax-id-missing",
        f"{place} has no tax id",
        FINANCE,
        f"enter the tax id on the account in {system}, then retry",
    )


def tax_identity(customer: Customer, module: str, place: str, system: str) -> Iterator[Finding]:
    """The tax id must be there and pass its country's own check."""
    if not customer.tax_id:
        yield tax_id_missing(place, system)
    elif not importlib.import_module(f"stdnum.{module}").is_valid(customer.tax_id):
        yield Finding(
            "/customer/tax_id",
            "customer.tax-id-invalid",
            f"the tax id of {place} is not a valid one of {customer.country}",
            FINANCE,
            f"correct the tax id on the account in {system}, and in the books if they know it;"
            " then retry",
        )


def above_limit(deal: Deal, limit: ApprovalLimit) -> str:
    """Why a deal needs an approval, for the person who is asked for one."""
    told = f"deal {deal.name!r}"
    if deal.owner:
        told += f", sold by {deal.owner},"
    worth = f" is worth {shown(deal.value)}" if deal.value else ""
    return f"{told}{worth}: above the limit of {shown(limit.above)} in {deal.entity}"


def duplicate(customer: Customer, account: Source, other: Account | None) -> Rejected:
    """Two accounts that are one company: names both, so that a person can compare them."""
    same = "tax id" if customer.tax_id else "name and country"
    one = f"customer {customer.name!r} (account {account.external_id})"
    two = "a customer that is known already"
    if other is not None:
        place = other.source
        two = f"customer {other.name!r} (account {place.external_id} in {place.connection})"
    return Rejected(
        "customer.duplicate-account",
        f"{one} in {account.connection} has the same {same} as {two}",
        owner=FINANCE,
        remedy=f"merge the two in {account.connection} and retry, or adopt the one that stays",
        source=account.connection,
    )


def shown(money: Money) -> str:
    """Money as people write it."""
    return f"{money.amount:,.2f} {money.currency}"
