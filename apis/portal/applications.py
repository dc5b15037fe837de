"""The applications of people who registered them: each a client with its proofs, in transactions.

What is written is told in the audit, by whom and by which request; secrets are kept as digests.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from hashlib import sha256
from math import inf
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from apis.gateway import api_keys
from apis.gateway.api_keys import API_KEYS
from apis.gateway.grants import digest
from apis.gateway.policy import Client, Portal
from apis.gateway.registered import (
    CLIENTS,
    REFERENCE,
    SANDBOX,
    SECRETS,
    Application,
    application_of,
    changed,
    put,
)
from apis.gateway.uses import USES
from apis.runtime.audit import record
from apis.runtime.store import change, find, insert_new

MOST_SECRETS = 2
MOST_API_KEYS = 5
API_KEY_DAYS = 90
DAY_S = 86_400.0


class By(NamedTuple):
    """Who does something, when, and with which request."""

    person: str
    at: datetime
    request_id: str

    @property
    def now(self) -> float:
        """The moment in seconds since 1970."""
        return self.at.timestamp()

    def told(self, connection: Connection, action: str, key: str, **detail: Any) -> None:
        """Write it into the audit."""
        record(
            connection, "gateway", at=self.at, actor=self.person, cause=self.request_id,
            action=action, object=action.partition(".")[0], key=key, detail=detail,
        )  # fmt: skip


class Shown(NamedTuple):
    """A credential, the only time that it is seen: whose it is, its id, itself."""

    client: str
    id: str
    secret: str


class Draft(NamedTuple):
    """An application that is about to be made: its client id, and what its owner says of it."""

    id: str
    title: str
    purpose: str


class Proof(NamedTuple):
    """A live secret or API key, but for itself."""

    id: str
    made_at: float
    ends_at: float | None
    used_at: float | None
    scopes: str = ""


class Proofs(NamedTuple):
    """All that an application may prove itself by."""

    secrets: list[Proof]
    api_keys: list[Proof]
    keys: dict[str, float | None]
    """Its public keys by their kid, with the last use of each."""


def named(person: str, form: str) -> str:
    """The client id that a form makes, however often it is sent: a form is its own random word."""
    return f"app-{sha256(f'{person} {form or secrets.token_hex(16)}'.encode()).hexdigest()[:10]}"


def make(connection: Connection, portal: Portal, draft: Draft, by: By) -> Shown | None:
    """A new application in the sandbox, with its first secret; None: it is there, or enough are."""
    changed(connection)  # first: who makes another one at the same moment waits
    if sum(each.live(by.now) for each in mine(connection, by.person)) >= portal.sandbox.most:
        return None
    sandbox = portal.sandbox
    client = Client(plan=sandbox.plan, scopes=sandbox.scopes, rows=sandbox.rows)
    new = insert_new(
        connection, CLIENTS, **draft._asdict(), owner=by.person, stage=SANDBOX,
        client=msgspec.json.encode(client).decode(), made_at=by.now,
        ends_at=by.now + sandbox.days * DAY_S,
    )  # fmt: skip
    if not new:
        return None
    scopes = sorted(sandbox.scopes)
    by.told(connection, "application.made", draft.id, plan=sandbox.plan, scopes=scopes)
    return _secret(connection, draft.id, by)


def mine(connection: Connection, owner: str) -> list[Application]:
    """A person's applications, the latest first; those they deleted are gone."""
    of = sa.select(CLIENTS).where(CLIENTS.c.owner == owner, CLIENTS.c.deleted_at.is_(None))
    return list(map(application_of, connection.execute(of.order_by(CLIENTS.c.made_at.desc()))))


def one(connection: Connection, client: str, owner: str | None = None) -> Application | None:
    """An application that is not deleted: this person's, or where nobody is named anybody's."""
    row = find(connection, CLIENTS, id=client)
    if row is None or row.deleted_at is not None or owner not in {None, row.owner}:
        return None
    return application_of(row)


def proofs(connection: Connection, application: Application, now: float) -> Proofs:
    """What it may prove itself by, and when each was last used."""
    name, keys = application.id, application.client.keys
    uses = sa.select(USES).where(USES.c.client == name)
    used = {row.credential: float(row.used_at) for row in connection.execute(uses)}
    live = sa.select(API_KEYS).where(
        API_KEYS.c.client == name, API_KEYS.c.revoked_at.is_(None), API_KEYS.c.expires_at > now
    )
    own = [
        Proof(row.id, row.made_at, None, used.get(f"{REFERENCE}{row.id}"))
        for row in _live_secrets(connection, name)
    ]
    made = [
        Proof(row.id, row.created_at, row.expires_at, used.get(row.id), row.scopes)
        for row in connection.execute(live.order_by(API_KEYS.c.created_at))
    ]
    kids = [str(key["kid"]) for key in keys] if isinstance(keys, list) else []
    return Proofs(own, made, {kid: used.get(kid) for kid in kids})


def _live_secrets(connection: Connection, client: str) -> list[Any]:
    live = sa.select(SECRETS).where(SECRETS.c.client == client, SECRETS.c.retired_at.is_(None))
    return list(connection.execute(live.order_by(SECRETS.c.made_at)))


def _secret(connection: Connection, client: str, by: By) -> Shown:
    made = Shown(client, secrets.token_hex(4), secrets.token_urlsafe(32))
    kept = {"id": made.id, "client": client, "digest": digest(made.secret)}
    insert_new(connection, SECRETS, **kept, made_at=by.now)
    by.told(connection, "secret.made", client, secret=made.id)
    return made


def add_secret(connection: Connection, client: str, by: By) -> Shown | None:
    """One more secret beside the one there is; None where there are two."""
    changed(connection)
    if len(_live_secrets(connection, client)) >= MOST_SECRETS:
        return None
    return _secret(connection, client, by)


def retire_secret(connection: Connection, client: str, secret: str, by: By) -> bool:
    """End a secret; whether it was a live one of this client."""
    changed(connection)
    if secret not in {row.id for row in _live_secrets(connection, client)}:
        return False
    change(connection, SECRETS, {"id": secret}, retired_at=by.now)
    by.told(connection, "secret.retired", client, secret=secret)
    return True


def set_keys(connection: Connection, client: str, keys: list[dict[str, Any]], by: By) -> bool:
    """Take these public keys in place of those there were, none of them for none."""
    changed(connection)
    if (application := one(connection, client)) is None:
        return False
    put(connection, client, msgspec.structs.replace(application.client, keys=keys or None))
    by.told(connection, "keys.set", client, kids=[str(key["kid"]) for key in keys])
    return True


def add_api_key(
    connection: Connection, application: Application, scopes: frozenset[str], by: By
) -> Shown | None:
    """A key for tools that cannot do OAuth; None where there are enough."""
    changed(connection)
    if len(proofs(connection, application, by.now).api_keys) >= MOST_API_KEYS:
        return None
    until = min(by.now + API_KEY_DAYS * DAY_S, application.ends_at or inf)
    made = api_keys.make(connection, application.id, scopes, by.now, until)
    by.told(connection, "api-key.made", application.id, api_key=made.id, scopes=sorted(scopes))
    return Shown(application.id, made.id, made.key)


def revoke_api_key(connection: Connection, client: str, key: str, by: By) -> bool:
    """End an API key on every worker; whether it was a live one of this client."""
    row = find(connection, API_KEYS, id=key)
    if row is None or row.client != client or row.revoked_at is not None:
        return False
    api_keys.end(connection, key, by.now)
    by.told(connection, "api-key.revoked", client, api_key=key)
    return True


def delete(connection: Connection, client: str, by: By) -> bool:
    """End an application with all it may prove itself by: its tokens are nobody's from now on."""
    changed(connection)
    if one(connection, client) is None:
        return False
    change(connection, CLIENTS, {"id": client}, deleted_at=by.now)
    live = SECRETS.c.client == client, SECRETS.c.retired_at.is_(None)
    connection.execute(sa.update(SECRETS).where(*live).values(retired_at=by.now))
    keys = API_KEYS.c.client == client, API_KEYS.c.revoked_at.is_(None)
    for key in connection.execute(sa.select(API_KEYS.c.id).where(*keys)).scalars().all():
        api_keys.end(connection, key, by.now)
    by.told(connection, "application.deleted", client)
    return True
