"""A customer that somebody made in the books by hand: what becomes another there is told first."""

from __future__ import annotations

from typing import Any

from tests.experience_apis.audience import journey
from tests.firm import Firm
from tests.systems import Deal


def known_by_number(firm: Firm) -> tuple[Deal, str]:
    """A deal that is won, and its customer in the books: the same tax number, another name."""
    deal = firm.salesforce.wins_deal(entity="DE")
    name, tax_id = handed(firm, deal), firm.salesforce.record(deal.customer_id)["TL_Tax_Id__c"]
    return deal, firm.netsuite.has_customer(name=name, tax_id=tax_id)


def handed(firm: Firm, deal: Deal) -> str:
    """What the customer is called in the books: by its name, and more."""
    return f"Übernommen {firm.salesforce.record(deal.customer_id)['Name']}"


def renamed(told: list[dict[str, Any]], customer: str) -> list[tuple[str, str]]:
    """The old name and the new one of a customer, each time it is told."""
    wanted = ("netsuite", "customer", customer, "companyName")
    names = ("system", "object", "external_id", "field")
    mine = [each for each in told if tuple(each[name] for name in names) == wanted]
    return [(each["before"], each["after"]) for each in mine]


async def test_a_dry_run_shows_what_it_would_overwrite_of_a_customer_made_by_hand(
    quiet_firm: Firm,
) -> None:
    deal, customer = known_by_number(quiet_firm)

    plan = (await quiet_firm.starts(deal, dry_run="true")).json()

    told = [each for write in plan["writes"] for each in write["overwrites"]]
    new = quiet_firm.salesforce.record(deal.customer_id)["Name"]
    assert renamed(told, customer) == [(handed(quiet_firm, deal), new)]
    [kept] = [r for r in quiet_firm.netsuite.state()["customer"] if r["id"] == customer]
    assert kept["companyName"] == handed(quiet_firm, deal)


async def test_a_journey_tells_what_was_overwritten_of_a_customer_made_by_hand(
    quiet_firm: Firm,
) -> None:
    deal, customer = known_by_number(quiet_firm)
    await quiet_firm.starts(deal)
    run = await quiet_firm.run_of(deal)

    told = [each for step in run["steps"] for each in step["overwrote"]]
    new = quiet_firm.salesforce.record(deal.customer_id)["Name"]
    assert renamed(told, customer) == [(handed(quiet_firm, deal), new)]

    async def seen() -> list[dict[str, Any]]:
        return list((await journey(quiet_firm, deal.id))["overwritten"])

    shown = await quiet_firm.see(seen, bool)
    assert renamed([each["what"] for each in shown], customer) == renamed(told, customer)
    assert {each["step"] for each in shown} == {"billed_customer"}


async def test_what_finance_keeps_of_a_customer_made_by_hand_is_not_overwritten(
    quiet_firm: Firm,
) -> None:
    deal, customer = known_by_number(quiet_firm)
    quiet_firm.netsuite.corrects(customer, terms={"id": "3"}, taxItem={"id": "11"})
    await quiet_firm.starts(deal)
    run = await quiet_firm.run_of(deal)

    fields = {each["field"] for step in run["steps"] for each in step["overwrote"]}
    assert {"companyName", "externalId"} <= fields
    assert not fields & {"terms.id", "taxItem.id", "vatRegNumber"}
