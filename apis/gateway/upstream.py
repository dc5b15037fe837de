"""An API that runs elsewhere, as an ASGI application: HTTP/1.1 over connections that are kept.

Headers and bodies pass through as they come, but for what belongs to one hop, who the caller is
(`Authorization`) and what a caller may not claim (`X-Forwarded-*`). A pool has bounds, and says
what happens at each: see `Bounds`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from ssl import SSLContext
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from apis.gateway.guard import Header, Message, Receive, Scope, Send
from apis.gateway.overload import Places
from apis.runtime.clients import trusted
from apis.runtime.context import SCOPE_KEY, Context
from contracts.errors import Transient, Unavailable

Credential = Callable[[Context], bytes | None]
HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization",
     b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)  # fmt: skip
NOT_SENT = HOP_BY_HOP | {
    *(b"host", b"authorization", b"expect", b"content-length", b"x-request-id", b"traceparent"),
    *(b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip"),
}
NOT_PASSED_ON = HOP_BY_HOP | {b"date"}  # the server puts its own date
REPEATABLE = frozenset({"GET", "HEAD"})
MOST_HEAD_BYTES = 65_536
MOST_HELD_BYTES = 262_144
INFORMATIONAL = range(100, 200)
HUNG_UP = "it hung up"


class Bounds(msgspec.Struct, frozen=True):
    """How much of us one upstream may take; whoever finds the queue full is refused at once."""

    connections: int = 64
    waiting: int = 128
    wait_s: float = 1.0
    """Who has waited so long for a connection is refused as well."""
    connect_s: float = 3.0
    silence_s: float = 30.0
    """How long an upstream may say nothing while it is asked."""
    idle_s: float = 4.0
    """Shorter than servers keep a quiet connection (node: 5 s): they shall not hang up first."""


class Connection(asyncio.Protocol):
    """One connection to an upstream, and the answer that arrives on it."""

    def __init__(self, lost: Callable[[Connection], None]) -> None:
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self.idle_since = 0.0
        self._clear()
        self.ended = True

    def _clear(self) -> None:
        self._parser = HttpResponseParser(self)
        self._size = 0
        self._parts: list[bytes] = []
        self._arriving: list[Header] = []
        self.headers: list[Header] | None = None
        self.status = 0
        self._silent = True
        self.ended = False
        self.whole = True
        self._keep = False
        self.fault = ""

    def begin(self, asked: Asked) -> None:
        """Send a request; an answer to HEAD has no body, whatever its headers say."""
        self._clear()
        self._bodiless = asked.method == "HEAD"
        if self.transport.is_closing():
            self.fault = HUNG_UP
        else:
            self.transport.write(asked.first)

    # what the event loop tells
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # of a stream

    def data_received(self, data: bytes) -> None:
        """Read on; what comes unasked, or is no HTTP, ends the connection."""
        if self.ended:
            self._keep = False
            self.transport.abort()
            return
        self._silent = False
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self.fail("its answer is not HTTP/1.1")
        if self.headers is None:
            self._size += len(data)
            if self._size > MOST_HEAD_BYTES:
                self.fail("the headers of its answer have no end")
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """End an answer that lasts until the connection ends; any other is cut off."""
        if not self.ended:
            if exc is None and self.headers is not None and not _framed(self.headers):
                self.ended = True
            else:
                self.fault = self.fault or HUNG_UP
        self._keep = False
        self.resume_writing()
        self._wake()
        self._lost(self)

    def pause_writing(self) -> None:
        """Keep the next part of a body until the upstream has read the last."""
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        """Send on."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # what the parser tells
    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers are dropped."""
        if self.headers is None:
            self._arriving.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Let the answer begin, unless it is only on its way (RFC 9110, 15.2)."""
        status = self._parser.get_status_code()
        if self.headers is not None:  # a second answer, which nobody asked for
            self.whole = False
            return
        if status in INFORMATIONAL:
            self._arriving = []
            return
        self.status, self.headers = status, self._arriving
        if self._bodiless:
            self.ended, self._keep = True, self._parser.should_keep_alive()

    def on_body(self, body: bytes) -> None:
        """Hold a part until it is taken, and not too many."""
        if self.ended:
            self.whole = False
            return
        self._parts.append(body)
        self._size += len(body)
        if self._size > MOST_HELD_BYTES:
            self.transport.pause_reading()

    def on_message_complete(self) -> None:
        """End the answer, if it was the final one."""
        if self.headers is not None and not self.ended:
            self.ended, self._keep = True, self._parser.should_keep_alive()

    # what the pool asks
    @property
    def stale(self) -> bool:
        """Whether it was hung up without a byte of an answer: its server was tired of waiting."""
        return self._silent and self.fault == HUNG_UP

    def taken(self) -> bytes:
        """Give what has arrived of the body since it was asked last."""
        body = b"".join(self._parts)
        if self._size > MOST_HELD_BYTES:
            self.transport.resume_reading()
        self._parts, self._size = [], 0
        return body

    @property
    def reusable(self) -> bool:
        """Whether another request may follow."""
        return self._keep and self.whole

    def changed(self) -> bool:
        """Whether there is something that was not taken yet."""
        return bool(self._parts) or self.ended or bool(self.fault)

    async def more(self, silence_s: float) -> None:
        """Wait until anything changes; silence is a fault."""
        self._waiter = self._loop.create_future()
        timer = self._loop.call_later(silence_s, self.fail, f"it said nothing for {silence_s:g} s")
        try:
            await self._waiter
        finally:
            timer.cancel()
            self._waiter = None

    async def writable(self) -> None:
        """Wait while the upstream does not read."""
        if self._writable is not None:
            await self._writable

    def fail(self, fault: str) -> None:
        """End the connection, and say why."""
        self.fault = self.fault or fault
        self.transport.abort()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Asked(NamedTuple):
    """A request as it is sent: its head with what is there of its body, and how the rest comes."""

    first: bytes
    method: str
    rest: bool
    chunked: bool


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
        finally:
            self._release(connection)

    async def _heard(self, connection: Connection, asked: Asked, receive: Receive) -> None:
        """Ask, and wait for the head of the answer or a fault."""
        connection.begin(asked)
        if asked.rest:
            await self._sent(connection, asked, receive)
        while connection.headers is None and not connection.fault:
            await connection.more(self._bounds.silence_s)

    async def _sent(self, connection: Connection, asked: Asked, receive: Receive) -> None:
        """Send the rest of a body as it comes; an upstream that answers early hears no more."""
        more = True
        while more and connection.headers is None and not connection.fault:
            message = await receive()
            if message["type"] != "http.request":
                connection.fail("its caller went away")
                return
            more, body = message.get("more_body", False), message.get("body", b"")
            connection.transport.write(_chunk(body) if asked.chunked else body)
            await connection.writable()
        if more:
            connection.whole = False
        elif asked.chunked:
            connection.transport.write(b"0\r\n\r\n")

    async def _answered(self, connection: Connection, send: Send) -> None:
        if connection.headers is None:
            raise Transient("upstream.no-answer", f"{self._host}: {connection.fault}")
        dropped = NOT_PASSED_ON | _named(connection.headers)
        headers = [header for header in connection.headers if header[0] not in dropped]
        await send({"type": "http.response.start", "status": connection.status, "headers": headers})
        while True:
            body, ended = connection.taken(), connection.ended
            if connection.fault and not ended:
                raise Transient("upstream.cut-off", f"{self._host}: {connection.fault}")
            if body or ended:
                await send({"type": "http.response.body", "body": body, "more_body": not ended})
            if ended:
                return
            if not connection.changed():
                await connection.more(self._bounds.silence_s)

    def _asked(self, scope: Scope, message: Message) -> Asked:
        context: Context = scope[SCOPE_KEY]
        given: list[Header] = scope["headers"]
        method: str = scope["method"]
        body, rest = message.get("body", b""), message.get("more_body", False)
        length = dict(given).get(b"content-length") if rest else b"%d" % len(body)
        target = self._path + (scope.get("raw_path") or scope["path"].encode())
        if query := scope["query_string"]:
            target = b"%b?%b" % (target, query)
        dropped = NOT_SENT | _named(given)
        lines = [b"%b %b" % (method.encode(), target), self._known]
        lines += [b"%b: %b\r\n" % header for header in given if header[0] not in dropped]
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
        oldest = asyncio.get_running_loop().time() - self._bounds.idle_s
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle.popleft().transport.close()
        while self._idle:
            connection = self._idle.pop()
            if not connection.transport.is_closing():
                return connection, True
        return await self._connected(), False

    async def _connected(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._bounds.connect_s):
                _, connection = await loop.create_connection(
                    lambda: Connection(self._ended), self._host, self._port, ssl=self._ssl
                )
        except (OSError, TimeoutError) as error:
            told = f"{self._host}:{self._port} cannot be reached"
            raise Unavailable("upstream.not-reached", told, retry_after=5.0) from error
        return connection

    def _release(self, connection: Connection | None) -> None:
        """Keep a connection whose answer ended as it should; let go of any other."""
        if connection is not None:
            if connection.reusable and len(self._idle) < self._bounds.connections:
                connection.idle_since = asyncio.get_running_loop().time()
                self._idle.append(connection)
            else:
                connection.transport.abort()
        self._places.leave()

    def _ended(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)

    def close(self) -> None:
        """Let go of the connections that are kept."""
        while self._idle:
            self._idle.pop().transport.close()


def _named(headers: list[Header]) -> frozenset[bytes]:
    """The headers that `Connection` calls its own (RFC 9110, 7.6.1)."""
    found = [value for name, value in headers if name == b"connection"]
    return frozenset(part.strip().lower() for part in b",".join(found).split(b","))


def _framed(headers: list[Header]) -> bool:
    return any(name in {b"content-length", b"transfer-encoding"} for name, _ in headers)


def _chunk(body: bytes) -> bytes:
    """One part of a body of unknown length; an empty one would end it."""
    return b"%x\r\n%b\r\n" % (len(body), body) if body else b""
