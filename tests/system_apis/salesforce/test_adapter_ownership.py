"""What the CRM does not own is not written to it, unless the metadata says that it does."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from apis.runtime.store import Store
from contracts.canonical.party import Address, Customer
from tests.runtime.acme import asks, made, rows
from tests.system_apis.salesforce.connected import on
from tests.system_apis.salesforce.sandbox_org import in_process

URL = "http://sandbox"
CUSTOMERS = [
    Customer(key="customer-1", name="Elbtal AG", phone="+49 40 1"),
    Customer(key="customer-2", name="New GmbH", entity="DE", tax_code="DE-VAT-19"),
    Customer(key="customer-3", name="Far Ltd", addresses=(Address(city="Leeds"),)),
]


@pytest.fixture
def store(store_url: str):
    with made(store_url) as store:
        yield store


@pytest.fixture
async def org(tmp_path):
    async with in_process(tmp_path) as org:
        yield org


async def test_what_belongs_to_the_erp_is_refused_and_the_rest_goes_on(
    org, store: Store, tmp_path
) -> None:
    crm = on(URL, org.http, store, tmp_path)
    asks()

    told = await crm.upsert_customers(CUSTOMERS)

    assert told[0].ok is not None
    problems = [each.problem for each in told[1:]]
    assert [(each.code, each.status) for each in problems] == [("ownership.not-owner", 422)] * 2
    assert [each.errors[0].pointer for each in problems] == ["/tax_code", "/addresses"]
    assert {(each.source, each.owner) for each in problems} == {("erp", "finance-master-data")}
    assert [row.key for row in await rows(store)] == ["customer-1"]


async def test_a_dry_run_tells_the_same(org, store: Store, tmp_path) -> None:
    crm = on(URL, org.http, store, tmp_path)
    call = asks(plan=True)

    told = await crm.upsert_customers(CUSTOMERS)

    assert [each.problem is None for each in told] == [True, False, False]
    assert [each["operation"] for each in call.planned] == ["upsert customer"]


async def test_the_metadata_may_make_the_crm_the_owner(org, store: Store, tmp_path) -> None:
    theirs = [
        {"object": "customer", "attribute": "tax_code", "entity": "DE", "system": "crm"},
        {"object": "customer", "attribute": "addresses", "system": "crm", "from": "2999-01-01"},
    ]
    crm = on(URL, org.http, store, tmp_path, ownership=theirs)
    asks()

    told = await crm.upsert_customers(CUSTOMERS)

    assert [each.problem is None for each in told] == [True, True, False]
    assert (await crm.get_customer(told[1].ok.external_id or "")).tax_code == "DE-VAT-19"


def test_every_write_of_a_vendor_says_what_it_sends() -> None:
    for path in Path("system_apis").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Write":
                given = {keyword.arg for keyword in node.keywords}
                assert "attributes" in given, f"{path}:{node.lineno}: a Write without attributes"
