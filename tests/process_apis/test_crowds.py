"""Many deals at once, and systems that refuse, throttle or go away in the middle of them."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from tests.firm import Firm
from tests.house import address, port
from tests.process_apis.standing import finish, stand_once
from tests.servers import free_port
from tests.systems import Deal

AT_ONCE = 5
CROWD = 200
PEOPLE = 40
BOOKS = "system/netsuite"


async def begin(firm: Firm, deals: list[Deal]) -> None:
    """Each deal's run is asked for twice at the same moment, by many people."""
    people = asyncio.Semaphore(PEOPLE)

    async def ask(deal: Deal) -> int:
        async with people:
            return (await firm.starts(deal)).status_code

    told = await asyncio.gather(*(ask(deal) for deal in deals for _ in range(2)))
    assert set(told) <= {200, 202}


@pytest.fixture
def two_ways_to_the_books(quiet_firm: Firm) -> None:
    """In production form a second process calls the ERP as well, for a worker of its own."""
    house = quiet_firm.house
    if house.redis_url is None:
        return
    place = address(free_port())
    house.start("netsuite-2", "serve", BOOKS, "--port", port(place))
    house.answers("netsuite-2", f"{place}/nowhere", status=404)
    peers = house.env["THROUGHLINE_PEERS"].replace(house.tiers[BOOKS], place)
    house.start("worker-3", "worker", "--name", "3", THROUGHLINE_PEERS=peers)


@pytest.mark.usefixtures("two_ways_to_the_books")
async def test_two_hundred_deals_at_once_never_crowd_the_books(quiet_firm: Firm) -> None:
    firm = quiet_firm
    deals = [firm.salesforce.wins_deal(billing_model="milestone") for _ in range(CROWD)]
    won = firm.salesforce.state()
    firm.netsuite.latency(20)

    await begin(firm, deals)
    asked = await finish(firm, deals, seconds=1)
    firm.netsuite.latency(0)

    calls = firm.netsuite.calls()
    assert len(calls) >= 5 * CROWD
    assert firm.netsuite.busiest() == AT_ONCE
    assert not [call for call in calls if call["status"] == 429]
    assert not asked
    await stand_once(firm, deals, won)


@pytest.mark.one_form
async def test_a_third_of_all_calls_throttled_everywhere_loses_none_of_forty_deals(
    quiet_firm: Firm,
) -> None:
    firm = quiet_firm
    deals = [firm.salesforce.wins_deal(billing_model="milestone") for _ in range(40)]
    won = firm.salesforce.state()
    for system in firm.systems:
        system.fails("*", "throttle", rate=0.3, seed=1)

    await begin(firm, deals)
    asked = await finish(firm, deals, seconds=5)

    assert not asked
    assert all(system.fired() > 20 for system in firm.systems)
    await stand_once(firm, deals, won)


@pytest.mark.one_form
async def test_ten_minutes_without_the_books_are_made_up_for(quiet_firm: Firm) -> None:
    firm = quiet_firm
    deals = [firm.salesforce.wins_deal(billing_model="milestone") for _ in range(20)]
    won = firm.salesforce.state()
    firm.netsuite.fails("job.upsert", "maintenance", nth=5, seconds=600)

    await begin(firm, deals)
    asked = await finish(firm, deals, seconds=10)

    refused = [call for call in firm.netsuite.calls() if call["status"] == 503]
    first, *_, last = (datetime.fromisoformat(call["at"]) for call in refused)
    assert 500 < (last - first).total_seconds() < 600
    assert len(refused) < 60
    assert not asked
    await stand_once(firm, deals, won)


@pytest.mark.parametrize("entity", ["US", "UK", "DE"])
@pytest.mark.parametrize("model", ["time_and_materials", "fixed_price", "milestone", "retainer"])
async def test_a_first_deal_with_its_parent_needs_few_calls(
    quiet_firm: Firm, entity: str, model: str
) -> None:
    firm = quiet_firm
    deal = firm.salesforce.wins_deal(entity=entity, billing_model=model)
    marks = [len(system.calls()) for system in firm.systems]

    await firm.starts(deal)
    await finish(firm, [deal])

    told = [system.calls()[mark:] for system, mark in zip(firm.systems, marks, strict=True)]
    crm, psa, erp = (
        [call["operation"] for call in calls if call["operation"] != "token.create"]
        for calls in told
    )
    assert (len(crm), len(erp)) == (3, 5), (crm, erp)
    assert len(psa) == 6 - (model == "time_and_materials"), psa
