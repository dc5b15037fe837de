"""HTTP that cannot be parsed still gets an answer with a problem document and its ids."""

from __future__ import annotations

import secrets
import sys
import time
from typing import Any

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from apis.gateway.guard import MOST_URI_BYTES, REFUSALS
from apis.gateway.overload import CAME, MANY
from apis.runtime.context import trace_id_of, traceparent
from contracts.errors import Problem

METHODS = "DELETE, GET, HEAD, PATCH, POST, PUT"
METHOD = 405


def protocol(issuer: str) -> type[Protocol]:
    """The parser of a server whose problem types begin with this address."""
    return type("Protocol", (Protocol,), {"issuer": issuer})


class Protocol(HttpToolsProtocol):
    """The server's parser, with our own refusal."""

    issuer = ""

    def on_headers_complete(self) -> None:
        """Hand the request over; what follows its body is read and dropped, never a header."""
        if not self.url.startswith(b"/"):
            msg = "the address names a host of its own, or no path"
            raise ValueError(msg)  # the parser tells it as an error of its own
        super().on_headers_complete()
        self.headers = []

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Note when a call came, once many are under way: those that wait too long are refused."""
        if len(self.tasks) >= MANY:
            cycle.scope[CAME] = time.monotonic()
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        """Answer once, name what is wrong, close; a request that has its answer gets no other."""
        if self.cycle is not None and self.cycle.scope is self.scope:  # its body is what is wrong
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.close()
                return
        code = self._code()
        row = REFUSALS[code]
        request_id, parent = secrets.token_hex(16), traceparent()
        problem = Problem(
            type=f"{self.issuer}/problems/{code}",
            title=row.title,
            status=row.status,
            code=code,
            detail=msg,
            owner="caller",
            remedy=row.remedy,
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
            *((f"allow: {METHODS}",) if row.status == METHOD else ()),
            "connection: close",
        )
        self.transport.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        self.transport.close()

    def _code(self) -> str:
        """What the parser made of the bytes it is being asked about."""
        if isinstance(sys.exception(), httptools.HttpParserInvalidMethodError):
            return "method-not-allowed"
        return "uri-too-long" if len(self.url) > MOST_URI_BYTES else "bad-request"
