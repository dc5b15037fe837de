"""How a system is called (`Vendor`: a table), and the one thing that calls it (`VendorHttp`).

One call: window, breaker, budget, deadline, token, request, size cap, classification. Nothing here
retries but one re-authentication; waiting is for the step. Writes go through the ledger.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from apis.runtime.budget import Budget
from apis.runtime.clock import Clock
from apis.runtime.context import CURRENT, Call
from apis.runtime.metadata import Connection
from apis.runtime.sign_in import SignIn, Token, Tokens
from apis.runtime.store import Store
from apis.runtime.wire import Body, Unanswered, classified, decoded, received
from apis.runtime.writes import LEASE_MARGIN_S, Sending, Write, claim, let_go, resend, settle
from contracts.canonical.identity import Ref
from contracts.errors import Conflict, ThroughlineError, Throttled, Transient, Unavailable

LONGEST_WAIT_S = 2.0
JSON = {"Content-Type": "application/json", "Accept": "application/json"}


class Pages(msgspec.Struct, frozen=True):
    """Where a page keeps its records and the way to the next one."""

    items: str
    next: str


class Errors(msgspec.Struct, frozen=True):
    """A vendor's error table: where its code and text are, and which class each code is.

    `statuses` are for answers without a known code; an unlisted 4xx is Rejected, 401 and 403 are
    Misconfigured, 429 is Throttled, 5xx is Transient.
    """

    code: str
    detail: str
    classes: Mapping[str, type[ThroughlineError]]
    statuses: Mapping[int, type[ThroughlineError]] = {}


class Vendor(msgspec.Struct, frozen=True, kw_only=True):
    """What one vendor's API is like; all of it is data but signing in."""

    name: str
    base_url: str
    sign_in: SignIn
    errors: Errors
    pages: Pages
    expired: Callable[[int, str, str], bool]
    headers: Mapping[str, str] = {}
    token_age_s: float = 900
    written: str = "id"
    docs: str = ""


class VendorHttp:
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
    ) -> None:
        self.vendor = vendor
        self.name = name
        self.connection = connection
        self._store = store
        self._clock = clock
        self._http = http
        self._tokens = tokens
        self._budget = budget

    async def get(self, path: str, *ids: str, params: Mapping[str, Any] | None = None) -> Any:
        """The decoded answer of a read; numbers with a point are Decimal."""
        return (await self.send("GET", path, *ids, params=params)).value

    async def page(self, path: str, *, params: Mapping[str, Any] | None = None) -> tuple[list[Any], str | None]:
        """One page of records and the path of the next, or None."""
        answer = (await self.send("GET", path, params=params)).value
        return answer[self.vendor.pages.items], answer.get(self.vendor.pages.next)

    async def write(
        self, write: Write, method: str, path: str, *ids: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Ref:
        """Write once under the ledger; answers the record's reference."""
        call = CURRENT.get()
        if call.context.plan:
            return self._planned(call, write, body)
        sending = self._sending(call, write, body)
        if found := await self._earlier(sending):
            return found
        answer = await self._sent([sending], method, path, ids, body, headers)
        external_id = written_id(answer.value, self.vendor.written) or (ids[-1] if ids else None)
        await self._store.write(settle, sending, external_id, answer.status)
        return Ref(None, external_id)

    async def write_many(
        self,
        writes: Sequence[Write],
        method: str,
        path: str,
        *ids: str,
        bodies: Sequence[Any],
        pack: Callable[[list[Any]], Any],
        outcomes: Callable[[Any], list[Ref | ThroughlineError]],
    ) -> list[Ref | ThroughlineError]:
        """One call for many records, one ledger row each, and an outcome each."""
        call = CURRENT.get()
        if call.context.plan:
            return [self._planned(call, write, body) for write, body in zip(writes, bodies, strict=True)]
        sendings = [self._sending(call, write, body) for write, body in zip(writes, bodies, strict=True)]
        results: list[Ref | ThroughlineError | None] = [await self._earlier(each) for each in sendings]
        open_at = [at for at, result in enumerate(results) if result is None]
        if open_at:
            sent = [sendings[at] for at in open_at]
            answer = await self._sent(sent, method, path, ids, pack([each.body for each in sent]), None)
            for at, outcome in zip(open_at, outcomes(answer.value), strict=True):
                results[at] = outcome
                await self._settled(sendings[at], outcome, answer.status)
        return [result for result in results if result is not None]

    async def _settled(self, sending: Sending, outcome: Ref | ThroughlineError, status: int) -> None:
        if isinstance(outcome, Ref):
            await self._store.write(settle, sending, outcome.external_id, status)
        else:
            await self._store.write(let_go, sending, refused=True)

    def _planned(self, call: Call, write: Write, body: Any) -> Ref:
        operation = f"{write.kind} {write.object}"
        call.planned.append({"system": self.name, "operation": operation, "body": msgspec.to_builtins(body, enc_hook=str)})
        return Ref(None, f"$planned:{self.name}.{write.object}#{len(call.planned)}")

    def _sending(self, call: Call, write: Write, body: Any) -> Sending:
        call.writes += 1
        return Sending(
            connection=self.name,
            write=write,
            context=call.context,
            n=call.writes,
            body=body,
            at=self._clock.now(),
            lease_s=self.connection.deadline_s + LEASE_MARGIN_S,
        )

    async def _earlier(self, sending: Sending) -> Ref | None:
        """What an earlier sending of the same write became; None when it is to be sent now."""
        held = await self._store.write(claim, sending)
        if held.act == "done":
            return Ref(None, held.external_id)
        if held.act == "wait":
            raise Throttled(self._code("WRITE_IN_FLIGHT"), "the same write is under way", retry_after=held.wait_s)
        if held.act == "find" and held.sent_at is not None:
            return await self._found(sending, held.sent_at + timedelta(seconds=self.connection.search_lag_s))
        return None

    async def _found(self, sending: Sending, lag_ends: Any) -> Ref | None:
        """Adopt what a create without an answer has made; None when it surely made nothing."""
        decided = sending.context.decided or ""
        if decided.startswith("adopt:"):
            return await self._adopted(sending, decided.removeprefix("adopt:"))
        write = sending.write
        if write.find is None and decided != "retry":
            await self._store.write(let_go, sending, refused=False)
            raise Conflict(
                self._code("UNCERTAIN"),
                f"{write.object} {write.key} was sent and never confirmed, and {self.vendor.name} cannot be searched",
                owner="integration",
                remedy="look it up there: adopt it if it exists, retry if it does not",
            )
        found = await self._looked_up(sending)
        if found is not None:
            return await self._adopted(sending, found.external_id)
        left = (lag_ends - self._clock.now()).total_seconds()
        if left > 0 and decided != "retry":
            await self._store.write(let_go, sending, refused=False)
            raise Throttled(self._code("SEARCH_LAG"), "waiting until a search would show the record", retry_after=left)
        await self._store.write(resend, sending)
        return None

    async def _looked_up(self, sending: Sending) -> Ref | None:
        if sending.write.find is None:
            return None
        try:
            return await sending.write.find()
        except ThroughlineError:
            await self._store.write(let_go, sending, refused=False)
            raise

    async def _adopted(self, sending: Sending, external_id: str | None) -> Ref:
        await self._store.write(settle, sending, external_id, None)
        return Ref(None, external_id)

    async def _sent(
        self, sendings: Sequence[Sending], method: str, path: str, ids: Sequence[str], body: Any, headers: Any
    ) -> Body:
        """Send and, when that fails, leave rows that say whether the vendor may have acted."""
        try:
            return await self.send(method, path, *ids, body=body, headers=headers)
        except ThroughlineError as error:
            for each in sendings:
                await self._store.write(let_go, each, refused=not isinstance(error, Unanswered))
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
        """One call, with one re-authentication if the token has expired; raises the vendor's error."""
        deadline = self._deadline()
        self._budget.check(self._clock)
        content = None if body is None else msgspec.json.encode(body)
        async with self._budget.permit(self._clock, min(LONGEST_WAIT_S, deadline - time.time())):
            for again in (False, True):
                token = await self._tokens.get(stale=again)
                url = self._url(token, path, ids)
                all_headers = JSON | self.vendor.headers | (headers or {}) | token.headers
                answer = await self._once(method, url, f"{method} {path}", params, content, all_headers, deadline)
                error = classified(self.vendor, answer)
                if error is None:
                    self._budget.worked()
                    return answer
                if again or not self.vendor.expired(answer.status, error.code.partition(".")[2], error.detail):
                    self._budget.failed(error, self._clock)
                    raise error
        raise AssertionError  # the loop returns or raises

    async def _once(
        self, method: str, url: str, named: str, params: Any, content: bytes | None, headers: Any, deadline: float
    ) -> Body:
        call = CURRENT.get()
        began, at, status = time.perf_counter(), self._clock.now(), None
        try:
            async with asyncio.timeout(max(0.0, deadline - time.time())):
                async with self._http.stream(method, url, params=params, content=content, headers=headers) as answer:
                    status = answer.status_code
                    data = await received(answer, self.connection.max_answer_bytes)
            return decoded(self.vendor, status, answer.headers, data)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise self._failed(Unavailable(self._code("NOT_REACHED"), f"{self.vendor.name} cannot be reached")) from error
        except (httpx.HTTPError, TimeoutError) as error:
            raise self._failed(Unanswered(self._code("NO_ANSWER"), f"{self.vendor.name} did not answer in time")) from error
        except Unanswered as error:
            raise self._failed(error) from None
        finally:
            ms = round((time.perf_counter() - began) * 1000, 1)
            call.calls.append(
                {"system": self.name, "operation": named, "status": status, "ms": ms, "at": at.isoformat()}
            )

    def _failed(self, error: Transient) -> Transient:
        self._budget.failed(error, self._clock)
        return error

    def _deadline(self) -> float:
        own = time.time() + self.connection.deadline_s
        asked = CURRENT.get().context.deadline
        deadline = own if asked is None else min(own, asked)
        if deadline <= time.time():
            raise Transient(self._code("TOO_LATE"), "the time for this call was over before it was sent")
        return deadline

    def _url(self, token: Token, path: str, ids: Sequence[str]) -> str:
        if path.startswith("//"):  # a path the vendor gave: from the host's root
            return token.host + path[1:]
        base = self.vendor.base_url.format(instance_url=token.host, version=self.connection.api.version)
        return base + path.format(*(quote(each, safe="") for each in ids))

    def _code(self, reason: str) -> str:
        return f"{self.vendor.name}.{reason}"


def written_id(answer: Any, where: str) -> str | None:
    """The id in the answer to a write, if it has one."""
    found = answer.get(where) if isinstance(answer, dict) else None
    return str(found) if found else None


def jitter(longest: float) -> float:
    """Some seconds, so that not everybody comes back at once."""
    return random.uniform(0, longest)  # noqa: S311 - no secret
