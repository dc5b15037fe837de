"""The gateway's own addresses: health, keys, OAuth, the catalog."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec

from apis.gateway.admission import Admission
from apis.gateway.exchange import Exchange
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
    read_body,
)
from apis.gateway.oauth import TOKEN_PATH, AuthorizationServer
from apis.gateway.routes import Route
from apis.gateway.tokens import Tokens

Ready = Callable[[], Awaitable[list[str]]]
Metrics = Callable[[], Awaitable[bytes]]
Answer = Callable[[Exchange, dict[bytes, bytes], Scope, Receive], Awaitable[Refusal | None]]

_CATALOG = Route("getCatalog", "catalog.read", "catalog", None, "none", array=False)
_METRICS = Route("getMetrics", "metrics.read", "metrics", None, "none", array=False)
METRICS_PATH = "/metrics"
EXPOSITION: Header = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
_NOT_FOUND = Refusal("not-found")
MOST_FORM_BYTES = 16_384
RETRY: tuple[Header, ...] = ((b"retry-after", b"5"),)


class Own:
    """Answers what no API stands behind; what is not in `public` needs a token."""

    def __init__(
        self, tokens: Tokens, oauth: AuthorizationServer, ready: Ready, metrics: Metrics | None
    ) -> None:
        self._metrics = metrics
        self._tokens = tokens
        self._oauth = oauth
        self._ready = ready
        self._public: dict[tuple[str, str], Answer] = {
            ("GET", "/healthz"): self._healthz,
            ("HEAD", "/healthz"): self._healthz,
            ("GET", "/readyz"): self._readyz,
            ("HEAD", "/readyz"): self._readyz,
            ("GET", "/.well-known/jwks.json"): self._jwks,
            ("GET", "/.well-known/oauth-authorization-server"): self._metadata,
            ("POST", TOKEN_PATH): self._token,
        }
        self._methods: dict[str, list[str]] = {}
        for method, path in self._public:
            self._methods.setdefault(path, []).append(method)

    async def serve(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        receive: Receive,
        exchange: Exchange,
        behind: tuple[Admission, Mapping[str, bytes]],
    ) -> Refusal | None:
        """Answer, or say why not; `behind` are who lets in and the pages that need a token."""
        method, path = scope["method"], scope["path"]
        more = None if path == TOKEN_PATH else query_refusal(scope["query_string"], {})
        if serve := self._public.get((method, path)):
            return more or await serve(exchange, headers, scope, receive)
        if allowed := self._methods.get(path):
            return not_allowed(allowed)
        admission, pages = behind
        page, route = pages.get(path), _CATALOG
        if path == METRICS_PATH and self._metrics is not None:
            route = _METRICS
        elif page is None:
            return _NOT_FOUND
        if method != "GET":
            return not_allowed(["GET"])
        exchange.operation = route.operation
        claims = await admission.admitted(route, headers, exchange)
        refusal = claims if isinstance(claims, Refusal) else more
        if refusal is not None:
            return refusal
        if page is not None:
            await exchange.reply(200, page)
        elif self._metrics is not None:
            await exchange.reply(200, await self._metrics(), EXPOSITION)
        return None

    async def _healthz(self, exchange: Exchange, *_: Any) -> Refusal | None:
        await exchange.reply(200, b'{"status":"alive"}')
        return None

    async def _readyz(self, exchange: Exchange, *_: Any) -> Refusal | None:
        if missing := await self._ready():
            return Refusal("unavailable", f"Not ready: {', '.join(missing)}.", RETRY)
        await exchange.reply(200, b'{"status":"ready"}')
        return None

    async def _jwks(self, exchange: Exchange, *_: Any) -> Refusal | None:
        await exchange.reply(200, msgspec.json.encode(self._tokens.jwks()), JSON, PUBLIC)
        return None

    async def _metadata(self, exchange: Exchange, *_: Any) -> Refusal | None:
        await exchange.reply(200, msgspec.json.encode(self._oauth.metadata()), JSON, PUBLIC)
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
            exchange.status = GONE
            return None
        answer = await self._oauth.token(headers, scope["query_string"], body, exchange.certificate)
        exchange.client, exchange.code = answer.client, answer.body.get("error")
        await exchange.reply(answer.status, msgspec.json.encode(answer.body), JSON, *answer.headers)
        return None
