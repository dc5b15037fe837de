"""Authlib's server with its endpoints, within one transaction of the database.

Its classes are synchronous, and so is a transaction: a whole request is one, and what it must know
of the client and of an access token was checked before.
"""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from authlib.oauth2 import AuthorizationServer as AuthlibServer
from authlib.oauth2 import OAuth2Request
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc9207 import IssuerParameter

from apis.gateway.client_authentication import UNAUTHORIZED, not_proven
from apis.gateway.grants import (
    REFRESH_TOKENS,
    Book,
    Challenge,
    ClientCredentials,
    Code,
    Refresh,
    Registered,
    SignedIn,
)
from apis.gateway.policy import Gateway
from apis.gateway.tokens import LEEWAY_S, Claims, Tokens

INTROSPECT = "tokens.introspect"
NOT_KEPT = ((b"cache-control", b"no-store"), (b"pragma", b"no-cache"))
BASIC = (b"www-authenticate", b'Basic realm="throughline", charset="UTF-8"')
SEE_OTHER = 303


class Answer(msgspec.Struct):
    """What the pipeline sends; a `location` instead of a body sends a browser on."""

    status: int
    body: dict[str, Any]
    headers: tuple[tuple[bytes, bytes], ...] = NOT_KEPT
    client: str | None = None
    location: str = ""


class Request(OAuth2Request):  # type: ignore[misc]  # Authlib has no types
    """A form or query that was read and checked, and who is known to have sent it."""

    def __init__(self, fields: dict[str, str], client: Registered | None = None) -> None:
        # whether plain HTTP is served is the listener's to decide, so Authlib is not asked
        super().__init__("POST", "https://localhost")
        self.payload = BasicOAuth2Payload(fields)
        self.proven = client

    @property
    def form(self) -> dict[str, str]:
        """Its fields."""
        return dict(self.payload.data)


class Held:
    """An access or refresh token as the endpoints of RFC 7009 and 7662 see it."""

    def __init__(self, client: str, said: dict[str, Any], grant: str | None = None) -> None:
        self.client = client
        self.said = said
        self.grant = grant
        """What ends with it: None for an access token, which ends alone."""

    def check_client(self, client: Registered) -> bool:
        """Whether it was given to this client."""
        return self.client == client.client_id

    def is_expired(self) -> bool:
        """One that is found has not expired."""
        return False

    def is_revoked(self) -> bool:
        """One that is found was not revoked."""
        return False


class Revocation(RevocationEndpoint):  # type: ignore[misc]  # Authlib has no types
    """A client ends a token of its own; of any other token it learns nothing."""

    def query_token(self, token: str, _hint: str | None) -> Held | None:
        """Find a token that was given to whoever asks."""
        held: Held | None = self.server.held(token)
        return held if held and held.check_client(self.server.proven) else None

    def revoke_token(self, token: Held, _request: Any) -> None:
        """End it on every worker."""
        self.server.end(token)


class Introspection(IntrospectionEndpoint):  # type: ignore[misc]  # Authlib has no types
    """A client asks about a token of its own, a resource server about any."""

    def query_token(self, token: str, _hint: str | None) -> Held | None:
        """Find a token that is good, of who is still in the policy."""
        held: Held | None = self.server.held(token)
        return None if held and self.server.gone(held) else held

    def check_permission(self, token: Held, client: Registered, _request: Any) -> bool:
        """Say whether it is this client's to ask."""
        return token.check_client(client) or INTROSPECT in client.client.scopes

    def introspect_token(self, token: Held) -> dict[str, Any]:
        """Tell what the token says."""
        return token.said


class Issuer(IssuerParameter):  # type: ignore[misc]  # Authlib has no types
    """Who answers, in every answer that a browser carries (RFC 9207)."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer

    def get_issuer(self) -> str:
        """Name us."""
        return self._issuer


class Transaction(AuthlibServer):  # type: ignore[misc]  # Authlib has no types
    """Authlib's server for one request, within the transaction that `book` holds."""

    def __init__(
        self,
        gateway: Gateway,
        tokens: Tokens,
        book: Book | None,
        proven: Registered | None = None,
        claims: Claims | None = None,
    ) -> None:
        super().__init__()
        self.gateway = gateway
        self.tokens = tokens
        self.book: Any = book
        self.proven: Any = proven
        self.claims = claims
        self.register_grant(ClientCredentials)
        self.register_grant(Code, [Challenge(required=True)])
        self.register_grant(Refresh)
        self.register_endpoint(Revocation)
        self.register_endpoint(Introspection)

    def query_client(self, client_id: str) -> Registered | None:
        """Find a client of the policy."""
        client = self.gateway.clients.get(client_id)
        return Registered(client_id, client) if client else None

    def authenticate_client(self, *_: Any) -> Registered:
        """Give the client that proved who it is before."""
        if self.proven is None:
            raise not_proven()
        client: Registered = self.proven
        return client

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Tell nobody."""

    def create_oauth2_request(self, request: Request) -> Request:
        """Take what was read before."""
        return request

    def generate_token(  # noqa: PLR0917 - Authlib's
        self,
        grant_type: str,
        client: Registered,
        user: SignedIn | None = None,
        scope: str | None = None,
        expires_in: int | None = None,  # noqa: ARG002 - ours is the one lifetime
        include_refresh_token: bool = True,  # noqa: FBT001, FBT002 - Authlib's
    ) -> dict[str, Any]:
        """Make an access token, and a refresh token where a person granted it."""
        known = client.client
        scopes = known.scopes if scope is None else known.scopes & set(scope.split())
        who: Any = user.person if user else known
        more: dict[str, Any] = {"sub": user.name, "grant": user.grant_id} if user else {}
        if client.certificate:
            more["cnf"] = {"x5t#S256": client.certificate}
        token = self.tokens.issue(
            client.client_id, scopes, roles=who.roles, person=who.person, **more
        )
        answer = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self.tokens.lifetime_s,
            "scope": " ".join(sorted(scopes)),
        }
        if user and include_refresh_token and grant_type != "client_credentials":
            answer["refresh_token"] = secrets.token_urlsafe(32)
        return answer

    def save_token(self, token: dict[str, Any], request: Request) -> None:
        """Keep the refresh token; an access token is kept by whoever asked for it."""
        if "refresh_token" in token:
            self.book.write_refresh_token(token["refresh_token"], request.user.grant_id)

    def answered(self, status: int, body: Any, headers: list[tuple[str, str]]) -> Answer:
        """Say it to the pipeline; of Authlib's headers only the way on is kept."""
        client = self.proven.client_id if self.proven else None
        if location := dict(headers).get("Location"):
            answer = Answer(SEE_OTHER, {}, location=location, client=client)
            Issuer(self.tokens.issuer).add_issuer_parameter(self, answer)
            return answer
        more = (BASIC,) if status == UNAUTHORIZED else ()
        return Answer(status, body, (*NOT_KEPT, *more), client)

    handle_response = answered  # Authlib's name for it

    def refused(self, error: Any) -> Answer:
        """Say why not."""
        answer: Answer = self.handle_error_response(None, error)
        return answer

    def held(self, token: str) -> Held | None:
        """Find an access or refresh token that is good."""
        if (said := self.claims) is not None:
            told = {
                "active": True, "token_type": "Bearer", "client_id": said.client_id,
                "sub": said.sub, "scope": " ".join(said.scopes), "exp": said.exp, "iat": said.iat,
                "jti": said.jti, "iss": self.tokens.issuer, "aud": self.tokens.issuer,
            }  # fmt: skip
            if said.bound:
                told["cnf"] = {"x5t#S256": said.bound}
            return Held(said.client_id, told)
        found = self.book.found(REFRESH_TOKENS, token)
        if found is None or not found.good:
            return None
        told = {
            "active": True, "client_id": found.client, "sub": found.name, "scope": found.scope,
            "exp": int(found.expires_at), "iss": self.tokens.issuer,
        }  # fmt: skip
        return Held(found.client, told, found.grant_id)

    def gone(self, token: Held) -> bool:
        """Whether its client, or the person it acts for, was taken out of the policy."""
        known = self.gateway.clients.keys() | self.gateway.people.keys()
        return not {token.client, token.said["sub"]} <= known

    def end(self, token: Held) -> None:
        """End a token; a refresh token takes its grant with it."""
        if token.grant is not None:
            self.book.end_grant(token.grant)
        else:
            self.book.revoke(token.said["jti"], token.said["exp"] + LEEWAY_S)
