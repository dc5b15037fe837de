"""How clients prove who they are: by secret (Basic or form) or by a signed assertion (RFC 7523).

An assertion counts once across all workers. What is ambiguous is refused before it is checked.
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
from authlib.oauth2.rfc6749.errors import InvalidClientError, InvalidRequestError
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet
from sqlalchemy import Column, Connection, Float, String

from apis.gateway.policy import Gateway, PolicyError
from apis.gateway.tokens import (
    LEEWAY_S,
    MOST_TOKEN_BYTES,
    Tokens,
    opened,
    peeked,
    read_secret,
    write_private,
)
from apis.gateway.uses import Uses
from apis.runtime.store import Store, insert_new, table

CLIENTS_FILE = "clients.json"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_ALGORITHMS = ["ES256", "RS256", "PS256"]
ASSERTION_TYPES = (None, "JWT", "client-authentication+jwt")
ASSERTION_S = 300
MOST_FIELDS = 20
MOST_JTI = 256
UNAUTHORIZED = 401
_FORM_TYPE = re.compile(
    rb"application/x-www-form-urlencoded(?:[ \t]*;[ \t]*charset=utf-8)?", re.IGNORECASE
)
_NOBODY = (sha256(secrets.token_bytes(32)).digest(),)

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
        known = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        return await self._store.write(_first, known, until, now)


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
        if f"home:{CLIENTS_FILE}" in client.secrets
    }
    if wanted != held:
        write_private(path, json.dumps(wanted, indent=2) + "\n", replace=bool(held))


class Credentials(msgspec.Struct, frozen=True):
    """How each client proves itself: the digests of its secrets, its public keys."""

    secrets: dict[str, tuple[bytes, ...]]
    keys: dict[str, KeySet]


def load_credentials(gateway: Gateway, home: Path) -> Credentials:
    """Resolve every reference; PolicyError names each that leads nowhere."""
    found, mistakes = Credentials({}, {}), []
    for name, client in gateway.clients.items():
        try:
            found.secrets[name] = tuple(
                sha256(read_secret(each, home, member=name).encode()).digest()
                for each in client.secrets
            )
        except (ValueError, OSError) as error:
            mistakes.append(gateway.lines.told(("clients", name, "secret"), str(error)))
        try:
            if client.keys is not None:
                found.keys[name] = public_keys(client.keys, home)
        except (ValueError, LookupError, TypeError, OSError, JoseError) as error:
            mistakes.append(gateway.lines.told(("clients", name, "keys"), str(error)))
    if mistakes:
        raise PolicyError(mistakes)
    return found


def public_keys(keys: str | list[dict[str, Any]], home: Path) -> KeySet:
    """The keys of a client: in the policy itself, or where it refers to."""
    public = isinstance(keys, str) and json.loads(read_secret(keys, home, public=True))
    raw: Any = public or {"keys": keys}
    found = KeySet.import_key_set(raw)
    if any(key.key_type == "oct" or key.is_private for key in found.keys):
        msg = "only public keys belong here"
        raise ValueError(msg)
    return found


class ClientAuthentication:
    """Says which client sent a form, or raises the error of RFC 6749 section 5.2."""

    def __init__(
        self,
        gateway: Gateway,
        credentials: Credentials,
        tokens: Tokens,
        once: StoreOnce,
        uses: Uses,
    ) -> None:
        self._clients = gateway.clients
        self._credentials = credentials
        self._once = once
        self._clock = tokens.clock
        self._uses = uses
        paths = ("", "/oauth/token", "/oauth/introspect", "/oauth/revoke")
        self._audiences = {tokens.issuer + path for path in paths}

    async def proven(self, headers: Mapping[bytes, bytes], form: dict[str, str]) -> str:
        """The client that sent this form; one without any proof must have none to give."""
        basic = headers.get(b"authorization")
        ways = [basic is not None, "client_secret" in form, "client_assertion" in form]
        if sum(ways) > 1:
            raise InvalidRequestError("Use one way to prove who the client is.")
        if "client_assertion" in form:
            client_id = await self._by_assertion(form)
        elif basic is not None:
            client_id = self._by_secret(*_basic(basic))
        elif "client_secret" in form:
            client_id = self._by_secret(form.get("client_id", ""), form["client_secret"])
        else:
            client_id = self._public(form.get("client_id", ""))
        if form.get("client_id", client_id) != client_id:
            raise InvalidRequestError("Two clients are named.")
        if self._clients[client_id].ended(self._clock.now()):
            raise not_proven()
        return client_id

    def _public(self, client_id: str) -> str:
        client = self._clients.get(client_id)
        if client is None or not client.public:
            raise not_proven()
        return client_id

    def _by_secret(self, client_id: str, secret: str) -> str:
        # an unknown client costs the same comparison as a known one
        digests = self._credentials.secrets.get(client_id) or _NOBODY
        given = sha256(secret.encode("utf-8", "surrogatepass")).digest()
        right = [n for n, known in enumerate(digests) if hmac.compare_digest(given, known)]
        if not right or client_id not in self._clients:
            raise not_proven()
        self._uses.note(client_id, self._clients[client_id].secrets[right[0]])
        return client_id

    async def _by_assertion(self, form: dict[str, str]) -> str:
        assertion = form["client_assertion"].encode()
        if form.get("client_assertion_type") != ASSERTION:
            raise InvalidRequestError("The client_assertion_type is not known.")
        if len(assertion) > MOST_TOKEN_BYTES:
            raise not_proven()
        client_id, key = self._named(assertion)
        said = opened(assertion, lambda _: key, ASSERTION_ALGORITHMS, ASSERTION_TYPES)
        now = self._clock.timestamp()
        if said is None or (until := self._until(said, client_id, now)) is None:
            raise not_proven()
        if not await self._once.first(f"{client_id} {said['jti']}", until, now):
            raise not_proven()
        self._uses.note(client_id, str(key.kid))
        return client_id

    def _named(self, assertion: bytes) -> tuple[str, Key]:
        """The client and the key an assertion names, unchecked: they only say what to check by."""
        header, payload = peeked(assertion) or ({}, {})
        client_id, kid = payload.get("sub"), header.get("kid")
        keys = self._credentials.keys.get(client_id) if isinstance(client_id, str) else None
        key = _key(keys, kid) if keys else None
        if key is None:
            raise not_proven()
        return str(client_id), key

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


def not_proven() -> InvalidClientError:
    """One answer for every failed proof: it says nothing about which clients there are."""
    return InvalidClientError("The client did not prove who it is.", status_code=UNAUTHORIZED)


def form_of(headers: Mapping[bytes, bytes], query: bytes, body: bytes) -> dict[str, str]:
    """The fields of a form, each there once; credentials in an address are refused."""
    if query:
        raise InvalidRequestError("Parameters belong in the body.")
    if not _FORM_TYPE.fullmatch(headers.get(b"content-type", b"")):
        raise InvalidRequestError("The body must be a form.")
    return fields_of(body)


def fields_of(encoded: bytes) -> dict[str, str]:
    """The fields of a form or a query, each there once."""
    try:
        fields = parse_qsl(
            encoded.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=MOST_FIELDS,
        )
    except ValueError:
        raise InvalidRequestError("The form is not well formed.") from None
    form = dict(fields)
    if len(form) != len(fields):
        raise InvalidRequestError("A parameter is repeated.")
    return form


def _basic(header: bytes) -> tuple[str, str]:
    kind, _, value = header.partition(b" ")
    try:
        name, colon, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise not_proven() from None
    if kind.lower() != b"basic" or not colon:
        raise not_proven()
    return unquote_plus(name), unquote_plus(secret)


def _key(keys: KeySet, kid: object) -> Key | None:
    """Pick the key an assertion names; one that names none fits a client with one key."""
    if kid is None:
        return keys.keys[0] if len(keys.keys) == 1 else None
    return next((key for key in keys.keys if key.kid == kid), None)
