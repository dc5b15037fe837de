"""The pipeline in order: guard, route, authenticate, scope, limit, body, forward, log.

One raw ASGI layer. What a request needs was decided at start (`policy.py`), so a call is a few
look-ups; what is refused is a row of `guard.REFUSALS`.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, NamedTuple

from apis.gateway.admission import Admission
from apis.gateway.catalog import catalog_pages
from apis.gateway.compiled import Policy
from apis.gateway.exchange import Exchange, Outside
from apis.gateway.guard import (
    GONE,
    MALFORMED,
    ASGIApp,
    Header,
    Message,
    Receive,
    Refusal,
    Scope,
    Send,
    allowed_hosts,
    head_refusal,
    json_refusal,
    not_allowed,
    query_refusal,
    read_body,
    type_refusal,
)
from apis.gateway.oauth import AuthorizationServer
from apis.gateway.own import Metrics, Own, Ready
from apis.gateway.routes import Route
from apis.gateway.tokens import Tokens
from apis.runtime.clock import Clock
from apis.runtime.context import SCOPE_KEY, trace_id_of
from apis.runtime.limits import Limiter
from apis.runtime.traces import SPANS, Span
from contracts.errors import ThroughlineError, problem_of

Log = Callable[[dict[str, Any]], None]
_NOT_FOUND = Refusal("not-found")


class Edge(NamedTuple):
    """What the pipeline works with besides policy and targets."""

    issuer: str
    clock: Clock
    limiter: Limiter
    tokens: Tokens
    oauth: AuthorizationServer
    ready: Ready
    log: Log
    metrics: Metrics | None = None


class Front:
    """All that follows from one policy; it is never changed, only replaced as a whole."""

    __slots__ = (
        "admission", "clock", "endings", "hosts", "outside", "own", "pages", "policy", "targets",
    )  # fmt: skip

    def __init__(self, policy: Policy, targets: Mapping[str, ASGIApp], edge: Edge) -> None:
        if missing := sorted(set(policy.mounts) - set(targets)):
            msg = f"no target for {', '.join(missing)}"
            raise ValueError(msg)
        self.policy = policy
        self.clock = edge.clock
        self.targets = targets
        vendors = {api.vendor for api in policy.gateway.apis.values() if api.vendor}
        self.outside = Outside(edge.issuer, vendors)
        self.hosts = allowed_hosts(edge.issuer, policy.gateway.hosts)
        self.pages = catalog_pages(policy, edge.issuer)
        self.endings = {name: (at, told) for name, at, told in _endings(policy, edge.issuer)}
        self.admission = Admission(policy, edge.tokens, edge.limiter, edge.clock)
        self.own = Own(edge.tokens, edge.oauth, edge.ready, edge.metrics)


class Gateway:
    """The ASGI application in front of all APIs."""

    def __init__(self, front: Front, log: Log) -> None:
        self.front = front
        self._log = log

    def use(self, front: Front) -> None:
        """Serve by another policy from the next request on; what is under way ends by its own."""
        self.front = front

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event stream."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        front = self.front
        exchange = Exchange(scope, headers, send, front.outside)
        try:
            refusal = await self._serve(front, scope, headers, receive, exchange)
            if refusal is not None:
                await exchange.refuse(refusal)
        except Exception as error:  # noqa: BLE001 - the last one who can answer
            await self._failed(exchange, error)
        self._log(_line(exchange, scope))
        if SPANS.recorder is not None:
            SPANS.recorder.record(_span(exchange, scope, headers))

    async def _serve(  # noqa: PLR0911 - each stage may refuse
        self,
        front: Front,
        scope: Scope,
        headers: dict[bytes, bytes],
        receive: Receive,
        exchange: Exchange,
    ) -> Refusal | None:
        if refusal := head_refusal(scope, headers, front.hosts):
            return refusal
        method, path = scope["method"], scope["path"]
        parts = path.split("/", 4)
        mount = front.policy.mounts.get("/".join(parts[1:4])) if len(parts) > 3 else None  # noqa: PLR2004 - /tier/api/version
        if mount is None:
            behind = front.admission, front.pages
            return await front.own.serve(scope, headers, receive, exchange, behind)
        if (ending := front.endings.get(mount.target)) and front.clock.timestamp() > ending[0]:
            return ending[1]
        rest = "/" + parts[4] if len(parts) > 4 else "/"  # noqa: PLR2004 - what follows the version
        methods = mount.find(rest)
        if methods is None:
            return _NOT_FOUND
        route = methods.get(method)
        if route is None:
            return not_allowed(methods)
        exchange.target, exchange.operation = route.target, route.operation
        claims = await front.admission.admitted(route, headers, exchange)
        if isinstance(claims, Refusal):
            return claims
        query = scope["query_string"]
        if query and (refusal := query_refusal(query, route.query)):
            return refusal
        body = await _checked_body(route, headers, receive)
        if isinstance(body, Refusal):
            return body
        if body is None:
            exchange.status = GONE
            return None
        child = _child(scope, mount.target, rest)
        child[SCOPE_KEY] = front.admission.context(claims, exchange)
        await front.targets[mount.target](child, _replay(body, receive), exchange.answer)
        return None

    async def _failed(self, exchange: Exchange, error: Exception) -> None:
        """Answer for a target that raised; nothing of an unknown error leaves."""
        self._log(
            {
                "event": "request.failed",
                "request_id": exchange.request_id,
                "error": getattr(error, "code", type(error).__name__),
                "stack": None
                if isinstance(error, ThroughlineError)
                else "".join(traceback.format_exception(error)),
            }
        )
        if exchange.status:
            raise error  # the answer has begun: the server must cut it off
        if not isinstance(error, ThroughlineError):
            await exchange.refuse(Refusal("internal"))
            return
        await exchange.problem(exchange.outside.told(problem_of(error)))


def gateway_app(policy: Policy, targets: Mapping[str, ASGIApp], edge: Edge) -> Gateway:
    """Make the gateway; ValueError when a version that is served has no target."""
    return Gateway(Front(policy, targets, edge), edge.log)


def _endings(policy: Policy, issuer: str) -> Iterator[tuple[str, float, Refusal]]:
    """The versions that end, each with the last second of its last day and what is said then."""
    for target, mount in policy.mounts.items():
        if (day := mount.version.sunset) is not None:
            last = datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=UTC)
            headers: tuple[Header, ...] = (
                (b"sunset", format_datetime(last, usegmt=True).encode()),
            )
            if mount.successor:
                link = f'<{issuer}{mount.successor}>; rel="successor-version"'
                headers = (*headers, (b"link", link.encode()))
            yield target, last.timestamp(), Refusal("version-retired", headers=headers)


async def _checked_body(
    route: Route, headers: Mapping[bytes, bytes], receive: Receive
) -> bytes | Refusal | None:
    """Read and check the body; empty for an operation that is called without one."""
    sent = headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers
    if not sent:
        return MALFORMED if route.body == "required" else b""
    if refusal := type_refusal(headers):
        return refusal
    body = await read_body(headers, receive)
    if body and isinstance(body, bytes):
        return json_refusal(body, array=route.array) or body
    return MALFORMED if body == b"" and route.body == "required" else body


def _child(scope: Scope, target: str, rest: str) -> Scope:
    prefix = f"/{target}"
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    root = scope.get("root_path", "") + prefix
    return {**scope, "path": rest, "raw_path": raw[len(prefix) :] or b"/", "root_path": root}


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the body that was read, then what the server says."""
    sent = False

    async def again() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _line(exchange: Exchange, scope: Scope) -> dict[str, Any]:
    return {
        "event": "request",
        "request_id": exchange.request_id,
        "trace_id": exchange.trace_id,
        "client": exchange.client,
        "method": scope["method"],
        "target": exchange.target,
        "operation": exchange.operation,
        "status": exchange.status,
        "code": exchange.code,
        "ms": round((time.perf_counter() - exchange.began) * 1000, 3),
    }


def _span(exchange: Exchange, scope: Scope, headers: Mapping[bytes, bytes]) -> Span:
    given = headers.get(b"traceparent", b"").decode("latin-1")
    took_s = time.perf_counter() - exchange.began
    return Span(
        name=f"{scope['method']} {exchange.target or 'gateway'}",
        kind="server",
        own=exchange.traceparent,
        parent=given if trace_id_of(given) == exchange.trace_id else "",
        began_ns=time.time_ns() - int(took_s * 1e9),
        failed=exchange.status >= 500,  # noqa: PLR2004 - HTTP's own border
        attributes={
            "http.request.method": scope["method"],
            "http.response.status_code": exchange.status,
            "throughline.operation": exchange.operation,
            "throughline.client": exchange.client,
            "throughline.request_id": exchange.request_id,
        },
    )


async def _lifespan(receive: Receive, send: Send) -> None:
    """Accept the protocol; the lifespans of the apps are the server's to compose."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
