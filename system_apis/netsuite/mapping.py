"""Canonical <-> NetSuite.

The ids behind names (subsidiaries, currencies, terms, tax codes, project statuses, billing
schedules) are each account's own: they are code lists of the metadata.
"""

from __future__ import annotations

from typing import Any

from apis.runtime.mapping import Map, at, children, codes, const
from contracts.canonical.billing import BillingSchedule
from contracts.canonical.party import Address, Contact, Customer
from contracts.canonical.project import Project, ProjectState

NAME = 83
"""Characters of a name. A project's is cut, a customer's is refused: invoices bear it."""

ADDRESS = Map(
    Address,
    {
        "kind": codes("defaultBilling", {True: "billing"}),
        "street": at("addressBookAddress.addr1", longest=150),
        "city": "addressBookAddress.city",
        "region": "addressBookAddress.state",
        "postal_code": "addressBookAddress.zip",
        "country": "addressBookAddress.country.id",
    },
)
CUSTOMER = Map(
    Customer,
    {
        "key": "externalId",
        "name": at("companyName", longest=NAME),
        "entity": codes("subsidiary.id", {}),
        "parent.external_id": "parent.id",
        "tax_id": "vatRegNumber",
        "tax_code": codes("taxItem.id", {}),
        "payment_terms": codes("terms.id", {}),
        "currency": codes("currency.id", {}),
        "phone": "phone",
        "website": at("url", longest=100),
        "addresses": children("addressBook.items", ADDRESS),
    },
)
"""As the record API takes it."""

CONTACT = Map(
    Contact,
    {
        "customer.external_id": "company.id",
        "name": at("entityId", longest=NAME),
        "email": "email",
        "phone": "phone",
    },
)
"""A person; the subsidiary is that of the company."""

ROW = Map(
    Customer,
    {
        "external_id": at("id", readonly=True),
        "key": "externalid",
        "number": "entityid",
        "name": "companyname",
        "entity": codes("subsidiary", {}, readonly=True),
        "state": codes("isinactive", {"F": "active", "T": "inactive"}, readonly=True),
        "parent.external_id": "parent",
        "country": "country",
        "addresses.0.kind": const("billing"),
        "addresses.0.street": "addr1",
        "addresses.0.city": "city",
        "addresses.0.region": "state",
        "addresses.0.postal_code": "zip",
        "addresses.0.country": "country",
        "extensions.address_line": at("internalid", readonly=True),
        "tax_id": "vatregnumber",
        "tax_code": codes("taxitem", {}, readonly=True),
        "payment_terms": codes("terms", {}, readonly=True),
        "currency": codes("currency", {}, readonly=True),
        # the computed hold; `creditholdoverride` can be mapped in its place, which says AUTO
        "credit_hold": codes(
            "oncredithold",
            {"T": True, "F": False, "ON": True, "OFF": False, "AUTO": None},
            readonly=True,
        ),
        "phone": "phone",
        "website": "url",
    },
    name="customer_row",
)
"""As SuiteQL answers: all texts, in lower-case columns. Code lists are those of `customer`."""

OF_ADDRESS = frozenset({"addr1", "addr2", "city", "state", "zip", "country"})
"""Columns of a row that stand in the table of addresses."""
LINE = "internalid"
"""Which line of its address book a customer's bills go to."""

PROJECT = Map(
    Project,
    {
        "name": at("companyName", longest=NAME, cut=True),
        "customer.external_id": "parent.id",
        "entity": codes("subsidiary.id", {}),
        "currency": codes("currency.id", {}),
        "billing_model": codes("jobBillingType.id", {}),
        "budget.total.amount": "jobPrice",
        "state": codes("entityStatus.id", {}),
        "starts_on": "startDate",
        "ends_on": "projectedEndDate",
    },
)
"""A job. It has no department, class or location: metadata maps `dimensions.<name>` to the custom
fields of the account, such as `custentity_tl_department.id`, each with its code list.
"""

SCHEDULE = Map(
    BillingSchedule, {"billing_model": codes("billingSchedule.id", {})}, name="billing_schedule"
)
"""Which of the account's billing schedules a job of this billing model follows."""

MAPS: dict[str, Map[Any]] = {
    each.name: each for each in (CUSTOMER, CONTACT, ROW, PROJECT, SCHEDULE)
}
"""What metadata can map otherwise, by its name there."""

BOOKABLE: frozenset[ProjectState] = frozenset({"planned", "active"})
"""In these states time and expenses may be booked on a job."""
