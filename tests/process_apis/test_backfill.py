"""Deals that were won before anybody listened get their projects, beside those that are won now."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from apis.runtime.leases import holder
from apis.runtime.store import Store
from tests.firm import RUNS, Firm
from tests.forked import says
from tests.house import House
from tests.servers import Servers, drop_database, flush, fresh_database
from tests.systems import Deal, Salesforce

BACKFILLS = RUNS.replace("/runs", "/backfills")
SINCE = "2026-02-01"
DEALS = {"DE": 4, "UK": 8, "US": 8}
Earlier = dict[str, list[Deal]]


@pytest.fixture(scope="module")
def house(production: Servers | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A deployment of several processes, not started yet."""
    home: Path = tmp_path_factory.mktemp("backfill")
    if production is None:
        house = House(home, f"sqlite:///{home}/t.sqlite", None)
    else:
        redis = production.redis_url.rpartition("/")[0] + "/4"  # the firm's own may be running
        flush(redis)
        url = fresh_database(production.database_url)
        house = House(home, url, redis)
    try:
        house.opens_sandboxes()
        yield house
    finally:
        house.close()
        if production is not None:
            drop_database(production.database_url, house.database_url)


@pytest.fixture(scope="module")
def earlier(house: House) -> Earlier:
    """What was won before the product was started for the first time, by legal entity."""
    people = Salesforce(house)
    deals = {
        entity: [people.wins_deal(entity=entity, close_on="2026-02-10") for _ in range(count)]
        for entity, count in DEALS.items()
    }
    deals["long ago"] = [people.wins_deal(entity="DE", close_on="2026-01-31")]
    people.corrects(deals["DE"][1].customer_id, tax_code="")
    people.later(3600)
    house.opens_split("1", "2")
    return deals


@pytest.fixture
async def firm(house: House, earlier: Earlier) -> AsyncIterator[Firm]:
    assert earlier
    firm = Firm(house)
    yield firm
    for system in (firm.salesforce, firm.kantata, firm.netsuite):
        system.latency(0)
    await firm.close()


async def ask(firm: Firm, entity: str | None, **query: str) -> dict[str, Any]:
    """Someone asks for a backfill."""
    body = {"system": "salesforce", "won_since": SINCE, "entity": entity}
    answer = await firm.call("POST", BACKFILLS, json=body, params=query)
    told: dict[str, Any] = answer.raise_for_status().json()
    return told


async def now(firm: Firm, backfill: dict[str, Any]) -> dict[str, Any]:
    """The backfill as it is now."""
    answer = await firm.call("GET", f"{BACKFILLS}/{backfill['id']}")
    told: dict[str, Any] = answer.raise_for_status().json()
    return told


async def ended(firm: Firm, backfill: dict[str, Any]) -> dict[str, Any]:
    """The backfill when nothing is left to do."""

    async def look() -> dict[str, Any]:
        return await now(firm, backfill)

    return await firm.see(look, lambda told: told["state"] == "done", patience_s=60)


def ids(deals: list[Deal]) -> list[str]:
    return [deal.id for deal in deals]


def named(told: dict[str, Any], outcome: str) -> list[str]:
    """The deals with this outcome, by their ids in the CRM."""
    return [each["deal"]["external_id"] for each in told["items"] if each["outcome"] == outcome]


async def test_a_dry_run_lists_what_would_be_started_and_starts_nothing(
    firm: Firm, earlier: Earlier
) -> None:
    told = await ask(firm, "DE", dry_run="true")

    assert (told["state"], told.get("id"), told["next"]) == ("planned", None, None)
    assert named(told, "found") == ids(earlier["DE"])
    assert told["items"][0]["value"] == {"amount": "42800.00", "currency": "EUR"}
    assert [await firm.runs_of(deal) for deal in earlier["DE"]] == [[], [], [], []]


async def test_each_deal_has_its_outcome_and_what_is_in_its_way(
    firm: Firm, earlier: Earlier
) -> None:
    first, second, *others = earlier["DE"]
    await firm.starts(first)
    await firm.run_of(first)

    asked = await ask(firm, "DE")
    same = await ask(firm, "DE")
    told = await ended(firm, asked)

    assert same["id"] == asked["id"]
    assert named(told, "already") == [first.id]
    assert named(told, "waiting") == [second.id]
    assert named(told, "done") == ids(others)
    assert told["counts"] == {
        "found": 4, "to_start": 0, "already": 1, "started": 0, "waiting": 1, "done": 2, "refused": 0
    }  # fmt: skip
    [waits] = [each for each in told["items"] if each["outcome"] == "waiting"]
    assert waits["reason"].startswith("finance-master-data: ")
    assert "tax code" in waits["reason"]
    assert waits["run_id"] == (await firm.runs_of(second))[0]["id"]
    assert [await firm.runs_of(deal) for deal in earlier["long ago"]] == [[]]


async def test_backfills_are_listed_the_newest_first_with_what_became_of_their_deals(
    firm: Firm, earlier: Earlier
) -> None:
    done = await ended(firm, await ask(firm, "DE"))

    listed = (await firm.call("GET", BACKFILLS)).raise_for_status().json()["items"]

    [mine] = [each for each in listed if each["id"] == done["id"]]
    assert (mine["system"], mine["state"], mine["items"]) == ("salesforce", "done", [])
    assert mine["counts"] == done["counts"]
    assert mine["counts"]["found"] == len(earlier["DE"])
    asked_at = [datetime.fromisoformat(each["asked_at"]) for each in listed]
    assert asked_at == sorted(asked_at, reverse=True)
    refused = await firm.call("GET", f"{BACKFILLS}/{done['id']}", params={"cursor": "page-2"})
    assert (refused.status_code, refused.json()["errors"][0]["parameter"]) == (422, "cursor")


async def test_asked_again_all_have_a_run_and_none_gets_another(
    firm: Firm, earlier: Earlier
) -> None:
    before = [len(await firm.runs_of(deal)) for deal in earlier["DE"]]

    told = await ended(firm, await ask(firm, "DE"))

    assert sorted(named(told, "already")) == ids(earlier["DE"])
    assert [len(await firm.runs_of(deal)) for deal in earlier["DE"]] == before == [1] * 4


async def test_the_command_says_what_would_start_and_what_became_of_each_deal(
    firm: Firm, earlier: Earlier
) -> None:
    planned = command(firm.house, "--entity", "UK", "--dry-run")
    told = command(firm.house, "--entity", "DE")

    assert "8 found, 8 to start" in planned
    assert "Deals of UK won since 2026-02-01 in salesforce" in planned
    assert all(deal.id in planned for deal in earlier["UK"])
    assert [await firm.runs_of(deal) for deal in earlier["UK"]] == [[]] * 8
    assert told.splitlines()[-1].strip() == "4 found, 4 already"
    assert "Backfill  done  4 found, 4 already" in told
    assert "it has a run, which is waiting" in told


def command(house: House, *more: str) -> str:
    """What `throughline backfill` prints."""
    done = says(["backfill", "--since", SINCE, *more], house.env, house.folder)
    done.check_returncode()
    return done.stdout


async def test_a_deal_won_now_is_not_held_up_by_those_won_before(
    firm: Firm, earlier: Earlier
) -> None:
    firm.netsuite.latency(200)
    asked = await ask(firm, "UK")
    most = 0

    async def begun() -> dict[str, Any]:
        return await now(firm, asked)

    await firm.see(begun, lambda told: bool(named(told, "started")))
    deal = firm.salesforce.wins_deal(entity="DE")

    async def done() -> list[dict[str, Any]]:
        nonlocal most
        most = max(most, (await now(firm, asked))["counts"]["started"])
        return await firm.all_done(deal)

    await firm.see(done, bool)
    left = (await now(firm, asked))["counts"]
    assert left["found"] - left["done"] > 0
    assert most <= 2
    firm.netsuite.latency(0)
    assert named(await ended(firm, asked), "done") == ids(earlier["UK"])


async def test_cancelled_it_starts_no_more_and_what_has_begun_goes_on(
    firm: Firm, earlier: Earlier
) -> None:
    firm.netsuite.latency(300)
    asked = await ask(firm, "US")

    async def begun() -> dict[str, Any]:
        return await now(firm, asked)

    await firm.see(begun, lambda told: bool(named(told, "started")))
    answer = await firm.call("POST", f"{BACKFILLS}/{asked['id']}/cancellations")
    firm.netsuite.latency(0)

    assert answer.json()["state"] == "cancelled"
    told = await firm.see(begun, lambda told: not named(told, "started"))
    never = [deal for deal in earlier["US"] if deal.id in named(told, "found")]
    assert never
    assert told["counts"]["done"] + len(never) == len(earlier["US"])
    assert [await firm.runs_of(deal) for deal in never] == [[] for _ in never]
    again = await firm.call("POST", f"{BACKFILLS}/{asked['id']}/cancellations")
    assert (again.status_code, again.json()["code"]) == (409, "backfill.ended")


async def test_another_worker_goes_on_where_one_was_killed(firm: Firm, earlier: Earlier) -> None:
    firm.netsuite.latency(100)
    had = len(named(await ask(firm, "US", dry_run="true"), "already"))
    asked = await ask(firm, "US")

    async def begun() -> dict[str, Any]:
        return await now(firm, asked)

    await firm.see(begun, lambda told: bool(named(told, "started")))
    store = Store(firm.house.database_url)
    leader = await store.read(holder, "backfills")
    assert leader is not None
    kill(firm.house, leader)
    firm.netsuite.latency(0)

    async def over() -> list[dict[str, Any]]:
        told = await begun()
        return [told] if told["state"] == "done" else []

    [told] = await firm.in_time(over, seconds=1)  # what was being written is looked for a while
    assert (await store.read(holder, "backfills")) not in {None, leader}
    store.close()
    assert len(named(told, "already")) == had
    assert len(named(told, "done")) == len(earlier["US"]) - had
    assert [len(await firm.runs_of(deal)) for deal in earlier["US"]] == [1] * 8
    keys = [firm.salesforce.record(deal.id)["TL_Project_Key__c"] for deal in earlier["US"]]
    assert all(firm.kantata.project(key) and firm.netsuite.job(key) for key in keys)


def kill(house: House, owner: str) -> None:
    """A process ends as by `kill -9`; the one that also answers calls is started again."""
    part, pid, _ = owner.rsplit("-", 2)
    process = house.processes[part]
    assert process.pid == int(pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    if part == "process":
        place = house.tiers[part].rpartition(":")[2]
        house.start(part, "serve", part, "--port", place, "--worker")
        house.answers(part, f"{house.tiers[part]}/nowhere", status=404)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"system": "kantata"}, "/system"),
        ({"entity": "FR"}, "/entity"),
        ({"won_since": "2031-01-01"}, "/won_since"),
    ],
)
async def test_what_cannot_be_asked_for_is_refused(
    firm: Firm, change: dict[str, str], pointer: str
) -> None:
    body = {"system": "salesforce", "won_since": SINCE} | change
    answer = await firm.call("POST", BACKFILLS, json=body)

    assert (answer.status_code, answer.json()["code"]) == (422, "validation-failed")
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
