"""Who asks, whether this is granted to them, and how often: before a byte of the body is read."""

from __future__ import annotations

from collections.abc import Mapping

from apis.gateway.api_keys import ApiKeys
from apis.gateway.compiled import Policy
from apis.gateway.counting import Counting
from apis.gateway.exchange import Exchange
from apis.gateway.guard import Refusal
from apis.gateway.oauth import RESOURCE_PATH
from apis.gateway.policy import Client, Person
from apis.gateway.routes import Route
from apis.gateway.tokens import Claims, Tokens
from apis.gateway.trust import Trust
from apis.runtime.context import Context

_NOT_BOUND = "The token and the client certificate of this connection do not belong together."


class Admission:
    """Authenticates, checks the scope and counts, for one policy."""

    def __init__(
        self, policy: Policy, tokens: Tokens, keys: ApiKeys, trust: Trust, counting: Counting
    ) -> None:
        self._clients = policy.gateway.clients
        self._people = policy.gateway.people
        self._tokens = tokens
        self._keys = keys
        self._trust = trust
        self._counting = counting
        self._about = f'resource_metadata="{tokens.issuer}{RESOURCE_PATH}"'
        self._missing = _challenged("missing-token", f"Bearer {self._about}")
        challenge = f'Bearer error="invalid_token", {self._about}'
        self._invalid = _challenged("invalid-token", challenge)
        self._not_bound = _challenged("invalid-token", challenge, _NOT_BOUND)

    async def admitted(
        self, route: Route, headers: Mapping[bytes, bytes], exchange: Exchange
    ) -> Claims | Refusal:
        """The claims of who may call this operation now, or why not."""
        kind, _, token = headers.get(b"authorization", b"").partition(b" ")
        claims = None
        if kind.lower() == b"bearer":
            claims = self._tokens.verify(token) or await self._trust.verify(token)
        if claims is None and (claims := await self._keys.claims(headers)) is None:
            sent = b"authorization" in headers or b"x-api-key" in headers
            return self._invalid if sent else self._missing
        client = claims.guest or self._clients.get(claims.client_id)
        if client is None or (claims.grant and claims.sub not in self._people):
            return self._invalid
        if (claims.bound or client.certificate) and (
            claims.bound is None or claims.bound != exchange.certificate
        ):
            return self._not_bound
        exchange.client = claims.client_id
        if route.scope in claims.scopes and route.scope in client.scopes:
            exchange.decide("authorization", route.scope, "allowed")
        elif route.modes.authorization == "observe":
            exchange.decide("authorization", route.scope, "observed")
        else:
            exchange.decide("authorization", route.scope, "refused")
            challenge = f'Bearer error="insufficient_scope", scope="{route.scope}", {self._about}'
            detail = f"The scope {route.scope} is needed."
            return _challenged("insufficient-scope", challenge, detail)
        counted = self._counting.counted
        return await counted(route, claims.client_id, client.plan, exchange) or claims

    def context(self, claims: Claims, exchange: Exchange) -> Context:
        """What travels with the call to the tiers."""
        if claims.grant:
            who: Client | Person = self._people[claims.sub]
        else:
            who = claims.guest or self._clients[claims.client_id]
        return Context(
            actor=claims.sub,
            client=claims.client_id,
            person=claims.person,
            roles=who.roles,  # as the policy is now, like scopes and rows
            scopes=claims.scopes,
            rows=who.rows,
            request_id=exchange.request_id,
            traceparent=exchange.traceparent,
            cause=exchange.request_id,
        )


def _challenged(code: str, challenge: str, detail: str = "") -> Refusal:
    return Refusal(code, detail, ((b"www-authenticate", challenge.encode()),))
