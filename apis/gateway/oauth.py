"""The authorization server: tokens, introspection, revocation, codes, and what it says of itself.

Authlib decides by the RFCs (`endpoints.py`, `grants.py`); what it lets pass is refused before it
(docs/decisions/0004-oauth.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from authlib.oauth2.rfc6749 import OAuth2Error
from authlib.oauth2.rfc6749.errors import (
    InvalidRequestError,
    InvalidScopeError,
)
from sqlalchemy import Connection

from apis.gateway.api_keys import PREFIX, ApiKeys
from apis.gateway.client_authentication import (
    ASSERTION_ALGORITHMS,
    ClientAuthentication,
    Credentials,
    StoreOnce,
    fields_of,
    form_of,
    not_proven,
)
from apis.gateway.endpoints import Answer, Request, Transaction
from apis.gateway.grants import SCOPE, Book, Registered
from apis.gateway.policy import OWN_SCOPES, Gateway
from apis.gateway.tokens import Claims, Tokens
from apis.gateway.uses import Uses
from apis.runtime.store import Store

TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path
AUTHORIZE_PATH = "/oauth/authorize"
INTROSPECT_PATH = "/oauth/introspect"
REVOKE_PATH = "/oauth/revoke"
KEYS_PATH = "/.well-known/jwks.json"
RESOURCE_PATH = "/.well-known/oauth-protected-resource"
GRANT_TYPES = ["authorization_code", "client_credentials", "refresh_token"]
HINTS = ("access_token", "refresh_token")
_PROOFS = ["client_secret_basic", "client_secret_post", "private_key_jwt"]

Endpoint = Literal["token", "introspection", "revocation"]


class BadRequestError(Exception):
    """An authorization request whose redirect cannot be trusted: told on a page, never sent on."""


class Asked(NamedTuple):
    """An authorization request that is right but for the person's consent."""

    client: str
    fields: dict[str, str]
    scopes: list[str]


class AuthorizationServer:
    """Gives tokens to clients that prove who they are, for themselves or for who signed in."""

    def __init__(
        self,
        gateway: Gateway,
        credentials: Credentials,
        tokens: Tokens,
        store: Store,
        uses: Uses,
    ) -> None:
        self.gateway = gateway
        self._tokens = tokens
        self._store = store
        self.api_keys = ApiKeys(gateway.clients, tokens, store, uses)
        once = StoreOnce(store)
        self._clients = ClientAuthentication(gateway, credentials, tokens, once, uses)

    def metadata(self) -> dict[str, Any]:
        """Describe this server (RFC 8414)."""
        issuer = self._tokens.issuer
        algorithms = ASSERTION_ALGORITHMS
        return {
            "issuer": issuer,
            "authorization_endpoint": issuer + AUTHORIZE_PATH,
            "token_endpoint": issuer + TOKEN_PATH,
            "jwks_uri": issuer + KEYS_PATH,
            "scopes_supported": self._scopes(),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": GRANT_TYPES,
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "token_endpoint_auth_methods_supported": [*_PROOFS, "none"],
            "token_endpoint_auth_signing_alg_values_supported": algorithms,
            "revocation_endpoint": issuer + REVOKE_PATH,
            "revocation_endpoint_auth_methods_supported": [*_PROOFS, "none"],
            "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
            "introspection_endpoint": issuer + INTROSPECT_PATH,
            "introspection_endpoint_auth_methods_supported": _PROOFS,
            "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
            "protected_resources": [issuer],
            "tls_client_certificate_bound_access_tokens": self._bound(),
        }

    def resource_metadata(self) -> dict[str, Any]:
        """Describe the APIs behind this gateway (RFC 9728)."""
        issuer = self._tokens.issuer
        return {
            "resource": issuer,
            "authorization_servers": [issuer],
            "jwks_uri": issuer + KEYS_PATH,
            "scopes_supported": self._scopes(),
            "bearer_methods_supported": ["header"],
            "tls_client_certificate_bound_access_tokens": self._bound(),
            "resource_name": "Throughline",
        }

    def _scopes(self) -> list[str]:
        clients = self.gateway.clients.values()
        return sorted(set(OWN_SCOPES).union(*(client.scopes for client in clients)))

    def _bound(self) -> bool:
        return any(client.certificate for client in self.gateway.clients.values())

    async def answer(
        self,
        endpoint: Endpoint,
        headers: Mapping[bytes, bytes],
        query: bytes,
        body: bytes,
        certificate: str | None = None,
    ) -> Answer:
        """Answer a form of a client at the token, introspection or revocation endpoint.

        `certificate` is the thumbprint of the one that the connection showed.
        """
        try:
            form = form_of(headers, query, body)
            _checked(endpoint, form)
            client = self._registered(await self._clients.proven(headers, form), certificate)
            if endpoint == "introspection" and client.client.public:
                raise not_proven()
        except OAuth2Error as error:
            answer: Answer = Transaction(self.gateway, self._tokens, None).refused(error)
            return answer
        if form.get("grant_type") == "client_credentials":
            return self._answered(endpoint, Request(form, client), None, None)
        token = form.get("token", "")
        ours = not token.startswith(PREFIX)  # an API key is ended by who made it
        claims = self._tokens.verify(token.encode("utf-8", "surrogatepass")) if ours else None
        return await self._in_transaction(self._answered, endpoint, Request(form, client), claims)

    def _answered(
        self, endpoint: Endpoint, request: Request, claims: Claims | None, book: Book | None
    ) -> Answer:
        server = Transaction(self.gateway, self._tokens, book, request.proven, claims)
        if endpoint == "token":
            answer: Answer = server.create_token_response(request)
        else:
            answer = server.create_endpoint_response(endpoint, request)
        return answer

    async def _in_transaction(self, work: Any, *args: Any) -> Answer:
        answer, revoked = await self._store.write(self._written, work, *args)
        self._tokens.revoke(revoked)
        return answer

    def _written(
        self, connection: Connection, work: Any, *args: Any
    ) -> tuple[Answer, dict[str, float]]:
        book = Book(connection, self.gateway.people, self._tokens.clock.timestamp())
        return work(*args, book), book.revoked

    def _registered(self, client_id: str, certificate: str | None) -> Registered:
        client = self.gateway.clients[client_id]
        if client.certificate and certificate is None:
            raise not_proven()
        return Registered(client_id, client, certificate if client.certificate else None)

    def asked(self, query: bytes) -> Asked | Answer:
        """What a client asks a person; an answer for its redirect, or BadRequestError."""
        fields = _trusted(self.gateway, query)
        server = Transaction(self.gateway, self._tokens, None)
        request = Request(fields)
        try:
            _plain(fields)
            server.get_consent_grant(request)
        except OAuth2Error as error:
            error.redirect_uri = fields["redirect_uri"]
            error.state = fields.get("state")
            answer: Answer = server.refused(error)
            return answer
        return Asked(fields["client_id"], fields, request.scope.split())

    async def decide(self, asked: Asked, person: str | None) -> Answer:
        """Send the browser back with a code, or, where nobody consents, without."""
        return await self._in_transaction(self._decided, asked, person)

    def _decided(self, asked: Asked, person: str | None, book: Book) -> Answer:
        server = Transaction(self.gateway, self._tokens, book)
        request = Request(asked.fields)
        grant = server.get_consent_grant(request)
        answer: Answer = server.create_authorization_response(request, person, grant)
        return answer


def _checked(endpoint: Endpoint, form: dict[str, str]) -> None:
    """Refuse what Authlib would guess about, or quote into an answer."""
    if endpoint != "token":
        if not form.get("token"):
            raise InvalidRequestError("The token is missing.")
        if form.get("token_type_hint") not in HINTS:
            form.pop("token_type_hint", None)  # RFC 7009 2.2.1: it is a hint
        return
    if not form.get("grant_type"):
        raise InvalidRequestError("The grant_type is missing.")
    if "scope" in form and not SCOPE.fullmatch(form["scope"]):
        raise InvalidScopeError


def _trusted(gateway: Gateway, query: bytes) -> dict[str, str]:
    """The fields of an authorization request that leads back to where its client lives."""
    try:
        fields = fields_of(query)
    except InvalidRequestError as error:
        raise BadRequestError(error.description) from None
    client = gateway.clients.get(fields.get("client_id", ""))
    if client is None or not client.redirects:
        raise BadRequestError("The application is not known here.")
    if fields.get("redirect_uri") not in client.redirects:
        raise BadRequestError("The address to return to is not the application's.")
    return fields


def _plain(fields: dict[str, str]) -> None:
    """Refuse what Authlib would quote into an answer, or read as something else."""
    response_type = fields.get("response_type", "")
    if not (response_type.isascii() and response_type.isidentifier()):
        raise InvalidRequestError("The response_type is missing or not a word.")
    if fields.get("response_mode", "query") != "query":
        raise InvalidRequestError("The response_mode must be query.")
    if {"request", "request_uri"} & fields.keys():
        raise InvalidRequestError("Request objects are not accepted.")
