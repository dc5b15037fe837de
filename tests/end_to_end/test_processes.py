"""The product as processes: split by tier, told to stop, asked without a token, begun late."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.firm import Firm
from tests.house import SYSTEM, VENDORS, House
from tests.servers import Servers, drop_database, flush, fresh_database
from tests.systems import Salesforce

OLDER = "9001"
PARTS = ("gateway", "process", *(f"{kind}-{v}" for v in VENDORS for kind in ("system", "sandbox")))


@pytest.fixture(scope="module")
def split(production: Servers | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Gateway, process tier with worker, and each system API as a process, on either store."""
    home: Path = tmp_path_factory.mktemp("split")
    url, redis = f"sqlite:///{home}/throughline.sqlite", None
    if production is not None:
        url = fresh_database(production.database_url)
        redis = production.redis_url.rpartition("/")[0] + "/1"  # another deployment may be running
        flush(redis)
    house = House(home, url, redis)
    try:
        house.opens_sandboxes()
        Salesforce(house).wins_deal(entity="DE", n=OLDER)
        Salesforce(house).later(60)
        house.opens_split()
        yield house
    finally:
        house.close()
        if production is not None:
            drop_database(production.database_url, url)


@pytest.fixture
async def firm(split: House) -> AsyncIterator[Firm]:
    firm = Firm(split)
    yield firm
    await firm.close()


async def test_many_processes_carry_a_deal_like_one(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(entity="UK")

    run = await firm.run_of(deal)

    assert run["result"]["state"] == "active"
    assert firm.salesforce.record(deal.id)["TL_Project_Key__c"].startswith("project-")
    called = [call["system"] for step in run["steps"] for call in step["calls"]]
    assert called.count("salesforce") >= 3


def test_a_worker_that_cannot_reach_a_system_does_not_start(split: House) -> None:
    code, words = split.says("worker", "--name", "lost", THROUGHLINE_PEERS="")

    assert code == 2
    assert "THROUGHLINE_PEERS=system/salesforce=http" in words


async def test_a_work_item_is_decided_across_processes(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(entity="DE", tax_code=None)
    item = await firm.work_item(deal, owner="finance-master-data")
    firm.salesforce.corrects(deal.customer_id, tax_code="DE-VAT-19")

    await firm.decides(item, "retry")

    assert (await firm.run_of(deal))["state"] == "done"


async def test_a_dry_run_crosses_processes_too(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal(price=2000)
    await firm.work_item(deal, owner="delivery-director")

    plan = (await firm.starts(deal, dry_run="true")).json()

    assert {write["system"] for write in plan["writes"]} == {"salesforce", "kantata", "netsuite"}
    assert plan["problems"] == []


async def test_deals_won_before_the_first_start_are_left_alone(firm: Firm) -> None:
    state = firm.salesforce.state()
    older = next(each["Id"] for each in state["Opportunity"] if each["Name"].endswith(OLDER))
    newer = firm.salesforce.wins_deal()

    await firm.run_of(newer)

    assert firm.salesforce.record(older)["StageName"] == "Closed Won"
    assert await firm.runs_of(newer._replace(id=older)) == []


@pytest.mark.parametrize(
    ("api", "path"),
    [(SYSTEM, f"/{SYSTEM}/v1/about"), ("process", "/process/work-queue/v1/work-items")],
)
def test_a_tier_answers_nobody_without_the_internal_token(
    split: House, api: str, path: str
) -> None:
    place = split.tiers[api] + path

    bare = split.http.get(place)
    forged = split.http.get(place, headers={"Authorization": "Bearer e30.e30.x"})

    assert (bare.status_code, forged.status_code) == (401, 401)
    assert bare.headers["content-type"] == "application/problem+json"


def test_each_process_says_who_it_is(split: House) -> None:
    pids = {part: int(split.pid_file(part).read_text()) for part in PARTS}

    assert pids == {part: split.processes[part].pid for part in PARTS}


def test_the_gateway_is_ready(split: House) -> None:
    assert split.http.get(f"{split.gateway}/readyz").status_code == 200
    assert split.http.get(f"{split.gateway}/healthz").status_code == 200


async def test_a_worker_told_to_stop_ends_well_and_another_goes_on(
    firm: Firm, split: House
) -> None:
    split.start("worker-spare", "worker", "--name", "spare")
    waited = firm.salesforce.wins_deal(price=2000)
    item = await firm.work_item(waited, owner="delivery-director")

    async def spare_says_who_it_is() -> bool:
        return split.pid_file("worker-spare").exists()

    await firm.see(spare_says_who_it_is, bool)
    assert split.stop("process") == 0
    assert not split.pid_file("process").exists()
    with pytest.raises(httpx.ConnectError):
        split.http.get(split.tiers["process"])
    refused = await firm.call("GET", f"/process/deal-to-project/v1/runs/{item['run_id']}")
    assert refused.status_code == 503

    deal = firm.salesforce.wins_deal()
    done_by_spare = firm.salesforce

    async def written_back() -> str:
        return done_by_spare.record(deal.id)["TL_Project_Key__c"] or ""

    assert (await firm.see(written_back, bool)).startswith("project-")
    assert split.stop("worker-spare") == 0


def test_the_gateway_names_the_part_that_is_away(split: House) -> None:
    if "process" in split.processes:
        split.stop("process")

    answer = split.http.get(f"{split.gateway}/readyz")

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.json()["detail"] == "Not ready: process does not answer."
    assert split.http.get(f"{split.gateway}/healthz").status_code == 200
