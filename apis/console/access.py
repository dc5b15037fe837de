"""`throughline keys`, `api-keys`, `password`: what lets clients and people in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from apis.gateway import api_keys
from apis.gateway.api_keys import API_KEYS
from apis.gateway.people import hashed
from apis.gateway.tokens import SEEN_S, rotated
from apis.gateway.uses import last_uses
from apis.runtime.audit import record
from apis.runtime.clock import Clock
from apis.runtime.deployment import policy_of
from apis.runtime.migrations import head, versions
from apis.runtime.settings import Settings
from apis.runtime.store import Store, find
from contracts.errors import NotFound, Rejected, Unavailable

SHORTEST = 12
OPERATOR = "operator"
"""Who has the command line of a host."""
DAY_S = 86_400


def rotate_keys(settings: Settings) -> str:
    """Make the next signing key, and say what becomes of the last."""
    policy = policy_of(settings)
    made, last = rotated(policy.signing, settings.home, Clock().timestamp())
    return (
        f"{made} signs in {SEEN_S} s, when every process has seen it; {last} is accepted until "
        "what it signed has ended"
    )


def password_hash(password: str) -> str:
    """What to keep of a password that is long enough."""
    if len(password) < SHORTEST:
        told = f"a password has at least {SHORTEST} characters"
        raise Rejected("password.too-short", told)
    return hashed(password)


def make_key(settings: Settings, client: str, scopes: tuple[str, ...], days: int) -> str:
    """Make an API key of a client, and show it for the only time."""
    known = policy_of(settings).clients.get(client)
    if known is None or known.redirects:
        raise NotFound("client.unknown", f"no client {client} acts for itself in gateway.yaml")
    if missing := sorted(set(scopes) - known.scopes):
        raise Rejected("scope.not-granted", f"{client} has no scope {', '.join(missing)}")
    made = stored(settings, _kept, client, frozenset(scopes), days)
    ends = f"it ends in {days} day{'s' * (days > 1)}"
    return f"{made.key}\nIt is shown this once. Its id is {made.id}; {ends}."


def _kept(connection: Connection, client: str, scopes: frozenset[str], days: int) -> api_keys.Made:
    now = Clock().timestamp()
    made = api_keys.make(connection, client, scopes, now, now + days * DAY_S)
    _told(connection, "api-key.made", client, api_key=made.id, scopes=sorted(scopes))
    return made


def list_keys(settings: Settings) -> list[str]:
    """Every API key: whose, for what, until when, last used when."""
    used = stored(settings, last_uses)
    return [
        f"{row.id}  {row.client}  {row.scopes}  {_state(row)}  "
        f"last used {_day(used.get((row.client, row.id)))}"
        for row in stored(settings, api_keys.listed)
    ]


def revoke_key(settings: Settings, key_id: str) -> str:
    """End an API key on every gateway."""
    if not stored(settings, _ended, key_id):
        raise NotFound("api-key.unknown", f"there is no API key {key_id}")
    return f"{key_id} is refused within a second"


def _ended(connection: Connection, key_id: str) -> bool:
    row = find(connection, API_KEYS, id=key_id)
    if row is None:
        return False
    _told(connection, "api-key.revoked", row.client, api_key=key_id)
    return api_keys.end(connection, key_id, Clock().timestamp())


def _told(connection: Connection, action: str, client: str, **detail: Any) -> None:
    """Write it into the audit, as the portal does when somebody does the same there."""
    record(
        connection, "gateway", at=Clock().now(), actor=OPERATOR, action=action,
        object=action.partition(".")[0], key=client, detail=detail,
    )  # fmt: skip


def stored(settings: Settings, work: Callable[..., Any], *args: Any) -> Any:
    """What the gateway keeps in its database, read or changed."""
    store = Store(settings.database_url, digest_key=settings.digest_key)
    try:
        made = store.read_now(versions)["gateway"]
        if not made:
            told = "no gateway has made its tables in this database yet"
            raise Unavailable("database.empty", told, remedy="start it once: throughline up")
        if made < head("gateway"):
            told = "the tables of the gateway are those of an older release than this command"
            remedy = "start a process of this release once, or use the command of the other"
            raise Unavailable("database.older", told, remedy=remedy)
        return store.write_now(work, *args)
    finally:
        store.close()


def _state(row: Any) -> str:
    return f"revoked {_day(row.revoked_at)}" if row.revoked_at else f"until {_day(row.expires_at)}"


def _day(moment: float | None) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC" if moment else "never"
