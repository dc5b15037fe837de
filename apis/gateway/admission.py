"""Who asks, whether this is granted to them, and how often: before a byte of the body is read."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from apis.gateway.api_keys import ApiKeys
from apis.gateway.compiled import Policy
from apis.gateway.exchange import Exchange
from apis.gateway.guard import Refusal
from apis.gateway.oauth import RESOURCE_PATH
from apis.gateway.policy import Client
from apis.gateway.routes import Route
from apis.gateway.tokens import Claims, Tokens
from apis.runtime.clock import Clock
from apis.runtime.context import Context
from apis.runtime.limits import Limit, Limiter


class Admission:
    """Authenticates, checks the scope and counts, for one policy."""

    def __init__(
        self, policy: Policy, tokens: Tokens, keys: ApiKeys, limiter: Limiter, clock: Clock
    ) -> None:
        self._policy = policy
        self._clients = policy.gateway.clients
        self._people = policy.gateway.people
        self._tokens = tokens
        self._keys = keys
        self._limiter = limiter
        self._about = f'resource_metadata="{tokens.issuer}{RESOURCE_PATH}"'
        self._missing = _challenged("missing-token", f"Bearer {self._about}")
        self._invalid = _challenged("invalid-token", f'Bearer error="invalid_token", {self._about}')
        self._clock = clock
        self._fields = {name: _policy_field(limits) for name, limits in policy.limits.items()}

    async def admitted(
        self, route: Route, headers: Mapping[bytes, bytes], exchange: Exchange
    ) -> Claims | Refusal:
        """The claims of who may call this operation now, or why not."""
        kind, _, token = headers.get(b"authorization", b"").partition(b" ")
        claims = self._tokens.verify(token) if kind.lower() == b"bearer" else None
        if claims is None and (claims := await self._keys.claims(headers)) is None:
            sent = b"authorization" in headers or b"x-api-key" in headers
            return self._invalid if sent else self._missing
        client = self._clients.get(claims.client_id)
        if client is None or (claims.grant and claims.sub not in self._people):
            return self._invalid
        exchange.client = claims.client_id
        if route.scope not in claims.scopes or route.scope not in client.scopes:
            challenge = f'Bearer error="insufficient_scope", scope="{route.scope}", {self._about}'
            detail = f"The scope {route.scope} is needed."
            return _challenged("insufficient-scope", challenge, detail)
        return await self._counted(route, claims, client, exchange) or claims

    def context(self, claims: Claims, exchange: Exchange) -> Context:
        """What travels with the call to the tiers."""
        who = self._people[claims.sub] if claims.grant else self._clients[claims.client_id]
        return Context(
            actor=claims.sub,
            client=claims.client_id,
            person=claims.person,
            roles=claims.roles,
            scopes=claims.scopes,
            rows=who.rows,
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


def _challenged(code: str, challenge: str, detail: str = "") -> Refusal:
    return Refusal(code, detail, ((b"www-authenticate", challenge.encode()),))


def _policy_field(limits: tuple[tuple[str, Limit], ...]) -> bytes:
    each = [f'"{name}";q={limit.tokens};w={int(limit.window)}' for name, limit in limits]
    return ", ".join(each).encode()
