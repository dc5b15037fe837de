"""The authorization server: `POST /oauth/token`, its metadata and keys.

Clients prove themselves by secret (Basic or form) or by a signed assertion (`private_key_jwt`,
RFC 7523), which counts once across all workers.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import msgspec
import sqlalchemy as sa
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet
from sqlalchemy import Column, Connection, Float, String

from apis.gateway.policy import Client, Gateway, PolicyError
from apis.gateway.tokens import (
    LEEWAY_S,
    MOST_TOKEN_BYTES,
    Tokens,
    opened,
    read_secret,
    write_private,
)
from apis.runtime.clock import Clock
from apis.runtime.store import Store, insert_new, table

TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path
CLIENTS_FILE = "clients.json"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_ALGORITHMS = ["ES256", "RS256", "PS256"]
ASSERTION_TYPES = (None, "JWT", "client-authentication+jwt")
ASSERTION_S = 300
MOST_FIELDS = 20
MOST_JTI = 256
NOT_KEPT = ((b"cache-control", b"no-store"), (b"pragma", b"no-cache"))
BASIC = (b"www-authenticate", b'Basic realm="throughline", charset="UTF-8"')
_FORM_TYPE = re.compile(
    rb"application/x-www-form-urlencoded(?:[ \t]*;[ \t]*charset=utf-8)?", re.IGNORECASE
)
_NOBODY = sha256(secrets.token_bytes(32)).digest()

JTI = table(
    "gateway",
    "jti",
    Column("id", String(64), primary_key=True),
    Column("expires_at", Float, nullable=False, index=True),
)


class StoreOnce:
    """Remembers what may be used one time, for all workers of a deployment."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def first(self, name: str, until: float, now: float) -> bool:
        """Tell whether this name is new; it is kept until then."""
        return await self._store.write(_first, sha256(name.encode()).hexdigest(), until, now)


def _first(connection: Connection, name: str, until: float, now: float) -> bool:
    connection.execute(sa.delete(JTI).where(JTI.c.expires_at < now))
    return insert_new(connection, JTI, id=name, expires_at=until)


def ensure_clients(home: Path, gateway: Gateway) -> None:
    """Keep `$THROUGHLINE_HOME/clients.json`: a secret, made once, per client that is kept there."""
    path = home / CLIENTS_FILE
    held: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    wanted = held | {
        name: {
            "client_secret": held.get(name, {}).get("client_secret") or secrets.token_urlsafe(32),
            "scopes": sorted(client.scopes),
            "roles": list(client.roles),
        }
        for name, client in gateway.clients.items()
        if client.secret == f"home:{CLIENTS_FILE}"
    }
    if wanted != held:
        write_private(path, json.dumps(wanted, indent=2) + "\n", replace=bool(held))


class Credentials(msgspec.Struct, frozen=True):
    """How each client proves itself: the digest of its secret, its public keys."""

    secrets: dict[str, bytes]
    keys: dict[str, KeySet]


def load_credentials(gateway: Gateway, home: Path) -> Credentials:
    """Resolve every reference; PolicyError names each that leads nowhere."""
    found, mistakes = Credentials({}, {}), []
    for name, client in gateway.clients.items():
        try:
            if client.secret is not None:
                secret = read_secret(client.secret, home, member=name)
                found.secrets[name] = sha256(secret.encode()).digest()
        except (ValueError, OSError) as error:
            mistakes.append(gateway.lines.told(("clients", name, "secret"), str(error)))
        try:
            if client.keys is not None:
                found.keys[name] = _public_keys(client.keys, home)
        except (ValueError, LookupError, TypeError, OSError, JoseError) as error:
            mistakes.append(gateway.lines.told(("clients", name, "keys"), str(error)))
    if mistakes:
        raise PolicyError(mistakes)
    return found


def _public_keys(keys: str | list[dict[str, Any]], home: Path) -> KeySet:
    public = isinstance(keys, str) and json.loads(read_secret(keys, home, public=True))
    raw: Any = public or {"keys": keys}
    found = KeySet.import_key_set(raw)
    if any(key.key_type == "oct" or key.is_private for key in found.keys):
        msg = "only public keys belong here"
        raise ValueError(msg)
    return found


class _RefusedError(Exception):
    """An answer of RFC 6749 section 5.2."""

    def __init__(self, error: str, detail: str, status: int = 400) -> None:
        super().__init__(error)
        self.body = {"error": error, "error_description": detail}
        self.status = status


class Answer(msgspec.Struct, frozen=True):
    """What the pipeline sends."""

    status: int
    body: dict[str, Any]
    headers: tuple[tuple[bytes, bytes], ...] = NOT_KEPT
    client: str | None = None


class AuthorizationServer:
    """Gives access tokens to clients that prove who they are."""

    def __init__(
        self,
        gateway: Gateway,
        credentials: Credentials,
        tokens: Tokens,
        once: StoreOnce,
        clock: Clock,
    ) -> None:
        self._clients = gateway.clients
        self._credentials = credentials
        self._tokens = tokens
        self._once = once
        self._clock = clock
        self._audiences = {tokens.issuer, tokens.issuer + TOKEN_PATH}

    def metadata(self) -> dict[str, Any]:
        """Describe this server (RFC 8414)."""
        issuer = self._tokens.issuer
        scopes: set[str] = set().union(*(client.scopes for client in self._clients.values()))
        return {
            "issuer": issuer,
            "token_endpoint": issuer + TOKEN_PATH,
            "jwks_uri": issuer + "/.well-known/jwks.json",
            "tls_client_certificate_bound_access_tokens": any(
                client.certificate for client in self._clients.values()
            ),
            "scopes_supported": sorted(scopes),
            "response_types_supported": [],
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": [
                "client_secret_basic", "client_secret_post", "private_key_jwt",
            ],
            "token_endpoint_auth_signing_alg_values_supported": ASSERTION_ALGORITHMS,
        }  # fmt: skip

    async def token(
        self,
        headers: Mapping[bytes, bytes],
        query: bytes,
        body: bytes,
        certificate: str | None = None,
    ) -> Answer:
        """Answer a token request that came by a connection with this client certificate."""
        try:
            form = _form(headers, query, body)
            client_id = await self._authenticated(headers, form)
            scopes = _granted(self._clients[client_id], form.get("scope"))
            bound = _bound(self._clients[client_id], certificate)
        except _RefusedError as refused:
            more = (BASIC,) if refused.status == 401 else ()  # noqa: PLR2004 - RFC 6749 5.2
            return Answer(refused.status, refused.body, (*NOT_KEPT, *more))
        client = self._clients[client_id]
        token = self._tokens.issue(
            client_id, scopes, roles=client.roles, person=client.person, **bound
        )
        answer = {
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": self._tokens.lifetime_s,
            "scope": " ".join(sorted(scopes)),
        }
        return Answer(200, answer, client=client_id)

    async def _authenticated(self, headers: Mapping[bytes, bytes], form: dict[str, str]) -> str:
        basic = headers.get(b"authorization")
        ways = [basic is not None, "client_secret" in form, "client_assertion" in form]
        if sum(ways) > 1:
            raise _RefusedError("invalid_request", "Use one way to prove who the client is.")
        if "client_assertion" in form:
            client_id = await self._by_assertion(form)
        elif basic is not None:
            client_id = self._by_secret(*_basic(basic))
        else:
            client_id = self._by_secret(form.get("client_id", ""), form.get("client_secret", ""))
        if form.get("client_id", client_id) != client_id:
            raise _RefusedError("invalid_request", "Two clients are named.")
        return client_id

    def _by_secret(self, client_id: str, secret: str) -> str:
        # an unknown client costs the same comparison as a known one
        digest = self._credentials.secrets.get(client_id, _NOBODY)
        given = sha256(secret.encode("utf-8", "surrogatepass")).digest()
        if not hmac.compare_digest(given, digest) or client_id not in self._clients:
            raise _invalid_client()
        return client_id

    async def _by_assertion(self, form: dict[str, str]) -> str:
        assertion = form["client_assertion"].encode()
        if form.get("client_assertion_type") != ASSERTION:
            raise _RefusedError("invalid_request", "The client_assertion_type is not known.")
        if len(assertion) > MOST_TOKEN_BYTES:
            raise _invalid_client()
        client_id = _claimed_subject(assertion)
        keys = self._credentials.keys.get(client_id)
        if keys is None:
            raise _invalid_client()
        said = opened(assertion, lambda kid: _key(keys, kid), ASSERTION_ALGORITHMS, ASSERTION_TYPES)
        now = self._clock.timestamp()
        if said is None or (until := self._until(said, client_id, now)) is None:
            raise _invalid_client()
        if not await self._once.first(f"{client_id} {said['jti']}", until, now):
            raise _invalid_client()
        return client_id

    def _until(self, said: dict[str, Any], client_id: str, now: float) -> float | None:
        """Give the moment until which a right assertion must be remembered."""
        audience, exp, jti = said.get("aud"), said.get("exp"), said.get("jti")
        audiences = audience if isinstance(audience, list) else [audience]
        times = [exp, said.get("iat", now), said.get("nbf", now)]
        right = (
            said.get("iss") == said.get("sub") == client_id
            and any(isinstance(each, str) and each in self._audiences for each in audiences)
            and all(isinstance(each, int | float) and each is not True for each in times)
            and now - LEEWAY_S < times[0] <= now + ASSERTION_S + LEEWAY_S
            and max(times[1], times[2]) <= now + LEEWAY_S
            and isinstance(jti, str)
            and 0 < len(jti) <= MOST_JTI
        )
        return float(times[0]) + LEEWAY_S if right else None


def _invalid_client() -> _RefusedError:
    return _RefusedError("invalid_client", "The client did not prove who it is.", 401)


def _bound(client: Client, certificate: str | None) -> dict[str, Any]:
    """What binds a token to the certificate of a client that must show one (RFC 8705)."""
    if client.certificate is None:
        return {}
    if certificate is None:
        raise _invalid_client()
    return {"cnf": {"x5t#S256": certificate}}


def _form(headers: Mapping[bytes, bytes], query: bytes, body: bytes) -> dict[str, str]:
    if query:
        raise _RefusedError("invalid_request", "Parameters belong in the body.")
    if not _FORM_TYPE.fullmatch(headers.get(b"content-type", b"")):
        raise _RefusedError("invalid_request", "The body must be a form.")
    try:
        fields = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        raise _RefusedError("invalid_request", "The form is not well formed.") from None
    form = dict(fields)
    if len(form) != len(fields):
        raise _RefusedError("invalid_request", "A parameter is repeated.")
    grant = form.get("grant_type")
    if not grant:
        raise _RefusedError("invalid_request", "The grant_type is missing.")
    if grant != "client_credentials":
        raise _RefusedError("unsupported_grant_type", "Only client_credentials is served.")
    return form


def _basic(header: bytes) -> tuple[str, str]:
    kind, _, value = header.partition(b" ")
    try:
        name, colon, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise _invalid_client() from None
    if kind.lower() != b"basic" or not colon:
        raise _invalid_client()
    return unquote_plus(name), unquote_plus(secret)


def _granted(client: Client, asked: str | None) -> frozenset[str]:
    if asked is None:
        return client.scopes
    scopes = frozenset(asked.split(" "))
    if not scopes <= client.scopes:
        raise _RefusedError("invalid_scope", "A scope is unknown or not granted to this client.")
    return scopes


def _claimed_subject(assertion: bytes) -> str:
    """Read who an assertion says it is from, unchecked: it only picks the keys to check with."""
    try:
        part = assertion.split(b".")[1]
        payload = json.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
        subject = payload["sub"]
    except (ValueError, IndexError, KeyError, TypeError, RecursionError):
        raise _invalid_client() from None
    return subject if isinstance(subject, str) else ""


def _key(keys: KeySet, kid: str | None) -> Key | None:
    """Pick the key an assertion names; one that names none fits a client with one key."""
    if kid is None:
        return keys.keys[0] if len(keys.keys) == 1 else None
    return next((key for key in keys.keys if key.kid == kid), None)
