"""Two customers of one firm, each with its deals at work, and what a client may ask of it all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_plus, urlencode

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from apis.gateway.policy import load_gateway
from apis.runtime import runs
from apis.runtime.clients import Answer, Local, client
from apis.runtime.clock import Clock
from apis.runtime.context import Context, Rows
from apis.runtime.deployment import loaded
from apis.runtime.engine import Engine
from apis.runtime.flow import Runtime
from apis.runtime.metadata import Metadata
from apis.runtime.migrations import lift
from apis.runtime.records import Records
from apis.runtime.store import Store
from apis.runtime.whose import belongs
from apis.runtime.work_items import get_item, open_item
from contracts.canonical.contract import Contract, ContractVersion
from contracts.canonical.deal import Deal
from contracts.canonical.identity import Ref, Source
from contracts.canonical.money import Money
from contracts.canonical.party import Customer
from contracts.canonical.project import Budget, Project
from contracts.errors import FieldError
from contracts.events import (
    ContractActivated,
    CustomerValidated,
    DealWon,
    Event,
    ProjectActivated,
    RunEnded,
    RunStarted,
    VendorCalled,
    WorkItemOpened,
    event_of,
)
from contracts.runs import Comment, RunStep, VendorCall, WorkItem, WorkRecord
from experience_apis.projections import PROJECTIONS

PUBLISHED = Path("contracts/published/openapi")
BEGAN = datetime(2026, 3, 2, 9, tzinfo=UTC)
DEALS = 52
"""More than a page of runs and projects."""
OWNER = "finance-master-data"
ROLES = (OWNER, "integration", "finance", "delivery-director")
ALL = Context(actor="demo", client="demo", roles=ROLES)
OWN_WORDS = {"text": "mine", "comment": "mine", "assignee": "kim@alfa.example"}
"""What a client writes on its own items, and so reads again."""
SHARED = "PO-2026-1"
"""What both customers call something of theirs."""


class Party(NamedTuple):
    """A customer; whatever is its own bears its name."""

    name: str

    def of(self, kind: str, n: int = 0, *, size: int = 26) -> str:
        """Something of the customer: an id as long as ours, or a shorter word."""
        return f"{self.name}-{kind}-{n}".ljust(size, "x")

    @property
    def entity(self) -> str:
        """The legal entity that it buys from."""
        return f"{self.name}-entity"

    @property
    def rows(self) -> dict[str, Rows]:
        """The two ways in which a client may be restricted to it."""
        return {
            "customer": Rows(customers=(self.of("customer"),)),
            "entity": Rows(entities=(self.entity,)),
        }

    def source(self, n: int) -> Source:
        """A deal in the CRM."""
        return Source("salesforce", self.of("deal", n, size=18))

    def run_id(self, n: int) -> str:
        """The run of a deal."""
        return f"deal_to_project:salesforce:{self.source(n).external_id}:1"

    def ids(self, n: int) -> list[str]:
        """Every id by which something of a deal may be asked for."""
        kinds = ("deal-id", "customer", "contract", "project", "key", "number", "work")
        return [self.run_id(n), self.source(n).external_id, *(self.of(kind, n) for kind in kinds)]


OURS, THEIRS = Party("alfa"), Party("bravo")


def keep(connection: Connection, party: Party) -> None:
    """What the process tier keeps of a customer's deals: runs that are done, and their items."""
    for n in range(DEALS):
        source, run_id, at = party.source(n), party.run_id(n), BEGAN + timedelta(minutes=n)
        belongs(connection, source, party.entity, party.of("customer"))
        context = Context(actor=f"{party.name}@seller.example", client="svc:process")
        asked = runs.Start(
            flow="deal_to_project",
            registered="deal_to_project.v1",
            source=source,
            turn=1,
            argument=None,
            context=context,
            at=at,
        )
        runs.queued(connection, run_id, asked)
        ended = runs.End(
            run_id=run_id,
            state="done",
            result=msgspec.to_builtins(contract(party, n)),
            kept=[party.of("kept", n)],
            steps={1: step(party, n)},
            at=at,
        )
        runs.end(connection, ended)
        open_item(connection, item(party, n))


def step(party: Party, n: int) -> RunStep:
    """A step of a run, with the call that it made."""
    call = VendorCall(system="netsuite", operation=party.of("call", n), status=200, at=BEGAN)
    return RunStep(name=f"{party.name}_step", state="done", calls=(call,))


def item(party: Party, n: int) -> WorkItem:
    """A work item with evidence and a comment."""
    return WorkItem(
        id=party.of("work", n),
        code="customer.tax-code-missing",
        title=party.of("title", n),
        detail=party.of("detail", n),
        owner=OWNER,
        amount=Money(Decimal(1000 + n), "EUR"),
        record=WorkRecord(system="salesforce", object="deal", external_id=party.of("deal", n)),
        run_id=party.run_id(n),
        step="accepted_deal",
        entity=party.entity,
        since=BEGAN + timedelta(minutes=n),
        errors=(FieldError(pointer="/tax_code", code="missing", message=party.of("why", n)),),
        comments=(Comment(actor=party.name, at=BEGAN, text=party.of("comment", n)),),
    )


def contract(party: Party, n: int) -> Contract:
    """What was agreed."""
    return Contract(
        id=party.of("contract", n),
        deal=party.source(n),
        customer=Ref(party.of("customer"), party.of("account")),
        entity=party.entity,
        purchase_order=SHARED,
        billing_model="fixed_price",
        currency="EUR",
        versions=(ContractVersion(number=1, value=Money(Decimal(5), "EUR"), from_on=BEGAN.date()),),
    )


def happened(party: Party) -> Iterator[Event]:
    """What the process and system tiers announce of it all."""
    account = Ref(party.of("customer"), party.of("account"))
    for n in range(DEALS):
        source, run_id = party.source(n), party.run_id(n)
        deal = Deal(
            state="won",
            id=party.of("deal-id", n),
            external_id=source.external_id,
            name=party.of("name", n),
            entity=party.entity,
            customer=account,
        )
        project = Project(
            id=party.of("project", n),
            key=party.of("key", n),
            number=party.of("number", n),
            name=party.of("name", n),
            entity=party.entity,
            customer=account,
            manager=party.of("manager", n),
            purchase_order=SHARED,
            budget=Budget(total=Money(Decimal(7), "EUR")),
            state="active",
        )
        customer = Customer(id=account.id, external_id=account.external_id, name=party.name)
        call = VendorCalled(
            system="netsuite",
            operation="create",
            object="project",
            external_id=party.of("job", n),
            cause=f"{run_id}/project_for",
        )
        records = (Source("netsuite", party.of("job", n)), Source("kantata", SHARED))
        told: list[tuple[str, msgspec.Struct]] = [
            ("deal.won", DealWon(connection="salesforce", deal=deal)),
            ("run.started", RunStarted(run_id=run_id, flow="deal_to_project", source=source)),
            ("customer.validated", CustomerValidated(customer=customer, source=source)),
            ("contract.activated", ContractActivated(contract=contract(party, n), run_id=run_id)),
            ("vendor.called", call),
            ("work-item.opened", WorkItemOpened(item=item(party, n))),
            (
                "project.activated",
                ProjectActivated(project=project, run_id=run_id, records=records),
            ),
            (
                "run.ended",
                RunEnded(
                    run_id=run_id,
                    flow="deal_to_project",
                    source=source,
                    state="done",
                    kept=(party.of("kept", n),),
                    steps={"1": step(party, n)},
                ),
            ),
        ]
        for name, payload in told:
            at = BEGAN + timedelta(minutes=n)
            id_ = f"{party.name}-{n}-{name}"
            yield event_of(name, payload, id=id_, source="/test", time=at)


def follow(connection: Connection, events: list[Event]) -> None:
    """Every read model takes in what it follows."""
    for projection in PROJECTIONS:
        mine = [event for event in events if event.type in projection.types]
        projection.apply(connection, mine)


class Asked(NamedTuple):
    """One request."""

    target: str
    method: str
    path: str
    query: str = ""
    body: bytes = b""

    @property
    def said(self) -> str:
        """All that a caller has said, which an answer may say back."""
        return unquote_plus(f"{self.path} {self.query} {self.body.decode()}")


class Firm:
    """The process and experience tiers over one database, asked as whoever it may be."""

    def __init__(self, store_url: str) -> None:
        self.store = Store(store_url)
        lift(self.store)
        self.engine = Engine(store_url)
        self.runtime = Runtime(
            store=self.store,
            engine=self.engine,
            clock=Clock(),
            metadata=Metadata.load(Path("apis/entities.yaml")),
            records=Records(),
            connect=lambda port, api: client(port, Local(self.apps[api])),
        )
        apis = load_gateway(Path("gateway.yaml").read_text()).apis
        self.apps = {
            name: loaded(api.app)(self.runtime) for name, api in apis.items() if api.app is not None
        }
        for party in (OURS, THEIRS):
            self.store.write_now(keep, party)
            self.store.write_now(follow, list(happened(party)))

    def counts(self) -> list[str]:
        """From now on, every statement that the database runs."""
        run: list[str] = []

        def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
            run.append(statement)

        sa.event.listen(self.store.engine, "before_cursor_execute", note)
        return run

    async def close(self) -> None:
        """Let go of the database."""
        await self.engine.close()
        self.store.close()

    async def ask(self, asked: Asked, by: Context) -> Answer:
        """What an app answers the gateway's call."""
        app = Local(self.apps[asked.target])
        return await app(asked.method, asked.path, asked.query, asked.body, by)

    async def tell(self, target: str, path: str, by: Context, **query: str) -> Any:
        """What a GET that is answered tells."""
        asked = Asked(target, "GET", path, urlencode(query))
        status, _, body = await self.ask(asked, by)
        assert status == 200, body
        return json.loads(body)

    def items(self, party: Party) -> list[WorkItem]:
        """All work items of a customer as they are now."""
        return [self.store.read_now(get_item, party.of("work", n)) for n in range(DEALS)]


Operation = tuple[str, str, str, dict[str, Any], dict[str, Any]]


@cache
def operations() -> tuple[Operation, ...]:
    """Every operation that is published for a client: api, method, path, itself, its schemas."""
    return tuple(published())


def published() -> Iterator[Operation]:
    """The same, read from the documents of both tiers."""
    for place in sorted(PUBLISHED.glob("*/*/v*.json")):
        tier, api = place.parts[-3:-1]
        newer = place.with_stem(f"v{int(place.stem[1:]) + 1}")
        if tier in ("process", "experience") and not newer.exists():
            document = json.loads(place.read_bytes())
            for template, methods in document["paths"].items():
                path = template.removeprefix(f"/{tier}/{api}/{place.stem}")
                for method, operation in methods.items():
                    schemas = document["components"]["schemas"]
                    yield f"{tier}/{api}", method.upper(), path, operation, schemas


class Hostile:
    """Requests that try for what is another's: any id anywhere, odd filters, foreign cursors."""

    def __init__(self, seed: int, words: list[str]) -> None:
        self._random = Random(seed)  # noqa: S311 - a test's dice
        self._words = words

    def word(self) -> str:
        """Something that might open a door."""
        return self._random.choice(self._words)

    def request(self) -> Asked:
        """One request to any operation."""
        target, method, path, operation, schemas = self._random.choice(operations())
        query = {}
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path":
                path = path.replace(f"{{{parameter['name']}}}", quote(self.word(), safe=""))
            elif parameter["in"] == "query" and self._random.random() < 0.5:
                query[parameter["name"]] = str(self.value(parameter["schema"], schemas))
        told = operation.get("requestBody", {}).get("content", {}).get("application/json")
        body = json.dumps(self.value(told["schema"], schemas)).encode() if told else b""
        return Asked(target, method, path, urlencode(query), body)

    def value(self, schema: dict[str, Any], schemas: dict[str, Any]) -> Any:
        """A value that a schema takes, more or less."""
        if reference := schema.get("$ref"):
            return self.value(schemas[reference.rpartition("/")[2]], schemas)
        for several in ("anyOf", "oneOf", "allOf"):
            if schema.get(several):
                return self.value(self._random.choice(schema[several]), schemas)
        if choices := schema.get("enum"):
            return self._random.choice(choices)
        if schema.get("type") == "object":
            members = schema.get("properties", {})
            told = {name: self.value(each, schemas) for name, each in members.items()}
            return told | {name: OWN_WORDS[name] for name in OWN_WORDS.keys() & members.keys()}
        if schema.get("type") == "boolean":
            return self._random.choice([True, False])
        return None if schema.get("type") == "null" else self.word()
