"""The Erp port on NetSuite: what is not a table."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from typing import Any

import msgspec

from apis.runtime.metadata import Metadata
from apis.runtime.vendor import VendorHttp
from apis.runtime.wire import at
from apis.runtime.writes import Write
from contracts.canonical.billing import BillingSchedule
from contracts.canonical.identity import Ref, Source
from contracts.canonical.party import Contact, Customer
from contracts.canonical.project import Project, ProjectState
from contracts.errors import Conflict, Misconfigured, NotFound, Rejected
from contracts.ports import BILLING_SCHEDULES, OTHER_CUSTOMER, About, ProjectMatch
from system_apis.netsuite.mapping import PROJECT
from system_apis.netsuite.maps import Maps
from system_apis.netsuite.suiteql import suiteql

PORT = "erp"
CAPABILITIES = {BILLING_SCHEDULES: False}
"""What an ERP may offer beyond its port: here schedules are chosen, their lines are ours."""

Record = dict[str, Any]
PAGE = 1000
INTERNAL_ID = re.compile(r"[0-9]{1,18}")
EXTERNAL_ID = re.compile(r"[A-Za-z0-9_-]+")


def adapter(http: VendorHttp, metadata: Metadata) -> NetSuite:
    """The port on one connection."""
    return NetSuite(http, metadata)


class NetSuite:
    """The Erp port on NetSuite, but for what bills, is paid and recognised."""

    def __init__(self, http: VendorHttp, metadata: Metadata) -> None:
        self._http = http
        self._maps = Maps(metadata, http.name)

    async def about(self) -> About:
        """Vendor, pinned version and the day it retires; and what it can do beyond its port."""
        return msgspec.structs.replace(self._http.about(), capabilities=CAPABILITIES)

    async def get_customer(self, external_id: str) -> Customer:
        """One customer, as the ERP knows it now."""
        found: list[Record] = []
        if INTERNAL_ID.fullmatch(external_id):
            found, _ = await self._customers([suiteql("c.id = {}", external_id)])
        if not found:
            raise NotFound("customer.not-found", f"NetSuite has no customer {external_id}")
        return self._maps.read(found[0])

    async def find_customer(self, key: str) -> Ref | None:
        """The customer that carries our key, if there is one."""
        return await self._found("customer", f"{self._maps.key_column()} = {{}}", key)

    async def match_customers(self, customers: list[Customer]) -> list[Customer]:
        """Customers with the key, tax number or name of one of these: who they may be already."""
        if not customers:
            return []
        ways = [self._maps.alike(each) for each in customers]
        found, more = await self._customers(way for each in ways for way in each)
        if more:  # first words that very many share: without them, so that no better match is lost
            found, _ = await self._customers(way for each in ways for way in each[:-1])
        return [self._maps.read(row) for row in found]

    async def create_customer(self, customer: Customer, key: str) -> Ref:
        """A customer to bill, once per key."""
        body = self._maps.new_customer(customer)
        write = Write(
            object="customer",
            key=key,
            attributes=self._maps.sent(customer),
            entity=customer.entity,
            find=partial(self._found, "customer", "externalid = {}", key),
        )
        return await self._put(write, "customer", body)

    async def update_customer(
        self,
        external_id: str,
        customer: Customer,
        key: str,
        origin: Source | None = None,
        before: Customer | None = None,
    ) -> Ref:
        """A customer brought up to date with what is the ERP's, or in a mirror its origin's."""
        keyed = msgspec.structs.replace(customer, key=external_key(key))
        write = Write(
            object="customer",
            key=key,
            kind="update",
            attributes=self._maps.changeable(keyed, before),
            origin=origin,
            entity=customer.entity,
        )
        own = self._http.owned(write)
        was = self._maps.changed(before, own) if before else None
        mine = msgspec.structs.replace(write, attributes=own, before=was)
        body = self._maps.changed(keyed, own, before)
        return await self._http.write(
            mine, "PATCH", "/record/v1/customer/{}", external_id, body=body
        )

    async def upsert_contact(self, key: str, contact: Contact, origin: Source) -> Ref:
        """A person at a customer, made or brought up to date with the record it was read from."""
        write = Write(
            object="contact",
            key=key,
            kind="upsert",
            attributes=self._maps.sent(contact),
            origin=origin,
            find=partial(self._found, "contact", "externalid = {}", key),
        )
        return await self._put(write, "contact", self._maps.person(contact))

    async def create_project(self, project: Project, key: str) -> Ref:
        """The project as a job of the books, once per key."""
        body = self._maps.job(project)
        write = Write(
            object="project",
            key=key,
            attributes=self._maps.sent(project),
            entity=project.entity,
            find=partial(self._found, "job", "externalid = {}", key),
            amount=project.budget.total if project.budget else None,
        )
        return await self._put(write, "job", body)

    async def match_projects(self, project: Project) -> list[ProjectMatch]:
        """Jobs of its customer without an external id that have its name or purchase order."""
        debtor = (project.customer.external_id if project.customer else None) or ""
        ways = self._maps.same_job(project)
        columns = ", ".join(("id", *(column for column, _ in ways.values())))
        either = " OR ".join(
            suiteql(f"UPPER({each}) = UPPER({{}})", v) for each, v in ways.values()
        )
        where = suiteql("customer = {} AND externalid IS NULL", debtor)
        query = f"SELECT {columns} FROM job WHERE {where} AND ({either}) ORDER BY id"  # noqa: S608 - our words
        rows, _ = await self._rows(query)
        return [
            ProjectMatch(
                external_id=str(row["id"]),
                reasons=tuple(
                    why
                    for why, (column, value) in ways.items()
                    if str(row.get(column) or "").upper() == value.upper()
                ),
            )
            for row in rows
        ]

    async def adopt_project(self, external_id: str, project: Project, key: str) -> Ref:
        """Our key, state, price and days on a job of its customer that was made by hand."""
        there = await self._http.get("/record/v1/job/{}", external_id)
        debtor = (project.customer.external_id if project.customer else None) or ""
        if str(at(there, PROJECT.path("customer.external_id"))) != debtor:
            told = f"job {external_id} is not one of customer {debtor}, who pays for this project"
            raise Conflict(OTHER_CUSTOMER, told, source=self._http.name)
        body = self._maps.job_figures(project) | {"externalId": external_key(key)}
        worth = project.budget.total if project.budget else None
        write = Write(
            object="project",
            key=key,
            kind="update",
            attributes=("key",),
            before=there,
            amount=worth,
        )
        return await self._http.write(write, "PATCH", "/record/v1/job/{}", external_id, body=body)

    async def update_project(self, external_id: str, project: Project, key: str) -> Ref:
        """State, price and days of a job, after its contract has changed."""
        # as with the state alone: they are the job's own figures, a mirror of what others own
        worth = project.budget.total if project.budget else None
        write = Write(object="project", key=key, kind="update", attributes=(), amount=worth)
        body = self._maps.job_figures(project)
        return await self._http.write(write, "PATCH", "/record/v1/job/{}", external_id, body=body)

    async def set_project_state(self, external_id: str, state: ProjectState, key: str) -> Ref:
        """A project opened, held or closed for booking."""
        # `state` is the PSA's: what is changed is the job's own status, in nobody's record
        write = Write(object="project", key=key, kind="update", attributes=(), state=state)
        body = self._maps.job_state(state)
        return await self._http.write(write, "PATCH", "/record/v1/job/{}", external_id, body=body)

    async def create_billing_schedule(
        self, external_id: str, schedule: BillingSchedule, key: str
    ) -> Ref:
        """The billing schedule that the job follows from now on; the reference is the job's."""
        body = self._maps.job_schedule(schedule)
        chosen = body["billingSchedule"]["id"]
        write = Write(
            object="billing-schedule",
            key=key,
            attributes=self._maps.sent(schedule),
            entity=schedule.entity,
            find=partial(
                self._found, "job", "id = {} AND billingschedule = {}", external_id, chosen
            ),
            amount=schedule.total,
        )
        return await self._http.write(write, "PATCH", "/record/v1/job/{}", external_id, body=body)

    async def _put(self, write: Write, record: str, body: Record) -> Ref:
        """A record made at our key; sent again, it is the same record with the same lines."""
        params = {"replace": "addressBook"} if "addressBook" in body else None
        path = f"/record/v1/{record}/eid:{{}}"
        return await self._http.write(
            write, "PUT", path, external_key(write.key), params=params, body=body
        )

    async def _customers(self, where: Iterable[str]) -> tuple[list[Record], bool]:
        return await self._rows(self._maps.customers(where))

    async def _found(self, table: str, where: str, *values: str) -> Ref | None:
        """The record of a table to which this applies."""
        query = suiteql(f"SELECT id FROM {table} WHERE {where} ORDER BY id", *values)  # noqa: S608 - our words
        rows, _ = await self._rows(query)
        return Ref(None, str(rows[0]["id"])) if rows else None

    async def _rows(self, query: str) -> tuple[list[Record], bool]:
        """One page of what a query finds, and whether there is more."""
        answer = await self._http.send(
            "POST",
            "/query/v1/suiteql",
            params={"limit": PAGE},
            body={"q": query},
            headers={"Prefer": "transient"},
        )
        rows = at(answer.value, "items")
        if not isinstance(rows, list):
            raise Misconfigured("netsuite.UNEXPECTED", "NetSuite answered a query without items")
        return rows, at(answer.value, "hasMore") is True


def external_key(key: str) -> str:
    """The key, if NetSuite takes it as an external id: a `|`, for one, parts several."""
    if not EXTERNAL_ID.fullmatch(key):
        told = f"{key!r} cannot be an external id: only letters, digits, _ and - may stand in it"
        raise Rejected("netsuite.EXTERNAL_ID", told, owner="integration")
    return key
