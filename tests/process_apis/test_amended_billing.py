"""A contract that changes while it is billed: invoices stay, what follows makes up for them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.canonical.billing import BillingLine, BillingSchedule
from contracts.canonical.money import Money
from contracts.errors import Rejected
from process_apis.changed_billing import added, still_to_bill
from tests.firm import Firm
from tests.process_apis.changing import change_id, change_of, engaged, key_of
from tests.systems import Deal

TODAY = date(2026, 3, 2)
CENTS = st.integers(min_value=1, max_value=10_000_000).map(lambda cents: Decimal(cents) / 100)


def billed_in(firm: Firm, key: str) -> dict[str, int]:
    """The billing lines of a project: id and cents."""
    return {each["id"]: each["amount_in_cents"] for each in firm.kantata.billing_lines(key)}


def minutes(firm: Firm, key: str) -> dict[str, int]:
    """What is planned for each task of a project."""
    return {each["id"]: each.get("time_estimate_in_minutes", 0) for each in firm.kantata.tasks(key)}


async def refused(firm: Firm, deal: Deal) -> dict[str, Any]:
    """What somebody is asked about the deal's change."""
    run = await change_of(firm, deal, "waiting")
    [item] = await firm.work_items(run_id=run["id"])
    return item


async def test_what_was_invoiced_stays_and_the_rest_makes_up_for_the_new_price(firm: Firm) -> None:
    deal, _ = await engaged(firm, entity="UK", billing_model="fixed_price")
    key = key_of(firm, deal)
    before = billed_in(firm, key)
    invoiced = min(before)
    firm.kantata.set(invoiced=[invoiced])

    firm.salesforce.repeats(deal.options | {"price": "300"})
    await change_of(firm, deal, "done")

    after = billed_in(firm, key)
    assert after[invoiced] == before[invoiced]
    assert sum(after.values()) == 6_000_000
    assert firm.kantata.project(key)["price_in_cents"] == 6_000_000


async def test_less_than_was_invoiced_is_for_finance_and_nothing_is_touched(firm: Firm) -> None:
    deal, contract = await engaged(firm, entity="UK", billing_model="fixed_price")
    key = key_of(firm, deal)
    before = billed_in(firm, key)
    firm.kantata.set(invoiced=list(before))

    firm.salesforce.repeats(deal.options | {"price": "100"})

    item = await refused(firm, deal)
    assert (item["code"], item["owner"]) == (
        "billing.more-invoiced-than-sold",
        "finance-master-data",
    )
    assert billed_in(firm, key) == before
    worth = Decimal(contract["versions"][-1]["value"]["amount"])
    assert firm.kantata.project(key)["price_in_cents"] == worth * 100
    assert firm.netsuite.job(key)["jobPrice"] == worth


def test_who_is_billed_by_time_from_now_on_is_told_that_no_schedule_bills_what_was_invoiced() -> (
    None
):
    worth = schedule([Decimal(100), Decimal(100)], known=True)
    by_time = msgspec.structs.replace(schedule([]), total=worth.total)

    with pytest.raises(Rejected, match=r"100\.00 EUR has been .* bills 0\.00 EUR by"):
        still_to_bill(by_time, worth, {"0"}, TODAY)


async def test_a_change_that_is_given_up_leaves_contract_and_bills_as_they_were(firm: Firm) -> None:
    deal, contract = await engaged(firm, entity="US", billing_model="milestone")
    key = key_of(firm, deal)
    lines, planned = billed_in(firm, key), firm.kantata.project(key)["price_in_cents"]
    tasks = minutes(firm, key)
    firm.netsuite.removes("job", firm.netsuite.job(key)["id"])
    firm.salesforce.repeats(deal.options | {"price": "300"})
    item = await refused(firm, deal)
    assert item["step"] == "booked_figures"

    await firm.decides(item, "abandon")

    await firm.work_item(code="deal.differs-from-contract", run_id=await change_id(firm, deal))
    assert billed_in(firm, key) == lines
    assert firm.kantata.project(key)["price_in_cents"] == planned
    assert minutes(firm, key) == tasks
    firm.salesforce.repeats(deal.options)
    again = (await change_of(firm, deal, "done"))["result"]
    assert again["versions"][-1]["value"] == contract["versions"][-1]["value"]
    assert again["versions"][-1]["reason"] == "taken back"
    assert billed_in(firm, key) == lines


async def test_a_line_that_is_invoiced_while_its_contract_changes_is_asked_about_before_any_goes(
    firm: Firm,
) -> None:
    deal, _ = await engaged(firm, entity="UK", billing_model="fixed_price")
    key = key_of(firm, deal)
    before = billed_in(firm, key)

    async def at_work() -> int:
        return firm.netsuite.fired()

    firm.netsuite.fails("job.update", "lock")
    firm.salesforce.repeats(deal.options | {"price": "300"})
    await firm.see(at_work, bool)

    firm.kantata.set(invoiced=[min(before)])
    firm.netsuite.works_again()

    item = await firm.work_item(step="unbilled_schedule", run_id=await change_id(firm, deal))
    assert (item["code"], item["owner"]) == ("billing.invoiced-meanwhile", "finance-master-data")
    assert before.items() <= billed_in(firm, key).items()
    await firm.decides(item, "abandon")
    await firm.work_item(code="deal.differs-from-contract", run_id=await change_id(firm, deal))
    assert billed_in(firm, key) == before


async def test_no_bill_is_lost_when_a_change_is_given_up_at_the_roles_it_needs_no_more(
    firm: Firm,
) -> None:
    deal, _ = await engaged(firm, entity="UK", billing_model="fixed_price")
    key = key_of(firm, deal)
    before, asked = billed_in(firm, key), firm.kantata.staffing_requests(key)
    firm.kantata.fails("workspace_resources.delete", "lock")

    firm.salesforce.sells(firm.salesforce.line_of(deal), Quantity=100)

    run = await change_of(firm, deal, "waiting")
    [item] = await firm.work_items(run_id=run["id"])
    firm.kantata.works_again()
    assert item["step"] == "replaced_requests"
    await firm.decides(item, "abandon")
    await firm.work_item(code="deal.differs-from-contract", run_id=await change_id(firm, deal))
    assert billed_in(firm, key) == before
    assert len(firm.kantata.staffing_requests(key)) == len(asked)


async def test_who_was_found_for_a_role_stays_when_the_hours_of_another_change(firm: Firm) -> None:
    deal, _ = await engaged(firm, entity="US")
    key = key_of(firm, deal)
    staffed = firm.kantata.staffing_requests(key)[-1]
    firm.kantata.staffs(staffed["id"])
    line = firm.salesforce.line_of(deal)

    firm.salesforce.sells(line, Quantity=100)
    await change_of(firm, deal, "done")

    assert staffed["id"] in {each["id"] for each in firm.kantata.staffing_requests(key)}


async def test_another_purchase_order_reaches_planning_and_books(firm: Firm) -> None:
    deal, _ = await engaged(firm, entity="US")
    key = key_of(firm, deal)

    firm.salesforce.corrects(deal.id, TL_PO_Number__c="PO-NEW")
    await change_of(firm, deal, "done")

    assert firm.netsuite.job(key)["custentity_tl_purchase_order"] == "PO-NEW"
    assert firm.kantata.project(key)["invoice_preference"]["purchase_order"] == "PO-NEW"


async def test_work_that_is_not_sold_any_more_is_planned_with_no_hours(firm: Firm) -> None:
    deal, _ = await engaged(firm, entity="DE")
    key = key_of(firm, deal)
    line = firm.salesforce.line_of(deal)
    before = minutes(firm, key)
    [sold] = [each for each in firm.salesforce.state()["OpportunityLineItem"] if each["Id"] == line]

    firm.salesforce.removes("OpportunityLineItem", line)
    firm.salesforce.corrects(deal.id, NextStep="one line less")
    await change_of(firm, deal, "done")

    after = minutes(firm, key)
    assert after.keys() == before.keys()
    assert sum(after.values()) == sum(before.values()) - sold["Quantity"] * 60


@given(
    wanted=st.lists(CENTS, min_size=0, max_size=5),
    so_far=st.lists(CENTS, min_size=0, max_size=5),
    invoiced=st.sets(st.integers(min_value=0, max_value=4)),
)
def test_what_was_and_what_will_be_invoiced_add_up_to_the_contract(
    wanted: list[Decimal], so_far: list[Decimal], invoiced: set[int]
) -> None:
    there, ids = schedule(so_far, known=True), {str(n) for n in invoiced if n < len(so_far)}
    worth = sum(wanted, Decimal())
    billed = added(line for line in there.lines if line.external_id in ids)

    if billed > worth:
        with pytest.raises(Rejected, match="more-invoiced-than-sold"):
            still_to_bill(schedule(wanted), there, ids, TODAY)
        return
    now = still_to_bill(schedule(wanted), there, ids, TODAY)

    assert added(now.lines) == worth
    assert {line.external_id for line in now.lines} >= ids
    assert all(line.total.amount > 0 for line in now.lines)
    assert [line.number for line in now.lines] == list(range(1, len(now.lines) + 1))


def schedule(amounts: list[Decimal], *, known: bool = False) -> BillingSchedule:
    """A schedule of lines that are billed month by month."""
    lines = tuple(
        BillingLine(
            number=n + 1,
            name=f"Part {n}",
            external_id=str(n) if known else None,
            bill_on=date(2026, 1 + n, 1),
            total=Money(amount, "EUR"),
        )
        for n, amount in enumerate(amounts)
    )
    total = Money(sum(amounts, Decimal()), "EUR")
    return BillingSchedule(billing_model="fixed_price", total=total, lines=lines)
