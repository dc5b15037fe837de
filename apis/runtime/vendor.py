"""How a system is called (`Vendor`: a table), and the one thing that calls it (`VendorHttp`).

One call: window, breaker, deadline, budget, token, request, size cap, classification. Nothing here
retries but one re-authentication; waiting is for the step. Writes go through the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from apis.runtime.budget import Budget
from apis.runtime.caller import Caller, Outcome
from apis.runtime.clock import Clock
from apis.runtime.context import CURRENT
from apis.runtime.metadata import Connection
from apis.runtime.owners import Owners
from apis.runtime.sign_in import SignIn, Token, Tokens
from apis.runtime.store import Store
from apis.runtime.wire import (
    Body,
    Errors,
    Unanswered,
    at,
    classified,
    decoded,
    located,
    noted,
    of_transport,
    received,
    unsent,
)
from apis.runtime.writes import Sending, Write, settle_all
from contracts.canonical.identity import Ref
from contracts.errors import (
    Misconfigured,
    NotFound,
    ThroughlineError,
    Transient,
    Unavailable,
)
from contracts.ports import About

__all__ = ["Errors", "Pages", "Vendor", "VendorHttp"]
LONGEST_WAIT_S = 2.0
DOUBT_S = 600.0
ENDED_S = 60.0
JSON = {"Content-Type": "application/json", "Accept": "application/json"}

ENCODE = msgspec.json.Encoder(decimal_format="number").encode
"""Amounts go out as exact JSON numbers, as vendors expect them."""


class Pages(msgspec.Struct, frozen=True):
    """Where a page keeps its records and the vendor's link to the next one."""

    items: str
    next: str


class Vendor(msgspec.Struct, frozen=True, kw_only=True):
    """What one vendor's API is like; all of it is data but signing in.

    `written` is where an answer to a write has the record's id; without one, its Location has it.
    `doubted` are refusals of who we are that an overloaded vendor gives as well: from one that
    knew us a moment ago they open the breaker, and single calls try again.
    """

    name: str
    base_url: str
    sign_in: SignIn
    errors: Errors
    pages: Pages
    expired: Callable[[int, str, str], bool]
    headers: Mapping[str, str] = {}
    token_age_s: float = 900
    written: str = "id"
    doubted: frozenset[str] = frozenset()
    docs: str = ""


class VendorHttp(Caller):
    """Calls one connection. `{}` in a path is filled with an encoded id, never by formatting."""

    def __init__(
        self,
        vendor: Vendor,
        name: str,
        connection: Connection,
        *,
        store: Store,
        clock: Clock,
        http: httpx.AsyncClient,
        tokens: Tokens,
        budget: Budget,
        owners: Owners | None = None,
    ) -> None:
        super().__init__(vendor.name, name, connection, store=store, clock=clock, owners=owners)
        self.vendor = vendor
        self._http = http
        self._tokens = tokens
        self.budget = budget
        self._worked_at = float("-inf")

    def about(self) -> About:
        """Which vendor is behind the connection, and until when its pinned version lives."""
        api = self.connection.api
        return About(
            vendor=self.vendor.name,
            version=api.version,
            retires_on=api.retires_on,
            base_url=self.base_url,
            connection=self.name,
            docs=self.vendor.docs,
        )

    async def get(self, path: str, *ids: str, params: Mapping[str, Any] | None = None) -> Any:
        """The decoded answer of a read; numbers with a point are Decimal."""
        return (await self.send("GET", path, *ids, params=params)).value

    async def page(
        self, path: str, *ids: str, params: Mapping[str, Any] | None = None
    ) -> tuple[list[Any], str | None]:
        """One page of records and the vendor's link to the next, or None."""
        answer = await self.get(path, *ids, params=params)
        items, link = (
            at(answer, where) for where in (self.vendor.pages.items, self.vendor.pages.next)
        )
        if not isinstance(items, list):
            told = f"{self.vendor.name} answered without {self.vendor.pages.items}"
            raise Misconfigured(self._code("UNEXPECTED"), told, owner="integration")
        return items, link or None

    async def write(
        self,
        write: Write,
        method: str,
        path: str,
        *ids: str,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Ref:
        """Write once under the ledger; answers the record's reference."""
        call = CURRENT.get()
        now = self._clock.now()
        asked = asked_for(method, path, ids, body, params=params, headers=headers, at=now)
        sending = self._sending(call, write, body, now, asked.operation)
        there = ids[-1] if ids and ids[-1] != write.key else None  # our key is not the vendor's id
        if found := await self._earlier(sending, there):
            return found
        try:
            answer = await self._sent([sending], asked)
        except NotFound:  # what is gone need not be deleted, unless a look-up still shows it
            if write.kind != "delete" or (write.find and await write.find()):
                raise
            return await self._settled(sending, Ref(None, ids[-1]), httpx.codes.NOT_FOUND)
        external_id = at(answer.value, self.vendor.written) or located(answer) or there
        if not external_id and write.kind in {"create", "upsert"}:
            return await self._settled(sending, await self._seen(sending), answer.status)
        ref = Ref(None, external_id and str(external_id))
        return await self._settled(sending, ref, answer.status)

    async def _seen(self, sending: Sending) -> Ref:
        """The record a vendor wrote without naming it; unseen as yet, it is looked up later."""
        try:
            found = await sending.write.find() if sending.write.find else None
        except ThroughlineError:
            await self._let_go([sending], refused=False)
            raise
        if found is None:
            await self._let_go([sending], refused=False)
            told = f"{self.vendor.name} did not name what it wrote"
            raise Unanswered(self._code("UNNAMED"), told, source=self.name)
        return found

    async def write_many(
        self,
        writes: Sequence[Write],
        method: str,
        path: str,
        *ids: str,
        bodies: Sequence[Any],
        pack: Callable[[list[Any]], Any],
        outcomes: Callable[[Any], list[Outcome]],
        params: Mapping[str, Any] | None = None,
    ) -> list[Outcome]:
        """One call for many records, one ledger row each, and an outcome each, in their order."""
        call = CURRENT.get()
        pairs = list(zip(writes, bodies, strict=True))
        now, named = self._clock.now(), f"{method} {path}"
        sendings = [self._sending(call, write, body, now, named) for write, body in pairs]
        results = await self._earlier_of(sendings)
        sent = [each for each, result in zip(sendings, results, strict=True) if result is None]
        if not sent:
            return [result for result in results if result is not None]
        body = pack([each.body for each in sent])
        answer = await self._sent(sent, asked_for(method, path, ids, body, params=params, at=now))
        try:
            told = outcomes(answer.value)
        except (LookupError, TypeError):  # an answer of another shape: nobody knows
            told = []
        if len(told) != len(sent):
            await self._let_go(sent, refused=False)
            text = f"{self.vendor.name} answered {len(told)} of {len(sent)} records"
            raise Unanswered(self._code("UNEXPECTED"), text, source=self.name)
        for outcome in told:
            if isinstance(outcome, ThroughlineError):
                outcome.source = self.name
        await self._store.write(settle_all, list(zip(sent, told, strict=True)), answer.status)
        for each, outcome in zip(sent, told, strict=True):
            if isinstance(outcome, Ref):
                self._wrote(each, outcome.external_id)
        left = iter(told)
        return [next(left) if result is None else result for result in results]

    async def _sent(self, sendings: Sequence[Sending], asked: Asked) -> Body:
        """Send and, when that fails, leave rows that say whether the vendor may have acted."""
        try:
            return await self._send(asked)
        except ThroughlineError as error:
            await self._let_go(sendings, refused=not isinstance(error, Unanswered))
            raise

    async def send(
        self,
        method: str,
        path: str,
        *ids: str,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Body:
        """One call, with one re-authentication if the token expired; raises the vendor's error."""
        return await self._send(asked_for(method, path, ids, body, params=params, headers=headers))

    async def _send(self, asked: Asked) -> Body:
        deadline = self._deadline()
        self._left(deadline)
        self.budget.check(self._clock)
        async with self.budget.permit(self._clock, min(LONGEST_WAIT_S, self._left(deadline))):
            try:
                answer = await self._answered(asked, deadline)
            except ThroughlineError as error:
                error.source = self.name
                self.budget.failed(error, self._clock)
                raise
            self.budget.worked()
            self._worked_at = self._clock.timestamp()
            return answer

    async def _answered(self, asked: Asked, deadline: float) -> Body:
        token = await self._token(None, deadline)
        answer = await self._once(asked, token, deadline)
        error = classified(self.vendor.name, self.vendor.errors, answer)
        if error is not None and self._expired(answer, error):
            token = await self._token(token, deadline)
            answer = await self._once(asked, token, deadline)
            error = classified(self.vendor.name, self.vendor.errors, answer)
            if error is not None and self._expired(answer, error):
                error = self._ended(error)
        if error is not None:
            raise self._judged(error)
        return answer

    def _ended(self, error: ThroughlineError) -> ThroughlineError:
        """A new token refused as well: where calls worked a moment ago, somebody ended it."""
        if not 0 <= self._clock.timestamp() - self._worked_at < ENDED_S:
            return error
        told = f"{error.detail} (twice, a new token too, though calls worked a moment ago)"
        return Transient(error.code, told, source=error.source)

    def _judged(self, error: ThroughlineError) -> ThroughlineError:
        """The error, or the overload that a doubtful one is taken for while we know better."""
        since = self._clock.timestamp() - self._worked_at
        if error.code.partition(".")[2] not in self.vendor.doubted or not 0 <= since < DOUBT_S:
            return error
        told = f"{error.detail} (it knew us {since:.0f} s ago: it may be overloaded)"
        return Unavailable(error.code, told, source=error.source)

    def _expired(self, answer: Body, error: ThroughlineError) -> bool:
        code = error.code.partition(".")[2]
        return self.vendor.expired(answer.status, code, error.detail)

    async def _token(self, refused: Token | None, deadline: float) -> Token:
        try:
            async with asyncio.timeout(self._left(deadline)):
                return await self._tokens.get(refused=refused)
        except TimeoutError as error:
            told = f"signing in at {self.vendor.name} took too long"
            raise Transient(self._code("NO_TOKEN"), told, source=self.name) from error
        except Unanswered as error:  # of the sign-in: what was to be done has not been sent
            raise Transient(error.code, error.detail, source=self.name) from error

    async def _once(self, asked: Asked, token: Token, deadline: float) -> Body:
        name, most = self.vendor.name, self.connection.max_answer_bytes
        seconds, url = self._left(deadline), self._url(token.host, asked.path, asked.ids)
        if asked.params:
            url = str(httpx.URL(url, params=asked.params))
        mine = token.headers_of(asked.method, url, self._clock.timestamp())
        try:
            with noted(self.name, asked.operation, asked.at or self._clock.now()) as call:
                async with (
                    asyncio.timeout(seconds),
                    self._http.stream(
                        asked.method,
                        url,
                        content=asked.content,
                        headers={**JSON, **self.vendor.headers, **asked.headers, **mine},
                    ) as answer,
                ):
                    call.status = answer.status_code
                    data = await received(answer, most)
        except Exception as error:  # transports fail in their own ways; all else goes on as it is
            if unsent(error):
                told = f"{name} cannot be reached"
                raise Unavailable(self._code("NOT_REACHED"), told, source=name) from error
            if of_transport(error):
                told = f"{name} did not answer in time"
                raise Unanswered(self._code("NO_ANSWER"), told, source=name) from error
            raise
        return decoded(name, answer.status_code, answer.headers, data)

    @property
    def base_url(self) -> str:
        """Where paths begin, as people may see it: without a user, a password or a query."""
        url = urlsplit(self.connection.url)
        host = f"{url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"
        return self._url(host.rstrip("/"), "", ())

    def path(self, path: str, *ids: str) -> str:
        """A path from the host's root, for calls that are sent inside another."""
        return self._url("", path, ids)

    def _url(self, host: str, path: str, ids: Sequence[str]) -> str:
        version = self.connection.api.version
        base = self.vendor.base_url.format(instance_url=host, version=version)
        return base + path.format(*(quote(each, safe="") for each in ids))


class Asked(msgspec.Struct, frozen=True):
    """One call as the adapter asked for it; a write is listed by the moment its ledger row has."""

    method: str
    path: str
    ids: Sequence[str]
    params: Mapping[str, Any]
    content: bytes | None
    headers: Mapping[str, str]
    at: datetime | None = None

    @property
    def operation(self) -> str:
        """Its name on the list of calls: without ids, which may be personal data."""
        return f"{self.method} {self.path}"


def asked_for(
    method: str,
    path: str,
    ids: Sequence[str],
    body: Any,
    *,
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    at: datetime | None = None,
) -> Asked:
    """The call, its body encoded once: amounts stay exact."""
    content = None if body is None else ENCODE(body)
    return Asked(method, path, ids, params or {}, content, headers or {}, at)
