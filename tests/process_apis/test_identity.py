"""One customer, one contract, one run: whatever comes twice, late or at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from apis.runtime.events import LOG
from apis.runtime.store import Store
from contracts.canonical.identity import Source
from contracts.events import Event
from process_apis import customer_master
from tests.firm import Deal, Firm


@pytest.fixture
async def store(firm: Firm) -> AsyncIterator[Store]:
    store = Store(firm.house.database_url, pool=2)
    yield store
    store.close()


async def events(store: Store, deal: Deal) -> list[Event]:
    """Everything in the log that is about a deal."""
    bodies = await store.read(
        lambda c: c.execute(sa.select(LOG.c.body).order_by(LOG.c.seq)).scalars().all()
    )
    found = [msgspec.json.decode(body, type=Event) for body in bodies]
    run = f"deal_to_project:salesforce:{deal.id}"
    return [
        each
        for each in found
        if (each.correlationid or "").startswith(run)
        or (each.data.get("deal") or {}).get("external_id") == deal.id
    ]


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
    assert await store.read(customer_master.sources, "customer", golden) == [account]


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


async def test_won_lost_and_won_again_is_a_second_run_and_no_second_contract(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal()
    first = await firm.run_of(deal)
    key = firm.salesforce.record(deal.id)["TL_Project_Key__c"]

    firm.salesforce.loses(deal)
    await lost(firm, deal)
    firm.salesforce.wins_again(deal)

    second = await firm.run_of(deal, turn=2)
    assert second["id"] != first["id"]
    assert second["result"]["id"] == first["result"]["id"]
    assert second["result"]["versions"] == first["result"]["versions"]
    assert firm.salesforce.record(deal.id)["TL_Project_Key__c"] == key


async def lost(firm: Firm, deal: Deal) -> None:
    """Wait until the feed has seen the loss: a deal that is won again before was never lost."""
    store = Store(firm.house.database_url)

    async def look() -> list[str]:
        return [each.type for each in await events(store, deal)]

    await firm.see(look, lambda types: "deal.lost" in types)
    store.close()


async def test_a_dry_run_shows_everything_and_writes_nothing(firm: Firm, store: Store) -> None:
    deal = firm.salesforce.wins_deal(price=2000)
    await firm.work_item(deal, owner="delivery-director")
    before, rows = firm.salesforce.state(), await counted(store)

    answer = await firm.starts(deal, dry_run="true")

    plan: dict[str, Any] = answer.json()
    assert answer.status_code == 200
    assert [write["operation"] for write in plan["writes"]] == ["update customer", "update deal"]
    assert plan["writes"][0]["body"]["TL_Customer_Key__c"].startswith("customer-")
    assert plan["writes"][1]["body"]["TL_Project_Status__c"] == "contracted"
    assert {"customer", "contract"} <= {record["object"] for record in plan["records"]}
    assert plan["approvals"][0]["owner"] == "delivery-director"
    assert plan["problems"] == []
    assert firm.salesforce.state() == before
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
