"""A made-up vendor, for tests of what calls vendors: small error table, one token endpoint."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import msgspec
import sqlalchemy as sa
from pytest_httpx import HTTPXMock

from apis.runtime.budget import Budget
from apis.runtime.clients import outgoing
from apis.runtime.clock import Clock
from apis.runtime.context import CURRENT, Call, Context
from apis.runtime.limits import MemoryLimiter
from apis.runtime.metadata import Connection
from apis.runtime.migrations import lift
from apis.runtime.permits import MemoryPermits
from apis.runtime.sign_in import Account, SignIn, Token, TokenRequest, Tokens, fetcher
from apis.runtime.store import Store
from apis.runtime.vendor import Errors, Pages, Vendor, VendorHttp
from apis.runtime.writes import WRITES
from contracts.canonical.identity import Ref
from contracts.errors import (
    Conflict,
    Misconfigured,
    NotFound,
    Rejected,
    Throttled,
    Transient,
    Unavailable,
)

HOST = "https://acme.test"
TOKEN_URL = f"{HOST}/token"
THINGS = f"{HOST}/api/v1/things"


def read_token(answer: Any) -> Token:
    return Token(answer.get("host", HOST), {"Authorization": f"Bearer {answer['access_token']}"})


ACME = Vendor(
    name="acme",
    base_url="{instance_url}/api/{version}",
    sign_in=SignIn(
        lambda account, _now: TokenRequest(account.login_url, dict(account.credentials)),
        read_token,
        Errors(
            code="error",
            detail="error_description",
            classes={"busy": Unavailable},
            refused=Misconfigured,
        ),
    ),
    errors=Errors(
        code="code",
        detail="message",
        fields="fields",
        classes={
            "LOCKED": Transient,
            "SLOW_DOWN": Throttled,
            "CLOSED": Unavailable,
            "TAKEN": Conflict,
            "GONE": NotFound,
            "TRIGGER": Rejected,
            "EXPIRED": Misconfigured,
        },
        statuses={300: ("MANY", Conflict)},
        wraps=frozenset({"TRIGGER"}),
    ),
    pages=Pages(items="items", next="links.next"),
    expired=lambda status, code, _text: status == 401 and code == "EXPIRED",
    token_age_s=900,
)


def connection(**more: Any) -> Connection:
    given = {
        "vendor": "acme",
        "url": HOST,
        "auth": {"kind": "client_credentials", "credentials": "env:ACME"},
        "api": {"version": "v1"},
        **more,
    }

    return msgspec.convert(given, Connection)


class Acme:
    """The vendor as the product sees it, and a clock to move."""

    def __init__(self, store: Store, http: httpx.AsyncClient, clock: Clock, **more: Any) -> None:
        self.connection = connection(**more)
        self.clock = clock
        permits = MemoryPermits(self.connection.budgets.concurrency)
        self.budget = Budget("acme", self.connection, MemoryLimiter(), permits)
        url = self.connection.url
        account = Account(url, f"{url}/token", "client_credentials", None, {"secret": "s3cret"})
        fetch = fetcher(
            "acme",
            "acme",
            ACME.sign_in,
            lambda: account,
            http=http,
            clock=self.clock,
            deadline_s=self.connection.deadline_s,
        )
        self.tokens = Tokens(fetch, self.clock, age_s=ACME.token_age_s)
        self.http = VendorHttp(
            ACME,
            "acme",
            self.connection,
            store=store,
            clock=self.clock,
            http=http,
            tokens=self.tokens,
            budget=self.budget,
        )


@asynccontextmanager
async def acme(store: Store, clock: Clock | None = None, **more: Any) -> AsyncIterator[Acme]:
    async with outgoing() as http:
        yield Acme(store, http, clock or Clock(), **more)


@contextmanager
def made(url: str) -> Iterator[Store]:
    store = Store(url)
    lift(store)
    yield store
    store.close()


def asks(**more: Any) -> Call:
    """Work under a context, as a step begins it."""
    given = {"request_key": "run-1/step", "cause": "run-1/step", "request_id": "run-1", **more}
    call = Call(Context(actor="svc:process for demo", client="demo", **given))
    CURRENT.set(call)
    return call


def hands_out_tokens(mock: HTTPXMock) -> None:
    """A new token for whoever asks: token-1, token-2 and so on."""
    given = iter(range(1, 1000))

    def grant(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"access_token": f"token-{next(given)}"})

    mock.add_callback(grant, url=TOKEN_URL, is_reusable=True, is_optional=True)


class Shelf:
    """The vendor's records: what was sent to it, and what a search shows."""

    def __init__(self, mock: HTTPXMock) -> None:
        self.records: list[str] = []
        self.posts = 0
        self.searches = 0
        self.hidden = False
        self.faults: list[str] = []
        hands_out_tokens(mock)
        again = {"is_reusable": True, "is_optional": True}
        mock.add_callback(self._post, method="POST", url=THINGS, **again)

    async def _post(self, request: httpx.Request) -> httpx.Response:
        self.posts += 1
        fault = self.faults.pop(0) if self.faults else None
        if fault == "lost-before":
            raise httpx.ReadTimeout("nothing came", request=request)
        if fault is not None and fault not in {"lost-after", "html"}:
            return httpx.Response(400, json={"code": fault, "message": "no"})
        self.records.append(json.loads(request.content)["key"])
        if fault == "lost-after":
            raise httpx.ReadTimeout("nothing came back", request=request)
        if fault == "html":
            return httpx.Response(502, html="<h1>Bad Gateway</h1>")
        return httpx.Response(201, json={"id": f"thing-{len(self.records)}"})

    async def find(self, key: str) -> Ref | None:
        self.searches += 1
        if self.hidden or key not in self.records:
            return None
        return Ref(None, f"thing-{self.records.index(key) + 1}")


async def rows(store: Store) -> list[Any]:
    ask = sa.select(WRITES).order_by(WRITES.c.key, WRITES.c.operation)
    return list(await store.read(lambda connection: connection.execute(ask).all()))
