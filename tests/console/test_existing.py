"""What the demo finds of a deal in each system, from records as the sandboxes show them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from apis.console.existing import Keys, calls_by_system, in_kantata, in_netsuite
from apis.console.terminal import calls_line
from contracts.runs import Run, RunStep, VendorCall

KEYS = Keys("customer-1", "project-1")
PROJECT = {
    "id": "20003",
    "title": "ERP rollout 1",
    "currency": "EUR",
    "currency_base_unit": 100,
    "price_in_cents": 4280000,
    "external_reference_ids": ["20004"],
}
KANTATA: dict[str, list[dict[str, Any]]] = {
    "external_references": [
        {"id": "20002", "service_model_ref": "customer-1"},
        {"id": "20004", "service_model_ref": "project-1"},
        {"id": "20104", "service_model_ref": "project-2"},
    ],
    "workspace_groups": [
        {"id": "20001", "name": "Elbtal 1 GmbH", "external_reference_ids": ["20002"]},
        {"id": "20009", "name": "By hand", "external_reference_ids": []},
    ],
    "workspaces": [PROJECT, PROJECT | {"id": "20103", "external_reference_ids": ["20104"]}],
    "stories": [
        {"id": "20006", "title": "Go-live", "story_type": "milestone", "workspace_id": "20003"},
        {"id": "20005", "title": "Consulting", "story_type": "task", "workspace_id": "20003"},
        {"id": "20105", "title": "Another", "story_type": "task", "workspace_id": "20103"},
    ],
    "billing_milestones": [
        {"id": "20007", "title": "Go-live", "amount_in_cents": 1000050, "workspace_id": "20003"}
    ],
    "workspace_resources": [{"id": "20008", "role_name": "Consultant", "workspace_id": "20003"}],
}
NETSUITE: dict[str, list[dict[str, Any]]] = {
    "currency": [{"id": "4", "symbol": "EUR"}],
    "customer": [
        {"id": "1001", "companyName": "Elbtal Group"},
        {"id": "1002", "externalId": "customer-1", "companyName": "Elbtal 1 GmbH",
         "parent": {"id": "1001"}},
        {"id": "1009", "companyName": "By hand"},
    ],
    "job": [
        {"id": "1003", "externalId": "project-1", "companyName": "ERP rollout 1",
         "jobPrice": Decimal("42800.0"), "currency": {"id": "4"},
         "billingSchedule": {"id": "23", "refName": "Milestones"}},
        {"id": "1004", "externalId": "project-2", "companyName": "Another"},
    ],
}  # fmt: skip


def test_a_project_is_found_in_kantata_with_what_hangs_on_it_in_order() -> None:
    found = [(row.object, row.id, row.name) for row in in_kantata(KANTATA, KEYS)]

    assert found == [
        ("customer", "20001", "Elbtal 1 GmbH"),
        ("project", "20003", "ERP rollout 1"),
        ("task", "20005", "Consulting"),
        ("milestone", "20006", "Go-live"),
        ("billing line", "20007", "Go-live"),
        ("staffing request", "20008", "Consultant"),
    ]


def test_amounts_are_in_units_of_the_currency() -> None:
    rows = [*in_kantata(KANTATA, KEYS), *in_netsuite(NETSUITE, KEYS)]
    found = [f"{row.value.amount:.2f} {row.value.currency}" for row in rows if row.value]

    assert found == ["42800.00 EUR", "10000.50 EUR", "42800.00 EUR"]


def test_a_customer_is_found_in_netsuite_below_its_parents_and_a_job_with_its_schedule() -> None:
    found = [(row.object, row.id, row.name) for row in in_netsuite(NETSUITE, KEYS)]

    assert found == [
        ("customer", "1002", "Elbtal 1 GmbH"),
        ("its parent", "1001", "Elbtal Group"),
        ("project", "1003", "ERP rollout 1"),
        ("billing schedule", "1003", "Milestones"),
    ]


def test_a_deal_without_keys_has_nothing_anywhere() -> None:
    none = Keys(None, None)

    assert [*in_kantata(KANTATA, none), *in_netsuite(NETSUITE, none)] == []


def test_calls_are_counted_by_system_without_signing_in() -> None:
    calls = [("netsuite", "sign in"), ("netsuite", "POST /query"), ("netsuite", "PUT /job")]
    step = RunStep(name="booked", state="done",
                   calls=tuple(VendorCall(system=s, operation=o) for s, o in calls))  # fmt: skip
    run = Run(id="deal_to_project:1", flow="deal_to_project", state="done", steps=(step, step))

    counted = calls_by_system(run, ["salesforce", "netsuite"])

    assert calls_line(counted) == "vendor calls: salesforce 0, netsuite 4"
