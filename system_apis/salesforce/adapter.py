"""The Crm port on Salesforce: what is not a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from itertools import islice
from typing import Any

import msgspec

from apis.runtime.caller import reported
from apis.runtime.metadata import Metadata
from apis.runtime.vendor import VendorHttp
from apis.runtime.wire import at, error_for
from apis.runtime.writes import Write
from contracts.canonical.deal import Deal, DealFile, DealMark, DealMarking, DealPage, Gap
from contracts.canonical.identity import Ref, Source
from contracts.canonical.party import Customer
from contracts.errors import Conflict, NotFound, Rejected, ThroughlineError, Transient
from contracts.ports import About, Outcome
from system_apis.salesforce.maps import Maps
from system_apis.salesforce.soql import select, soql

MOST_RECORDS = 200
MOST_PARTS = 25
LINES = "OpportunityLineItems"
SUCCESS = range(200, 300)
Record = dict[str, Any]


PORT = "crm"
BY_ID = "WHERE Id = {}"


def adapter(http: VendorHttp, metadata: Metadata) -> Salesforce:
    """The port on one connection."""
    return Salesforce(http, metadata)


class Salesforce:
    """The Crm port on Salesforce."""

    def __init__(self, http: VendorHttp, metadata: Metadata) -> None:
        self._http = http
        self._maps = Maps(metadata, http.name)

    async def about(self) -> About:
        """Vendor, pinned version and the day it retires."""
        return self._http.about()

    async def get_deal(self, external_id: str) -> Deal:
        """One deal, as the CRM knows it now."""
        query = select(self._maps.deal_columns, "Opportunity", BY_ID, external_id)
        return self._maps.deal(await self._one("deal", query, external_id))

    async def get_deal_file(self, external_id: str) -> DealFile:
        """A deal with its lines, customer, parents and contact: one query.

        A query sees four parents; each further one sees six more.
        """
        query = select(self._maps.file_columns, "Opportunity", BY_ID, external_id)
        try:
            found = await self._one("deal", query, external_id)
        except NotFound:
            if await self._exists("Opportunity", external_id):
                told = f"Salesforce has the deal {external_id}, but its search does not show it yet"
                raise Transient("deal.not-shown-yet", told) from None
            raise
        file = self._maps.deal_file(found)
        return msgspec.structs.replace(file, parents=await self._parents(file))

    async def _parents(self, file: DealFile) -> tuple[Customer, ...]:
        """All accounts above the deal's, the nearest first."""
        parents = [*file.parents]
        while parents and (above := parents[-1].parent) and above.external_id:
            if above.external_id in {
                each.external_id for each in (file.customer, *parents) if each
            }:
                raise Rejected(
                    "customer.parent-loop",
                    f"account {above.external_id} stands above itself in {self._http.name}",
                    remedy=f"mend the parent accounts in {self._http.name}, then retry",
                    source=self._http.name,
                )
            query = select(self._maps.chain_columns, "Account", BY_ID, above.external_id)
            record = await self._one("customer", query, above.external_id)
            parents += self._maps.chain(record, file.deal.entity)
        return tuple(parents)

    async def list_deals(
        self,
        changed_since: datetime,
        cursor: str | None = None,
        state: str | None = None,
        closed_since: date | None = None,
    ) -> DealPage:
        """Deals changed since a moment, in that order, with the gaps met on the way."""
        if cursor is not None:
            records, link = await self._http.page("/query/{}", cursor)
        else:
            changed = self._maps.path("deal", "changed_at")
            only = f" AND {self._maps.state_is(state)}" if state else ""
            if closed_since:
                only += soql(f" AND {self._maps.path('deal', 'closed_on')} >= {{}}", closed_since)
            rest = f"WHERE {changed} >= {{}}{only} ORDER BY {changed}, Id"
            query = select(self._maps.deal_columns, "Opportunity", rest, changed_since)
            records, link = await self._http.page("/query", params={"q": query})
        read = [self._maps.deal_or_gap(await self._whole(record)) for record in records]
        deals = tuple(each for each in read if isinstance(each, Deal))
        gaps = tuple(each for each in read if isinstance(each, Gap))
        moments = [deal.changed_at for deal in deals] + [gap.at for gap in gaps]
        return DealPage(
            items=deals,
            gaps=gaps,
            next=locator(link),
            until=max((each for each in moments if each is not None), default=None),
        )

    async def get_customer(self, external_id: str) -> Customer:
        """One customer, as the CRM knows it now."""
        query = select(self._maps.customer_columns, "Account", BY_ID, external_id)
        return self._maps.customer(await self._one("customer", query, external_id))

    async def find_customer(self, key: str) -> Ref | None:
        """The customer that carries our key, if there is one."""
        rest = f"WHERE {self._maps.path('customer', 'key')} = {{}} LIMIT 2"
        query = select("Id", "Account", rest, key)
        found, _ = await self._http.page("/query", params={"q": query})
        if len(found) > 1:
            raise Conflict("salesforce.MULTIPLE_CHOICES", f"several accounts carry the key {key}")
        return Ref(None, found[0]["Id"]) if found else None

    async def mark_customer(
        self,
        external_id: str,
        key: str,
        customer: Customer | None = None,
        origin: Source | None = None,
    ) -> Ref:
        """Our key on the account the deal came with: an update, never an upsert by key.

        With it go the values of the system of `origin`, in the fields that metadata names.
        """
        write = Write(object="customer", key=key, kind="update", attributes=("key",))
        body = self._maps.key(key)
        if customer is not None and origin is not None:
            mirror = msgspec.structs.replace(
                write,
                attributes=self._maps.sent(customer),
                origin=origin,
                entity=customer.entity,
            )
            mine = self._http.owned(mirror)
            write = msgspec.structs.replace(mirror, attributes=("key", *mine))
            body |= self._maps.account(customer, mine)
        return await self._http.write(
            write, "PATCH", "/sobjects/Account/{}", external_id, body=body
        )

    async def mark_deal(self, external_id: str, mark: DealMark) -> Ref:
        """The project's key and status on its deal."""
        body = self._maps.mark(mark)
        return await self._http.write(
            marking(mark), "PATCH", "/sobjects/Opportunity/{}", external_id, body=body
        )

    async def upsert_customers(self, customers: list[Customer]) -> list[Outcome]:
        """Customers made or updated by our key: 200 a call, each with its own outcome."""
        key_field = self._maps.path("customer", "key")
        made = [self._account(each) for each in customers]
        told = {n: each for n, each in enumerate(made) if isinstance(each, ThroughlineError)}
        for part in chunks(sorted({*range(len(made))} - told.keys()), MOST_RECORDS):
            results = await self._http.write_many(
                [self._upserting(customers[n]) for n in part],
                "PATCH",
                "/composite/sobjects/Account/{}",
                key_field,
                bodies=[made[n] for n in part],
                pack=collection,
                outcomes=self._of_collection,
            )
            told |= dict(zip(part, results, strict=True))
        return [reported(told[n], each.external_id) for n, each in enumerate(customers)]

    def _account(self, customer: Customer) -> Record | ThroughlineError:
        """A customer as an account, or why there is none: this record's outcome."""
        if not customer.key:
            told = "a customer is written by our key: it has none"
            return Rejected("customer.key-missing", told)
        try:
            return self._maps.account(customer)
        except ThroughlineError as error:
            return error

    def _upserting(self, customer: Customer) -> Write:
        return Write(
            object="customer",
            key=customer.key or "",
            kind="upsert",
            attributes=self._maps.sent(customer),
            entity=customer.entity,
        )

    async def mark_deals(self, marks: list[DealMarking]) -> list[Outcome]:
        """Marks on many deals: 25 a call, each with its own outcome."""
        told: list[Ref | ThroughlineError] = []
        for part in chunks(marks, MOST_PARTS):
            told += await self._http.write_many(
                [marking(each.mark) for each in part],
                "POST",
                "/composite",
                bodies=[self._part(each) for each in part],
                pack=composite,
                outcomes=self._of_composite,
            )
        return [reported(one, each.external_id) for each, one in zip(marks, told, strict=True)]

    async def _one(self, word: str, query: str, external_id: str) -> Record:
        found, _ = await self._http.page("/query", params={"q": query})
        if not found:
            raise NotFound(f"{word}.not-found", f"Salesforce has no {word} {external_id}")
        return await self._whole(found[0])

    async def _exists(self, kind: str, external_id: str) -> bool:
        """Whether there is such a record by its id, which knows of it before a search does."""
        try:
            await self._http.get("/sobjects/{}/{}", kind, external_id, params={"fields": "Id"})
        except NotFound:  # no refusal here but the answer
            return False
        return True

    async def _whole(self, record: Record) -> Record:
        """The record with all its lines: a long list comes in pages of its own."""
        link = at(record, f"{LINES}.nextRecordsUrl")
        if not link:
            return record
        lines = list(record[LINES]["records"])
        while link:
            more, link = await self._http.page("/query/{}", locator(link) or "")
            lines += more
        return record | {LINES: {"done": True, "records": lines}}

    def _part(self, marking: DealMarking) -> Record:
        """A subrequest of a composite, less its reference: its path is made like any other."""
        path = self._http.path("/sobjects/Opportunity/{}", marking.external_id)
        return {"method": "PATCH", "url": path, "body": self._maps.mark(marking.mark)}

    def _of_collection(self, answer: Any) -> list[Ref | ThroughlineError]:
        return [
            Ref(None, each["id"]) if each["success"] else self._refused(each["errors"])
            for each in answer
        ]

    def _of_composite(self, answer: Any) -> list[Ref | ThroughlineError]:
        return [
            Ref(None, part["referenceId"].partition("_")[2] or None)
            if part["httpStatusCode"] in SUCCESS
            else self._refused(part["body"], part["httpStatusCode"])
            for part in answer["compositeResponse"]
        ]

    def _refused(self, errors: Any, status: int = 400) -> ThroughlineError:
        """One record's refusal; collections call the code otherwise than single calls do."""
        first = errors[0] if isinstance(errors, list) and errors else {}
        code = first.get("statusCode") or first.get("errorCode") or ""
        vendor = self._http.vendor
        return error_for(
            vendor.name,
            vendor.errors,
            code,
            first.get("message", ""),
            status=status,
            fields=first.get("fields"),
        )


def marking(mark: DealMark) -> Write:
    """The write of a mark, by the project's key."""
    marks = ("project_key", "project_status")
    return Write(object="deal", key=mark.project_key, kind="update", attributes=marks)


def locator(link: str | None) -> str | None:
    """What names the next page in the vendor's link to it: all that a caller may choose."""
    return link.rpartition("/")[2] if link else None


def collection(records: list[Any]) -> Record:
    """The body of a collection: every record names its type and stands alone."""
    typed = [{"attributes": {"type": "Account"}, **record} for record in records]
    return {"allOrNone": False, "records": typed}


def composite(parts: list[Any]) -> Record:
    """The body of a composite: every part has a name and stands alone."""
    ids = [part["url"].rpartition("/")[2] for part in parts]
    names = [f"part{n}_{id_ if id_.isalnum() else ''}" for n, id_ in enumerate(ids)]
    named = [{**part, "referenceId": name} for part, name in zip(parts, names, strict=True)]
    return {"allOrNone": False, "compositeRequest": named}


def chunks(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    """The items in lists of at most `size`."""
    left = iter(items)
    while part := list(islice(left, size)):
        yield part
