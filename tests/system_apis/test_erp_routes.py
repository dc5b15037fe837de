"""What an ERP is asked, and how it fails, arrives over the Erp port as it was said."""

from __future__ import annotations

from decimal import Decimal

import pytest

from apis.runtime.app import make_app
from apis.runtime.clients import Local, client
from contracts.canonical.billing import BillingSchedule
from contracts.canonical.identity import Ref, Source
from contracts.canonical.money import Money
from contracts.canonical.party import Customer
from contracts.canonical.project import Project
from contracts.errors import Conflict
from contracts.ports import Erp
from system_apis import erp
from tests.runtime.acme import asks

ACCOUNT = Source("salesforce", "001A")


class Listening:
    """An Erp that keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []

    async def match_customers(self, customers: list[Customer]) -> list[Customer]:
        self.asked = [*customers]
        return customers

    async def create_customer(self, customer: Customer, key: str) -> Ref:
        self.asked = [customer, key]
        return Ref(None, "8812")

    async def update_customer(
        self, external_id: str, customer: Customer, key: str, origin: Source, before: Customer
    ) -> Ref:
        self.asked = [external_id, customer, key, origin, before]
        raise Conflict("netsuite.DUP_EXT_ID", "another customer has it", source="netsuite")

    async def create_project(self, project: Project, key: str) -> Ref:
        self.asked = [project, key]
        return Ref(None, "9001")

    async def set_project_state(self, external_id: str, state: str, key: str) -> Ref:
        self.asked = [external_id, state, key]
        return Ref(None, external_id)

    async def create_billing_schedule(
        self, external_id: str, schedule: BillingSchedule, key: str
    ) -> Ref:
        self.asked = [external_id, schedule, key]
        return Ref(None, external_id)


async def test_arguments_and_errors_arrive_as_they_were_sent() -> None:
    asks()
    behind = Listening()
    app = make_app("an ERP", version="1.0.0", routes=erp.routes, dependencies={"erp": behind})
    served = client(Erp, Local(app))
    customer = Customer(name="Nordlicht", entity="DE")
    project = Project(name="Rollout", dimensions={"department": "Advisory"})
    schedule = BillingSchedule(billing_model="milestone", total=Money(Decimal(5), "EUR"))

    assert await served.match_customers([customer]) == [customer]
    assert await served.create_customer(customer, "customer-1") == Ref(None, "8812")
    assert behind.asked == [customer, "customer-1"]
    assert await served.create_project(project, "project-1") == Ref(None, "9001")
    assert behind.asked == [project, "project-1"]
    await served.set_project_state("9001", "on_hold", "project-1")
    assert behind.asked == ["9001", "on_hold", "project-1"]
    await served.create_billing_schedule("9001", schedule, "schedule-1")
    assert behind.asked == ["9001", schedule, "schedule-1"]
    with pytest.raises(Conflict) as raised:
        await served.update_customer("8812", customer, "customer-1", ACCOUNT, customer)
    assert behind.asked == ["8812", customer, "customer-1", ACCOUNT, customer]
    assert raised.value.code == "netsuite.DUP_EXT_ID"
