"""When a deal is ready, rule by rule; and the words in which people are told."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from apis.runtime.metadata import Entity
from contracts.canonical.contract import ApprovalLimit
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
)

ENTITIES = {
    name: Entity(name=f"Firm {name}", country="DE", region="EMEA", currency="EUR")
    for name in ("DE", "US")
}
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
]


@pytest.mark.parametrize(("change", "code", "words"), PRICES)
def test_a_price_that_cannot_be_billed_is_asked_of_sales(
    change: dict[str, Any], code: str, words: str
) -> None:
    [finding] = priced(deal(**change), "deal 'ERP rollout' in salesforce", "salesforce")

    assert (finding.code, finding.owner) == (code, "sales-operations")
    assert words in finding.message


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
        checked(file, ENTITIES, "salesforce")

    codes = ["deal.sow-number-missing", "deal.lines-differ", "customer.tax-code-missing"]
    assert [each.code for each in refused.value.errors] == codes
    assert (refused.value.code, refused.value.owner) == (codes[0], "sales-operations")


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
