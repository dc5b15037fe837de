"""Which of a deal's contacts go to which system: by the roles that metadata names."""

from __future__ import annotations

from apis.runtime.metadata import Contacts
from contracts.canonical.deal import Deal, DealFile
from contracts.canonical.party import Contact
from process_apis.customer_setup import contacts_of, wanted_contacts

PEOPLE = (
    Contact(external_id="003A", name="Ada", role="Decision Maker", primary=True),
    Contact(external_id="003B", name="Bo", role="Billing"),
    Contact(external_id="003A", name="Ada", role="Billing"),
    Contact(external_id="003C", name="Cy"),
)


def sent(*asked: Contacts) -> DealFile:
    file = DealFile(deal=Deal(state="won"), contacts=PEOPLE)
    return DealFile(deal=file.deal, contacts=tuple(wanted_contacts(file, asked)))


def named(file: DealFile, system: str) -> list[str | None]:
    return [each.name for each in contacts_of(file, system)]


def test_a_system_gets_those_who_play_its_roles_each_once() -> None:
    file = sent(
        Contacts(connection="kantata", roles=("billing",)),
        Contacts(connection="netsuite", roles=("Decision maker",)),
    )

    assert named(file, "kantata") == ["Ada", "Bo"]
    assert named(file, "netsuite") == ["Ada"]
    assert named(file, "salesforce") == []


def test_without_roles_in_metadata_nobody_is_sent_anywhere() -> None:
    assert sent().contacts == ()


def test_fifteen_contacts_are_all_sent() -> None:
    people = tuple(Contact(external_id=f"003{n}", name=f"P{n}", role="Billing") for n in range(15))
    file = DealFile(deal=Deal(state="won"), contacts=people)

    asked = [Contacts(connection="netsuite", roles=("Billing",))]

    assert len(list(wanted_contacts(file, asked))) == 15
