"""One connection: how long it may take and how much it may hold before it is told why it ends.

What the parser cannot read, and what takes too long or too much of the server before any app is
asked, is answered here: once, with a problem document and its ids, and then the connection ends.
"""

from __future__ import annotations

import asyncio
import secrets
import select
import sys
import time
from math import inf
from typing import Any
from urllib.parse import unquote

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from apis.gateway.exchange import THUMBPRINT
from apis.gateway.guard import MOST_URI_BYTES, REFUSALS
from apis.gateway.overload import CAME, MANY
from apis.runtime.caps import Caps
from apis.runtime.context import trace_id_of, traceparent
from apis.runtime.cycle import Cycle
from apis.runtime.tls import shown
from contracts.errors import Problem

MOST_UNREAD = 262_144
"""Bytes that may arrive without a whole head or a part of a body; the guard's caps are smaller."""
MOST_TRAILERS = 100
METHODS = "DELETE, GET, HEAD, PATCH, POST, PUT"
METHOD = 405
LINGER_S = 1.0
"""A refused client may read its answer so long before the connection is cut."""


class State(ServerState):
    """What the connections of a server share."""

    def __init__(self) -> None:
        super().__init__()
        self.leaving = False


class Protocol(HttpToolsProtocol):
    """The server's parser, with deadlines, caps and our own refusals.

    `due` is when the client must have done its next part; `Server` looks at it five times a second.
    """

    server_state: State
    cycle: Cycle
    issuer = ""
    caps = Caps()
    names: frozenset[str] = frozenset()
    """Whose client certificates are accepted; empty means any that the authority signed."""
    door: object = None
    """Where the connection came in."""

    def connection_made(self, transport: Any) -> None:
        """Give the client its first deadline; one too many is told so when it asks."""
        super().connection_made(transport)
        self.due: float = self.loop.time() + self.caps.header_s
        self.unread = 0
        self.in_head = False
        self.refused = self.last = False
        self.unwelcome: tuple[str, str] | None = None
        if len(self.connections) > self.caps.connections:
            self.unwelcome = ("unavailable", "This process holds as many connections as it may.")
        if len(self.connections) > 2 * self.caps.connections:
            transport.abort()
        if certificate := shown(transport.get_extra_info("ssl_object")):
            self.app_state = {**self.app_state, THUMBPRINT: certificate.thumbprint}
            if self.names and not self.names & certificate.names:
                named = ", ".join(sorted(certificate.names)) or "nobody"
                self.unwelcome = ("certificate-refused", f"The certificate is for {named}.")

    def data_received(self, data: bytes) -> None:
        """Read on, unless the answer has been given."""
        if self.refused:
            return
        self.unread += len(data)
        super().data_received(data)
        if self.unread > MOST_UNREAD or (
            self.headers is not None and len(self.headers) > MOST_TRAILERS and not self.in_head
        ):
            long = self.in_head and not self.headers and len(self.url) > MOST_URI_BYTES
            self.refuse("uri-too-long" if long else "headers-too-large", "It does not end.")

    def on_message_begin(self) -> None:
        """Give the head of a request its deadline."""
        super().on_message_begin()
        self.in_head = True
        self.due = self.loop.time() + self.caps.header_s

    def on_headers_complete(self) -> None:
        """Hand the request over; what follows its body is read and dropped, never a header."""
        self.in_head, self.unread = False, 0
        self.due = self.loop.time() + self.caps.body_s
        if self.unwelcome is not None:
            self.refuse(*self.unwelcome)
            return
        if not self.url.startswith(b"/"):
            self.refuse(self._code(), "The address names a host of its own, or no path.")
            return
        before, self.cycle = self.cycle, self._cycle()
        self.headers = []
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def _cycle(self) -> Cycle:
        """The request whose head has been read."""
        version, address = self.parser.get_http_version(), httptools.parse_url(self.url)
        path = address.path.decode("ascii")
        self.scope |= {
            "http_version": version,
            "method": self.parser.get_method().decode("ascii"),
            "path": unquote(path) if "%" in path else path,
            "raw_path": address.path,
            "query_string": address.query or b"",
        }
        stays = version != "1.0" and not self.last and not self.server_state.leaving
        return Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=stays and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Note when a call came, once many are under way: those that wait too long are refused."""
        if len(self.tasks) >= MANY:
            cycle.scope[CAME] = time.monotonic()
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        """Every part of a body buys time for the next."""
        self.unread = 0
        self.due += len(body) / self.caps.body_rate
        if not self.refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Now it is we who are waited for."""
        if not self.refused:
            super().on_message_complete()
            if not self.cycle.response_complete:
                self.due = inf

    def on_response_complete(self) -> None:
        """Begin with the next request, or wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        wait = self.caps.header_s if self.in_head else self.caps.keep_alive_s
        self.due = self.loop.time() + wait

    def pause_writing(self) -> None:
        """The client does not take its answer: it has until then."""
        super().pause_writing()
        self.due = self.loop.time() + self.caps.unread_s

    def resume_writing(self) -> None:
        """The client goes on taking its answer."""
        super().resume_writing()
        if self.answering:
            self.due = self.loop.time() + self.caps.body_s if self.cycle.more_body else inf

    @property
    def answering(self) -> bool:
        """Whether an app is at work on a request of this connection."""
        return self.cycle is not None and not self.cycle.response_complete

    def _in_body(self) -> bool:
        """Whether what comes now belongs to the request that was handed over last."""
        return self.cycle is not None and self.cycle.scope is self.scope

    def late(self, now: float) -> None:
        """End a connection whose client did not do its part in time."""
        if self.refused or self.flow.write_paused:
            self.transport.abort()
        elif self.flow.read_paused or (self.in_head and self.answering):
            self.due = now + self.caps.body_s  # it is we who do not read
        elif self.in_head or self.answering:
            self.refuse("request-timeout", "The rest of the request did not come.")
        else:
            self.transport.close()

    def leave(self) -> None:
        """Say with the answer that is due, else with the next, that it is the last."""
        self.last = True
        if self.answering and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """End an idle connection, unless a request is on its way: that one is answered first."""
        if self.transport.is_closing() or self.in_head:
            return
        if self.answering or not self._asked():
            super().shutdown()

    def _asked(self) -> bool:
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser cannot read."""
        self.refuse(self._code(), msg)

    def _code(self) -> str:
        """What the parser made of the bytes it is being asked about."""
        if isinstance(sys.exception(), httptools.HttpParserInvalidMethodError):
            return "method-not-allowed"
        return "uri-too-long" if len(self.url) > MOST_URI_BYTES else "bad-request"

    def refuse(self, code: str, detail: str) -> None:
        """Answer once, name what is wrong, close; a request that has its answer gets no other."""
        if self.refused or self.transport.is_closing():
            return
        self.refused = True
        self.due = self.loop.time() + LINGER_S
        if self.answering or self._in_body():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.sent:
                self.transport.close()
                return
        self.transport.write(answer_of(self.issuer, code, detail))
        if self.transport.can_write_eof():
            self.transport.write_eof()  # what it still sends is dropped: a reset loses the answer
        else:
            self.transport.close()


def answer_of(issuer: str, code: str, detail: str) -> bytes:
    """The bytes of a refusal that no app has seen."""
    row = REFUSALS[code]
    request_id, parent = secrets.token_hex(16), traceparent()
    again = code == "unavailable"
    problem = Problem(
        type=f"{issuer}/problems/{code}",
        title=row.title,
        status=row.status,
        code=code,
        detail=detail,
        owner="operations" if again else "caller",
        remedy=row.remedy,
        retryable=again or None,
        request_id=request_id,
        trace_id=trace_id_of(parent),
    )
    body = msgspec.json.encode(problem)
    head = (
        f"HTTP/1.1 {row.status} {row.title}",
        "content-type: application/problem+json",
        f"content-length: {len(body)}",
        "cache-control: no-store",
        f"x-request-id: {request_id}",
        f"traceparent: {parent}",
        *(("retry-after: 1",) if again else ()),
        *((f"allow: {METHODS}",) if row.status == METHOD else ()),
        "connection: close",
    )
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body
