"""Bodies as they go out and records as they come in, without a tenant."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from apis.runtime.metadata import Metadata
from contracts.canonical.billing import BillingLine
from contracts.canonical.identity import Ref
from contracts.canonical.money import Money
from contracts.canonical.party import Customer
from contracts.canonical.project import Budget, Project, StaffingRequest
from contracts.errors import Misconfigured, Rejected
from system_apis.kantata.maps import Maps
from tests.runtime.acme import asks
from tests.system_apis.connections import SAMPLE

# As an index with includes answers: foreign keys only where asked for, an offset, empty dates.
ANSWER = b"""{"count": 1, "results": [{"key": "workspaces", "id": "812"}],
"workspaces": {"812": {"id": "812", "title": "Northwind ERP rollout", "account_id": 4986335,
  "archived": false, "due_date": "", "start_date": "2026-04-01", "price": "$250,000",
  "price_in_cents": 25000000, "currency": "USD", "currency_symbol": "$",
  "currency_base_unit": 100, "updated_at": "2026-03-02T10:15:00-08:00",
  "status": {"color": "green", "key": 310, "message": "In Progress"},
  "primary_workspace_group_id": "77", "external_reference_ids": ["8", "9"]}},
"external_references": {
  "8": {"id": "8", "service_name": "netsuite", "service_model_ref": "9001"},
  "9": {"id": "9", "service_name": "throughline", "service_model_ref": "project-1"}},
"workspace_groups": {"77": {"id": "77", "name": "Northwind"}},
"meta": {"count": 1, "page_count": 1, "page_number": 1, "page_size": 20}}"""
OURS = {"service_name": "throughline", "status": "successful"}


@pytest.fixture
def maps() -> Maps:
    asks()
    return Maps(Metadata.load(SAMPLE), "kantata")


@pytest.fixture
def answer() -> dict[str, Any]:
    return dict(msgspec.json.Decoder(float_hook=Decimal).decode(ANSWER))


def changed(answer: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**answer["workspaces"]["812"], **fields}


def test_a_workspace_is_read_as_a_project(maps: Maps, answer: dict[str, Any]) -> None:
    assert maps.project(answer, changed(answer)) == Project(
        external_id="812",
        key="project-1",
        name="Northwind ERP rollout",
        state="active",
        customer=Ref(None, "77"),
        currency="USD",
        budget=Budget(total=Money(Decimal("250000.00"), "USD")),
        starts_on=date(2026, 4, 1),
        changed_at=datetime(2026, 3, 2, 18, 15, tzinfo=UTC),
    )


def test_a_project_without_a_budget_has_none(maps: Maps, answer: dict[str, Any]) -> None:
    bare = changed(answer, price="TBD", price_in_cents=None)

    assert maps.project(answer, bare).budget is None


@pytest.mark.parametrize(
    "drift",
    [{"price_in_cents": "25000000"}, {"currency_base_unit": None}, {"currency_base_unit": 0}],
)
def test_an_amount_that_is_no_whole_number_is_drift(
    maps: Maps, answer: dict[str, Any], drift: dict[str, Any]
) -> None:
    with pytest.raises(Misconfigured, match=r"mapping\.contract-drift"):
        maps.project(answer, changed(answer, **drift))


def test_a_status_that_metadata_does_not_know_is_never_guessed(
    maps: Maps, answer: dict[str, Any]
) -> None:
    with pytest.raises(Misconfigured, match="410"):
        maps.project(answer, changed(answer, status={"key": 410}))


def test_a_project_goes_out_in_main_units_and_with_numbers_for_ids(maps: Maps) -> None:
    project = Project(
        external_id="812",
        key="another",
        name="Rollout",
        entity="UK",
        customer=Ref("ours", "77"),
        currency="GBP",
        budget=Budget(total=Money(Decimal("250000.50"), "GBP")),
        starts_on=date(2026, 4, 1),
    )

    assert maps.workspace(project, "project-1") == {
        "title": "Rollout",
        "creator_role": "maven",
        "budgeted": True,
        "status_key": 100,
        "primary_workspace_group_id": 77,
        "currency": "GBP",
        "price": Decimal("250000.50"),
        "rate_card_id": 32,
        "start_date": "2026-04-01",
        "external_reference": OURS | {"service_model": "Project", "service_model_ref": "project-1"},
    }


def test_a_budget_in_another_currency_is_refused(maps: Maps) -> None:
    budget = Budget(total=Money(Decimal(1), "USD"))

    with pytest.raises(Rejected, match=r"project\.budget-currency"):
        maps.workspace(Project(name="P", currency="EUR", budget=budget), "project-1")


def test_a_whole_budget_is_a_whole_number(maps: Maps) -> None:
    budget = Budget(total=Money(Decimal("250000.00"), "EUR"))

    price = maps.workspace(Project(name="P", budget=budget), "project-1")["price"]

    assert (price, type(price)) == (250_000, int)


def test_a_line_finer_than_its_currency_is_refused(maps: Maps) -> None:
    line = BillingLine(number=1, total=Money(Decimal("1.005"), "EUR"))

    with pytest.raises(Rejected, match=r"billing-line\.too-fine"):
        maps.billing_milestone(line, "812", {}, "billing-1-1")


def test_a_negative_line_stays_negative(maps: Maps) -> None:
    line = BillingLine(number=1, total=Money(Decimal("-100.00"), "EUR"))

    assert maps.billing_milestone(line, "812", {}, "k")["amount_in_cents"] == -10_000


def test_a_customer_is_a_company(maps: Maps) -> None:
    assert maps.group(Customer(name="Northwind", website="https://nw.example"), "customer-1") == {
        "name": "Northwind",
        "website": "https://nw.example",
        "company": True,
        "external_reference": OURS
        | {"service_model": "Customer", "service_model_ref": "customer-1"},
    }


def test_what_a_resource_cannot_hold_is_told_in_words(maps: Maps) -> None:
    request = StaffingRequest(
        project=Ref(None, "812"),
        role="consultant",
        region="EMEA",
        skills=("SAP", "SD"),
        hours=Decimal("120.50"),
        starts_on=date(2026, 4, 1),
        ends_on=date(2026, 6, 30),
    )

    with pytest.raises(Misconfigured, match=r"mapping\.unknown-value"):
        maps.resource(request, "812", "k")
    body = maps.resource(msgspec.structs.replace(request, role="CONS-CONSULTANT"), "812", "k")
    told = "120.5 hours from 2026-04-01 until 2026-06-30; region EMEA; skills SAP, SD"
    assert (body["role_id"], body["user_id"]) == (503, None)
    assert body["external_reference"]["external_message"] == told
