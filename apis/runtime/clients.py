"""Calls between tiers and out of the product: one typed client per port, two ways to get there.

In one process a call is a direct ASGI call and the context travels in the scope; across processes
it is HTTP with a 60-second internal token. Every outgoing HTTP client is made here.
"""

from __future__ import annotations

import asyncio
import inspect
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any, TypeVar, cast, get_type_hints
from urllib.parse import quote, unquote, urlencode

import httpx
import msgspec

from apis.runtime.context import CURRENT, SCOPE_KEY, Call, Context
from apis.runtime.lean import BODY_KEY
from apis.runtime.tokens import InternalTokens
from contracts.errors import Problem, ThroughlineError, Transient, Unavailable, error_of
from contracts.ports import Operation, operations

Port = TypeVar("Port")
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Asgi = Callable[[Any, Any, Any], Awaitable[None]]
Answer = tuple[int, list[tuple[bytes, bytes]], bytes]
CALLS = b"throughline-calls"
WROTE = b"throughline-wrote"
PLANNED = b"throughline-plan"
CALL_S = 30.0
POOL = 20
SUCCESS = range(200, 300)
LATE_S = 1.0
"""A worker whose lease was renewed too late asks again; one that lost it has ended by then."""


def outgoing(
    *, transport: str = "httpx", pool: int = POOL, ca: str | None = None
) -> httpx.AsyncClient:
    """A client for calls out of this process: small pool, no redirects, no proxies."""
    limits = httpx.Limits(max_connections=pool, max_keepalive_connections=pool)
    verify = trusted(ca)
    carried = aiohttp_transport(limits, verify) if transport == "aiohttp" else None
    return httpx.AsyncClient(
        limits=limits,
        timeout=httpx.Timeout(CALL_S, pool=None),
        follow_redirects=False,
        trust_env=False,
        verify=verify,
        transport=carried,
    )


@cache
def trusted(ca: str | None) -> ssl.SSLContext:
    """Whom clients trust, the usual authorities or those of a file: to read them takes a while."""
    return httpx.create_ssl_context(verify=ca or True)


def aiohttp_transport(limits: httpx.Limits, verify: Any) -> httpx.AsyncBaseTransport:
    """The lighter transport, without its own second sending of PUT and DELETE."""
    from httpx_aiohttp import AiohttpTransport  # noqa: PLC0415 - only where metadata asks for it

    class Once(AiohttpTransport):
        def get_client(self) -> Any:
            session = super().get_client()
            session._retry_connection = False  # noqa: SLF001 - aiohttp has no public switch
            return session

    return Once(limits=limits, verify=verify, trust_env=False)


class Local:
    """An app in this process, called directly."""

    def __init__(self, app: Asgi) -> None:
        self._app = app

    async def __call__(
        self, method: str, path: str, query: str, body: bytes, context: Context
    ) -> Answer:
        """One request; answers status, headers and body."""
        status, headers, parts = 500, [], []
        sent = False

        async def receive() -> dict[str, Any]:
            nonlocal sent
            if sent:
                await asyncio.Event().wait()
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], list(message["headers"])
            else:
                parts.append(message.get("body", b""))

        await self._app(scope_of(method, path, query, body, context), receive, send)
        return status, headers, b"".join(parts)


class Remote:
    """An app served by another process, called over HTTP with the internal token."""

    def __init__(
        self, base: str, audience: str, tokens: InternalTokens, http: httpx.AsyncClient
    ) -> None:
        self._base = base.rstrip("/")
        self._audience = audience
        self._tokens = tokens
        self._http = http

    async def __call__(
        self, method: str, path: str, query: str, body: bytes, context: Context
    ) -> Answer:
        """One request; Unavailable if the process is not there, Transient without an answer."""
        url = f"{self._base}{path}" + (f"?{query}" if query else "")
        headers = self._tokens.headers(context, self._audience)
        if body:
            headers["Content-Type"] = "application/json"
        try:
            answer = await self._http.request(method, url, content=body or None, headers=headers)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unavailable("tier.not-reached", f"{self._audience} cannot be reached") from error
        except httpx.HTTPError as error:
            raise Transient("tier.no-answer", f"{self._audience} did not answer") from error
        return answer.status_code, list(answer.headers.raw), answer.content

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The same as an ASGI app, for a gateway whose tiers live elsewhere."""
        parts, more = [], True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        query = scope["query_string"].decode("latin-1")
        status, headers, body = await self(
            scope["method"], scope["path"], query, b"".join(parts), scope[SCOPE_KEY]
        )
        kept = [(name, value) for name, value in headers if name.lower() not in NOT_PASSED_ON]
        await send({"type": "http.response.start", "status": status, "headers": kept})
        await send({"type": "http.response.body", "body": body})


NOT_PASSED_ON = {
    b"connection",
    b"keep-alive",
    b"transfer-encoding",
    b"date",
    b"server",
    b"content-encoding",
}
"""Of one hop, or the next server's own to say; the body has been unpacked here."""
Target = Local | Remote


def scope_of(method: str, path: str, query: str, body: bytes, context: Context) -> Scope:
    """The ASGI scope of a call inside this process."""
    headers = [(b"host", b"throughline.internal"), (b"accept", b"application/json")]
    if body:
        headers += [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "client": ("throughline", 0),
        "server": ("throughline", 0),
        "state": {},
        SCOPE_KEY: context,
        BODY_KEY: body,
    }


def client(port: type[Port], target: Target, *, fence: bool = True) -> Port:
    """An object with the port's methods, each one a call to `target` under the current context."""
    methods = {route.name: _method(port, route, target, fence=fence) for route in operations(port)}
    return cast(
        "Port",
        type(
            f"{port.__name__}Client", (), {name: staticmethod(m) for name, m in methods.items()}
        )(),
    )


def _method(
    port: type, route: Operation, target: Target, *, fence: bool
) -> Callable[..., Awaitable[Any]]:
    function = getattr(port, route.name)
    hints = get_type_hints(function)
    decoder = msgspec.json.Decoder(hints.get("return", Any), strict=True)
    names = [name for name in inspect.signature(function).parameters if name != "self"]
    in_path = {name for name in names if f"{{{name}}}" in route.path}
    reads = route.method == "GET"

    async def call(*args: Any, **kwargs: Any) -> Any:
        given = dict(zip(names, args, strict=False)) | kwargs
        path = route.path.format(**{name: quote(str(given[name]), safe="") for name in in_path})
        rest = {
            name: value
            for name, value in given.items()
            if name not in in_path and value is not None
        }
        query = ""
        if reads and rest:
            query = urlencode({name: as_text(value) for name, value in rest.items()})
        body = b"" if reads else msgspec.json.encode(rest)
        work = CURRENT.get()
        if fence and not reads:
            _may_write(work)
        context = _onward(work, route, reads=reads)
        status, headers, data = await target(route.method, path, query, body, context)
        return _answer(work, status, headers, data, decoder)

    return call


def _onward(work: Call, route: Operation, *, reads: bool) -> Context:
    deadline = work.context.deadline or time.time() + CALL_S
    key = work.context.request_key
    if key and not reads:
        work.writes += 1
        key = f"{key}/{route.name}.{work.writes}"
    listed = len(work.planned)  # only a dry run lists any
    return msgspec.structs.replace(work.context, deadline=deadline, request_key=key, planned=listed)


def _may_write(work: Call) -> None:
    """Refuse a write of a run that is no longer ours, or of a step without undo or keep."""
    running = work.run
    if running is None or running.plan:
        return
    if not running.held():
        raise Unavailable(
            "worker.lease-lost", "this worker no longer owns the run", retry_after=LATE_S
        )
    if running.step is not None and not (running.step.keep or running.step.undoing):
        raise ThroughlineError(
            "step.undeclared-write",
            f"{running.step.name} writes but declares neither undo nor keep",
        )


def _answer(
    work: Call, status: int, headers: list[tuple[bytes, bytes]], data: bytes, decoder: Any
) -> Any:
    for name, value in headers:
        if name == CALLS:
            work.calls.extend(msgspec.json.decode(value))
        elif name == WROTE:
            work.wrote.extend(msgspec.json.decode(value))
        elif name == PLANNED:
            planned, data = msgspec.json.decode(data, type=Planned).parts()
            work.planned.extend(planned)
    if status in SUCCESS:
        return decoder.decode(data) if data else None
    try:
        problem = msgspec.json.decode(data, type=Problem)
    except (msgspec.DecodeError, msgspec.ValidationError):
        problem = Problem(
            status=status,
            code="tier.unreadable",
            detail="a tier answered without a problem document",
        )
    raise error_of(problem)


class Planned(msgspec.Struct, frozen=True):
    """An answer in a dry run: what would have been written, and the answer itself."""

    planned: list[dict[str, Any]]
    answer: msgspec.Raw = msgspec.Raw(b"")

    def parts(self) -> tuple[list[dict[str, Any]], bytes]:
        """The planned writes and the bytes of the answer."""
        return self.planned, bytes(self.answer)


def as_text(value: Any) -> str:
    """A query value: moments and dates in ISO 8601, true and false in lower case."""
    built = msgspec.to_builtins(value)
    return str(built).lower() if isinstance(built, bool) else str(built)


def peer_of(peers: Mapping[str, str], api: str) -> str | None:
    """Where an api (`system/salesforce`) lives if not here: its own entry, else its tier's."""
    return peers.get(api) or peers.get(api.partition("/")[0])
