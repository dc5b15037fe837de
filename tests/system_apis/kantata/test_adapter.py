"""The Psa port on a Kantata tenant, over HTTP: what it reads and writes, against the sandbox."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import msgspec
import pytest

from contracts.canonical.billing import BillingLine
from contracts.canonical.identity import Ref
from contracts.canonical.money import Money
from contracts.canonical.party import Address, Contact, Customer
from contracts.canonical.project import Budget, Milestone, Project, StaffingRequest, Task
from contracts.errors import Conflict, Misconfigured, NotFound
from tests.runtime.acme import asks, made, rows
from tests.system_apis.kantata.connected import on, over_http
from tests.system_apis.kantata.sandbox_tenant import in_process

URL = "http://sandbox"
ELBTAL = Customer(
    name="Elbtal 1 GmbH",
    entity="DE",
    phone="+49 40 1",
    addresses=(Address(street="2 Market Street", city="Hamburg", country="DE"),),
)
START = date(2026, 4, 15)
ROLLOUT = Project(
    name="ERP rollout 1",
    entity="DE",
    currency="EUR",
    budget=Budget(total=Money(Decimal("42800.00"), "EUR")),
    purchase_order="PO-DE-0001",
    starts_on=START,
    ends_on=date(2026, 12, 31),
)
TASKS = [
    Task(code="1", name="Design", planned_hours=Decimal(80), starts_on=START),
    Task(code="2", name="Build", planned_hours=Decimal("120.5"), billable=False),
]
MILESTONES = [Milestone(code="m1", name="Design sign-off", due_on=date(2026, 6, 30))]
EUROS = Money(Decimal("21400.00"), "EUR")


@pytest.fixture
def store(store_url: str):
    with made(store_url) as store:
        yield store


@pytest.fixture
async def tenant(tmp_path):
    async with in_process(tmp_path) as tenant:
        yield tenant


@pytest.fixture
def psa(tenant, store, tmp_path):
    return over_http(on(URL, tenant.http, store, tmp_path))


async def rollout(psa, key: str = "project-1") -> str:
    ref = await psa.create_project(ROLLOUT, key)
    return str(ref.external_id)


def requests(project: str, *roles: str) -> list[StaffingRequest]:
    return [
        StaffingRequest(
            project=Ref(None, project),
            role=role,
            hours=Decimal(80),
            starts_on=START,
            skills=("SAP",),
        )
        for role in roles
    ]


async def test_of_a_story_that_exists_hours_and_days_are_planned_anew_and_nothing_else(
    tenant, psa
) -> None:
    asks()
    project = await rollout(psa)
    task, _, milestone = await psa.create_tasks(project, TASKS, MILESTONES, "tasks-1")
    more = Task(code="1", name="Renamed", external_id=task.external_id, planned_hours=Decimal(100))
    later = Milestone(
        code="m1", name="Moved", external_id=milestone.external_id, due_on=date(2026, 7, 31)
    )

    told = await psa.update_tasks(project, [more], [later], "plan-1")

    stories = {str(each["id"]): each for each in await tenant.lists("stories")}
    design, sign_off = stories[task.external_id], stories[milestone.external_id]
    assert [each.external_id for each in told] == [task.external_id, milestone.external_id]
    assert (design["title"], design["time_estimate_in_minutes"]) == ("Design", 6000)
    assert (sign_off["title"], sign_off["due_date"]) == ("Design sign-off", "2026-07-31")


async def test_a_clean_deal_is_six_calls(tenant, psa) -> None:
    asks()
    before = len(tenant.log)

    customer = await psa.upsert_customer("customer-1", ELBTAL)
    project = await rollout(psa)
    stories = await psa.create_tasks(project, TASKS, MILESTONES, "tasks-1")
    signed = Milestone(code="m1", name="Design sign-off", external_id=stories[2].external_id)
    lines = [
        BillingLine(number=1, milestone="m1", total=EUROS),
        BillingLine(number=2, bill_on=date(2026, 9, 1), total=EUROS),
    ]
    billed = await psa.create_billing_lines(project, lines, [signed], "billing-1")
    asked = requests(project, "CONS-SENIOR", "CONS-PM")
    staffed = await psa.create_staffing_requests(project, asked, "staffing-1")

    received = [each for each in tenant.log[before:] if each["phase"] == "received"]
    assert [each["operation"] for each in received] == [
        "token.create",
        "workspace_groups.search",
        "workspace_groups.create",
        "workspaces.create",
        "stories.create",
        "billing_milestones.create",
        "workspace_resources.create",
    ]
    assert customer.external_id
    assert all(each.ok for each in [*stories, *billed, *staffed])
    assert received[4]["key"] == "tasks-1-1,tasks-1-2,tasks-1-3"


async def test_a_new_customer_names_the_person_to_talk_to(tenant, psa) -> None:
    asks()
    before = len(tenant.log)

    await psa.upsert_customer(
        "customer-1", ELBTAL, Contact(name="Ada Frey", email="ada@elbtal.example")
    )

    received = [each["operation"] for each in tenant.log[before:] if each["phase"] == "received"]
    assert received[1:] == ["workspace_groups.search", "workspace_groups.create"]
    [group] = await tenant.lists("workspace_groups")
    assert (group["contact_name"], group["email"]) == ("Ada Frey", "ada@elbtal.example")


async def test_a_new_customer_is_a_company_with_our_key(tenant, psa) -> None:
    asks()

    ref = await psa.upsert_customer("customer-1", ELBTAL)

    [group] = await tenant.lists("workspace_groups")
    assert (group["id"], group["name"], group["company"]) == (ref.external_id, ELBTAL.name, True)
    assert group["address"] == "2 Market Street, Hamburg, DE"
    assert await tenant.keys("workspace_groups") == ["customer-1"]


async def test_a_customer_made_by_hand_becomes_ours(tenant, psa) -> None:
    id_ = await tenant.makes("workspace_groups", name="ELBTAL  1 GmbH", notes="by hand")
    await tenant.makes("workspace_groups", name="Elbtal 1 GmbH Verwaltung")
    asks()
    before = len(tenant.log)

    ref = await psa.upsert_customer("customer-1", ELBTAL)
    again = await psa.upsert_customer("customer-1", ELBTAL)

    assert ref == again == Ref(None, id_)
    group = (await tenant.gets(f"workspace_groups/{id_}"))["workspace_groups"][id_]
    assert (group["name"], group["notes"]) == ("ELBTAL  1 GmbH", "by hand")
    assert await tenant.keys("workspace_groups") == ["customer-1"]
    called = [each["operation"] for each in tenant.log[before:] if each["phase"] == "received"]
    assert called[1:4] == ["workspace_groups.search", "workspace_groups.update",
                           "workspace_groups.search"]  # fmt: skip


async def test_a_customer_with_another_name_by_now_is_not_made_twice(tenant, psa) -> None:
    asks()
    first = await psa.upsert_customer("customer-1", ELBTAL)
    asks(request_key="run-2/step")

    second = await psa.upsert_customer("customer-1", Customer(name="Elbtal AG"))

    assert first == second
    assert len(await tenant.lists("workspace_groups")) == 1


async def test_two_customers_of_one_name_are_told_apart_by_their_place(tenant, psa) -> None:
    asks()
    namesakes = [ELBTAL, ELBTAL, msgspec.structs.replace(ELBTAL, addresses=(), country="AT")]

    made = [await psa.upsert_customer(f"customer-{n}", each) for n, each in enumerate(namesakes)]
    asks(request_key="run-2/step")
    again = [await psa.upsert_customer(f"customer-{n}", each) for n, each in enumerate(namesakes)]

    groups = {each["id"]: each["name"] for each in await tenant.lists("workspace_groups")}
    assert made == again
    assert [groups[each.external_id] for each in made] == [
        *("Elbtal 1 GmbH", "Elbtal 1 GmbH (Hamburg)", "Elbtal 1 GmbH (AT)")
    ]


async def test_a_project_that_is_planned_in_another_currency_is_not_adopted(tenant, psa) -> None:
    known = await tenant.makes("workspaces", title=ROLLOUT.name, currency="USD")
    asks()

    with pytest.raises(Conflict, match=r"project\.other-currency"):
        await psa.adopt_project(known, ROLLOUT, "project-1")

    assert await tenant.keys("workspaces") == []


async def test_a_project_is_written_and_read_back(tenant, psa) -> None:
    asks()
    group = (await psa.upsert_customer("customer-1", ELBTAL)).external_id
    sold = Project(**{f: getattr(ROLLOUT, f) for f in ROLLOUT.__struct_fields__}
                   | {"customer": Ref(None, group)})  # fmt: skip

    ref = await psa.create_project(sold, "project-1")
    read = await psa.get_project(ref.external_id)

    assert (read.external_id, read.key, read.name) == (ref.external_id, "project-1", sold.name)
    assert (read.state, read.currency, read.budget) == ("planned", "EUR", sold.budget)
    assert read.customer == Ref(None, group)
    assert (read.starts_on, read.ends_on) == (sold.starts_on, sold.ends_on)
    assert read.changed_at is not None
    [workspace] = await tenant.lists("workspaces")
    assert (workspace["rate_card_id"], workspace["price_in_cents"]) == (33, 4_280_000)
    [kept] = (await tenant.state())["workspaces"]
    assert kept["invoice_preference"] == {"purchase_order": "PO-DE-0001"}


@pytest.mark.parametrize(("currency", "amount"), [("JPY", "5000000"), ("KWD", "1000.125")])
async def test_a_unit_is_not_a_hundred_cents_everywhere(tenant, psa, currency, amount) -> None:
    total = Money(Decimal(amount), currency)
    asks()

    project = await psa.create_project(Project(name="P", budget=Budget(total=total)), "p-1")
    lines = [BillingLine(number=1, total=total)]
    [line] = await psa.create_billing_lines(project.external_id, lines, [], "b-1")

    assert (await psa.get_project(str(project.external_id))).budget == Budget(total=total)
    [milestone] = await tenant.lists("billing_milestones")
    assert milestone["amount_in_cents"] == int(total.amount * (1 if currency == "JPY" else 1000))
    assert line.ok


async def test_a_project_is_found_by_our_key_even_when_it_is_archived(tenant, psa) -> None:
    asks()
    project = await rollout(psa)
    await rollout(psa, "project-10")
    await tenant.call("PUT", f"workspaces/{project}", {"workspace": {"archived": True}})

    assert await psa.find_project("project-1") == Ref(None, project)
    assert await psa.find_project("project-2") is None
    assert (await psa.get_project(project)).key == "project-1"
    with pytest.raises(NotFound, match=r"project\.not-found"):
        await psa.get_project("4711")


async def test_the_state_is_the_tenants_own_code(tenant, psa) -> None:
    asks()
    project = await rollout(psa)

    for state, key in (("active", 310), ("on_hold", 400), ("completed", 600), ("cancelled", 500)):
        asks(request_key=f"run-1/{state}")
        assert await psa.set_project_state(project, state, "project-1") == Ref(None, project)
        [workspace] = await tenant.lists("workspaces")
        assert workspace["status"]["key"] == key
        assert (await psa.get_project(project)).state == state


async def test_a_state_without_a_code_is_never_guessed(tenant, store, tmp_path) -> None:
    codes = {"project": {"codes": {"state": {"100": "planned"}}}}
    psa = over_http(on(URL, tenant.http, store, tmp_path, base=codes))
    asks()
    project = await rollout(psa)

    with pytest.raises(Misconfigured, match=r"mapping\.unknown-value"):
        await psa.set_project_state(project, "active", "project-1")
    await tenant.call("PUT", f"workspaces/{project}", {"workspace": {"status_key": 310}})
    with pytest.raises(Misconfigured, match="310"):
        await psa.get_project(project)


async def test_a_hidden_project_is_not_one_that_is_gone(tenant, psa) -> None:
    asks()
    project = await rollout(psa)
    await tenant.call("PUT", f"workspaces/{project}", {"workspace": {"archived": True}})

    with pytest.raises(Conflict, match=r"kantata\.HIDDEN"):
        await psa.set_project_state(project, "active", "project-1")
    with pytest.raises(NotFound, match=r"kantata\.NOT_FOUND"):
        await psa.set_project_state("4711", "active", "project-1")


async def test_custom_fields_and_templates_are_the_tenants_own(tenant, store, tmp_path) -> None:
    mapping = {
        "project": {
            "fields": {"entity": "custom_fields.9001"},
            "codes": {"state": {"100": "planned"}},
        },
        "project_template": {"codes": {"template": {"7001": "erp-rollout"}}},
    }
    psa = over_http(on(URL, tenant.http, store, tmp_path, base=mapping))
    asks()

    project = await psa.create_project(
        Project(name="P", entity="DE", currency="CHF", template="erp-rollout"), "project-1"
    )
    other = await psa.create_project(Project(name="Q", template="unknown"), "project-2")

    assert (await psa.get_project(str(project.external_id))).entity == "DE"
    [theirs, plain] = (await tenant.state())["workspaces"]
    assert (theirs["project_tracker_template_id"], theirs.get("rate_card_id")) == (7001, None)
    assert (plain["id"], "project_tracker_template_id" in plain) == (other.external_id, False)


async def test_a_dry_run_asks_and_writes_nothing(psa, store) -> None:
    call = asks(plan=True)

    customer = await psa.upsert_customer("customer-1", ELBTAL)
    project = await psa.create_project(ROLLOUT, "project-1")
    told = await psa.create_tasks(project.external_id, TASKS, MILESTONES, "tasks-1")

    assert customer.external_id == "$planned:kantata.customer#1"
    assert [each["operation"] for each in call.planned] == [
        "create customer", "create project", *["create task"] * 3,
    ]  # fmt: skip
    assert call.planned[2]["body"]["workspace_id"] == "$planned:kantata.project#2"
    assert all(each.ok for each in told)
    assert await rows(store) == []


async def test_about_tells_the_pinned_version(psa) -> None:
    asks()

    about = await psa.about()

    assert (about.vendor, about.version, about.connection) == ("kantata", "v1", "kantata")
