"""Who asks, whether this is granted to them, and how often: before a byte of the body is read."""

from __future__ import annotations

from collections.abc import Mapping

from apis.gateway.compiled import Policy
from apis.gateway.counting import Counting
from apis.gateway.exchange import Exchange
from apis.gateway.guard import Refusal
from apis.gateway.routes import Route
from apis.gateway.tokens import Claims, Tokens
from apis.gateway.trust import Trust
from apis.runtime.context import Context

_INVALID_TOKEN = Refusal(
    "invalid-token", headers=((b"www-authenticate", b'Bearer error="invalid_token"'),)
)
_MISSING_TOKEN = Refusal("missing-token", headers=((b"www-authenticate", b"Bearer"),))


class Admission:
    """Authenticates, checks the scope and counts, for one policy."""

    def __init__(self, policy: Policy, tokens: Tokens, trust: Trust, counting: Counting) -> None:
        self._clients = policy.gateway.clients
        self._tokens = tokens
        self._trust = trust
        self._counting = counting

    async def admitted(
        self, route: Route, headers: Mapping[bytes, bytes], exchange: Exchange
    ) -> Claims | Refusal:
        """The claims of who may call this operation now, or why not."""
        given = headers.get(b"authorization")
        if given is None:
            return _MISSING_TOKEN
        kind, _, token = given.partition(b" ")
        claims = None
        if kind.lower() == b"bearer":
            claims = self._tokens.verify(token) or await self._trust.verify(token)
        client = (claims.guest or self._clients.get(claims.client_id)) if claims else None
        if claims is None or client is None:
            return _INVALID_TOKEN
        exchange.client = claims.client_id
        if route.scope in claims.scopes and route.scope in client.scopes:
            exchange.decide("authorization", route.scope, "allowed")
        elif route.modes.authorization == "observe":
            exchange.decide("authorization", route.scope, "observed")
        else:
            exchange.decide("authorization", route.scope, "refused")
            challenge = f'Bearer error="insufficient_scope", scope="{route.scope}"'
            return Refusal(
                "insufficient-scope",
                f"The scope {route.scope} is needed.",
                ((b"www-authenticate", challenge.encode()),),
            )
        counted = self._counting.counted
        return await counted(route, claims.client_id, client.plan, exchange) or claims

    def context(self, claims: Claims, exchange: Exchange) -> Context:
        """What travels with the call to the tiers."""
        client = claims.guest or self._clients[claims.client_id]
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
