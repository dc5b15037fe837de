"""HTTP that cannot be parsed still gets an answer with a problem document and its ids."""

from __future__ import annotations

import secrets
import time
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from apis.gateway.guard import REFUSALS
from apis.gateway.overload import CAME, MANY
from apis.runtime.context import trace_id_of, traceparent
from contracts.errors import Problem

CODE = "bad-request"


def protocol(issuer: str) -> type[Protocol]:
    """The parser of a server whose problem types begin with this address."""
    return type("Protocol", (Protocol,), {"issuer": issuer})


class Protocol(HttpToolsProtocol):
    """The server's parser, with our own refusal."""

    issuer = ""

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """Note when a call came, once many are under way: those that wait too long are refused."""
        if len(self.tasks) >= MANY:
            cycle.scope[CAME] = time.monotonic()
        super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        """Answer once, name what is wrong, close."""
        row = REFUSALS[CODE]
        request_id, parent = secrets.token_hex(16), traceparent()
        problem = Problem(
            type=f"{self.issuer}/problems/{CODE}",
            title=row.title,
            status=row.status,
            code=CODE,
            detail=msg,
            owner="caller",
            remedy=row.remedy,
            request_id=request_id,
            trace_id=trace_id_of(parent),
        )
        body = msgspec.json.encode(problem)
        head = (
            "HTTP/1.1 400 Bad Request",
            "content-type: application/problem+json",
            f"content-length: {len(body)}",
            "cache-control: no-store",
            f"x-request-id: {request_id}",
            f"traceparent: {parent}",
            "connection: close",
        )
        self.transport.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        self.transport.close()
