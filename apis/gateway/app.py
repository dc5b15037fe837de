"""The pipeline in order: guard, route, authenticate, scope, limit, body, forward, log.

One raw ASGI layer. What a request needs was decided at start (`policy.py`), so a call is a few
look-ups; what is refused is a row of `guard.REFUSALS`.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from math import ceil
from typing import Any, NamedTuple

import msgspec

from apis.gateway.catalog import catalog_pages
from apis.gateway.exchange import Exchange, Outside
from apis.gateway.guard import (
    JSON,
    MALFORMED,
    PUBLIC,
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
    query_refusal,
    read_body,
    type_refusal,
)
from apis.gateway.oauth import TOKEN_PATH, AuthorizationServer
from apis.gateway.policy import Client, Mount, Policy, Route
from apis.gateway.tokens import Claims, Tokens
from apis.runtime.clock import Clock
from apis.runtime.context import SCOPE_KEY, Context
from apis.runtime.limits import Limit, Limiter
from contracts.errors import ThroughlineError, problem_of

Log = Callable[[dict[str, Any]], None]
Ready = Callable[[], Awaitable[list[str]]]

_CATALOG = Route("getCatalog", "catalog.read", "catalog", None, "none", array=False)
_INVALID_TOKEN = Refusal(
    "invalid-token", headers=((b"www-authenticate", b'Bearer error="invalid_token"'),)
)
_MISSING_TOKEN = Refusal("missing-token", headers=((b"www-authenticate", b"Bearer"),))
_NOT_FOUND = Refusal("not-found")
MOST_FORM_BYTES = 16_384
RETRY: tuple[Header, ...] = ((b"retry-after", b"5"),)
_GONE = 499  # in the log only: the client went away


class Edge(NamedTuple):
    """What the pipeline works with besides policy and targets."""

    issuer: str
    clock: Clock
    limiter: Limiter
    tokens: Tokens
    oauth: AuthorizationServer
    ready: Ready
    log: Log


class Gateway:
    """The ASGI application in front of all APIs."""

    def __init__(self, policy: Policy, targets: Mapping[str, ASGIApp], edge: Edge) -> None:
        self._policy = policy
        self._targets = targets
        self._edge = edge
        vendors = {api.vendor for api in policy.gateway.apis.values() if api.vendor}
        self._outside = Outside(edge.issuer, vendors)
        self._hosts = allowed_hosts(edge.issuer, policy.gateway.hosts)
        self._catalog = catalog_pages(policy, edge.issuer)
        self._sunsets = {name: _sunset(mount) for name, mount in policy.mounts.items()}
        self._fields = {name: _policy_field(limits) for name, limits in policy.limits.items()}
        self._public: dict[tuple[str, str], Callable[..., Awaitable[Refusal | None]]] = {
            ("GET", "/healthz"): self._healthz,
            ("HEAD", "/healthz"): self._healthz,
            ("GET", "/readyz"): self._readyz,
            ("HEAD", "/readyz"): self._readyz,
            ("GET", "/.well-known/jwks.json"): self._jwks,
            ("GET", "/.well-known/oauth-authorization-server"): self._metadata,
            ("POST", TOKEN_PATH): self._token,
        }
        self._public_methods: dict[str, list[str]] = {}
        for method, path in self._public:
            self._public_methods.setdefault(path, []).append(method)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event stream."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        exchange = Exchange(scope, headers, send, self._outside)
        try:
            refusal = await self._serve(scope, headers, receive, exchange)
            if refusal is not None:
                await exchange.refuse(refusal)
        except Exception as error:  # noqa: BLE001 - the last one who can answer
            await self._failed(exchange, error)
        self._edge.log(_line(exchange, scope))

    async def _serve(  # noqa: PLR0911 - each stage may refuse
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, exchange: Exchange
    ) -> Refusal | None:
        if refusal := head_refusal(scope, headers, self._hosts):
            return refusal
        method, path = scope["method"], scope["path"]
        parts = path.split("/", 4)
        mount = self._policy.mounts.get("/".join(parts[1:4])) if len(parts) > 3 else None  # noqa: PLR2004 - /tier/api/version
        if mount is None:
            return await self._own(scope, headers, receive, exchange)
        if refusal := self._retired(mount):
            return refusal
        rest = "/" + parts[4] if len(parts) > 4 else "/"  # noqa: PLR2004 - what follows the version
        methods = mount.find(rest)
        if methods is None:
            return _NOT_FOUND
        route = methods.get(method)
        if route is None:
            return _not_allowed(methods)
        exchange.target, exchange.operation = route.target, route.operation
        claims = await self._admitted(route, headers, exchange)
        if isinstance(claims, Refusal):
            return claims
        query = scope["query_string"]
        if query and (refusal := query_refusal(query, route.query)):
            return refusal
        body = await _checked_body(route, headers, receive)
        if isinstance(body, Refusal):
            return body
        if body is None:
            exchange.status = _GONE
            return None
        child = _child(scope, mount.target, rest)
        child[SCOPE_KEY] = self._context(claims, exchange)
        await self._targets[mount.target](child, _replay(body, receive), exchange.answer)
        return None

    async def _own(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, exchange: Exchange
    ) -> Refusal | None:
        """Serve what is the gateway's own: health, OAuth, the catalog."""
        method, path = scope["method"], scope["path"]
        more = None if path == TOKEN_PATH else query_refusal(scope["query_string"], {})
        if serve := self._public.get((method, path)):
            return more or await serve(exchange, headers, scope, receive)
        if allowed := self._public_methods.get(path):
            return _not_allowed(allowed)
        page = self._catalog.get(path)
        if page is None:
            return _NOT_FOUND
        if method != "GET":
            return _not_allowed(["GET"])
        exchange.operation = _CATALOG.operation
        claims = await self._admitted(_CATALOG, headers, exchange)
        refusal = claims if isinstance(claims, Refusal) else more
        if refusal is None:
            await exchange.reply(200, page)
        return refusal

    async def _admitted(
        self, route: Route, headers: Mapping[bytes, bytes], exchange: Exchange
    ) -> Claims | Refusal:
        """Authenticate, check the scope, count."""
        given = headers.get(b"authorization")
        if given is None:
            return _MISSING_TOKEN
        kind, _, token = given.partition(b" ")
        claims = self._edge.tokens.verify(token) if kind.lower() == b"bearer" else None
        client = self._policy.gateway.clients.get(claims.client_id) if claims else None
        if claims is None or client is None:
            return _INVALID_TOKEN
        exchange.client = claims.client_id
        if route.scope not in claims.scopes:
            challenge = f'Bearer error="insufficient_scope", scope="{route.scope}"'
            return Refusal(
                "insufficient-scope",
                f"The scope {route.scope} is needed.",
                ((b"www-authenticate", challenge.encode()),),
            )
        return await self._counted(route, claims, client, exchange) or claims

    async def _counted(
        self, route: Route, claims: Claims, client: Client, exchange: Exchange
    ) -> Refusal | None:
        limiter, now = self._edge.limiter, self._edge.clock.timestamp()
        field = self._fields[client.plan]
        limits = self._policy.limits[client.plan]
        if route.limit is not None:
            limits = ((route.operation, route.limit), *limits)
            field = _policy_field(limits)
        exchange.more.append((b"ratelimit-policy", field))
        left = []
        for name, limit in limits:
            own = f"{route.target}:" if limit is route.limit else ""
            key = f"{claims.client_id}:{own}{name}"
            verdict = limiter.take_now(key, limit, now) or await limiter.take(key, limit, now)
            if not verdict.allowed:
                wait = b"%d" % max(1, ceil(verdict.retry_after))
                state = b'"%b";r=0;t=%b' % (name.encode(), wait)
                return Refusal(
                    "rate-limited",
                    f"Try again in {wait.decode()} s.",
                    ((b"retry-after", wait), (b"ratelimit", state)),
                )
            left.append(b'"%b";r=%d;t=%d' % (name.encode(), verdict.remaining, ceil(verdict.reset)))
        exchange.more.append((b"ratelimit", b", ".join(left)))
        return None

    def _context(self, claims: Claims, exchange: Exchange) -> Context:
        client = self._policy.gateway.clients[claims.client_id]
        return Context(
            actor=claims.sub,
            client=claims.client_id,
            person=claims.person,
            roles=claims.roles,
            scopes=claims.scopes,
            rows=client.rows,
            request_id=exchange.request_id,
            traceparent=exchange.traceparent,
            cause=exchange.request_id,
        )

    def _retired(self, mount: Mount) -> Refusal | None:
        sunset = self._sunsets[mount.target]
        if sunset is None or self._edge.clock.timestamp() <= sunset:
            return None
        ended = format_datetime(datetime.fromtimestamp(sunset, UTC), usegmt=True)
        headers: tuple[Header, ...] = ((b"sunset", ended.encode()),)
        if mount.successor:
            link = f'<{self._edge.issuer}{mount.successor}>; rel="successor-version"'
            headers = (*headers, (b"link", link.encode()))
        return Refusal("version-retired", headers=headers)

    async def _failed(self, exchange: Exchange, error: Exception) -> None:
        """Answer for a target that raised; nothing of an unknown error leaves."""
        self._edge.log(
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
        await exchange.problem(self._outside.told(problem_of(error)))

    async def _healthz(self, exchange: Exchange, *_: Any) -> Refusal | None:
        await exchange.reply(200, b'{"status":"alive"}')
        return None

    async def _readyz(self, exchange: Exchange, *_: Any) -> Refusal | None:
        if missing := await self._edge.ready():
            return Refusal("unavailable", f"Not ready: {', '.join(missing)}.", RETRY)
        await exchange.reply(200, b'{"status":"ready"}')
        return None

    async def _jwks(self, exchange: Exchange, *_: Any) -> Refusal | None:
        await exchange.reply(200, msgspec.json.encode(self._edge.tokens.jwks()), JSON, PUBLIC)
        return None

    async def _metadata(self, exchange: Exchange, *_: Any) -> Refusal | None:
        await exchange.reply(200, msgspec.json.encode(self._edge.oauth.metadata()), JSON, PUBLIC)
        return None

    async def _token(
        self, exchange: Exchange, headers: dict[bytes, bytes], scope: Scope, receive: Receive
    ) -> Refusal | None:
        if b"content-encoding" in headers:
            return Refusal("unsupported-media-type", "Compressed bodies are not accepted.")
        body = await read_body(headers, receive, MOST_FORM_BYTES)
        if isinstance(body, Refusal):
            return body
        if body is None:
            exchange.status = _GONE
            return None
        answer = await self._edge.oauth.token(headers, scope["query_string"], body)
        exchange.client, exchange.code = answer.client, answer.body.get("error")
        await exchange.reply(answer.status, msgspec.json.encode(answer.body), JSON, *answer.headers)
        return None


def gateway_app(policy: Policy, targets: Mapping[str, ASGIApp], edge: Edge) -> ASGIApp:
    """Make the gateway; ValueError when a version that is served has no target."""
    if missing := sorted(set(policy.mounts) - set(targets)):
        msg = f"no target for {', '.join(missing)}"
        raise ValueError(msg)
    return Gateway(policy, targets, edge)


def _sunset(mount: Mount) -> float | None:
    """The last second of the day a version ends."""
    day = mount.version.sunset
    if day is None:
        return None
    return datetime(day.year, day.month, day.day, 23, 59, 59, tzinfo=UTC).timestamp()


def _policy_field(limits: tuple[tuple[str, Limit], ...]) -> bytes:
    each = [f'"{name}";q={limit.tokens};w={int(limit.window)}' for name, limit in limits]
    return ", ".join(each).encode()


def _not_allowed(methods: Any) -> Refusal:
    allow = ", ".join(sorted(methods))
    return Refusal("method-not-allowed", headers=((b"allow", allow.encode()),))


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


async def _lifespan(receive: Receive, send: Send) -> None:
    """Accept the protocol; the lifespans of the apps are the server's to compose."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
