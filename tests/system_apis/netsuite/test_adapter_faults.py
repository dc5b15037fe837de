"""Lost replies, and many at once: nothing is made twice, and never more than five calls run."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from contracts.canonical.billing import BillingSchedule
from contracts.canonical.identity import Ref
from contracts.canonical.money import Money
from contracts.canonical.party import Customer
from contracts.canonical.project import Project
from contracts.errors import Misconfigured, Throttled, Transient, Unavailable
from tests.runtime.acme import asks, made, rows
from tests.system_apis.netsuite.connected import on
from tests.system_apis.netsuite.sandbox_account import in_process
from tests.system_apis.sandboxes import URL
from tests.systems import at_once

CUSTOMER = Customer(name="Nordlicht GmbH", entity="DE", country="DE")
SCHEDULE = BillingSchedule(entity="DE", billing_model="retainer", total=Money(Decimal(1), "EUR"))


@pytest.fixture
def store(store_url: str):
    with made(store_url) as store:
        yield store


@pytest.fixture
async def account(tmp_path):
    async with in_process(tmp_path) as account:
        yield account


@pytest.fixture
def erp(account, store, tmp_path):
    return on(URL, account.http, store, tmp_path, clock=account.clock)


async def writes(name: str, account, erp) -> Ref:
    """One write of the port, the same each time."""
    if name == "create_customer":
        return await erp.create_customer(CUSTOMER, "customer-1")
    if name == "create_project":
        parent = Ref(None, await account.customer("other"))
        return await erp.create_project(Project(name="P", entity="DE", customer=parent), "p-1")
    if name == "update_customer":
        other = await account.customer("customer-1")
        return await erp.update_customer(other, CUSTOMER, "customer-1")
    job = await account.makes("job", "p-1", companyName="P")
    if name == "create_billing_schedule":
        return await erp.create_billing_schedule(job, SCHEDULE, "schedule-1")
    return await erp.set_project_state(job, "on_hold", "p-1")


WRITES = {
    "create_customer": "customer.upsert",
    "update_customer": "customer.update",
    "create_project": "job.upsert",
    "set_project_state": "job.update",
    "create_billing_schedule": "job.update",
}


@pytest.mark.parametrize("fault", ["timeout-after-commit", "timeout-before-commit", "html"])
@pytest.mark.parametrize("name", WRITES)
async def test_a_lost_reply_is_adopted_or_sent_again_and_nothing_is_there_twice(
    account, erp, store, name: str, fault: str
) -> None:
    asks()
    await account.meets(WRITES[name], fault, nth=1, seconds=0.01)

    with pytest.raises(Transient):
        await writes(name, account, erp)
    asks()
    try:
        ref = await writes(name, account, erp)
    except Throttled as waiting:  # a create that no query shows: it is looked for a while
        await account.waits(waiting.retry_after + 1)
        asks()
        ref = await writes(name, account, erp)

    [row] = await rows(store)
    assert (row.state, row.external_id) == ("done", ref.external_id)
    sql = "SELECT id FROM {} WHERE externalid IN ('customer-1', 'p-1')"
    for table in ("customer", "job"):
        assert len(await account.finds(sql.format(table))) <= 1


async def test_a_reply_lost_after_the_record_was_made_is_found_by_our_key(
    account, erp, store
) -> None:
    asks()
    await account.meets("customer.upsert", "timeout-after-commit", nth=1, seconds=0.01)
    with pytest.raises(Transient):
        await erp.create_customer(CUSTOMER, "customer-1")

    call = asks(request_key="again")
    ref = await erp.create_customer(CUSTOMER, "customer-1")

    assert [{"id": ref.external_id}] == await account.finds("SELECT id FROM customer")
    assert [each["operation"] for each in call.calls] == ["POST /query/v1/suiteql"]
    [row] = await rows(store)
    assert (row.state, row.external_id) == ("done", ref.external_id)


async def test_a_record_that_a_query_does_not_show_yet_is_waited_for(account, erp) -> None:
    asks()
    await account.meets("customer.upsert", "error", nth=1)
    with pytest.raises(Transient):
        await erp.create_customer(CUSTOMER, "customer-1")

    asks(request_key="again")
    with pytest.raises(Throttled, match="SEARCH_LAG") as waiting:
        await erp.create_customer(CUSTOMER, "customer-1")
    await account.waits(waiting.value.retry_after + 1)
    ref = await erp.create_customer(CUSTOMER, "customer-1")

    assert await account.finds("SELECT id FROM customer") == [{"id": ref.external_id}]


async def test_an_expired_token_costs_one_more_sign_in(account, erp) -> None:
    asks()
    await erp.find_customer("x")
    await account.meets("customer.search", "expire-token", nth=1)
    call = asks()

    await erp.find_customer("x")

    assert [each["operation"] for each in call.calls] == [
        "POST /query/v1/suiteql",
        "sign in",
        "POST /query/v1/suiteql",
    ]


async def test_two_hundred_at_once_are_never_more_than_five_calls(account, erp) -> None:
    await account.slow(3)
    asks()

    async def one(n: int) -> Ref:
        while True:
            asks(request_key=f"run-{n}")
            try:
                return await erp.create_customer(CUSTOMER, f"customer-{n}")
            except Throttled:  # all five slots are in use
                await asyncio.sleep(0.05)

    refs = await asyncio.gather(*(one(n) for n in range(200)))

    assert len({ref.external_id for ref in refs}) == 200
    assert at_once(account.log) == 5
    statuses = [line["status"] for line in account.log if line["phase"] == "done"]
    assert statuses.count(429) == 0


async def test_a_login_refused_for_others_calls_is_no_dead_credential(account, erp) -> None:
    asks()
    await erp.find_customer("x")
    await account.sets(concurrency=0, crowded="login", crowded_s=0.01)

    with pytest.raises(Unavailable, match="overloaded"):
        await erp.find_customer("x")
    await account.sets(concurrency=5)
    await account.waits(31)

    assert await erp.find_customer("x") is None


async def test_an_answer_of_another_shape_is_no_customer(account, erp) -> None:
    asks()
    ref = await erp.create_customer(CUSTOMER, "customer-1")
    await account.meets("customer.search", "drift", nth=1)

    with pytest.raises(Misconfigured, match="contract-drift"):
        await erp.get_customer(ref.external_id)
