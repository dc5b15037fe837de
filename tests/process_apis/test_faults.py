"""When Salesforce misbehaves nothing is lost, nothing is done twice, and people are asked once."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.firm import Firm

SHARED = ("Opportunity.search", "Account.update", "Opportunity.update")
ONCE: list[tuple[str, str]] = [
    ("Account.update", "expire-token"),
    ("Opportunity.update", "throttle"),
    ("Opportunity.update", "lock"),
    ("Opportunity.update", "html"),
    ("Opportunity.update", "error"),
    ("Opportunity.update", "truncate"),
    ("Account.update", "timeout-before-commit"),
]


@pytest.mark.parametrize(("operation", "fault"), ONCE)
async def test_a_call_that_goes_wrong_once_is_made_good(
    firm: Firm, operation: str, fault: str
) -> None:
    firm.salesforce.fails(operation, fault, nth=1, seconds=0.1)
    deal = firm.salesforce.wins_deal()

    [run] = await firm.in_time(lambda: firm.all_done(deal), seconds=10)

    assert [told["fired"] for told in firm.salesforce.works_again()] == [1]
    assert run["result"]["state"] == "active"
    assert len(firm.salesforce.effects(deal.id)) == 1
    assert len(firm.salesforce.effects(deal.customer_id)) == 1


async def test_a_reply_that_is_lost_after_the_write_changes_nothing_more(firm: Firm) -> None:
    firm.salesforce.fails("Opportunity.update", "timeout-after-commit", nth=1, seconds=0.1)
    deal = firm.salesforce.wins_deal()

    [run] = await firm.in_time(lambda: firm.all_done(deal), seconds=10)

    key = firm.salesforce.record(deal.id)["TL_Project_Key__c"]
    assert run["steps"][-1]["attempts"] == 2
    assert [call["status"] for call in run["steps"][-1]["calls"]] == [None, 204]
    assert key.startswith("project-")
    assert len(await firm.runs_of(deal)) == 1


async def test_a_deal_that_a_search_does_not_show_yet_is_looked_for_again(firm: Firm) -> None:
    deal = firm.salesforce.wins_deal()
    firm.salesforce.fails("Opportunity.search", "hide", nth=1, seconds=20)

    await firm.starts(deal)
    await firm.see(lambda: firm.runs_of(deal), looks_again)
    [run] = await firm.in_time(lambda: firm.all_done(deal), seconds=2)

    assert [told["fired"] for told in firm.salesforce.works_again()] == [1]
    assert run["steps"][0]["attempts"] > 1
    assert not [step for step in run["steps"] if step["work_item_id"]]


def looks_again(runs: list[dict[str, Any]]) -> bool:
    """Whether the run's first step has found nothing as yet."""
    steps = runs[0]["steps"] if runs else []
    return bool(steps) and steps[0]["state"] == "waiting"


async def test_a_third_of_all_calls_throttled_loses_none_of_twenty_deals(firm: Firm) -> None:
    faults = [
        {"operation": operation, "fault": "throttle", "rate": 0.3, "seed": n}
        for n, operation in enumerate(
            ("Opportunity.search", "Account.update", "Opportunity.update")
        )
    ]
    firm.salesforce.faults(faults)
    deals = [firm.salesforce.wins_deal() for _ in range(20)]

    runs = await firm.in_time(lambda: firm.all_done(*deals), seconds=20)

    assert len({run["id"] for run in runs}) == 20
    assert sum(told["fired"] for told in firm.salesforce.works_again()) > 5
    for deal in deals:
        assert len(firm.salesforce.effects(deal.id)) == 1


async def test_ten_minutes_of_maintenance_pass_in_seconds_with_a_probe_each_half_minute(
    firm: Firm,
) -> None:
    deals = [firm.salesforce.wins_deal() for _ in range(3)]
    firm.salesforce.fails("*", "maintenance", seconds=600)
    known, began = len(firm.salesforce.calls()), datetime.fromisoformat(firm.salesforce.now())

    runs = await firm.in_time(lambda: firm.all_done(*deals), seconds=5)

    assert len(runs) == 3
    tried = probes(firm.salesforce.calls()[known:], began)
    assert 3 <= len(tried) <= 600 / 30 + 1


def probes(calls: list[dict[str, Any]], began: datetime) -> list[datetime]:
    """When the system was tried while it was away, the calls that found it out left aside."""
    moments = [datetime.fromisoformat(call["at"]) for call in calls if call.get("status") == 503]
    return [moment for moment in moments if moment - began > timedelta(seconds=10)]


async def test_a_connection_that_stays_away_is_one_work_item_for_all_who_wait(firm: Firm) -> None:
    deals = [firm.salesforce.wins_deal() for _ in range(3)]
    firm.salesforce.fails("*", "maintenance", seconds=86_400)

    async def away() -> list[dict[str, Any]]:
        items = await firm.work_items(owner="integration")
        return [item for item in items if item["code"] == "connection.unavailable"]

    items = await firm.in_time(away, seconds=60)
    assert len(items) == 1
    assert items[0]["record"]["external_id"] == "salesforce"
    assert items[0]["run_id"] is None

    firm.salesforce.works_again()
    runs = await firm.in_time(lambda: firm.all_done(*deals), seconds=30)

    assert len(runs) == 3
    await firm.see(away, lambda found: not found)


async def test_an_answer_of_another_shape_waits_for_whoever_looks_after_mappings(
    firm: Firm,
) -> None:
    firm.salesforce.fails("Opportunity.search", "drift")
    deal = firm.salesforce.wins_deal()
    await firm.starts(deal)

    item = await firm.work_item(deal, owner="integration")
    assert item["code"].endswith("contract-drift")
    assert item["title"] == "Salesforce answers in another shape than was agreed"
    assert "customer.name (read from Account.Name) must be text, not empty" in item["detail"]
    assert item["remedy"].startswith("see in that system what has become of the field")
    assert "`" not in item["detail"]

    firm.salesforce.works_again()
    await firm.decides(item, "retry")

    assert (await firm.run_of(deal))["state"] == "done"
