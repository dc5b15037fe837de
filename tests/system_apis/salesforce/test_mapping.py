from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from apis.runtime.mapping import Overrides
from contracts.canonical.country import NAMES
from contracts.canonical.deal import Deal, DealMark, Gap
from contracts.canonical.identity import Ref
from contracts.canonical.money import Money
from contracts.canonical.party import Address, Contact, Customer
from contracts.errors import Misconfigured
from system_apis.salesforce.mapping import CONTACT, CUSTOMER, DEAL, DEAL_FILE, KEY, MARK

# As a query answers: numbers with a fraction, `attributes` everywhere, null for no children.
ANSWER = b"""{"attributes": {"type": "Opportunity"}, "Id": "006A00000000001AAA", "Name": "Rollout",
"IsClosed": true, "IsWon": true, "TL_Legal_Entity__c": "DE", "AccountId": "001A00000000001AAA",
"ContactId": "003A00000000001AAA", "Amount": 30060.0, "CurrencyIsoCode": "EUR",
"CloseDate": "2026-01-05", "TL_Billing_Model__c": "time_and_materials", "TL_SOW_Number__c": "SOW-1",
"TL_PO_Number__c": null, "TL_Region__c": "EMEA", "TL_Service_Line__c": "cloud",
"TL_Start_Date__c": "2026-02-01", "Owner": {"attributes": {}, "Email": "seller@example.com"},
"TL_Project_Key__c": null, "TL_Project_Status__c": null,
"SystemModstamp": "2026-01-05T10:11:12.000+0000",
"OpportunityLineItems": {"totalSize": 1, "done": true, "records": [{"attributes": {},
  "Id": "00kA00000000001AAA", "SortOrder": 1, "Product2Id": "01tA00000000001AAA",
  "ProductCode": "CON", "Name": "Rollout Consultant", "Description": "Consultant",
  "Quantity": 120.0, "Product2": {"QuantityUnitOfMeasure": "hour"}, "UnitPrice": 250.5,
  "CurrencyIsoCode": "EUR", "Discount": null, "TotalPrice": 30060.0, "ServiceDate": null}]},
"Account": {"attributes": {}, "Id": "001A00000000001AAA", "Name": "Nordwind",
  "ParentId": "001A00000000002AAA", "TL_Customer_Key__c": null, "BillingCountry": "Germany",
  "BillingStreet": "Weg 1", "BillingCity": "Berlin", "BillingState": null,
  "BillingPostalCode": "10115", "TL_Tax_Id__c": "DE136695976", "TL_Tax_Code__c": "DE-19",
  "CurrencyIsoCode": "EUR", "Owner": null, "Website": null, "Phone": null,
  "SystemModstamp": "2026-01-04T00:00:00.000+0000",
  "Parent": {"Id": "001A00000000002AAA", "Name": "Nordwind Holding", "BillingCountry": "USA",
    "Parent": null}},
"Contact": {"Id": "003A00000000001AAA", "AccountId": "001A00000000001AAA", "Name": "Ada Vega",
  "Email": "ada@example.com", "Phone": null, "Title": null, "SystemModstamp": null}}"""


@pytest.fixture
def answer() -> dict[str, Any]:
    return msgspec.json.Decoder(float_hook=Decimal).decode(ANSWER)


def test_one_answer_holds_the_whole_file(answer: dict[str, Any]) -> None:
    file = DEAL_FILE.read(answer)
    deal = file.deal
    assert (deal.external_id, deal.state, deal.entity) == ("006A00000000001AAA", "won", "DE")
    assert deal.value == Money(Decimal("30060.0"), "EUR")
    assert deal.customer == Ref(None, "001A00000000001AAA")
    assert deal.owner == "seller@example.com"
    assert deal.closed_on == date(2026, 1, 5)
    assert deal.changed_at == datetime(2026, 1, 5, 10, 11, 12, tzinfo=UTC)
    assert deal.project_key is None
    (line,) = deal.lines
    assert (line.position, line.name, line.unit) == (1, "Rollout Consultant", "hour")
    assert line.unit_price == Money(Decimal("250.5"), "EUR")
    assert line.total == deal.value
    assert file.customer is not None
    assert file.customer.country == "DE"
    assert file.customer.parent == Ref(None, "001A00000000002AAA")
    assert file.customer.addresses == (
        Address(street="Weg 1", city="Berlin", postal_code="10115", country="DE"),
    )
    assert [(p.name, p.country, p.addresses[0].country) for p in file.parents] == [
        ("Nordwind Holding", "US", "US")
    ]
    assert file.contact == Contact(
        external_id="003A00000000001AAA",
        customer=Ref(None, "001A00000000001AAA"),
        name="Ada Vega",
        email="ada@example.com",
    )


@pytest.mark.parametrize(
    ("closed", "won", "state"), [(True, True, "won"), (True, False, "lost"), (False, False, "open")]
)
def test_the_state_comes_from_flags_and_not_from_stage_names(
    answer: dict[str, Any], *, closed: bool, won: bool, state: str
) -> None:
    assert DEAL.read({**answer, "IsClosed": closed, "IsWon": won}).state == state


def test_a_deal_without_children_is_null_and_not_an_empty_object(answer: dict[str, Any]) -> None:
    bare = {**answer, "OpportunityLineItems": None, "Owner": None, "Amount": None}
    deal = DEAL.read(bare)
    assert (deal.lines, deal.owner, deal.value) == ((), None, None)


def test_lines_that_did_not_fit_the_page_are_not_lost_in_silence(answer: dict[str, Any]) -> None:
    answer["OpportunityLineItems"]["done"] = False
    gap = DEAL.read_or_gap(answer)
    assert isinstance(gap, Gap)
    assert gap.code == "mapping.truncated"
    assert gap.external_id == "006A00000000001AAA"


def test_names_are_metadata(answer: dict[str, Any]) -> None:
    acme = DEAL.over(
        Overrides(
            fields={"billing_model": "Acme_Model__c", "value.currency": None},
            codes={"billing_model": {"Zeit": "time_and_materials"}},
            constants={"value.currency": "EUR"},
        )
    )
    del answer["CurrencyIsoCode"]
    deal = acme.read({**answer, "Acme_Model__c": "Zeit"})
    assert deal.billing_model == "time_and_materials"
    assert deal.value == Money(Decimal("30060.0"), "EUR")
    assert "TL_Billing_Model__c" not in acme.columns
    with pytest.raises(Misconfigured, match=r"read from Acme_Model__c\): 'Barter'"):
        acme.read({**answer, "Acme_Model__c": "Barter"})


def test_marks_write_only_what_is_ours() -> None:
    assert KEY.write("customer-1") == {"TL_Customer_Key__c": "customer-1"}
    assert KEY.columns == "TL_Customer_Key__c"
    assert MARK.write(DealMark(project_key="project-1", status="active")) == {
        "TL_Project_Key__c": "project-1",
        "TL_Project_Status__c": "active",
    }


def test_a_customer_is_written_without_what_salesforce_owns() -> None:
    customer = Customer(
        external_id="001A00000000001AAA",
        key="customer-1",
        name="Nordwind",
        country="DE",
        account_manager="seller@example.com",
        addresses=(Address(city="Berlin", country="DE"),),
    )
    assert CUSTOMER.write(customer) == {
        "TL_Customer_Key__c": "customer-1",
        "Name": "Nordwind",
        "BillingCountry": "Germany",
        "BillingCity": "Berlin",
    }
    assert (
        not {"Id", "SystemModstamp", "Owner"}
        & DEAL.write(Deal(external_id="1", state="won")).keys()
    )
    assert CONTACT.write(Contact(name="Ada Vega", email="a@example.com")) == {
        "Email": "a@example.com"
    }


def test_countries_are_read_as_people_write_them() -> None:
    assert len(set(NAMES.values())) == len(NAMES) >= 249
    bavarian = CUSTOMER.over(Overrides(codes={"country": {"Freistaat Bayern": "DE"}}))
    for text, code in (("germany", "DE"), ("DE", "DE"), ("UK ", "GB"), ("Freistaat Bayern", "DE")):
        customer = bavarian.read({"Name": "x", "BillingCountry": text})
        assert (customer.country, customer.addresses[0].country) == (code, code)
    with pytest.raises(Misconfigured, match="Atlantis"):
        CUSTOMER.read({"Name": "x", "BillingCountry": "Atlantis"})
