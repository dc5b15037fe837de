"""One customer, one contract, one run: whatever comes twice, late or at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from apis.runtime.store import Store
from contracts.canonical.identity import Source
from contracts.events import Event
from process_apis import customer_master
from tests.firm import Firm
from tests.process_apis.announced import events


@pytest.fixture
async def store(firm: Firm) -> AsyncIterator[Store]:
    store = Store(firm.house.database_url, pool=2)
    yield store
    store.close()


async def test_what_happened_is_announced_once_with_both_ids(firm: Firm, store: Store) -> None:
    deal = firm.salesforce.wins_deal()
    run = await firm.run_of(deal)

    async def told() -> list[Event]:
        return await events(store, deal)

    found = await firm.see(told, lambda all_: any(e.type == "run.ended" for e in all_))

    types = [each.type for each in found]
    for name in ("deal.won", "run.started", "customer.validated", "contract.activated"):
        assert types.count(name) == 1, name
    by_type = {each.type: each.data for each in found}
    won, customer = by_type["deal.won"]["deal"], by_type["customer.validated"]["customer"]
    assert (len(won["id"]), won["external_id"]) == (26, deal.id)
    assert (len(won["customer"]["id"]), won["customer"]["external_id"]) == (26, deal.customer_id)
    assert (customer["id"], customer["external_id"]) == (won["customer"]["id"], deal.customer_id)
    assert by_type["contract.activated"]["contract"]["id"] == run["result"]["id"]


async def test_any_of_its_ids_finds_a_record(firm: Firm, store: Store) -> None:
    deal = firm.salesforce.wins_deal()
    run = await firm.run_of(deal)
    account = Source("salesforce", deal.customer_id)
    golden = run["result"]["customer"]["id"]

    assert await store.read(customer_master.known, "customer", account) == golden
    known = await store.read(customer_master.sources, "customer", golden)
    assert account in known
    assert {each.connection for each in known} == {"salesforce", "kantata", "netsuite"}


async def test_feed_and_people_asking_at_once_are_one_run(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal()

    answers = await asyncio.gather(*(firm.starts(deal) for _ in range(8)))

    run = await firm.run_of(deal)
    assert {answer.json()["id"] for answer in answers} == {run["id"]}
    assert len(await firm.runs_of(deal)) == 1
    assert len(firm.salesforce.effects(deal.id)) == 1


async def test_deals_that_come_together_are_each_done_once(firm: Firm) -> None:
    deals = [firm.salesforce.wins_deal() for _ in range(8)]

    await asyncio.gather(*(firm.starts(deal) for deal in deals for _ in range(2)))

    for deal in deals:
        await firm.run_of(deal)
        assert len(firm.salesforce.effects(deal.id)) == 1
        assert len(firm.salesforce.effects(deal.customer_id)) == 1


async def test_two_deals_of_one_new_customer_have_one_golden_customer(firm: Firm) -> None:
    one = firm.salesforce.wins_deal(entity="DE", customer="same")
    two = firm.salesforce.wins_deal(entity="DE", customer="same")

    runs = [await firm.run_of(deal) for deal in (one, two)]

    assert one.customer_id == two.customer_id
    assert runs[0]["result"]["customer"] == runs[1]["result"]["customer"]
    assert runs[0]["result"]["id"] != runs[1]["result"]["id"]


async def test_a_dry_run_shows_everything_and_writes_nothing(firm: Firm, store: Store) -> None:
    deal = firm.salesforce.wins_deal(price=2000)
    await firm.work_item(deal, owner="delivery-director")
    systems = (firm.salesforce, firm.kantata, firm.netsuite)
    before, rows = [each.state() for each in systems], await counted(store)

    answer = await firm.starts(deal, dry_run="true")

    plan: dict[str, Any] = answer.json()
    assert answer.status_code == 200
    assert {write["system"] for write in plan["writes"]} == {"salesforce", "kantata", "netsuite"}
    assert plan["writes"][0]["body"]["TL_Customer_Key__c"].startswith("customer-")
    assert plan["writes"][-1]["body"]["TL_Project_Status__c"] == "active"
    planned = [write["operation"] for write in plan["writes"] if write["system"] == "netsuite"]
    assert planned == [*["create customer"] * 2, "create project", "create billing-schedule"]
    assert {"customer", "contract"} <= {record["object"] for record in plan["records"]}
    assert plan["approvals"][0]["owner"] == "delivery-director"
    assert plan["problems"] == []
    assert [each.state() for each in systems] == before
    assert await counted(store) == rows


async def counted(store: Store) -> tuple[int, ...]:
    """How many customers, contracts and identities are known."""
    tables = (customer_master.CUSTOMERS, customer_master.CONTRACTS, customer_master.XREF)
    asked = [sa.select(sa.func.count()).select_from(each) for each in tables]
    return await store.read(lambda c: tuple(int(c.execute(a).scalar_one()) for a in asked))


async def test_a_dry_run_of_an_unready_deal_says_what_stands_in_its_way(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(entity="DE", tax_code=None)

    plan = (await firm.starts(deal, dry_run="true")).json()

    assert plan["problems"][0]["code"] == "customer.tax-code-missing"
    assert plan["writes"] == []
