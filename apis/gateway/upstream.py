"""An API that runs elsewhere, as an ASGI application: HTTP/1.1 over connections that are kept.

Headers and bodies pass through as they come, but for what belongs to one hop, what shows us who
the caller is (tokens, keys, cookies) and what a caller may not claim (`X-Forwarded-*`). A pool has
bounds, and says what happens at each: see `Bounds`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import cached_property
from ssl import SSLContext
from urllib.parse import urlsplit

import msgspec

from apis.gateway.guard import HOP_BY_HOP, Header, Message, Receive, Scope, Send
from apis.gateway.overload import Places
from apis.gateway.upstream_connection import Asked, Connection
from apis.runtime.clients import trusted
from apis.runtime.context import SCOPE_KEY, Context
from contracts.errors import Transient, Unavailable

Credential = Callable[[Context], bytes | None]
NOT_SENT = HOP_BY_HOP | {
    *(b"host", b"expect", b"content-length", b"x-request-id", b"traceparent"),
    *(b"authorization", b"x-api-key", b"cookie"),
    *(b"forwarded", b"x-real-ip", b"client-cert", b"client-cert-chain"),
    *(b"x-http-method", b"x-http-method-override", b"x-method-override", b"x-original-host"),
    *(b"x-original-method", b"x-original-uri", b"x-original-url", b"x-rewrite-url"),
}
"""The last two lines would have it do something else than what was checked."""
CLAIMED = b"x-forwarded-"
VIA = b"via: 1.1 throughline\r\n"
NOT_PASSED_ON = HOP_BY_HOP | {b"date", b"set-cookie"}
"""The server puts its own date, and cookies of this host are ours."""
REPEATABLE = frozenset({"GET", "HEAD"})
LOOK_S, LOOKS = 0.5, 4
"""How often is looked who is silent or has left; more often where silence may not last long."""


class Bounds(msgspec.Struct, frozen=True):
    """How much of us one upstream may take; whoever finds the queue full is refused at once."""

    connections: int = 64
    waiting: int = 128
    wait_s: float = 1.0
    """Who has waited so long for a connection is refused as well."""
    connect_s: float = 3.0
    silence_s: float = 30.0
    """How long an upstream may take to the end of a head, or say nothing after it."""
    unread_s: float = 10.0
    """How long it may read nothing of a body."""
    idle_s: float = 4.0
    """Shorter than servers keep a quiet connection (node: 5 s): they shall not hang up first."""


class Upstream:
    """The ASGI application: one request, one answer, over one of a few connections."""

    def __init__(
        self,
        url: str,
        *,
        bounds: Bounds | None = None,
        credential: Credential | None = None,
        ca: str | None = None,
    ) -> None:
        parts = urlsplit(url)
        self._bounds = bounds or Bounds()
        self._credential = credential
        self._host, self._path = parts.hostname or "", parts.path.rstrip("/").encode()
        self._ssl: SSLContext | None = trusted(ca) if parts.scheme == "https" else None
        self._port = parts.port or (443 if self._ssl else 80)
        self._known = b" HTTP/1.1\r\nhost: %b\r\n" % parts.netloc.rpartition("@")[2].encode()
        self._idle: deque[Connection] = deque()
        self._busy: set[Connection] = set()
        shortest = min(self._bounds.silence_s, self._bounds.unread_s)
        self._look_s = min(LOOK_S, shortest / LOOKS)
        self._look: asyncio.TimerHandle | None = None
        self._places = Places(
            self._host, self._bounds.connections,
            waiting=self._bounds.waiting, wait_s=self._bounds.wait_s,
        )  # fmt: skip

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on and its answer back."""
        message = await receive()
        if message["type"] != "http.request":
            return
        asked = self._asked(scope, message)
        await self._places.take()
        connection = None
        try:
            connection, kept = await self._connection()
            await self._heard(connection, asked, receive)
            if kept and connection.stale and asked.method in REPEATABLE and not asked.rest:
                connection = await self._connected()
                await self._heard(connection, asked, receive)
            await self._answered(connection, send)
        except Transient:
            if connection is None or not connection.gone:
                raise
        finally:
            self._release(connection)

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    async def _heard(self, connection: Connection, asked: Asked, receive: Receive) -> None:
        """Ask, and wait for the head of the answer or a fault."""
        self._watch(connection)
        connection.begin(asked)
        if asked.rest:
            await self._sent(connection, asked, receive)
        if connection.whole:
            connection.caller = receive
        end = self._loop.time() + self._bounds.silence_s
        while connection.headers is None and not connection.fault:
            await connection.more(end - self._loop.time())

    async def _sent(self, connection: Connection, asked: Asked, receive: Receive) -> None:
        """Send the rest of a body as it comes; an upstream that answers early hears no more."""
        more = True
        while more and connection.headers is None and not connection.fault:
            message = await receive()
            if message["type"] != "http.request":
                connection.left()
                return
            more, body = message.get("more_body", False), message.get("body", b"")
            connection.transport.write(_chunk(body) if asked.chunked else body)
            await connection.writable(self._bounds.unread_s)
        if more:
            connection.whole = False
        elif asked.chunked:
            connection.transport.write(b"0\r\n\r\n")

    async def _answered(self, connection: Connection, send: Send) -> None:
        if connection.headers is None:
            raise self._failed(connection)
        dropped = _and_named(NOT_PASSED_ON, connection.headers)
        headers = [header for header in connection.headers if header[0] not in dropped]
        await send({"type": "http.response.start", "status": connection.status, "headers": headers})
        while True:
            body, ended = connection.taken(), connection.ended
            if connection.fault and not ended:
                raise self._failed(connection)
            # the first part, be it empty, takes the head with it
            await send({"type": "http.response.body", "body": body, "more_body": not ended})
            if ended:
                return
            if not connection.changed():
                await connection.more(self._bounds.silence_s)

    def _failed(self, connection: Connection) -> Transient:
        late = connection.fault == connection.late
        code, status = ("upstream-timeout", 504) if late else ("upstream-failed", 502)
        return Transient(code, f"{self._host}: {connection.fault}", status=status)

    def _asked(self, scope: Scope, message: Message) -> Asked:
        context: Context = scope[SCOPE_KEY]
        given: list[Header] = scope["headers"]
        method: str = scope["method"]
        body, rest = message.get("body", b""), message.get("more_body", False)
        length = dict(given).get(b"content-length") if rest else b"%d" % len(body)
        target = self._path + (scope.get("raw_path") or scope["path"].encode())
        if query := scope["query_string"]:
            target = b"%b?%b" % (target, query)
        dropped = _and_named(NOT_SENT, given)
        lines = [b"%b %b" % (method.encode(), target), self._known]
        lines += [
            b"%b: %b\r\n" % header
            for header in given
            if header[0] not in dropped and header[0][:12] != CLAIMED
        ]
        lines.append(VIA)
        if context.request_id:
            lines.append(b"x-request-id: %b\r\n" % context.request_id.encode())
        if context.traceparent:
            lines.append(b"traceparent: %b\r\n" % context.traceparent.encode())
        if self._credential and (shown := self._credential(context)):
            lines.append(b"authorization: %b\r\n" % shown)
        if length is None:
            lines.append(b"transfer-encoding: chunked\r\n")
        elif body or rest or method not in REPEATABLE:
            lines.append(b"content-length: %b\r\n" % length)
        lines += [b"\r\n", body if length is not None else _chunk(body)]
        return Asked(b"".join(lines), method, rest, length is None)

    async def _connection(self) -> tuple[Connection, bool]:
        """Give one that was kept, the youngest first, or a new one; and whether it was kept."""
        oldest = self._loop.time() - self._bounds.idle_s
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle.popleft().transport.close()
        while self._idle:
            connection = self._idle.pop()
            if not connection.transport.is_closing():
                return connection, True
        return await self._connected(), False

    async def _connected(self) -> Connection:
        try:
            async with asyncio.timeout(self._bounds.connect_s):
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self._ended), self._host, self._port, ssl=self._ssl
                )
        except (OSError, UnicodeError) as error:  # a name that cannot be one, or is not known
            told = f"{self._host}:{self._port} cannot be reached"
            raise Unavailable("upstream-unreachable", told, retry_after=5.0, status=502) from error
        return connection

    def _watch(self, connection: Connection) -> None:
        """Look now and then for those that say nothing, as long as any is asked."""
        self._busy.add(connection)
        if self._look is None:
            self._look = self._loop.call_later(self._look_s, self._looked)

    def _looked(self) -> None:
        now = self._loop.time()
        for connection in list(self._busy):
            if connection.due <= now:
                connection.fail(connection.late)
            else:
                connection.look()
        again = self._loop.call_later
        self._look = again(self._look_s, self._looked) if self._busy else None

    def _release(self, connection: Connection | None) -> None:
        """Keep a connection whose answer ended as it should; let go of any other."""
        if connection is not None:
            self._busy.discard(connection)
            connection.let_go()
            if connection.reusable and len(self._idle) < self._bounds.connections:
                connection.idle_since = self._loop.time()
                self._idle.append(connection)
            else:
                connection.transport.abort()
        self._places.leave()

    def _ended(self, connection: Connection) -> None:
        self._busy.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Let go of the connections that are kept."""
        while self._idle:
            self._idle.pop().transport.close()


def _and_named(dropped: frozenset[bytes], headers: list[Header]) -> frozenset[bytes]:
    """These, and the headers that `Connection` calls its own (RFC 9110, 7.6.1)."""
    found = [value for name, value in headers if name == b"connection"]
    if not found or found == [b"keep-alive"]:  # which is dropped already
        return dropped
    return dropped | {part.strip().lower() for part in b",".join(found).split(b",")}


def _chunk(body: bytes) -> bytes:
    """One part of a body of unknown length; an empty one would end it."""
    return b"%x\r\n%b\r\n" % (len(body), body) if body else b""
