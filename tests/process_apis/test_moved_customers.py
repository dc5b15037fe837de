"""A customer that has moved: who follows the address, where metadata says that sales owns it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.firm import Firm
from tests.house import House, opened
from tests.process_apis.conftest import SAMPLE
from tests.servers import Servers
from tests.systems import Deal

OWNED = "ownership: []", "ownership: [{object: customer, attribute: addresses, system: crm}]"
NEW = {"BillingStreet": "Neuer Wall 9", "BillingCity": "Bremen", "BillingPostalCode": "28195"}


@pytest.fixture(scope="module")
def house_of_sales(
    production: Servers | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """A deployment whose metadata gives the addresses of customers to the CRM."""
    home = tmp_path_factory.mktemp("moved")
    entities: Path = home / "entities.yaml"
    entities.write_text(SAMPLE.read_text().replace(*OWNED))
    with opened(home, production, THROUGHLINE_ENTITIES=str(entities)) as house:
        yield house


@pytest.fixture
async def sales_firm(house_of_sales: House) -> AsyncIterator[Firm]:
    """The firm of that deployment."""
    firm = Firm(house_of_sales)
    yield firm
    await firm.close()


async def sold_again(firm: Firm, deal: Deal, **moved: str) -> dict[str, Any]:
    """The customer of a deal buys once more, having moved; answers that run."""
    if moved:
        firm.salesforce.corrects(deal.customer_id, **moved)
    again = firm.salesforce.wins_deal(entity="DE", stage="Negotiation/Review")
    firm.salesforce.corrects(again.id, AccountId=deal.customer_id)
    firm.salesforce.wins_again(again)
    return await firm.run_of(again)


def addresses(firm: Firm, deal: Deal) -> tuple[list[str], str]:
    """Where the customer lives for the books, line by line, and for those who plan."""
    key = firm.salesforce.record(deal.customer_id)["TL_Customer_Key__c"]
    lines = firm.netsuite.customer(key)["addressBook"]["items"]
    return [line["addressBookAddress"].get("city", "") for line in lines], str(
        firm.kantata.customer(key)["address"]
    )


async def test_where_sales_owns_addresses_the_next_deal_brings_the_new_one_everywhere(
    sales_firm: Firm,
) -> None:
    deal = sales_firm.salesforce.wins_deal(entity="DE")
    first = await sales_firm.run_of(deal)
    run = await sold_again(sales_firm, deal, **NEW)

    booked, planned = addresses(sales_firm, deal)
    assert booked == ["Bremen"]
    assert planned.startswith("Neuer Wall 9, 28195, Bremen")
    told = {e["field"] for step in run["steps"] for e in step["overwrote"]}
    assert {"addressBook.items", "workspace_group.address"} <= told
    made = [call for step in first["steps"] for call in step["calls"]]
    calls = [call["system"] for call in made if call["operation"] != "sign in"]
    assert calls.count("kantata") <= 6
    assert calls.count("netsuite") <= 5


async def test_a_customer_that_has_not_moved_costs_no_call_more_and_keeps_its_address(
    sales_firm: Firm,
) -> None:
    deal = sales_firm.salesforce.wins_deal(entity="DE")
    await sales_firm.run_of(deal)
    before = addresses(sales_firm, deal)

    run = await sold_again(sales_firm, deal)

    [step] = [each for each in run["steps"] if each["name"] == "delivered_customer"]
    assert [call["operation"] for call in step["calls"]] == ["GET /workspace_groups"]
    assert step["overwrote"] == []
    assert addresses(sales_firm, deal) == before


async def test_other_addresses_of_the_books_stay_when_a_customer_has_moved(
    sales_firm: Firm,
) -> None:
    deal = sales_firm.salesforce.wins_deal(entity="DE")
    await sales_firm.run_of(deal)
    key = sales_firm.salesforce.record(deal.customer_id)["TL_Customer_Key__c"]
    shipping = {"defaultShipping": True, "addressBookAddress": {"city": "Kiel"}}
    customer = sales_firm.netsuite.customer(key)["id"]
    sales_firm.netsuite.corrects(customer, addressBook={"items": [shipping]})
    await sold_again(sales_firm, deal, **NEW)

    assert sorted(addresses(sales_firm, deal)[0]) == ["Bremen", "Kiel"]


async def test_where_finance_owns_addresses_they_stay_as_they_are(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(entity="DE")
    await firm.run_of(deal)
    before = addresses(firm, deal)
    await sold_again(firm, deal, **NEW)

    assert addresses(firm, deal) == before
