"""The gateway's own addresses: health, keys, OAuth, the catalog, what was decided."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from apis.gateway.admission import Admission
from apis.gateway.bodies import form_body
from apis.gateway.exchange import Exchange
from apis.gateway.explaining import DECISIONS_PATH, Explaining
from apis.gateway.guard import (
    GONE,
    JSON,
    PUBLIC,
    Header,
    Receive,
    Refusal,
    Scope,
    not_allowed,
    query_refusal,
)
from apis.gateway.oauth import (
    AUTHORIZE_PATH,
    INTROSPECT_PATH,
    KEYS_PATH,
    RESOURCE_PATH,
    REVOKE_PATH,
    TOKEN_PATH,
    AuthorizationServer,
    Endpoint,
)
from apis.gateway.pages import STYLE_PATH
from apis.gateway.people import People
from apis.gateway.routes import Route
from apis.gateway.sign_in import SIGN_OUT_PATH, SignIn
from apis.gateway.tokens import SEEN_S, Tokens

Ready = Callable[[], Awaitable[list[str]]]
Metrics = Callable[[], Awaitable[bytes]]
Answer = Callable[[Exchange, dict[bytes, bytes], Scope, Receive], Awaitable[Refusal | None]]

_CATALOG = Route("getCatalog", "catalog.read", "catalog")
_COUNTS = Route("listDecisions", "decisions.read", "decisions")
_DECISION = Route("getDecision", "decisions.read", "decisions")
_METRICS = Route("getMetrics", "metrics.read", "metrics")
METRICS_PATH = "/metrics"
PAGES = ("/portal", "/problems")
"""Where the pages for developers are."""
EXPOSITION: Header = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
KEYS_KEPT: Header = (b"cache-control", b"public, max-age=%d" % SEEN_S)
"""No longer than until a new key signs: whoever keeps them for us would not know it."""
_NOT_FOUND = Refusal("not-found")
_UNKNOWN = Refusal("request-unknown")
OAUTH = frozenset({AUTHORIZE_PATH, TOKEN_PATH, INTROSPECT_PATH, REVOKE_PATH})
"""Addresses that say what is wrong with a query in words of their own."""


class Pages(Protocol):
    """The pages for developers."""

    async def serve(
        self, exchange: Exchange, headers: dict[bytes, bytes], scope: Scope, receive: Receive
    ) -> Refusal | None:
        """Answer one request for a page."""


class Inside(NamedTuple):
    """What is told to who has a token."""

    explaining: Explaining
    metrics: Metrics | None = None


class Own:
    """Answers what no API stands behind; what is not in `public` needs a token."""

    def __init__(
        self,
        tokens: Tokens,
        oauth: AuthorizationServer,
        people: People,
        ready: Ready,
        inside: Inside,
        *,
        pages: Pages | None = None,
    ) -> None:
        self._pages = pages
        self._inside = inside
        self._tokens = tokens
        self._oauth = oauth
        self._ready = ready
        sign_in = SignIn(oauth, people, secure=tokens.issuer.startswith("https://"))
        self._public: dict[tuple[str, str], Answer] = {
            ("GET", "/healthz"): self._healthz,
            ("HEAD", "/healthz"): self._healthz,
            ("GET", "/readyz"): self._readyz,
            ("HEAD", "/readyz"): self._readyz,
            ("GET", KEYS_PATH): self._told(tokens.jwks, KEYS_KEPT),
            ("GET", "/.well-known/oauth-authorization-server"): self._told(oauth.metadata),
            ("GET", RESOURCE_PATH): self._told(oauth.resource_metadata),
            ("GET", AUTHORIZE_PATH): sign_in.authorize,
            ("POST", AUTHORIZE_PATH): sign_in.authorize,
            ("GET", SIGN_OUT_PATH): sign_in.sign_out,
            ("POST", SIGN_OUT_PATH): sign_in.sign_out,
            ("GET", STYLE_PATH): sign_in.style,
            ("POST", TOKEN_PATH): self._form("token"),
            ("POST", INTROSPECT_PATH): self._form("introspection"),
            ("POST", REVOKE_PATH): self._form("revocation"),
        }
        self._methods: dict[str, list[str]] = {}
        for method, path in self._public:
            self._methods.setdefault(path, []).append(method)

    async def serve(  # noqa: PLR0911 - each kind of address has its answer
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        receive: Receive,
        exchange: Exchange,
        behind: tuple[Admission, Mapping[str, bytes]],
    ) -> Refusal | None:
        """Answer, or say why not; `behind` are who lets in and the pages that need a token."""
        method, path = scope["method"], scope["path"]
        if self._pages is not None and path.startswith(PAGES):
            return await self._pages.serve(exchange, headers, scope, receive)
        more = None if path in OAUTH else query_refusal(scope["query_string"], {})
        if serve := self._public.get((method, path)):
            return more or await serve(exchange, headers, scope, receive)
        if allowed := self._methods.get(path):
            return not_allowed(allowed)
        admission, pages = behind
        route = self._protected(path, pages)
        if route is None or method != "GET":
            return not_allowed(["GET"]) if route else _NOT_FOUND
        exchange.operation = route.operation
        claims = await admission.admitted(route, headers, exchange)
        refusal = claims if isinstance(claims, Refusal) else more
        if refusal is not None:
            return refusal
        if route is _METRICS and self._inside.metrics is not None:
            await exchange.reply(200, await self._inside.metrics(), EXPOSITION)
            return None
        page = pages[path] if route is _CATALOG else await self._inside.explaining.page(path)
        if page is not None:
            await exchange.reply(200, page)
        return None if page is not None else _UNKNOWN

    def _protected(self, path: str, pages: Mapping[str, bytes]) -> Route | None:
        """The operation at a path that needs a token."""
        if path in pages:
            return _CATALOG
        if path == METRICS_PATH and self._inside.metrics is not None:
            return _METRICS
        if path == DECISIONS_PATH:
            return _COUNTS
        return _DECISION if path.startswith(f"{DECISIONS_PATH}/") else None

    async def _healthz(self, exchange: Exchange, *_: Any) -> Refusal | None:
        await exchange.reply(200, b'{"status":"alive"}')
        return None

    async def _readyz(self, exchange: Exchange, *_: Any) -> Refusal | None:
        if missing := await self._ready():
            return Refusal("unavailable", f"Not ready: {', '.join(missing)}.")
        await exchange.reply(200, b'{"status":"ready"}')
        return None

    def _told(self, document: Callable[[], Any], kept: Header = PUBLIC) -> Answer:
        async def told(exchange: Exchange, *_: Any) -> Refusal | None:
            await exchange.reply(200, msgspec.json.encode(document()), JSON, kept)
            return None

        return told

    def _form(self, endpoint: Endpoint) -> Answer:
        async def answered(
            exchange: Exchange, headers: dict[bytes, bytes], scope: Scope, receive: Receive
        ) -> Refusal | None:
            body = await form_body(headers, receive)
            if isinstance(body, Refusal):
                return body
            if body is None:
                exchange.status = GONE
                return None
            answer = await self._oauth.answer(
                endpoint, headers, scope["query_string"], body, exchange.certificate
            )
            exchange.client, exchange.code = answer.client, answer.body.get("error")
            encoded = msgspec.json.encode(answer.body)
            await exchange.reply(answer.status, encoded, JSON, *answer.headers)
            return None

        return answered
