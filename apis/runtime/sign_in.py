"""Signing in at a vendor: one refresh at a time, whoever asks, and never a stampede."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec
from joserfc.errors import JoseError

from apis.runtime.clock import Clock
from apis.runtime.wire import (
    Body,
    Errors,
    Unanswered,
    classified,
    decoded,
    noted,
    of_transport,
    received,
    unsent,
)
from contracts.errors import Misconfigured, Transient, Unavailable

LARGEST_TOKEN = 100_000
OAUTH = Errors(
    code="error",
    detail="error_description",
    refused=Misconfigured,
    classes={"server_error": Transient, "temporarily_unavailable": Unavailable},
    statuses={503: ("UNAVAILABLE", Unavailable)},
)
"""The error table of a token endpoint that keeps to RFC 6749."""


Sign = Callable[[str, str, float], Mapping[str, str]]
"""The headers of one request, from its method, its whole URL and the time."""


class Token(msgspec.Struct, frozen=True):
    """A token as it is used: the host to call and the headers to send. Never printed.

    Without a host it is good for the connection's own; `sign` is for those that sign each request.
    """

    host: str
    headers: Mapping[str, str] = {}
    sign: Sign | None = None

    def __repr__(self) -> str:
        return f"Token({self.host})"

    def headers_of(self, method: str, url: str, now: float) -> Mapping[str, str]:
        """What says who asks, for one request."""
        return {**self.headers, **(self.sign(method, url, now) if self.sign else {})}


def bearer(answer: Any) -> Token:
    """The token of a plain answer, good for the connection's own host."""
    return Token("", {"Authorization": f"Bearer {answer['access_token']}"})


class TokenRequest(msgspec.Struct, frozen=True):
    """The form that asks a vendor for a token. Never printed."""

    url: str
    form: Mapping[str, str]
    headers: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"TokenRequest({self.url})"


class Account(msgspec.Struct, frozen=True):
    """What signing in needs of a connection; the credentials are read anew each time."""

    url: str
    login_url: str
    kind: str
    audience: str | None
    credentials: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Account({self.login_url}, {self.kind})"


class SignIn(msgspec.Struct, frozen=True):
    """How a vendor hands out tokens: the request, how to read its answer, and its error table.

    `request` is told the account and the time; where nothing has to be asked for, it is the token.
    `read` may fail on a strange answer as it likes.
    """

    request: Callable[[Account, float], TokenRequest | Token]
    read: Callable[[Any], Token]
    errors: Errors


Fetch = Callable[[], Awaitable[Token]]


def fetcher(
    system: str,
    connection: str,
    sign_in: SignIn,
    account: Callable[[], Account],
    *,
    http: httpx.AsyncClient,
    clock: Clock,
    deadline_s: float,
) -> Fetch:
    """What asks the vendor (`system`) for a token, with credentials as they are at that moment."""

    async def fetch() -> Token:
        known, asked = asked_of(system, sign_in, account, clock)
        if isinstance(asked, Token):
            return hosted(asked, known)
        with _unanswered(system, connection), noted(connection, "sign in", clock.now()) as call:
            async with asyncio.timeout(deadline_s), _posted(http, asked) as answer:
                call.status = answer.status_code
                data = await received(answer, LARGEST_TOKEN)
        body = decoded(system, answer.status_code, answer.headers, data)
        if refused := classified(system, sign_in.errors, body):
            raise refused
        return hosted(_read(system, sign_in, body), known)

    return fetch


def asked_of(
    system: str, sign_in: SignIn, account: Callable[[], Account], clock: Clock
) -> tuple[Account, TokenRequest | Token]:
    """The account, and what it asks the vendor; Misconfigured where its credentials are none."""
    try:
        known = account()
        return known, sign_in.request(known, clock.timestamp())
    except (LookupError, ValueError, TypeError, AttributeError, JoseError) as error:
        told = f"the credentials of {system} lack a part or cannot be read"
        raise Misconfigured(f"{system}.CREDENTIALS", told, owner="integration") from error


@contextmanager
def _unanswered(system: str, connection: str) -> Iterator[None]:
    """Say which of our errors it is that no answer came; all other errors go on as they are."""
    try:
        yield
    except Exception as error:  # transports fail in their own ways
        if unsent(error):
            told = f"the sign-in of {system} cannot be reached"
            raise Unavailable(f"{system}.NOT_REACHED", told, source=connection) from error
        if of_transport(error) or isinstance(error, Unanswered):
            told = f"the sign-in of {system} did not answer in time"
            raise Transient(f"{system}.NO_TOKEN", told, source=connection) from error
        raise


def _read(system: str, sign_in: SignIn, body: Body) -> Token:
    try:
        return sign_in.read(body.value)
    except (LookupError, TypeError, AttributeError) as error:
        told = f"{system} answered a sign-in without a token"
        raise Misconfigured(f"{system}.NO_TOKEN", told, source=system) from error


def hosted(token: Token, account: Account) -> Token:
    """The token with the host it is for."""
    return token if token.host else msgspec.structs.replace(token, host=account.url)


def _posted(http: httpx.AsyncClient, asked: TokenRequest) -> Any:
    headers = {"Accept": "application/json"} | dict(asked.headers)
    return http.stream("POST", asked.url, data=dict(asked.form), headers=headers)


class Tokens:
    """The token of one connection in this process."""

    def __init__(self, fetch: Fetch, clock: Clock, *, age_s: float) -> None:
        self._fetch = fetch
        self._clock = clock
        self._age_s = age_s
        self._token: Token | None = None
        self._since = 0.0
        self._fetching: asyncio.Task[Token] | None = None

    async def get(self, *, refused: Token | None = None) -> Token:
        """The token, unless it is old or the vendor has refused it: then a new one.

        Whoever asks meanwhile gets the same one; a caller that gives up stops nobody else.
        """
        age = self._clock.timestamp() - self._since
        if self._token is not None and self._token is not refused and 0 <= age < self._age_s:
            return self._token
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetched())
            self._fetching.add_done_callback(self._over)
        return await asyncio.shield(self._fetching)

    async def _fetched(self) -> Token:
        token = await self._fetch()
        self._token, self._since = token, self._clock.timestamp()
        return token

    def _over(self, task: asyncio.Task[Token]) -> None:
        self._fetching = None
        if not task.cancelled():
            task.exception()  # seen: those who asked have it, and there may be none left
