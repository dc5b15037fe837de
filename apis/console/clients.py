"""`throughline clients`: who may ask, how each proves it, and when each proof was last used."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from joserfc.errors import JoseError

from apis.console.access import stored
from apis.console.terminal import at, console, table
from apis.gateway import api_keys
from apis.gateway.client_authentication import public_keys
from apis.gateway.policy import Client
from apis.gateway.registered import NO_SECRET, joined, snapshot
from apis.gateway.uses import last_uses
from apis.runtime.clock import Clock
from apis.runtime.deployment import policy_of
from apis.runtime.settings import Settings

Found = tuple[list[Any], dict[tuple[str, str], float]]


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """What proves who a client is: a secret by its reference, a key by its kid, an API key."""

    kind: Literal["secret", "key", "api-key"]
    name: str
    scopes: list[str]
    ends_at: datetime | None = None
    last_used_at: datetime | None = None


class Known(msgspec.Struct, frozen=True):
    """A client as who runs the gateway sees it."""

    name: str
    plan: str
    scopes: list[str]
    roles: list[str]
    credentials: list[Credential]


def show_clients(settings: Settings, *, as_json: bool) -> int:
    """Print every client with its credentials; answers the exit code."""
    found = known_clients(settings)
    if as_json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    else:
        console().print(shown(found), soft_wrap=True)
    return 0


def known_clients(settings: Settings) -> list[Known]:
    """Every client of the policy and of the portal, and what is known of its credentials."""
    now = Clock().timestamp()
    *found, registered = stored(
        settings, lambda each: (api_keys.listed(each), last_uses(each), snapshot(each))
    )
    policy = joined(policy_of(settings), registered, now)
    return [
        Known(
            name, client.plan, sorted(client.scopes), list(client.roles),
            list(credentials(settings, name, client, (found[0], found[1]), now)),
        )
        for name, client in policy.clients.items()
    ]  # fmt: skip


def credentials(
    settings: Settings, name: str, client: Client, found: Found, now: float
) -> Iterator[Credential]:
    """What a client may prove itself by now."""
    keys, used = found
    scopes = sorted(client.scopes)
    for kind, each in _own(settings, client):
        last = _moment(used.get((name, each)))
        yield Credential(kind=kind, name=each, scopes=scopes, last_used_at=last)
    for row in keys:
        if row.client == name and row.revoked_at is None and row.expires_at > now:
            yield Credential(
                kind="api-key",
                name=row.id,
                scopes=row.scopes.split(),
                ends_at=_moment(row.expires_at),
                last_used_at=_moment(used.get((name, row.id))),
            )


def _own(settings: Settings, client: Client) -> Iterator[tuple[Literal["secret", "key"], str]]:
    for reference in client.secrets:
        if reference != NO_SECRET:
            yield "secret", reference
    if client.keys is None:
        return
    try:
        for key in public_keys(client.keys, settings.home).keys:
            yield "key", str(key.kid)
    except (ValueError, LookupError, TypeError, OSError, JoseError):
        yield "key", f"{client.keys} cannot be read here"


def shown(known: list[Known]) -> Any:
    """A row a credential; a client that has none acts for people who sign in."""
    made = table("Client", "Plan", "Proof", "Which", "Scopes", "Ends", "Last used")
    for client in known:
        who = client.name, client.plan
        if not client.credentials:
            made.add_row(*who, "none", "", " ".join(client.scopes), "", "")
        for each in client.credentials:
            used = at(each.last_used_at) if each.last_used_at else "never"
            ends = at(each.ends_at) if each.ends_at else ""
            made.add_row(*who, each.kind, each.name, " ".join(each.scopes), ends, used)
            who = "", ""
    return made


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
