"""The Erp port on a NetSuite account: what it reads and writes, against the sandbox."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import msgspec
import pytest

from contracts.canonical.billing import BillingSchedule
from contracts.canonical.identity import Ref, Source
from contracts.canonical.money import Money
from contracts.canonical.party import Address, Contact, Customer
from contracts.canonical.project import Budget, Project
from contracts.errors import Misconfigured, NotFound, Rejected
from tests.runtime.acme import asks, made, rows
from tests.system_apis.netsuite.connected import on
from tests.system_apis.netsuite.sandbox_account import in_process
from tests.system_apis.sandboxes import URL

CUSTOMER = Customer(
    name="Nordlicht 1 GmbH",
    entity="DE",
    country="DE",
    addresses=(
        Address(street="2 Market Street", city="Hamburg", postal_code="20095"),
        Address(kind="shipping", city="Kiel"),
    ),
    tax_id="DE136695976",
    tax_code="DE-VAT-19",
    payment_terms="net30",
    currency="EUR",
    website="https://nordlicht.example",
)


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
    return on(URL, account.http, store, tmp_path)


def project(customer: str | None, **more) -> Project:
    given = {
        "name": "ERP rollout",
        "entity": "DE",
        "customer": Ref(None, customer),
        "currency": "EUR",
        "billing_model": "milestone",
        "budget": Budget(total=Money(Decimal("42800.50"), "EUR")),
        "dimensions": {"department": "Implementation", "location": "EMEA"},
        "starts_on": date(2026, 4, 15),
        "ends_on": date(2026, 9, 30),
        **more,
    }
    return Project(**given)


def called(call) -> list[str]:
    return [each["operation"] for each in call.calls if each["operation"] != "sign in"]


async def test_a_customer_is_made_at_our_key_in_one_call(account, erp) -> None:
    call = asks()

    ref = await erp.create_customer(CUSTOMER, "customer-1")

    assert called(call) == ["PUT /record/v1/customer/eid:{}"]
    known = await account.reads(f"customer/{ref.external_id}")
    assert known["externalId"] == "customer-1"
    assert (known["companyName"], known["isPerson"]) == ("Nordlicht 1 GmbH", False)
    assert [known[name]["id"] for name in ("subsidiary", "currency", "terms", "taxItem")] == [
        "3",
        "4",
        "2",
        "11",
    ]
    [line] = known["addressBook"]["items"]
    assert line["defaultBilling"] is True
    assert line["addressBookAddress"] == {
        "addr1": "2 Market Street",
        "city": "Hamburg",
        "zip": "20095",
        "country": {"id": "DE"},
    }


async def test_what_was_written_is_read_back(erp) -> None:
    asks()
    ref = await erp.create_customer(CUSTOMER, "customer-1")
    call = asks()

    known = await erp.get_customer(str(ref.external_id))

    assert called(call) == ["POST /query/v1/suiteql"]
    billing = msgspec.structs.replace(CUSTOMER.addresses[0], country="DE")
    assert known == msgspec.structs.replace(
        CUSTOMER,
        external_id=ref.external_id,
        key="customer-1",
        number=f"CUST{ref.external_id}",
        addresses=(billing,),
        credit_hold=False,
        extensions={"address_line": "1"},
    )


async def test_a_customer_that_is_not_there_is_not_found(erp) -> None:
    asks()

    for external_id in ("999999", "nobody", "1' OR '1'='1", "eid:customer-1"):
        with pytest.raises(NotFound):
            await erp.get_customer(external_id)
    assert await erp.find_customer("customer-1") is None


async def test_a_credit_hold_is_seen(account, erp) -> None:
    asks()
    ref = await erp.create_customer(CUSTOMER, "customer-1")
    await account.call("PATCH", f"customer/{ref.external_id}", {"creditHoldOverride": {"id": "ON"}})

    assert (await erp.get_customer(str(ref.external_id))).credit_hold is True


async def test_the_column_of_the_hold_is_metadata(account, store, tmp_path) -> None:
    other = {"customer_row": {"fields": {"credit_hold": "creditholdoverride"}}}
    erp = on(URL, account.http, store, tmp_path, base=other)
    asks()
    ref = await erp.create_customer(CUSTOMER, "customer-1")

    assert (await erp.get_customer(str(ref.external_id))).credit_hold is None


async def test_matches_are_found_by_key_tax_number_name_and_first_word_in_one_query(
    account, erp
) -> None:
    await account.customer("customer-1", companyName="Renamed AG")
    await account.customer("other-2", companyName="Somebody", vatRegNumber="DE 136.695-976")
    await account.customer("other-3", companyName="NORDLICHT 1 GMBH", isInactive=True)
    await account.customer("other-4", companyName="Nordlicht Holding")
    await account.customer("other-5", companyName="Nordlichter e.V.")
    await account.customer("other-6", companyName="Elbtal 2 GmbH")
    sought = msgspec.structs.replace(CUSTOMER, key="customer-1", tax_id="de136695976")
    call = asks()

    found = await erp.match_customers([sought])

    assert called(call) == ["POST /query/v1/suiteql"]
    assert [each.key for each in found] == ["customer-1", "other-2", "other-3", "other-4"]
    assert [each.state for each in found] == ["active", "active", "inactive", "active"]
    assert found[1].tax_id == "DE 136.695-976"
    assert {each.entity for each in found} == {"DE"}
    assert await erp.match_customers([Customer(name="O'Neil' OR 'x'='x")]) == []
    assert await erp.match_customers([]) == []


async def test_a_value_that_no_list_knows_is_a_gap_and_no_guess(account, erp) -> None:
    await account.customer("c-1", companyName=CUSTOMER.name, currency={"id": "3"})
    asks()

    with pytest.raises(Misconfigured, match="currency"):
        await erp.match_customers([CUSTOMER])
    for changed in ({"currency": "JPY"}, {"entity": "FR"}, {"payment_terms": "net90"}):
        with pytest.raises(Misconfigured, match="code list"):
            await erp.create_customer(msgspec.structs.replace(CUSTOMER, **changed), "c-2")
    assert await account.finds("SELECT id FROM customer WHERE externalid = 'c-2'") == []


async def test_an_update_sends_our_key_and_what_the_erp_owns(account, erp, store) -> None:
    customer = await account.customer("old-key", companyName="Nordlicht", phone="+49 40 1")
    call = asks()

    ref = await erp.update_customer(customer, CUSTOMER, "customer-1")

    assert called(call) == ["PATCH /record/v1/customer/{}"]
    assert ref == Ref(None, customer)
    known = await account.reads("customer/eid:customer-1")
    assert known["id"] == customer
    assert (known["vatRegNumber"], known["terms"]["id"]) == ("DE136695976", "2")
    assert (known["companyName"], known["phone"]) == ("Nordlicht", "+49 40 1")
    assert known["addressBook"]["items"] == []
    assert "currency" not in known
    [row] = await rows(store)
    assert "companyName" not in row.after


async def test_a_mirror_sends_what_the_crm_owns_and_no_more(account, erp) -> None:
    parent = await account.customer("group-1", companyName="Nordlicht Group")
    customer = await account.customer("old-key", companyName="Nordlicht", vatRegNumber="DE1")
    sent = msgspec.structs.replace(CUSTOMER, parent=Ref(None, parent))
    asks()

    await erp.update_customer(customer, sent, "customer-1", Source("salesforce", "001A"))

    known = await account.reads("customer/eid:customer-1")
    assert (known["companyName"], known["parent"]["id"]) == (CUSTOMER.name, parent)
    assert (known["vatRegNumber"], known.get("terms")) == ("DE1", None)


async def test_only_a_flow_is_believed_where_a_value_comes_from(account, erp) -> None:
    customer = await account.customer("old-key", companyName="Nordlicht")
    call = asks()
    call.context = msgspec.structs.replace(call.context, actor="somebody")

    with pytest.raises(Rejected, match=r"ownership\.origin-not-believed"):
        await erp.update_customer(customer, CUSTOMER, "customer-1", Source("salesforce", "001A"))

    assert (await account.reads(f"customer/{customer}"))["companyName"] == "Nordlicht"


async def test_who_owns_the_name_is_metadata(account, store, tmp_path) -> None:
    owner = {"object": "customer", "attribute": "name", "system": "erp"}
    erp = on(URL, account.http, store, tmp_path, ownership=[owner])
    customer = await account.customer("old-key", companyName="Nordlicht")
    asks()

    await erp.update_customer(customer, CUSTOMER, "customer-1")

    assert (await account.reads(f"customer/{customer}"))["companyName"] == CUSTOMER.name


async def test_the_name_of_an_adopted_customer_stays_where_finance_owns_it(
    account, store, tmp_path
) -> None:
    owner = {"object": "customer", "attribute": "name", "system": "erp"}
    erp = on(URL, account.http, store, tmp_path, ownership=[owner])
    customer = await account.customer("old-key", companyName="Nordlicht Holding")
    asks()

    await erp.update_customer(customer, CUSTOMER, "customer-1", Source("salesforce", "001A"))

    known = await account.reads(f"customer/{customer}")
    assert (known["companyName"], known["externalId"]) == ("Nordlicht Holding", "customer-1")


async def test_a_contact_is_made_and_brought_up_to_date_at_our_key(account, erp) -> None:
    company = await account.customer()
    person = Contact(name="Ada Frey", email="ada@elbtal.example", customer=Ref(None, company))
    origin = Source("salesforce", "003A")
    call = asks()

    ref = await erp.upsert_contact("contact-1", person, origin)
    asks(request_key="run-2/step")
    moved = msgspec.structs.replace(person, email="frey@elbtal.example")
    assert await erp.upsert_contact("contact-1", moved, origin) == ref

    assert called(call) == ["PUT /record/v1/contact/eid:{}"]
    known = await account.reads("contact/eid:contact-1")
    assert (known["entityId"], known["email"]) == ("Ada Frey", "frey@elbtal.example")
    assert known["company"]["id"] == company


async def test_a_contact_that_is_not_the_crms_is_refused(account, erp) -> None:
    company = await account.customer()
    asks()

    with pytest.raises(Rejected, match=r"ownership\.not-owner"):
        await erp.upsert_contact(
            "contact-1", Contact(name="Ada", customer=Ref(None, company)), Source("kantata", "7")
        )


async def test_a_name_that_is_too_long_is_refused_before_it_is_sent(erp) -> None:
    call = asks()

    with pytest.raises(Rejected, match="84 characters, where companyName takes 83") as refused:
        await erp.create_customer(msgspec.structs.replace(CUSTOMER, name="x" * 84), "customer-1")

    assert (refused.value.code, called(call)) == ("customer.name-too-long", [])
    assert refused.value.errors[0].pointer == "/name"


async def test_a_project_becomes_a_job_in_one_call(account, erp) -> None:
    customer = await account.customer()
    call = asks()

    ref = await erp.create_project(project(customer), "project-1")

    assert called(call) == ["PUT /record/v1/job/eid:{}"]
    job = await account.reads(f"job/{ref.external_id}")
    ids = ("parent", "subsidiary", "currency", "jobBillingType", "entityStatus")
    assert [job[name]["id"] for name in ids] == [customer, "3", "4", "3", "5"]
    assert job["jobPrice"] == 42800.5
    assert (job["startDate"], job["projectedEndDate"]) == ("2026-04-15", "2026-09-30")
    assert (job["allowTime"], job["allowExpenses"], job["isInactive"]) == (True, True, False)
    assert job["custentity_tl_department"]["refName"] == "Implementation"
    assert job["custentity_tl_location"]["id"] == "2"
    assert (job["externalId"], job["companyName"]) == ("project-1", "ERP rollout")


async def test_a_dimension_without_a_field_is_not_lost_in_silence(account, erp) -> None:
    customer = await account.customer()
    asks()

    with pytest.raises(Misconfigured, match=r"dimensions\.cost_centre"):
        await erp.create_project(project(customer, dimensions={"cost_centre": "x"}), "p-1")
    with pytest.raises(Misconfigured, match=r"dimensions\.department"):
        await erp.create_project(project(customer, dimensions={"department": "x"}), "p-1")


STATES = [
    ("planned", "5", True, False),
    ("active", "2", True, False),
    ("on_hold", "4", False, False),
    ("completed", "1", False, False),
    ("cancelled", "3", False, True),
]


@pytest.mark.parametrize("row", STATES, ids=lambda row: row[0])
async def test_a_state_opens_or_closes_a_job_for_booking(account, erp, row) -> None:
    state, status, bookable, inactive = row
    asks()
    ref = await erp.create_project(project(await account.customer()), "project-1")
    call = asks(request_key=f"run-1/{state}")

    assert await erp.set_project_state(ref.external_id, state, "project-1") == ref

    assert called(call) == ["PATCH /record/v1/job/{}"]
    job = await account.reads(f"job/{ref.external_id}")
    assert job["entityStatus"]["id"] == status
    assert (job["allowTime"], job["allowExpenses"]) == (bookable, bookable)
    assert job["isInactive"] is inactive


async def test_a_job_follows_the_billing_schedule_of_its_model(account, erp) -> None:
    asks()
    job = await erp.create_project(project(await account.customer()), "project-1")
    schedule = BillingSchedule(
        entity="DE", billing_model="milestone", total=Money(Decimal(42800), "EUR")
    )
    call = asks()

    ref = await erp.create_billing_schedule(job.external_id, schedule, "schedule-1")

    assert called(call) == ["PATCH /record/v1/job/{}"]
    assert ref == job
    known = await account.reads(f"job/{job.external_id}")
    assert known["billingSchedule"]["refName"] == "Milestones"
    asks(request_key="another/run")
    assert await erp.create_billing_schedule(job.external_id, schedule, "schedule-1") == job


async def test_a_key_that_is_no_external_id_is_refused_before_it_is_sent(erp) -> None:
    call = asks()

    with pytest.raises(Rejected, match="external id"):
        await erp.create_customer(CUSTOMER, "customer|1")

    assert called(call) == []


async def test_a_dry_run_says_what_would_be_written(erp) -> None:
    call = asks(plan=True)

    customer = await erp.create_customer(CUSTOMER, "customer-1")
    job = await erp.create_project(project(customer.external_id), "project-1")
    await erp.set_project_state(job.external_id, "active", "project-1")

    assert called(call) == []
    assert [each["operation"] for each in call.planned] == [
        "create customer",
        "create project",
        "update project",
    ]
    assert call.planned[1]["body"]["parent"] == {"id": "$planned:netsuite.customer#1"}
    assert call.planned[1]["body"]["jobPrice"] == "42800.50"


async def test_token_based_auth_signs_each_request(account, store, tmp_path) -> None:
    account.http.headers.pop("Authorization")
    erp = on(URL, account.http, store, tmp_path, kind="oauth1")
    call = asks()

    ref = await erp.create_customer(CUSTOMER, "customer-1")

    assert (await erp.get_customer(str(ref.external_id))).name == CUSTOMER.name
    assert [each["operation"] for each in call.calls] == [
        "PUT /record/v1/customer/eid:{}",
        "POST /query/v1/suiteql",
    ]


async def test_about_tells_who_is_behind_it(erp) -> None:
    about = await erp.about()

    assert (about.vendor, about.version, about.connection) == ("netsuite", "v1", "netsuite")
    assert about.capabilities == {"billing-schedule.create": False}
