"""The Crm port on a Salesforce org: what it reads and writes, against the sandbox."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from apis.runtime.store import Store
from contracts.canonical.deal import DealMark, DealMarking
from contracts.canonical.identity import Ref, Source
from contracts.canonical.money import Money
from contracts.canonical.party import Customer
from contracts.errors import Conflict, NotFound, Rejected, Throttled, Transient
from tests.runtime.acme import asks, made, rows
from tests.system_apis.salesforce.connected import on
from tests.system_apis.salesforce.sandbox_org import in_process

URL = "http://sandbox"
MARK = DealMark(project_key="project-7", status="active")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def store(store_url: str):
    with made(store_url) as store:
        yield store


@pytest.fixture
async def org(tmp_path):
    async with in_process(tmp_path) as org:
        yield org


@pytest.fixture
def crm(org, store, tmp_path):
    return on(URL, org.http, store, tmp_path)


async def test_a_deal_file_is_one_query(org, crm) -> None:
    won = await org.wins_deal()
    call = asks()

    file = await crm.get_deal_file(won["deal"])

    assert [each["operation"] for each in call.calls] == ["sign in", "GET /query"]
    assert file.deal.external_id == won["deal"]
    assert file.deal.state == "won"
    assert file.deal.customer == Ref(None, file.customer.external_id)
    assert sum(line.total.amount for line in file.deal.lines) == file.deal.value.amount
    assert all(isinstance(line.unit_price.amount, Decimal) for line in file.deal.lines)
    assert file.customer.tax_id
    assert file.customer.tax_code
    assert "@" in file.deal.owner
    assert file.parents[0].external_id == file.customer.parent.external_id
    assert (file.contact.external_id, file.contact.primary) == (won["contact"], True)
    assert file.contact.role == "Decision Maker"


async def test_the_nearest_parent_comes_first(org, crm) -> None:
    ids: list[str] = []
    names = [f"Level {n}" for n in range(12)]
    for name in names:
        parent = {"ParentId": ids[-1]} if ids else {}
        ids.append(await org.creates("Account", Name=name, **parent))
    stage = {"StageName": "Closed Won", "CloseDate": "2026-03-31", "Name": "Deal"}
    deal = await org.creates("Opportunity", AccountId=ids[-1], CurrencyIsoCode="EUR", **stage)
    asks()

    file = await crm.get_deal_file(deal)

    assert file.customer.name == names[-1]
    assert [parent.name for parent in file.parents] == names[-2::-1]
    assert file.contact is None
    assert file.deal.lines == ()


async def test_all_who_play_a_part_come_with_their_roles(org, crm) -> None:
    won = await org.wins_deal()
    for n in range(15):
        person = await org.creates("Contact", LastName=f"Frey {n}")
        ends = {"OpportunityId": won["deal"], "ContactId": person}
        await org.creates("OpportunityContactRole", Role="Billing", **ends)
    asks()

    file = await crm.get_deal_file(won["deal"])

    assert file.contacts[0] == file.contact
    assert [each.role for each in file.contacts] == ["Decision Maker", *["Billing"] * 15]


async def test_what_finance_keeps_goes_with_the_key(org, crm) -> None:
    account = await org.creates("Account", Name="Elbtal")
    kept = Customer(name="No", payment_terms="net60", tax_id="DE1", credit_hold=True)
    call = asks()

    await crm.mark_customer(account, "customer-1", kept, Source("netsuite", "8812"))

    assert [each["operation"] for each in call.calls[1:]] == ["PATCH /sobjects/Account/{}"]
    known = await crm.get_customer(account)
    assert (known.key, known.name) == ("customer-1", "Elbtal")
    assert (known.payment_terms, known.tax_id, known.credit_hold) == ("net60", "DE1", True)


async def test_a_deal_that_is_not_there_is_not_found(crm) -> None:
    asks()

    for external_id in ("006000000000000AAA", "nonsense", "x' OR Name LIKE '%"):
        with pytest.raises(NotFound):
            await crm.get_deal(external_id)


async def test_the_feed_comes_in_order_and_says_where_to_go_on(org, crm) -> None:
    first, second = [(await org.wins_deal(n=n))["deal"] for n in (1, 2)]
    await org.waits(10)
    await org.call("PATCH", f"sobjects/Opportunity/{first}", {"NextStep": "call"})
    asks()

    page = await crm.list_deals(LONG_AGO)
    again = await crm.list_deals(page.until)

    assert [deal.external_id for deal in page.items] == [second, first]
    assert page.until == page.items[-1].changed_at
    assert (page.next, page.gaps) == (None, ())
    assert [deal.external_id for deal in again.items] == [first]


async def test_the_feed_goes_on_where_a_page_ended(org, crm) -> None:
    base = {"StageName": "Prospecting", "CloseDate": "2026-03-31", "CurrencyIsoCode": "EUR"}
    records = [{"attributes": {"type": "Opportunity"}, "Name": f"D{n}", **base} for n in range(200)]
    for _ in range(11):
        await org.call("POST", "composite/sobjects", {"allOrNone": True, "records": records})
    asks()

    page = await crm.list_deals(LONG_AGO)
    rest = await crm.list_deals(LONG_AGO, page.next)

    assert (len(page.items), len(rest.items)) == (2000, 200)
    assert page.next
    assert "/" not in page.next
    assert rest.next is None
    seen = {deal.external_id for deal in page.items + rest.items}
    assert len(seen) == 2200


async def test_a_cursor_reaches_nothing_but_a_page(crm) -> None:
    call = asks()

    with pytest.raises((Conflict, NotFound)):
        await crm.list_deals(LONG_AGO, "../sobjects/Account/describe")

    assert call.calls[-1]["operation"] == "GET /query/{}"


async def test_a_record_that_cannot_be_read_is_a_gap_and_the_feed_goes_on(
    org, store, tmp_path
) -> None:
    good = (await org.wins_deal(n=1))["deal"]
    await org.waits(2)
    bad = (await org.wins_deal(n=2))["deal"]
    await org.call("PATCH", f"sobjects/Opportunity/{bad}", {"NextStep": "weekly"})
    await org.waits(2)
    last = (await org.wins_deal(n=3))["deal"]
    for deal in (good, last):
        await org.call("PATCH", f"sobjects/Opportunity/{deal}", {"NextStep": "retainer"})
    crm = on(
        URL, org.http, store, tmp_path, base={"deal": {"fields": {"billing_model": "NextStep"}}}
    )
    asks()

    page = await crm.list_deals(LONG_AGO)

    assert {deal.external_id for deal in page.items} == {good, last}
    [gap] = page.gaps
    assert (gap.external_id, gap.code) == (bad, "mapping.unknown-value")
    assert "NextStep" in gap.detail
    assert page.until == page.items[-1].changed_at


async def test_only_deals_of_one_state_are_listed(org, crm) -> None:
    await org.wins_deal()
    stage = {"CloseDate": "2026-03-31", "Name": "Deal", "CurrencyIsoCode": "EUR"}
    lost = await org.creates("Opportunity", StageName="Closed Lost", **stage)
    still = await org.creates("Opportunity", StageName="Prospecting", **stage)
    asks()

    listed = {
        state: [deal.external_id for deal in (await crm.list_deals(LONG_AGO, None, state)).items]
        for state in ("lost", "open")
    }

    assert listed == {"lost": [lost], "open": [still]}
    with pytest.raises(Rejected, match=r"deal\.unknown-state"):
        await crm.list_deals(LONG_AGO, None, "sleeping")


async def test_only_deals_closed_since_a_day_are_listed(org, crm) -> None:
    stage = {"StageName": "Closed Won", "Name": "Deal", "CurrencyIsoCode": "EUR"}
    await org.creates("Opportunity", CloseDate="2026-03-30", **stage)
    later = [
        await org.creates("Opportunity", CloseDate=f"2026-{day}", **stage)
        for day in ("03-31", "12-31")
    ]
    asks()

    listed = (await crm.list_deals(LONG_AGO, None, "won", date(2026, 3, 31))).items

    assert [deal.external_id for deal in listed] == later


async def test_a_customer_is_marked_with_our_key_and_found_by_it(org, crm) -> None:
    account = (await org.wins_deal())["account"]
    asks()

    assert await crm.find_customer("customer-1") is None
    assert await crm.mark_customer(account, "customer-1") == Ref(None, account)
    assert await crm.find_customer("customer-1") == Ref(None, account)
    assert (await crm.get_customer(account)).key == "customer-1"


async def test_a_key_that_another_account_has_is_a_conflict_and_changes_nothing(org, crm) -> None:
    first, second = [(await org.wins_deal(n=n))["account"] for n in (1, 2)]
    asks()
    await crm.mark_customer(first, "customer-1")

    with pytest.raises(Conflict, match=r"salesforce\.DUPLICATE") as raised:
        await crm.mark_customer(second, "customer-1")

    assert raised.value.source == "salesforce"
    assert (await crm.get_customer(second)).key is None


async def test_a_deal_is_marked_with_the_project(org, crm) -> None:
    deal = (await org.wins_deal())["deal"]
    asks()

    assert await crm.mark_deal(deal, MARK) == Ref(None, deal)

    marked = await crm.get_deal(deal)
    assert (marked.project_key, marked.project_status) == ("project-7", "active")


async def test_a_lost_reply_to_a_mark_changes_nothing_twice(org, crm, store: Store) -> None:
    deal = (await org.wins_deal())["deal"]
    await org.meets("Opportunity.update", "error", nth=1)
    asks()
    with pytest.raises(Transient):
        await crm.mark_deal(deal, MARK)

    asks()
    await crm.mark_deal(deal, MARK)

    [row] = await rows(store)
    assert (row.state, row.external_id, row.key) == ("done", deal, "project-7")


async def test_customers_are_upserted_by_key_each_with_its_own_outcome(org, crm) -> None:
    account = (await org.wins_deal())["account"]
    asks()
    await crm.mark_customer(account, "customer-1")

    told = await crm.upsert_customers(
        [
            Customer(key="customer-1", name="Elbtal AG"),
            Customer(key="customer-2", name="New GmbH", phone="+49 40 1"),
            Customer(key="customer-3", name="Far", website="https://" + "x" * 300),
            Customer(key="customer-4", name="x" * 300),
            Customer(name="Nameless"),
        ]
    )

    assert told[0].ok == Ref(None, account)
    assert (await crm.get_customer(account)).name == "Elbtal AG"
    made_now = await crm.get_customer(told[1].ok.external_id)
    assert (made_now.key, made_now.name, made_now.phone) == ("customer-2", "New GmbH", "+49 40 1")
    assert [each.problem.code for each in told[2:]] == [
        "salesforce.STRING_TOO_LONG",
        "customer.name-too-long",
        "customer.key-missing",
    ]
    assert all(bool(each.ok) != bool(each.problem) for each in told)


async def test_more_than_a_call_takes_goes_out_in_several(crm) -> None:
    call = asks()
    customers = [Customer(key=f"customer-{n}", name=f"C{n}") for n in range(230)]

    told = await crm.upsert_customers(customers)

    operations = [each["operation"] for each in call.calls]
    assert operations.count("PATCH /composite/sobjects/Account/{}") == 2
    assert len({each.ok.external_id for each in told}) == 230


async def test_deals_are_marked_together_each_with_its_own_outcome(org, crm, store: Store) -> None:
    deals = [(await org.wins_deal(n=n))["deal"] for n in (1, 2)]
    names = [deals[0], "006000000000000AAA", deals[1]]
    marks = [
        DealMarking(external_id=name, mark=DealMark(project_key=f"project-{n}", status="active"))
        for n, name in enumerate(names)
    ]
    call = asks()

    told = await crm.mark_deals(marks)

    assert [each["operation"] for each in call.calls][1:] == ["POST /composite"]
    assert [each.ok and each.ok.external_id for each in told] == [deals[0], None, deals[1]]
    assert told[1].problem.code == "salesforce.NOT_FOUND"
    assert [row.external_id for row in await rows(store)] == [deals[0], None, deals[1]]
    assert (await crm.get_deal(deals[1])).project_key == "project-2"


async def test_about_tells_the_pinned_version_and_its_end(crm) -> None:
    about = await crm.about()

    assert (about.vendor, about.version, about.connection) == ("salesforce", "v62.0", "salesforce")
    assert about.base_url == f"{URL}/services/data/v62.0"
    assert about.retires_on > datetime(2026, 1, 1, tzinfo=UTC).date() + timedelta(days=1)


def test_where_a_connection_is_holds_no_secret(org, store, tmp_path) -> None:
    (tmp_path / "url").write_text("https://ann:s3cret@acme.test:8443/crm/?token=s3cret")

    crm = on("file:{home}/url", org.http, store, tmp_path)

    assert crm._http.base_url == "https://acme.test:8443/crm/services/data/v62.0"


async def test_an_acquired_unit_keeps_its_fields_elsewhere(org, store, tmp_path) -> None:
    won = await org.wins_deal()
    [found] = await org.finds("SELECT TL_Legal_Entity__c FROM Opportunity")
    entity = found["TL_Legal_Entity__c"]
    change = {"NextStep": "SOW-ACME-9", "TL_Billing_Model__c": "retainer"}
    await org.call("PATCH", f"sobjects/Opportunity/{won['deal']}", change)
    other = {"deal": {"fields": {"sow_number": "NextStep", "lines.role": "Description"}}}
    crm = on(URL, org.http, store, tmp_path, entities={entity: other})
    asks()

    file = await crm.get_deal_file(won["deal"])

    assert (file.deal.sow_number, file.deal.billing_model) == ("SOW-ACME-9", "retainer")
    assert file.deal.value == Money(file.deal.value.amount, file.deal.value.currency)


async def test_a_spent_quota_is_throttling(org, crm) -> None:
    deal = (await org.wins_deal())["deal"]
    asks()
    await crm.get_deal(deal)
    await org.meets("Opportunity.search", "throttle", nth=1)

    with pytest.raises(Throttled, match=r"salesforce\.REQUEST_LIMIT_EXCEEDED") as raised:
        await crm.get_deal(deal)

    assert raised.value.retry_after == pytest.approx(1, abs=0.1)


async def test_an_expired_session_costs_one_more_sign_in(org, crm) -> None:
    deal = (await org.wins_deal())["deal"]
    asks()
    await crm.get_deal(deal)
    await org.meets("Opportunity.search", "expire-token", nth=1)
    call = asks()

    await crm.get_deal(deal)

    assert [each["operation"] for each in call.calls] == ["GET /query", "sign in", "GET /query"]


async def test_accounts_that_stand_above_each_other_are_refused(org, crm) -> None:
    one = await org.creates("Account", Name="One")
    two = await org.creates("Account", Name="Two", ParentId=one)
    await org.call("PATCH", f"sobjects/Account/{one}", {"ParentId": two})
    stage = {"StageName": "Closed Won", "CloseDate": "2026-03-31", "Name": "Deal"}
    deal = await org.creates("Opportunity", AccountId=one, CurrencyIsoCode="EUR", **stage)
    asks()

    with pytest.raises(Rejected, match=r"customer\.parent-loop"):
        await crm.get_deal_file(deal)
