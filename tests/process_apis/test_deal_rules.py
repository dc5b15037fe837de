"""When a deal is ready, rule by rule; and the words in which people are told."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from apis.runtime.mapping import Overrides
from apis.runtime.metadata import Entity, Layers, Metadata, Serving
from contracts.canonical.contract import ApprovalLimit, ProjectTemplate, Rate, RateCard
from contracts.canonical.deal import Deal, DealFile, DealLine
from contracts.canonical.identity import Source
from contracts.canonical.money import Money
from contracts.canonical.party import Address, Customer
from contracts.errors import Rejected
from process_apis.deal_rules import (
    Account,
    Finding,
    above_limit,
    checked,
    commercial,
    duplicate,
    fiscal,
    priced,
    unlisted,
    unrated,
    untemplated,
)

ENTITIES = {
    name: Entity(name=f"Firm {name}", country="DE", region="EMEA", currency="EUR")
    for name in ("DE", "US")
}
SOLD_AS_IT_IS = ProjectTemplate(code="as-sold", name="As sold", from_on=date(2024, 1, 1))
METADATA = Metadata(version=1, entities=ENTITIES, connections={}, templates=(SOLD_AS_IT_IS,))
ACCOUNT = Source("salesforce", "001B")


def eur(amount: str) -> Money:
    return Money(Decimal(amount), "EUR")


def deal(**other: Any) -> Deal:
    """A deal that is ready: two lines that add up to its value."""
    ready: dict[str, Any] = {
        "name": "ERP rollout",
        "state": "won",
        "entity": "DE",
        "value": eur("300.00"),
        "closed_on": date(2026, 3, 31),
        "billing_model": "time_and_materials",
        "sow_number": "SOW-1",
        "region": "EMEA",
        "service_line": "Implementation",
        "starts_on": date(2026, 4, 15),
        "lines": (DealLine(total=eur("100.00")), DealLine(total=eur("200.00"))),
    }
    return Deal(**ready | other)


def found(a_deal: Deal) -> list[Finding]:
    return list(commercial(a_deal, ENTITIES, "salesforce"))


def test_a_deal_that_is_ready_passes() -> None:
    assert found(deal()) == []


DOLLARS = DealLine(total=Money(Decimal("200.00"), "USD"))
PRICES: list[Any] = [
    ({"value": None}, "deal.value-missing", "has no value"),
    ({"value": eur("0.00")}, "deal.value-missing", "has no value"),
    ({"lines": ()}, "deal.lines-missing", "has no lines"),
    ({"lines": (DealLine(),)}, "deal.lines-unpriced", "without a total in EUR"),
    ({"lines": (DealLine(total=eur("100.00")), DOLLARS)}, "deal.lines-unpriced", "in EUR"),
    (
        {"lines": (DealLine(total=eur("300.00")), DealLine(name="Travel at cost, see annex"))},
        "deal.line-description-only",
        "line 2 of deal 'ERP rollout' in salesforce (Travel at cost, see annex) has a description",
    ),
    (
        {"lines": (DealLine(product_code="AUDIT", total=eur("0.00")),)},
        "deal.line-without-value",
        "line 1 of deal 'ERP rollout' in salesforce (AUDIT) is worth nothing",
    ),
]


@pytest.mark.parametrize(("change", "code", "words"), PRICES)
def test_a_price_that_cannot_be_billed_is_asked_of_sales(
    change: dict[str, Any], code: str, words: str
) -> None:
    [finding] = priced(deal(**change), "deal 'ERP rollout' in salesforce", "salesforce")

    assert (finding.code, finding.owner) == (code, "sales-operations")
    assert words in finding.message


def test_a_line_may_be_given_away_where_the_entity_allows_it() -> None:
    lines = (DealLine(total=eur("300.00")), DealLine(product_code="AUDIT", total=eur("0.00")))
    generous = {"DE": msgspec.structs.replace(ENTITIES["DE"], free_lines=True)}

    assert list(commercial(deal(lines=lines), generous, "salesforce")) == []


def test_a_service_line_that_the_entity_does_not_have_is_told_with_those_it_has() -> None:
    own = {"DE": msgspec.structs.replace(ENTITIES["DE"], service_lines=("Advisory", "Audit"))}

    [finding] = commercial(deal(), own, "salesforce")

    assert (finding.code, finding.pointer) == ("deal.service-line-unknown", "/service_line")
    assert finding.remedy == "choose one of Advisory, Audit as the service line in salesforce"


def test_a_package_without_a_template_is_asked_of_resource_management() -> None:
    for_audits = msgspec.structs.replace(SOLD_AS_IT_IS, packages=("AUDIT",))
    metadata = msgspec.structs.replace(METADATA, templates=(for_audits,))
    lines = (DealLine(product_code="AUDIT"), DealLine(product_code="ROLLOUT"))

    [finding] = untemplated(deal(lines=lines), metadata, "salesforce")

    assert (finding.code, finding.owner) == ("package.template-missing", "resource-management")
    assert finding.pointer == "/lines/1/product_code"
    assert "sells ROLLOUT in DE, billed by time and materials" in finding.message


HOUR = Rate(role="SENIOR", region="EMEA", rate=eur("200.00"), from_on=date(2026, 1, 1))
CARD = RateCard(code="de", name="Germany", entity="DE", rates=(HOUR,))


@pytest.mark.parametrize(
    ("sold", "told"),
    [
        ({}, []),
        ({"unit": "day"}, ["sells SENIOR by the day in EMEA, which is on no rate card of DE"]),
        ({"unit": "each"}, []),
        ({"role": "JUNIOR"}, ["sells JUNIOR by the hour in EMEA"]),
    ],
)
def test_a_role_without_a_rate_is_asked_of_finance_where_the_entity_wants_rates(
    sold: dict[str, Any], told: list[str]
) -> None:
    strict = {"DE": msgspec.structs.replace(ENTITIES["DE"], rate_card_required=True)}
    metadata = msgspec.structs.replace(METADATA, entities=strict, rate_cards=(CARD,))
    by_time: dict[str, Any] = {"role": "SENIOR", "unit": "hour", "quantity": Decimal(10)}
    line = DealLine(**{"total": eur("300.00")} | by_time | sold)

    findings = list(unrated(deal(lines=(line,)), metadata, "salesforce"))

    assert [each.code for each in findings] == ["rate-card.rate-missing"] * len(told)
    assert all(words in each.message for words, each in zip(told, findings, strict=True))
    assert list(unrated(deal(lines=(line,)), METADATA, "salesforce")) == []


@pytest.mark.parametrize("value", ["299.99", "300.01"])
def test_lines_that_do_not_add_up_to_the_value_are_told_with_both_sums(value: str) -> None:
    [finding] = found(deal(value=eur(value)))

    assert (finding.code, finding.pointer) == ("deal.lines-differ", "/value")
    assert f"is worth {value} EUR, its lines add up to 300.00 EUR" in finding.message
    assert finding.remedy == "make lines and value agree in salesforce"


def test_a_legal_entity_that_is_not_ours_is_told_with_those_that_are() -> None:
    [finding] = found(deal(entity="FR"))

    assert (finding.code, finding.pointer) == ("deal.entity-unknown", "/entity")
    assert finding.message.endswith("is sold by FR, which is none of DE, US")
    assert finding.remedy == "choose one of DE, US as the selling entity in salesforce"


@pytest.mark.parametrize(
    ("country", "region", "codes"),
    [("US", "CO", []), ("US", "Bavaria", ["customer.region-unknown"]), ("DE", "Bavaria", [])],
)
def test_a_state_is_one_of_its_country(country: str, region: str, codes: list[str]) -> None:
    home = Address(region=region, country=country)
    customer = Customer(name="Elbtal", country=country, tax_code="X", addresses=(home,))
    file = DealFile(deal=deal(), customer=customer)

    found_codes = [each.code for each in fiscal(file, ENTITIES, "salesforce")]

    assert [each for each in found_codes if "region" in each] == codes


def test_all_findings_come_at_once_and_the_first_names_the_owner() -> None:
    customer = Customer(name="Elbtal", external_id="001A", country="DE", entity="DE")
    file = DealFile(deal=deal(sow_number=None, value=eur("1.00")), customer=customer)

    with pytest.raises(Rejected) as refused:
        checked(file, METADATA, "salesforce")

    codes = ["deal.sow-number-missing", "deal.lines-differ", "customer.tax-code-missing"]
    assert [each.code for each in refused.value.errors] == codes
    assert (refused.value.code, refused.value.owner) == (codes[0], "sales-operations")


def test_a_missing_country_does_not_hide_a_missing_tax_id() -> None:
    sells = {
        "US": Entity(
            name="Firm", country="US", region="AMER", currency="USD", tax_ids={"DE": "eu.vat"}
        )
    }
    file = DealFile(deal=deal(entity="US"), customer=Customer(name="Elbtal", tax_code="X"))

    found = [each.code for each in fiscal(file, sells, "salesforce")]

    assert found == ["customer.country-missing", "customer.tax-id-missing"]


def test_an_approval_says_what_it_is_about() -> None:
    limit = ApprovalLimit(above=eur("100.00"), owner="delivery-director")
    sold = deal(owner="jana.vogt@firm.example")

    assert above_limit(sold, limit) == (
        "deal 'ERP rollout', sold by jana.vogt@firm.example, is worth 300.00 EUR:"
        " above the limit of 100.00 EUR in DE"
    )
    assert "sold by" not in above_limit(deal(), limit)


def test_two_accounts_of_one_company_are_both_named() -> None:
    customer = Customer(name="Elbtal AG", external_id="001B", country="DE", tax_id="DE1")
    other = Account("Elbtal GmbH", Source("salesforce", "001A"))

    by_number = duplicate(customer, ACCOUNT, other)
    by_name = duplicate(msgspec.structs.replace(customer, tax_id=None), ACCOUNT, None)

    assert by_number.detail == (
        "customer 'Elbtal AG' (account 001B) in salesforce has the same tax id as"
        " customer 'Elbtal GmbH' (account 001A in salesforce)"
    )
    assert "the same name and country as a customer that is known already" in by_name.detail


LISTED = {
    "books": Layers(
        base={
            "project": Overrides(codes={"dimensions.location": {"2": "EMEA"}}),
            "customer": Overrides(
                codes={"currency": {"4": "EUR"}, "tax_code": {"11": "DE-VAT-19"}}
            ),
        }
    ),
    "plans": Layers(base={"staffing_request": Overrides(codes={"role": {"501": "ARCHITECT"}})}),
}
MAPPED = msgspec.structs.replace(
    METADATA,
    roles=(Serving(serves={"psa": "plans", "erp": "books"}),),
    mappings=LISTED,
)
DAYS = DealLine(product_code="CONS", quantity=Decimal(2), unit="day", total=eur("300.00"))


def unlisted_of(a_deal: Deal, **customer: Any) -> list[Finding]:
    file = DealFile(deal=a_deal, customer=Customer(name="Acme", **customer))
    return list(unlisted(file, MAPPED, "salesforce"))


def test_what_every_code_list_knows_passes() -> None:
    assert unlisted_of(deal(), tax_code="DE-VAT-19") == []


@pytest.mark.parametrize(
    ("a_deal", "pointer", "told"),
    [
        (
            deal(region="APAC"),
            "/region",
            "the region 'APAC' of the project is on no code list of books",
        ),
        (deal(value=Money(Decimal(300), "CHF")), "/currency", "the currency 'CHF' of the customer"),
        (
            deal(lines=(DAYS,)),
            "/role",
            "the role 'CONS' of the staffing request is on no code list of plans",
        ),
    ],
)
def test_what_a_later_step_could_not_write_is_found_with_the_deal(
    a_deal: Deal, pointer: str, told: str
) -> None:
    [finding] = unlisted_of(a_deal)

    assert (finding.pointer, finding.code) == (pointer, "mapping.unknown-value")
    assert (finding.owner, told in finding.message) == ("integration", True)


def test_a_tax_code_that_the_books_do_not_list_is_found_with_the_deal() -> None:
    [finding] = unlisted_of(deal(), tax_code="DE-VAT-7")

    assert "is on no code list of books" in finding.message
