"""Who asks, whether this is granted to them, and how often: before a byte of the body is read."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from apis.gateway.compiled import Policy
from apis.gateway.exchange import Exchange
from apis.gateway.guard import Refusal
from apis.gateway.policy import Client
from apis.gateway.routes import Route
from apis.gateway.tokens import Claims, Tokens
from apis.runtime.clock import Clock
from apis.runtime.context import Context
from apis.runtime.limits import Limit, Limiter

_INVALID_TOKEN = Refusal(
    "invalid-token", headers=((b"www-authenticate", b'Bearer error="invalid_token"'),)
)
_NOT_BOUND = Refusal(
    "invalid-token",
    "The token and the client certificate of this connection do not belong together.",
    _INVALID_TOKEN.headers,
)
_MISSING_TOKEN = Refusal("missing-token", headers=((b"www-authenticate", b"Bearer"),))


class Admission:
    """Authenticates, checks the scope and counts, for one policy."""

    def __init__(self, policy: Policy, tokens: Tokens, limiter: Limiter, clock: Clock) -> None:
        self._policy = policy
        self._clients = policy.gateway.clients
        self._tokens = tokens
        self._limiter = limiter
        self._clock = clock
        self._fields = {name: _policy_field(limits) for name, limits in policy.limits.items()}

    async def admitted(
        self, route: Route, headers: Mapping[bytes, bytes], exchange: Exchange
    ) -> Claims | Refusal:
        """The claims of who may call this operation now, or why not."""
        given = headers.get(b"authorization")
        if given is None:
            return _MISSING_TOKEN
        kind, _, token = given.partition(b" ")
        claims = self._tokens.verify(token) if kind.lower() == b"bearer" else None
        client = self._clients.get(claims.client_id) if claims else None
        if claims is None or client is None:
            return _INVALID_TOKEN
        if (claims.bound or client.certificate) and (
            claims.bound is None or claims.bound != exchange.certificate
        ):
            return _NOT_BOUND
        exchange.client = claims.client_id
        if route.scope not in claims.scopes or route.scope not in client.scopes:
            challenge = f'Bearer error="insufficient_scope", scope="{route.scope}"'
            return Refusal(
                "insufficient-scope",
                f"The scope {route.scope} is needed.",
                ((b"www-authenticate", challenge.encode()),),
            )
        return await self._counted(route, claims, client, exchange) or claims

    def context(self, claims: Claims, exchange: Exchange) -> Context:
        """What travels with the call to the tiers."""
        client = self._clients[claims.client_id]
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

    async def _counted(
        self, route: Route, claims: Claims, client: Client, exchange: Exchange
    ) -> Refusal | None:
        limiter, now = self._limiter, self._clock.timestamp()
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


def _policy_field(limits: tuple[tuple[str, Limit], ...]) -> bytes:
    each = [f'"{name}";q={limit.tokens};w={int(limit.window)}' for name, limit in limits]
    return ", ".join(each).encode()
