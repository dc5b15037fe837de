"""Customers of a deal in all systems: their parents, who they are, whose values they show."""

from __future__ import annotations

from typing import Any

from tests.firm import Firm
from tests.systems import Deal

FINANCE = "finance-master-data"
UNCLEAR = "customer.match-unclear"


def negotiated(firm: Firm, **options: Any) -> Deal:
    """A deal that is not won yet."""
    return firm.salesforce.wins_deal(entity="DE", stage="Negotiation/Review", **options)


def won_too(firm: Firm, customer: str) -> Deal:
    """Another deal of this account."""
    deal = negotiated(firm)
    firm.salesforce.corrects(deal.id, AccountId=customer)
    firm.salesforce.wins_again(deal)
    return deal


def group_of(firm: Firm, deal: Deal) -> dict[str, Any]:
    """The account above that of the deal."""
    return firm.salesforce.record(firm.salesforce.record(deal.customer_id)["ParentId"])


def key_of(firm: Firm, account: str) -> str:
    return str(firm.salesforce.record(account)["TL_Customer_Key__c"])


def above(firm: Firm, customer: dict[str, Any]) -> list[dict[str, Any]]:
    """The customers above one in the books, the nearest first."""
    known = {each["id"]: each for each in firm.netsuite.state()["customer"]}
    found = []
    while parent := customer.get("parent"):
        customer = known[parent["id"]]
        found.append(customer)
    return found


def booked(external_id: str) -> dict[str, str]:
    return {"system": "netsuite", "external_id": external_id}


async def test_a_parent_that_appears_later_is_linked_by_the_next_deal(firm: Firm) -> None:
    deal = negotiated(firm)
    firm.salesforce.corrects(deal.customer_id, ParentId=None)
    firm.salesforce.wins_again(deal)
    await firm.run_of(deal)
    key = key_of(firm, deal.customer_id)
    assert above(firm, firm.netsuite.customer(key)) == []

    levels = [f"Level {n} of {deal.id}" for n in range(10)]
    top: str | None = None
    for name in levels:
        top = firm.salesforce.has_account(name, **({"ParentId": top} if top else {}))
    firm.salesforce.corrects(deal.customer_id, ParentId=top)
    await firm.run_of(won_too(firm, deal.customer_id))

    named = [each["companyName"] for each in above(firm, firm.netsuite.customer(key))]
    assert named == levels[::-1]


async def test_a_journey_tells_the_customer_from_the_company_above_it(firm: Firm) -> None:
    run = await firm.run_of(firm.salesforce.wins_deal())

    names = [step["name"] for step in run["steps"] if step["name"].startswith("billed_")]
    assert names == ["billed_parent", "billed_customer"]


async def test_a_customer_that_sales_renamed_has_that_name_in_the_books(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(entity="DE")
    await firm.run_of(deal)
    new = f"Renamed {deal.id} GmbH"

    firm.salesforce.corrects(deal.customer_id, name=new)
    await firm.run_of(won_too(firm, deal.customer_id))

    assert firm.netsuite.customer(key_of(firm, deal.customer_id))["companyName"] == new


async def test_what_finance_keeps_is_shown_on_the_account(firm: Firm) -> None:
    deal = negotiated(firm)
    account = firm.salesforce.record(deal.customer_id)
    name, number = f"By hand {account['Name']}", account["TL_Tax_Id__c"]
    spaced = f"{number[:2]} {number[2:]}"
    firm.netsuite.has_customer(name=name, tax_id=spaced, terms={"id": "3"})
    firm.salesforce.wins_again(deal)

    run = await firm.run_of(deal)

    account = firm.salesforce.record(deal.customer_id)
    assert account["TL_Payment_Terms__c"] == "net60"
    assert account["TL_Tax_Id__c"] == spaced
    assert not account["TL_Credit_Hold__c"]
    calls = [call for step in run["steps"] for call in step["calls"]]
    mine = [c for c in calls if c["system"] == "salesforce" and c["operation"] != "sign in"]
    assert len(mine) == 3


async def test_an_unclear_parent_is_asked_about_and_adopted_as_the_parent(firm: Firm) -> None:
    deal = negotiated(firm)
    group = group_of(firm, deal)
    known = firm.netsuite.has_customer(name=group["Name"])
    firm.salesforce.wins_again(deal)

    [item] = await firm.see(lambda: firm.work_items_of(deal), bool)
    assert (item["code"], item["adopts"]) == (UNCLEAR, "netsuite")
    assert group["Name"] in item["detail"]
    assert item["record"]["external_id"] == group["Id"]
    await firm.decides(item, "adopt", record=booked(known))
    await firm.run_of(deal)

    customer = firm.netsuite.customer(key_of(firm, deal.customer_id))
    assert customer["id"] != known
    assert [each["id"] for each in above(firm, customer)] == [known]


async def test_a_retry_makes_the_one_in_question_new_and_no_other(firm: Firm) -> None:
    deal = negotiated(firm)
    names = [firm.salesforce.record(deal.customer_id)["Name"], group_of(firm, deal)["Name"]]
    known = [firm.netsuite.has_customer(name=name) for name in names]
    firm.salesforce.wins_again(deal)

    first = await firm.work_item(deal, owner=FINANCE, code=UNCLEAR)
    await firm.decides(first, "retry")

    async def next_item() -> list[dict[str, Any]]:
        return [each for each in await firm.work_items_of(deal) if each["id"] != first["id"]]

    [second] = await firm.see(next_item, bool)
    assert names[1] in second["detail"]
    await firm.decides(second, "adopt", record=booked(known[1]))
    await firm.run_of(deal)

    customer = firm.netsuite.customer(key_of(firm, deal.customer_id))
    assert customer["id"] not in known
    assert [each["id"] for each in above(firm, customer)] == [known[1]]


async def test_in_place_of_an_inactive_customer_another_is_adopted(firm: Firm) -> None:
    deal = negotiated(firm)
    account = firm.salesforce.record(deal.customer_id)
    name, number = f"Closed {account['Name']}", account["TL_Tax_Id__c"]
    firm.netsuite.has_customer(name=name, tax_id=number, isInactive=True)
    open_ = firm.netsuite.has_customer(name="Successor AG")
    firm.salesforce.wins_again(deal)

    item = await firm.work_item(deal, owner=FINANCE, code="customer.inactive")
    assert item["record"]["external_id"] == deal.customer_id
    await firm.decides(item, "adopt", record=booked(open_))
    await firm.run_of(deal)

    assert firm.netsuite.customer(key_of(firm, deal.customer_id))["id"] == open_


async def test_the_id_that_another_program_gave_a_customer_is_replaced_by_who_adopts_it(
    firm: Firm,
) -> None:
    deal = negotiated(firm)
    account = firm.salesforce.record(deal.customer_id)
    name, number = account["Name"], account["TL_Tax_Id__c"]
    known = firm.netsuite.has_customer(name=name, tax_id=number, externalId=f"LEGACY-{deal.id}")
    firm.salesforce.wins_again(deal)

    item = await firm.work_item(deal, owner=FINANCE, code=UNCLEAR)
    assert f"the id LEGACY-{deal.id} of somebody else" in item["detail"]
    await firm.decides(item, "adopt", record=booked(known))
    await firm.run_of(deal)

    assert firm.netsuite.customer(key_of(firm, deal.customer_id))["id"] == known


async def test_a_customer_adopted_by_a_wrong_number_is_asked_for_again(firm: Firm) -> None:
    deal = negotiated(firm)
    known = firm.netsuite.has_customer(name=firm.salesforce.record(deal.customer_id)["Name"])
    firm.salesforce.wins_again(deal)

    item = await firm.work_item(deal, owner=FINANCE, code=UNCLEAR)
    await firm.decides(item, "adopt", record=booked("999999"))
    missing = await firm.work_item(deal, code="customer.not-found")
    assert missing["adopts"] == "netsuite"
    await firm.decides(missing, "adopt", record=booked(known))
    await firm.run_of(deal)

    assert firm.netsuite.customer(key_of(firm, deal.customer_id))["id"] == known


async def test_a_name_too_long_for_the_books_waits_until_it_is_shorter(firm: Firm) -> None:
    deal = negotiated(firm)
    firm.salesforce.corrects(deal.customer_id, name="Donaudampfschifffahrt " * 5)
    firm.salesforce.wins_again(deal)

    item = await firm.work_item(deal, code="customer.name-too-long")
    assert (item["owner"], item["record"]["external_id"]) == (FINANCE, deal.customer_id)
    assert item["errors"][0]["pointer"] == "/name"
    assert "83" in item["remedy"]
    shorter = f"DDSG {deal.id}"
    firm.salesforce.corrects(deal.customer_id, name=shorter)
    await firm.decides(item, "retry")
    await firm.run_of(deal)

    assert firm.netsuite.customer(key_of(firm, deal.customer_id))["companyName"] == shorter


async def test_a_project_with_a_long_name_is_booked_under_its_beginning(firm: Firm) -> None:
    deal = negotiated(firm)
    firm.salesforce.corrects(deal.id, name=f"{deal.id} Rollout " + "in all regions " * 6)
    firm.salesforce.wins_again(deal)
    await firm.run_of(deal)

    job = firm.netsuite.job(firm.salesforce.record(deal.id)["TL_Project_Key__c"])
    assert len(job["companyName"]) <= 83
    assert job["companyName"].startswith(f"{deal.id} Rollout")


async def test_a_state_is_booked_by_its_code_however_sales_wrote_it(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(entity="US", stage="Negotiation/Review")
    firm.salesforce.corrects(deal.customer_id, BillingState="colorado ")
    firm.salesforce.wins_again(deal)
    await firm.run_of(deal)

    [line] = firm.netsuite.customer(key_of(firm, deal.customer_id))["addressBook"]["items"]
    assert line["addressBookAddress"]["state"] == "CO"


async def test_the_person_to_talk_to_is_named_where_the_work_is_planned(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(entity="DE")
    await firm.run_of(deal)

    client = firm.kantata.customer(key_of(firm, deal.customer_id))

    assert client["contact_name"] == "Alex Winter"
    assert client["email"].endswith("@customer.example")


async def test_who_pays_the_bills_is_known_to_the_books(firm: Firm) -> None:
    deal = negotiated(firm)
    firm.salesforce.has_contact(deal, f"Frey{deal.id}", "Billing")
    firm.salesforce.wins_again(deal)
    await firm.run_of(deal)

    customer = firm.netsuite.customer(key_of(firm, deal.customer_id))
    [contact] = (
        each for each in firm.netsuite.state()["contact"] if each["company"]["id"] == customer["id"]
    )
    assert contact["entityId"] == f"Frey{deal.id}"
    assert contact["externalId"].startswith("contact-")
