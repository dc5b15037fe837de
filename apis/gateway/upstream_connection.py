"""One connection to an upstream: what is asked on it, and the answer as it arrives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf
from typing import NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from apis.gateway.guard import Header, Receive

MOST_HEAD_BYTES = 65_536
MOST_HELD_BYTES = 262_144
INFORMATIONAL, FINAL = range(100, 200), range(200, 600)
HUNG_UP = "it hung up"


class Connection(asyncio.Protocol):
    """One connection to an upstream, and the answer that arrives on it."""

    def __init__(self, lost: Callable[[Connection], None]) -> None:
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._parser = HttpResponseParser(self)
        self._bodiless = False
        self.idle_since = 0.0
        self.caller: Receive | None = None
        """Who may leave, once all of the request was sent."""
        self.gone = False
        self._leaving: asyncio.Task[None] | None = None
        self.due = inf
        self.late = ""
        """Until when something must happen, and what is wrong if it does not."""
        self._clear()
        self.ended = True

    def _clear(self) -> None:
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
        if self._bodiless:  # the parser still waits for the body that its headers told of
            self._parser = HttpResponseParser(self)
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
        if status not in FINAL:
            self.fail(f"its status is {status}")
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
        """Wait until anything changes, not for longer than that."""
        self._waiter = self._loop.create_future()
        await self._within(silence_s, "it said nothing in time", self._waiter)
        self._waiter = None

    async def writable(self, unread_s: float) -> None:
        """Wait while the upstream does not read, not for longer than that."""
        if self._writable is not None:
            await self._within(unread_s, "it read nothing in time", self._writable)

    async def _within(self, seconds: float, late: str, waiter: asyncio.Future[None]) -> None:
        """Wait; the pool ends whoever is late."""
        self.due, self.late = self._loop.time() + seconds, late
        try:
            await waiter
        finally:
            self.due = inf

    def look(self) -> None:
        """Begin to listen for a caller who leaves: a call that lasts is worth it."""
        if self.caller is not None and self._leaving is None:
            self._leaving = self._loop.create_task(self._left(self.caller))

    async def _left(self, caller: Receive) -> None:
        while (await caller())["type"] == "http.request":
            pass
        if not self.ended:
            self.left()

    def left(self) -> None:
        """End the call: nobody waits for its answer."""
        self.gone = True
        self.fail("its caller went away")

    def let_go(self) -> None:
        """Listen to this caller no more."""
        self.caller = None
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None

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


def _framed(headers: list[Header]) -> bool:
    return any(name in {b"content-length", b"transfer-encoding"} for name, _ in headers)
