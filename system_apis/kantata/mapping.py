"""Canonical <-> Kantata; every path, code list and constant can be overridden in metadata.

Paths are those of request bodies. `custom_fields.<id>` is a custom field of the tenant.
"""

from __future__ import annotations

from typing import Any

from apis.runtime.mapping import Map, at, codes, inside
from contracts.canonical.billing import BillingLine
from contracts.canonical.party import Contact, Customer
from contracts.canonical.project import Budget, Milestone, Project, StaffingRequest, Task

KEY = "external_reference.service_model_ref"

CUSTOMER = Map(
    Customer,
    {
        "external_id": at("id", readonly=True),
        "key": KEY,
        "name": "name",
        "phone": "phone_number",
        "website": "website",
    },
)
CONTACT = Map(Contact, {"name": "contact_name", "email": "email"})
"""A group names one person; there are no contacts beside it."""

BUDGET = Map(Budget, {"total.amount": "price", "total.currency": "currency"})
"""Made of `price_in_cents` and the currency's base unit; written as `price`, in main units."""

PROJECT = Map(
    Project,
    {
        "external_id": at("id", readonly=True),
        "key": KEY,
        "name": "title",
        "state": codes("status_key", {}, loose=True),  # the tenant's list of statuses
        "customer.external_id": "primary_workspace_group_id",
        "currency": "currency",
        "budget": inside("budget", BUDGET),
        "purchase_order": "invoice_preference.purchase_order",
        "starts_on": "start_date",
        "ends_on": "due_date",
        "changed_at": at("updated_at", readonly=True),
    },
)
RATE_CARD = Map(Project, {"currency": codes("rate_card_id", {})}, name="rate_card")
"""Which of the tenant's rate cards a currency takes; none where its metadata names none."""

TEMPLATE = Map(
    Project, {"template": codes("project_tracker_template_id", {})}, name="project_template"
)
"""Which of the tenant's templates stands for ours; none where its metadata names none."""

TITLE = at("title", longest=200, cut=True)
"""Of a story; how long names of projects and groups may be is not documented."""

TASK = Map(
    Task,
    {
        "name": TITLE,
        "planned_hours": "time_estimate_in_minutes",
        "billable": "billable",
        "starts_on": "start_date",
        "ends_on": "due_date",
    },
)
MILESTONE = Map(Milestone, {"name": TITLE, "due_on": "due_date"})
BILLING_LINE = Map(BillingLine, {"name": "title", "bill_on": "date_to_invoice"})
STAFFING_REQUEST = Map(StaffingRequest, {"role": codes("role_id", {}, loose=True)})

MAPS: dict[str, Map[Any]] = {
    each.name: each
    for each in (
        *(CUSTOMER, CONTACT, PROJECT, RATE_CARD, TEMPLATE),
        *(TASK, MILESTONE, BILLING_LINE, STAFFING_REQUEST),
    )
}
"""What metadata can map otherwise, by its name there."""

OPTIONAL = frozenset({"rate_card", "project_template"})
"""What is sent only where its metadata has a list; one that is there has to be whole."""
