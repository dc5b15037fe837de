"""What people granted to clients, as Authlib's grant classes ask for it.

Codes and refresh tokens are kept as digests. A transaction holds a whole request, so that each is
used once whatever the number of workers; one that comes again ends its grant.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec
import sqlalchemy as sa
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6749.errors import (
    InvalidGrantError,
    InvalidRequestError,
    InvalidScopeError,
)
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7636.challenge import compare_s256_code_challenge
from sqlalchemy import Column, Connection, Float, String, Text

from apis.gateway.policy import Client, Person
from apis.gateway.revocations import revoke
from apis.gateway.tokens import LEEWAY_S, LONGEST_S
from apis.runtime.store import change, find, insert_new, table

CODE_S = 60
GRANT_S = 12 * 3600
"""How long a person stays signed in at a client; refreshing does not prolong it."""
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
SCOPE = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*")

GRANTS = table(
    "gateway",
    "grants",
    Column("id", String(32), primary_key=True),
    Column("client", String(200), nullable=False),
    Column("person", String(200), nullable=False),
    Column("scope", Text, nullable=False),
    Column("expires_at", Float, nullable=False, index=True),
    Column("revoked_at", Float),
)
CODES = table(
    "gateway",
    "codes",
    Column("digest", String(64), primary_key=True),
    Column("grant_id", String(32), nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("challenge", String(43), nullable=False),
    Column("expires_at", Float, nullable=False, index=True),
    Column("used_at", Float),
)
REFRESH_TOKENS = table(
    "gateway",
    "refresh_tokens",
    Column("digest", String(64), primary_key=True),
    Column("grant_id", String(32), nullable=False),
    Column("expires_at", Float, nullable=False, index=True),
    Column("used_at", Float),
)
_KEPT_S = {GRANTS: 0, CODES: GRANT_S, REFRESH_TOKENS: 0}


def digest(secret: str) -> str:
    """What is kept of a code or token: enough to know it again."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class Registered:
    """A client of the policy as Authlib sees it."""

    def __init__(self, name: str, client: Client, certificate: str | None = None) -> None:
        self.client_id = name
        self.client = client
        self.certificate = certificate
        """What its tokens are bound to (RFC 8705)."""

    def __repr__(self) -> str:
        return self.client_id

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Whether people may be sent there: to the letter."""
        return redirect_uri in self.client.redirects

    def check_response_type(self, response_type: str) -> bool:
        """Whether it may ask people."""
        return response_type == "code" and bool(self.client.redirects)

    def check_grant_type(self, grant_type: str) -> bool:
        """Whether it acts for itself or for people; never both."""
        return bool(self.client.redirects) == (grant_type != "client_credentials")

    def get_allowed_scope(self, scope: str | None) -> str | None:
        """The scope that is asked for, all of it or none."""
        if scope is None:
            return " ".join(sorted(self.client.scopes))
        right = SCOPE.fullmatch(scope) and self.client.scopes.issuperset(scope.split(" "))
        return " ".join(sorted(set(scope.split(" ")))) if right else None


class SignedIn(msgspec.Struct, frozen=True):
    """The person a token is for, and what was granted."""

    name: str
    person: Person
    grant_id: str


class Given(msgspec.Struct, frozen=True):
    """A code or a refresh token that is good, with the grant it belongs to."""

    digest: str
    grant_id: str
    client: str
    name: str
    scope: str
    expires_at: float
    used: bool
    good: bool
    redirect_uri: str = ""
    code_challenge: str = ""
    code_challenge_method: str = "S256"

    def get_redirect_uri(self) -> str:
        """Where the code was sent."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """What the person granted."""
        return self.scope

    def check_client(self, client: Registered) -> bool:
        """Whether it was given to this client."""
        return self.client == client.client_id


class Book:
    """The grants within one transaction."""

    def __init__(self, connection: Connection, people: Mapping[str, Person], now: float) -> None:
        self.connection = connection
        self.people = people
        self.now = now
        self.revoked: dict[str, float] = {}

    def write_code(self, code: str, request: Any) -> None:
        """Keep a code, and the grant it stands for; what has long ended is forgotten."""
        for each, kept in _KEPT_S.items():
            self.connection.execute(sa.delete(each).where(each.c.expires_at < self.now - kept))
        grant = {"id": secrets.token_hex(16), "client": request.client.client_id}
        grant |= {"person": request.user, "scope": request.scope}
        insert_new(self.connection, GRANTS, **grant, expires_at=self.now + GRANT_S)
        insert_new(
            self.connection,
            CODES,
            digest=digest(code),
            grant_id=grant["id"],
            redirect_uri=request.payload.redirect_uri,
            challenge=request.payload.data["code_challenge"],
            expires_at=self.now + CODE_S,
        )

    def write_refresh_token(self, token: str, grant_id: str) -> None:
        """Keep a refresh token: it ends with its grant."""
        grant = find(self.connection, GRANTS, id=grant_id)
        insert_new(
            self.connection,
            REFRESH_TOKENS,
            digest=digest(token),
            grant_id=grant_id,
            expires_at=grant.expires_at,
        )

    def given(self, kept: sa.Table, secret: str, client: Registered) -> Given | None:
        """What this code or token stands for; one that was used before ends its grant."""
        found = self.found(kept, secret)
        if found is None or not found.check_client(client):
            return None
        if found.used:
            self.end_grant(found.grant_id)
        return found if found.good else None

    def found(self, kept: sa.Table, secret: str) -> Given | None:
        """What this code or token stands for, good or not; other requests wait for our end."""
        wanted = sa.select(kept, GRANTS).join(GRANTS, GRANTS.c.id == kept.c.grant_id)
        known = kept.c.digest == digest(secret)
        row = self.connection.execute(wanted.where(known).with_for_update()).mappings().first()
        if row is None:
            return None
        ends = min(row[kept.c.expires_at], row[GRANTS.c.expires_at])
        used, revoked = row[kept.c.used_at] is not None, row[GRANTS.c.revoked_at] is not None
        code = kept is CODES
        return Given(
            digest=row[kept.c.digest],
            grant_id=row[GRANTS.c.id],
            client=row[GRANTS.c.client],
            name=row[GRANTS.c.person],
            scope=row[GRANTS.c.scope],
            expires_at=ends,
            used=used,
            good=not used and not revoked and ends > self.now,
            redirect_uri=row[CODES.c.redirect_uri] if code else "",
            code_challenge=row[CODES.c.challenge] if code else "",
        )

    def revoke(self, name: str, until: float) -> None:
        """Tell every worker that a token or a grant is no longer good; it would end then."""
        revoke(self.connection, name, self.now, until)
        self.revoked[name] = until

    def end_grant(self, grant_id: str) -> None:
        """End what a person granted: its refresh tokens here, its access tokens on every worker."""
        change(self.connection, GRANTS, {"id": grant_id}, revoked_at=self.now)
        self.revoke(grant_id, self.now + LONGEST_S + LEEWAY_S)

    def use(self, kept: sa.Table, given: Given) -> None:
        """Remember that a code or token was used."""
        change(self.connection, kept, {"digest": given.digest}, used_at=self.now)

    def signed_in(self, given: Given) -> SignedIn:
        """The person who granted it, if the policy still knows them."""
        person = self.people.get(given.name)
        if person is None:
            raise InvalidGrantError("Nobody of this name signs in here.")
        return SignedIn(given.name, person, given.grant_id)


class ClientCredentials(grants.ClientCredentialsGrant):  # type: ignore[misc]  # Authlib has no types
    """A client asks for itself."""

    def validate_requested_scope(self) -> None:
        """Refuse what this client was not granted."""
        if self.request.client.get_allowed_scope(self.request.payload.scope) is None:
            raise InvalidScopeError


class Code(grants.AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib has no types
    """A person is asked, and the client exchanges the code it gets."""

    def save_authorization_code(self, code: str, request: Any) -> None:
        """Keep what the person decided."""
        self.server.book.write_code(code, request)

    def query_authorization_code(self, code: str, client: Registered) -> Given | None:
        """Find a code that is good."""
        found: Given | None = self.server.book.given(CODES, code, client)
        return found

    def delete_authorization_code(self, code: Given) -> None:
        """Keep it as used: a second use must be noticed."""
        self.server.book.use(CODES, code)

    def authenticate_user(self, code: Given) -> SignedIn:
        """Find who granted it."""
        signed_in: SignedIn = self.server.book.signed_in(code)
        return signed_in


class Refresh(grants.RefreshTokenGrant):  # type: ignore[misc]  # Authlib has no types
    """The next refresh token for the last one."""

    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, token: str) -> Given | None:
        """Find a token that is good."""
        book, client = self.server.book, self.request.client
        found: Given | None = book.given(REFRESH_TOKENS, token, client)
        return found

    def authenticate_user(self, token: Given) -> SignedIn:
        """Find who granted it."""
        signed_in: SignedIn = self.server.book.signed_in(token)
        return signed_in

    def revoke_old_credential(self, token: Given) -> None:
        """Keep it as used: a second use must be noticed."""
        self.server.book.use(REFRESH_TOKENS, token)


class Challenge(CodeChallenge):  # type: ignore[misc]  # Authlib has no types
    """PKCE as OAuth 2.1 wants it: always, and S256 only."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)
    CODE_CHALLENGE_METHODS = {"S256": compare_s256_code_challenge}  # noqa: RUF012 - as Authlib has it

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        """Refuse a request that leaves the challenge out: Authlib lets it pass."""
        asked = grant.request.payload.data
        if not CHALLENGE.fullmatch(asked.get("code_challenge", "")):
            raise InvalidRequestError("A code_challenge of 43 characters is needed.")
        if asked.get("code_challenge_method") != "S256":
            raise InvalidRequestError("The code_challenge_method must be S256.")
        super().validate_code_challenge(grant, redirect_uri)
