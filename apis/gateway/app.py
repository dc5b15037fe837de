"""The pipeline in order: guard, route, authenticate, scope, limit, validate, forward, log.

One raw ASGI layer. What a request needs was decided at start (`policy.py`), so a call is a few
look-ups; what is refused is a row of `guard.REFUSALS`.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, NamedTuple

import msgspec

from apis.gateway.admission import Admission
from apis.gateway.bodies import TooLargeError
from apis.gateway.catalog import catalog_pages
from apis.gateway.compiled import Policy
from apis.gateway.counting import Counting
from apis.gateway.decisions import Decisions
from apis.gateway.endings import endings
from apis.gateway.exchange import PROBLEM, Exchange, Outside
from apis.gateway.explaining import Explaining
from apis.gateway.fields import FieldUses
from apis.gateway.guard import (
    GONE,
    REFUSALS,
    ASGIApp,
    Header,
    Receive,
    Refusal,
    Scope,
    Send,
    allowed_hosts,
    head_refusal,
    not_allowed,
)
from apis.gateway.idempotency import KEY, Idempotency
from apis.gateway.lifecycle import Extended, lives, never
from apis.gateway.oauth import AuthorizationServer
from apis.gateway.overload import Load
from apis.gateway.own import METRICS_PATH, Inside, Metrics, Own, Pages, Ready
from apis.gateway.people import People
from apis.gateway.requests import accepted
from apis.gateway.responses import Checked
from apis.gateway.routes import Route
from apis.gateway.tokens import Tokens
from apis.gateway.trust import Rings, Trust
from apis.gateway.versions import converted
from apis.runtime.clock import Clock
from apis.runtime.context import SCOPE_KEY, trace_id_of
from apis.runtime.limits import Limiter
from apis.runtime.permits import Permits
from apis.runtime.store import Store
from apis.runtime.traces import SPANS, Span
from contracts.errors import Problem, ThroughlineError, problem_of

Log = Callable[[dict[str, Any]], None]
_NOT_FOUND = Refusal("not-found")
_OVERLOADED = Refusal("overloaded", "Nothing was done.")
_SOON: Header = (b"retry-after", b"1")
NEVER_REFUSED = frozenset({"/healthz", "/readyz", METRICS_PATH})
"""Who asks whether we are well gets an answer however busy we are."""


class Edge(NamedTuple):
    """What the pipeline works with besides policy and targets."""

    issuer: str
    clock: Clock
    limiter: Limiter
    permits: Callable[[int], Permits]
    tokens: Tokens
    oauth: AuthorizationServer
    people: People
    ready: Ready
    log: Log
    decisions: Decisions
    idempotency: Idempotency
    metrics: Metrics | None = None
    rings: Rings | None = None
    """The keys of the issuers that are trusted; none are where there is nothing to fetch with."""
    fields: FieldUses | None = None
    portal: Callable[[Policy, Edge], Pages] | None = None
    """Makes the pages for developers, where they are served."""
    store: Store | None = None
    """Where those who register themselves are kept."""
    registered: Callable[[], Awaitable[object]] | None = None
    """Takes what was registered just now: in this process it counts before the answer is read."""
    entities: Collection[str] = ()
    """The legal entities that there are, for who says whose records a client sees."""
    extended: Extended = never
    """Which versions are served beyond their end, and to whom."""


class Front:
    """All that follows from one policy; it is never changed, only replaced as a whole."""

    __slots__ = (
        "admission", "decisions", "endings", "fields", "hosts", "idempotency", "lives", "outside",
        "overloaded", "own", "pages", "policy", "targets",
    )  # fmt: skip

    def __init__(self, policy: Policy, targets: Mapping[str, ASGIApp], edge: Edge) -> None:
        if missing := sorted(set(policy.mounts) - set(targets)):
            msg = f"no target for {', '.join(missing)}"
            raise ValueError(msg)
        self.policy = policy
        self.decisions = edge.decisions
        self.idempotency = edge.idempotency
        self.fields = edge.fields
        self.targets = converted(targets, policy.mounts, policy.ways)
        vendors = {api.vendor for api in policy.gateway.apis.values() if api.vendor}
        self.outside = Outside(edge.issuer, vendors)
        self.overloaded = _with_ids(self.outside.refused(_OVERLOADED))
        self.hosts = allowed_hosts(edge.issuer, policy.gateway.hosts)
        self.pages = catalog_pages(policy, edge.issuer)
        self.lives = lives(policy.mounts, edge.issuer, edge.clock.timestamp, edge.extended)
        self.endings = endings(policy.mounts, edge.issuer)
        known = policy.gateway
        trust = Trust(known.issuers, edge.rings, edge.clock, known.whole)
        counting = Counting(policy, edge.limiter, edge.permits, edge.clock)
        self.admission = Admission(policy, edge.tokens, edge.oauth.api_keys, trust, counting)
        inside = Inside(Explaining(edge.decisions, policy.gateway), edge.metrics)
        pages = edge.portal(policy, edge) if edge.portal else None
        self.own = Own(edge.tokens, edge.oauth, edge.people, edge.ready, inside, pages=pages)

    def note(
        self, route: Route, scope: Scope, headers: Mapping[bytes, bytes], exchange: Exchange
    ) -> None:
        """Remember which fields a call uses; the answer tells which of them are to go."""
        if self.endings and (ending := self.endings.get((route.target, route.operation))):
            ending.used(exchange, scope["query_string"], headers)
        if self.fields is not None and route.fields is not None:
            who = exchange.client or "", route.target, route.operation
            self.fields.note(route.fields, who, (scope["query_string"], exchange.said, headers))

    def away(self, target: str, error: ThroughlineError) -> Problem:
        """What is told of an API that is not ours: not where it runs, but whose it is."""
        code = error.code if error.code in REFUSALS else "unavailable"
        owner = self.policy.gateway.apis[target.rpartition("/")[0]].owner or "operations"
        problem = self.outside.refused(Refusal(code))
        return msgspec.structs.replace(problem, owner=owner, retry_after=error.retry_after)


class Gateway:
    """The ASGI application in front of all APIs."""

    def __init__(
        self, front: Front, log: Log, used: Callable[[Policy], object] = lambda _: None
    ) -> None:
        self.load = Load(log)
        self._log = log
        self._used = used
        self.use(front)

    def use(self, front: Front) -> None:
        """Serve by another policy from the next request on; what is under way ends by its own."""
        self.front = front
        self._used(front.policy)

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
        if not self.load.admits(scope) and scope["path"] not in NEVER_REFUSED:
            await self._refused(front, exchange)
            return
        try:
            refusal = await self._serve(front, scope, headers, receive, exchange)
            if refusal is not None:
                await exchange.refuse(refusal)
        except TooLargeError as error:
            if exchange.status:
                raise
            await exchange.refuse(error.refusal)
        except Exception as error:  # noqa: BLE001 - the last one who can answer
            await self._failed(front, exchange, error)
        finally:
            if exchange.held is not None:
                await exchange.let_go()
        front.decisions.note(exchange)
        self._log(_line(exchange, scope))
        if SPANS.recorder is not None:
            SPANS.recorder.record(_span(exchange, scope, headers))

    async def _serve(  # noqa: C901, PLR0911, PLR0912 - each stage may refuse
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
        life = front.lives.get(mount.target)
        if life is not None and (refusal := life.begun(exchange)):
            return refusal
        rest = "/" + parts[4] if len(parts) > 4 else "/"  # noqa: PLR2004 - what follows the version
        methods = mount.find(rest)
        if methods is None:
            return _NOT_FOUND
        route = methods.get(method)
        if route is None:
            return not_allowed(methods)
        exchange.target, exchange.operation = route.target, route.operation
        exchange.foreign = route.takes.rules.foreign
        if front.endings and (ending := front.endings.get((route.target, route.operation))):
            ending.begun(exchange)
        claims = await front.admission.admitted(route, headers, exchange)
        if isinstance(claims, Refusal):
            return claims
        if life is not None and (refusal := life.allowed(exchange)):
            return refusal
        child = _child(scope, mount.target, rest)
        body = await accepted(route.takes, child, headers, receive, exchange)
        if isinstance(body, Refusal):
            return body
        if body is None:
            exchange.status = GONE
            return None
        if route.fields is not None:
            front.note(route, scope, headers, exchange)
        child[SCOPE_KEY] = front.admission.context(claims, exchange)
        if route.keyed is not None and (KEY in headers or route.keyed.required):
            body = await front.idempotency.begun(route.keyed, claims, child, body, exchange)
            if body is None or isinstance(body, Refusal):
                return body
        answer: Send = exchange.answer
        if route.gives is not None:
            child["headers"] = [each for each in child["headers"] if each[0] != b"accept-encoding"]
            answer = Checked(route.gives, exchange)
        self.load.enter()
        try:
            await front.targets[mount.target](child, body, answer)
        finally:
            self.load.leave()
        exchange.status = exchange.status or GONE
        return None

    async def _refused(self, front: Front, exchange: Exchange) -> None:
        """Say that there is too much to do, at little cost: these are counted, not logged."""
        self.load.refused += 1
        ids = exchange.request_id.encode(), exchange.trace_id.encode()
        await exchange.reply(503, front.overloaded % ids, PROBLEM, _SOON)

    async def _failed(self, front: Front, exchange: Exchange, error: Exception) -> None:
        """Answer for a target that raised; nothing of an unknown error leaves."""
        known = isinstance(error, ThroughlineError)
        self._log(
            {
                "event": "request.failed",
                "request_id": exchange.request_id,
                "error": getattr(error, "code", type(error).__name__),
                "detail": str(error) if known and exchange.foreign else None,
                "stack": None if known else "".join(traceback.format_exception(error)),
            }
        )
        if exchange.status:
            raise error  # the answer has begun: the server must cut it off
        if not isinstance(error, ThroughlineError):
            await exchange.refuse(Refusal("internal"))
            return
        await exchange.problem(
            front.away(exchange.target or "", error)
            if exchange.foreign
            else exchange.outside.told(problem_of(error))
        )


def gateway_app(policy: Policy, targets: Mapping[str, ASGIApp], edge: Edge) -> Gateway:
    """Make the gateway; ValueError when a version that is served has no target."""
    return Gateway(Front(policy, targets, edge), edge.log)


def _with_ids(problem: Problem) -> bytes:
    """A problem document with room for its two ids."""
    document = msgspec.json.encode(problem).replace(b"%", b"%%")
    return document[:-1] + b',"request_id":"%b","trace_id":"%b"}'


def _child(scope: Scope, target: str, rest: str) -> Scope:
    prefix = f"/{target}"
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    root = scope.get("root_path", "") + prefix
    return {**scope, "path": rest, "raw_path": raw[len(prefix) :] or b"/", "root_path": root}


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
