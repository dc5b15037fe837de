"""Who a customer is in another system: adopted, made, or asked of a person."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.canonical.party import Address, Customer
from contracts.errors import Conflict
from process_apis.customer_matching import chosen, scored

HOME = Address(street="Deichstr. 1", city="Hamburg", postal_code="20459", country="DE")
ANOTHER, NOBODYS = "01M7ZVJ3ZWF8Q0000000000001", "01M7ZVJ3ZWF8Q0000000000002"
ELBTAL = Customer(
    id="C1",
    key="customer-C1",
    name="Elbtal GmbH",
    country="DE",
    tax_id="DE136695976",
    addresses=(HOME,),
)


def known(**given: Any) -> Customer:
    """A customer that the ERP has already."""
    return Customer(**{"external_id": "8812", "name": "Somebody Else AG", "country": "DE"} | given)


@pytest.mark.parametrize(
    ("given", "score"),
    [
        ({"key": "customer-C1"}, 100),
        ({"tax_id": "DE 136 695 976", "name": "Holding Elbtal"}, 95),
        ({"name": "ELBTAL", "addresses": (HOME,)}, 85),
        ({"name": "Elbtal", "country": "AT"}, 30),
        ({"name": "Elbtal Logistik GmbH"}, 35),
        ({"name": "Elbtal GmbH", "tax_id": "DE811115368"}, 15),
        ({"name": "Elbtal GmbH", "key": f"customer-{ANOTHER}"}, 5),
        ({"name": "Elbtal GmbH", "key": f"customer-{NOBODYS}"}, 65),
        ({"name": "Elbtal GmbH", "key": "LEGACY-961"}, 65),
        ({}, 5),
    ],
)
def test_the_score_says_how_alike_two_customers_are(given: dict[str, Any], score: int) -> None:
    match = scored(ELBTAL, known(**given), {ANOTHER})
    assert match.score == score
    assert match.reasons


def test_the_same_tax_number_is_the_same_customer() -> None:
    others = [known(), known(external_id="9", name="Elbtal", tax_id=ELBTAL.tax_id)]
    match = chosen(ELBTAL, others, "netsuite")
    assert match is not None
    assert match.customer.external_id == "9"


def test_nobody_alike_is_a_new_customer() -> None:
    assert chosen(ELBTAL, [known()], "netsuite") is None
    assert chosen(ELBTAL, [], "netsuite") is None


def test_the_same_name_alone_is_asked_of_a_steward_with_reasons() -> None:
    with pytest.raises(Conflict, match="the name is the same, the country is the same") as told:
        chosen(ELBTAL, [known(name="Elbtal")], "netsuite")
    assert (told.value.code, told.value.owner) == ("customer.match-unclear", "finance-master-data")


def test_a_steward_who_adopts_none_of_them_gets_a_new_customer() -> None:
    assert chosen(ELBTAL, [known(name="Elbtal")], "netsuite", decided=True) is None


def test_two_customers_of_one_tax_number_are_asked_of_a_steward() -> None:
    twins = [known(external_id=each, name="Elbtal", tax_id=ELBTAL.tax_id) for each in ("8", "9")]
    with pytest.raises(Conflict, match=r"customer\.match-unclear"):
        chosen(ELBTAL, twins, "netsuite")


def test_an_inactive_customer_is_not_booked_on() -> None:
    with pytest.raises(Conflict, match=r"customer\.inactive"):
        chosen(ELBTAL, [known(name="Elbtal", tax_id=ELBTAL.tax_id, state="inactive")], "netsuite")


def test_the_same_tax_number_under_a_name_of_nothing_in_common_is_asked_of_a_steward() -> None:
    sister = known(name="QQ Holding Hamburg", tax_id=ELBTAL.tax_id, addresses=(HOME,))
    with pytest.raises(Conflict, match="the names have nothing in common"):
        chosen(ELBTAL, [sister], "netsuite")


@pytest.mark.parametrize("key", ["LEGACY-962", f"customer-{NOBODYS}"])
def test_the_id_of_another_program_is_not_replaced_before_a_steward_was_asked(key: str) -> None:
    imported = known(name="Elbtal GmbH", tax_id=ELBTAL.tax_id, key=key)
    with pytest.raises(Conflict, match=f"it carries the id {key} of somebody else") as told:
        chosen(ELBTAL, [imported], "netsuite", ours={ANOTHER})
    assert told.value.code == "customer.match-unclear"
