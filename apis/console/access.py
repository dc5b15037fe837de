"""`throughline keys`, `api-keys`, `password`: what lets clients and people in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection

from apis.gateway import api_keys
from apis.gateway.people import hashed
from apis.gateway.tokens import SEEN_S, rotated
from apis.gateway.uses import last_uses
from apis.runtime.clock import Clock
from apis.runtime.deployment import policy_of
from apis.runtime.migrations import head, versions
from apis.runtime.settings import Settings
from apis.runtime.store import Store
from contracts.errors import NotFound, Rejected, Unavailable

SHORTEST = 12
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
    now = Clock().timestamp()
    made = stored(
        settings, lambda c: api_keys.make(c, client, frozenset(scopes), now, now + days * DAY_S)
    )
    ends = f"it ends in {days} day{'s' * (days > 1)}"
    return f"{made.key}\nIt is shown this once. Its id is {made.id}; {ends}."


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
    now = Clock().timestamp()
    if not stored(settings, lambda connection: api_keys.end(connection, key_id, now)):
        raise NotFound("api-key.unknown", f"there is no API key {key_id}")
    return f"{key_id} is refused within a second"


def stored(settings: Settings, work: Callable[[Connection], Any]) -> Any:
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
        return store.write_now(work)
    finally:
        store.close()


def _state(row: Any) -> str:
    return f"revoked {_day(row.revoked_at)}" if row.revoked_at else f"until {_day(row.expires_at)}"


def _day(moment: float | None) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC" if moment else "never"
