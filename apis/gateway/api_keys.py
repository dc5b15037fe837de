"""API keys, for tools that cannot do OAuth: of one client, for some of its scopes, until a day."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Column, Connection, Float, String, Text

from apis.gateway.grants import digest
from apis.gateway.policy import Client
from apis.gateway.revocations import revoke
from apis.gateway.tokens import LEEWAY_S, Claims, Tokens
from apis.gateway.uses import Uses
from apis.runtime.store import Store, change, find, insert_new, table

PREFIX = "tlk_"
AGAIN_S = 600
"""A key in use is read again so often."""
MOST_BYTES = 200

API_KEYS = table(
    "gateway",
    "api_keys",
    Column("id", String(16), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("client", String(200), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("revoked_at", Float),
)


class Made(msgspec.Struct, frozen=True):
    """A new key: the only time that it is seen."""

    id: str
    key: str


def make(
    connection: Connection, client: str, scopes: frozenset[str], now: float, until: float
) -> Made:
    """Keep a key's digest, and give the key."""
    made = Made(secrets.token_hex(4), PREFIX + secrets.token_urlsafe(32))
    kept = {"id": made.id, "digest": digest(made.key), "client": client}
    times = {"created_at": now, "expires_at": until}
    insert_new(connection, API_KEYS, **kept, scopes=" ".join(sorted(scopes)), **times)
    return made


def end(connection: Connection, key_id: str, now: float) -> bool:
    """End a key on every worker; whether there was one."""
    row = find(connection, API_KEYS, id=key_id)
    if row is None:
        return False
    change(connection, API_KEYS, {"id": key_id}, revoked_at=now)
    revoke(connection, key_id, now, now + 2 * AGAIN_S)
    return True


def listed(connection: Connection) -> list[Any]:
    """Every key, but for the keys themselves."""
    return list(connection.execute(sa.select(API_KEYS).order_by(API_KEYS.c.created_at)))


class ApiKeys:
    """Finds who sent a key; a found one is remembered beside the tokens."""

    def __init__(
        self, clients: Mapping[str, Client], tokens: Tokens, store: Store, uses: Uses
    ) -> None:
        self._clients = clients
        self._tokens = tokens
        self._store = store
        self._uses = uses

    async def claims(self, headers: Mapping[bytes, bytes]) -> Claims | None:
        """Who sent a key as `Authorization: Bearer`, `X-API-Key`, or Basic with their name."""
        given = headers.get(b"authorization")
        kind, _, key = (given or b"").partition(b" ")
        owner = None
        if given is None:
            key = headers.get(b"x-api-key", b"")
        elif kind.lower() == b"basic":
            owner, key = _basic(key)
        if not key.startswith(PREFIX.encode()) or len(key) > MOST_BYTES:
            return None
        claims = self._tokens.verify(key) or await self._found(key)
        if claims is None or owner not in {None, claims.client_id.encode()}:
            return None
        self._uses.note(claims.client_id, claims.jti)
        return claims

    async def _found(self, key: bytes) -> Claims | None:
        now = self._tokens.clock.timestamp()
        row = await self._store.read(find, API_KEYS, digest=digest(key.decode("latin-1")))
        if row is None or row.revoked_at is not None or row.expires_at <= now:
            return None
        client = self._clients.get(row.client)
        if client is None or client.ended(self._tokens.clock.now()):
            return None
        until, scopes = (
            int(min(row.expires_at, now + AGAIN_S)) - LEEWAY_S,
            tuple(row.scopes.split()),
        )
        who = row.client, row.client, scopes, client.person
        claims = Claims(*who, until, int(row.created_at), row.id)
        self._tokens.remember(key, claims)
        return claims


def _basic(encoded: bytes) -> tuple[bytes, bytes]:
    try:
        name, _, key = base64.b64decode(encoded, validate=True).partition(b":")
    except binascii.Error:
        return b"", b""
    return name, key
