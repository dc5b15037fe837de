"""Two accounts that are one company: nothing is kept until a person has decided which stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from apis.runtime.store import Store
from process_apis.customer_master import CUSTOMERS, XREF
from system_apis.salesforce.sandbox.examples import tax_id
from tests.firm import Firm
from tests.process_apis.announced import lost
from tests.systems import Deal

TWICE = "customer.duplicate-account"


@pytest.fixture
async def store(firm: Firm) -> AsyncIterator[Store]:
    store = Store(firm.house.database_url, pool=2)
    yield store
    store.close()


async def won_twice(firm: Firm) -> tuple[Deal, str, Deal]:
    """A deal that is done, its customer's golden id, and one of an account with its tax id."""
    first = firm.salesforce.wins_deal(entity="DE")
    golden = (await firm.run_of(first))["result"]["customer"]["id"]
    number = firm.salesforce.record(first.customer_id)["TL_Tax_Id__c"]
    return first, golden, won_under(firm, number)


def won_under(firm: Firm, number: str) -> Deal:
    """A deal of a new account that has this tax id."""
    deal = firm.salesforce.wins_deal(entity="DE", stage="Negotiation/Review")
    firm.salesforce.corrects(deal.customer_id, tax_id=number)
    firm.salesforce.wins_again(deal)
    return deal


async def known(store: Store, *deals: Deal) -> list[Any]:
    """All that is kept of the customers of these deals."""
    accounts = [deal.customer_id for deal in deals]
    rows = sa.select(XREF).where(XREF.c.external_id.in_(accounts)).order_by(XREF.c.external_id)

    def look(connection: sa.Connection) -> list[Any]:
        links = list(connection.execute(rows))
        mine = CUSTOMERS.c.id.in_([link.id for link in links])
        return [*links, *connection.execute(sa.select(CUSTOMERS).where(mine))]

    return await store.read(look)


def key_of(firm: Firm, account: str) -> str:
    return str(firm.salesforce.record(account)["TL_Customer_Key__c"])


def account(external_id: str) -> dict[str, str]:
    return {"system": "salesforce", "external_id": external_id}


async def test_finance_is_shown_both_accounts_and_the_one_that_is_too_many(firm: Firm) -> None:
    first, _, second = await won_twice(firm)

    item = await firm.work_item(second, owner="finance-master-data")

    assert item["code"] == TWICE
    name = firm.salesforce.record(first.customer_id)["Name"]
    for part in (second.customer_id, first.customer_id, name, "the same tax id"):
        assert part in item["detail"]
    assert item["record"]["object"] == "customer"
    assert item["record"]["external_id"] == second.customer_id


async def test_a_retry_that_set_nothing_right_is_told_the_same_and_keeps_nothing(
    firm: Firm, store: Store
) -> None:
    first, _, second = await won_twice(firm)
    item = await firm.work_item(second, code=TWICE)
    before = await known(store, first, second)

    await firm.decides(item, "retry")

    async def asked_again() -> dict[str, Any]:
        return await firm.work_item(second, code=TWICE)

    again = await firm.see(asked_again, lambda found: found["id"] != item["id"])
    assert again["detail"] == item["detail"]
    assert await known(store, first, second) == before


async def test_abandoned_and_started_again_the_duplicate_is_still_told(firm: Firm) -> None:
    _, _, second = await won_twice(firm)
    await firm.decides(await firm.work_item(second, code=TWICE), "abandon")
    await firm.run_of(second, "abandoned")

    await firm.starts(second)

    assert (await firm.work_item(second, code=TWICE))["step"] == "validated_customer"


async def test_the_known_account_is_adopted_and_the_deal_is_its(firm: Firm) -> None:
    first, golden, second = await won_twice(firm)
    item = await firm.work_item(second, code=TWICE)

    await firm.decides(item, "adopt", record=account(first.customer_id))

    run = await firm.run_of(second)
    assert run["result"]["customer"] == {"id": golden, "external_id": first.customer_id}
    assert key_of(firm, first.customer_id) == f"customer-{golden}"
    assert key_of(firm, second.customer_id) == "None"
    above = firm.salesforce.record(firm.salesforce.record(first.customer_id)["ParentId"])
    parent = firm.netsuite.customer(f"customer-{golden}")["parent"]["id"]
    booked = [each for each in firm.netsuite.state()["customer"] if each["id"] == parent]
    assert [each["companyName"] for each in booked] == [above["Name"]]


async def test_the_new_account_is_adopted_and_becomes_the_known_customer(firm: Firm) -> None:
    first, golden, second = await won_twice(firm)
    item = await firm.work_item(second, code=TWICE)

    await firm.decides(item, "adopt", record=account(second.customer_id))

    run = await firm.run_of(second)
    assert run["result"]["customer"] == {"id": golden, "external_id": second.customer_id}
    assert key_of(firm, second.customer_id) == f"customer-{golden}"
    assert key_of(firm, first.customer_id) in {"", "None"}


async def test_merged_into_the_known_account_the_deal_is_its_when_retried(firm: Firm) -> None:
    first, golden, second = await won_twice(firm)
    item = await firm.work_item(second, code=TWICE)

    firm.salesforce.corrects(second.id, AccountId=first.customer_id)
    await firm.decides(item, "retry")

    run = await firm.run_of(second)
    assert run["result"]["customer"] == {"id": golden, "external_id": first.customer_id}
    assert key_of(firm, first.customer_id) == f"customer-{golden}"


async def test_merged_into_the_new_account_that_is_the_known_customer_when_retried(
    firm: Firm,
) -> None:
    first, golden, second = await won_twice(firm)
    item = await firm.work_item(second, code=TWICE)

    firm.salesforce.corrects(first.id, AccountId=second.customer_id)
    firm.salesforce.removes("Account", first.customer_id)
    await firm.decides(item, "retry")

    run = await firm.run_of(second)
    assert run["result"]["customer"] == {"id": golden, "external_id": second.customer_id}
    assert key_of(firm, second.customer_id) == f"customer-{golden}"


async def test_the_account_adopted_while_keys_are_written_gets_the_key(firm: Firm) -> None:
    other = firm.salesforce.wins_deal(stage="Negotiation/Review")
    firm.salesforce.fails("Account.update", "lock")
    deal = firm.salesforce.wins_deal()
    [item] = await firm.in_time(lambda: firm.work_items_of(deal), minutes=5)
    firm.salesforce.works_again()
    assert item["step"] == "customer_key_for"

    await firm.decides(item, "adopt", record=account(other.customer_id))

    customer = (await firm.run_of(deal))["result"]["customer"]
    assert customer["external_id"] == other.customer_id
    assert key_of(firm, other.customer_id) == f"customer-{customer['id']}"
    assert key_of(firm, deal.customer_id) == "None"


async def test_a_corrected_tax_id_finds_duplicates_and_the_wrong_one_no_more(firm: Firm) -> None:
    wrong, right = tax_id("DE", 71_001), tax_id("DE", 71_002)
    deal = won_under(firm, wrong)
    await firm.run_of(deal)
    await lost(firm, deal)
    firm.salesforce.corrects(deal.customer_id, tax_id=right)
    in_the_books = firm.netsuite.customer(key_of(firm, deal.customer_id))["id"]
    firm.netsuite.corrects(in_the_books, tax_id=right)  # they own it
    firm.salesforce.wins_again(deal)
    await firm.run_of(deal, turn=2)

    same, another = won_under(firm, right), won_under(firm, wrong)

    assert deal.customer_id in (await firm.work_item(same, code=TWICE))["detail"]
    assert (await firm.run_of(another))["state"] == "done"


async def test_a_customer_that_takes_the_tax_id_of_another_is_a_duplicate(
    firm: Firm, store: Store
) -> None:
    one, two = firm.salesforce.wins_deal(entity="DE"), firm.salesforce.wins_deal(entity="DE")
    for deal in (one, two):
        await firm.run_of(deal)
    before = await known(store, one, two)
    await lost(firm, two)

    number = firm.salesforce.record(one.customer_id)["TL_Tax_Id__c"]
    firm.salesforce.corrects(two.customer_id, tax_id=number)
    firm.salesforce.wins_again(two)

    item = await firm.see(lambda: firm.work_items_of(two), bool)
    assert [each["code"] for each in item] == [TWICE]
    assert await known(store, one, two) == before
