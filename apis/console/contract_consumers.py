"""`throughline contracts consumers`, `can-retire`, `consent`: who uses what, and who agreed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from apis.console.access import stored
from apis.gateway.compiled import compile_policy
from apis.gateway.consents import CONSENTS, agreed
from apis.gateway.decisions import COUNTS, DAY_S
from apis.gateway.documents import foreign_documents, load_documents
from apis.gateway.fields import used_since
from apis.gateway.policy import Gateway
from apis.gateway.registered import CLIENTS, PEOPLE
from apis.runtime.deployment import policy_of
from apis.runtime.serving import DOCUMENTS
from apis.runtime.settings import Settings
from apis.runtime.store import put_all
from contracts.api_changes import operations
from contracts.changes import Change
from contracts.errors import NotFound, Rejected, Unavailable

ACTIVE_DAYS = 90
UNKNOWN = "not in gateway.yaml"


class Consumer(msgspec.Struct, frozen=True, kw_only=True):
    """A client and what it used last when; without a field, the operation itself."""

    client: str
    target: str
    operation: str
    field: str | None = None
    last_on: date
    calls: int | None = None
    owner: str = ""
    contact: str = ""


class Wanted(NamedTuple):
    """Which uses are asked for."""

    api: str | None = None
    operation: str | None = None
    field: str | None = None
    days: int = ACTIVE_DAYS

    def has(self, each: Consumer) -> bool:
        """Whether this use is one."""
        if self.api and self.api not in {each.target, each.target.rpartition("/")[0]}:
            return False
        if self.operation and self.operation != each.operation:
            return False
        return not self.field or (each.field is not None and same_field(self.field, each.field))


def same_field(wanted: str, used: str) -> bool:
    """Whether a use is of the field asked for, told whole or by its end, or of a part of it."""
    plain = used.partition(":")[2]
    return (
        wanted in {used, plain, plain.rpartition("/")[2]}
        or used.startswith(f"{wanted}/")
        or plain.startswith(f"{wanted}/")
    )


def consumers(settings: Settings, wanted: Wanted, now: datetime) -> list[Consumer]:
    """Who used what was asked for, the latest first; nobody where no gateway ever ran."""
    policy = policy_of(settings)
    try:
        found = stored(settings, lambda each: uses(each, wanted.days, now, policy))
    except Unavailable as error:
        if error.code != "database.empty":
            raise
        return []
    return [each for each in found if wanted.has(each)]


def uses(connection: Connection, days: int, now: datetime, policy: Gateway) -> list[Consumer]:
    """Every use of the last days: operations as they were counted, fields as they were noted."""
    first = now - timedelta(days=days)
    rows: list[dict[str, Any]] = [*_operations(connection, int(first.timestamp() // DAY_S))]
    registered = _registered(connection, policy)
    for row in used_since(connection, first.timestamp()):
        used_at = row.pop("used_at")
        rows.append(row | {"last_on": _day(used_at)})
    found = [Consumer(**(row | _people(policy, registered, row["client"]))) for row in rows]
    return sorted(found, key=lambda it: (it.client, it.target, it.operation, it.field or ""))


def _operations(connection: Connection, first: int) -> Iterable[dict[str, Any]]:
    """Calls that were let in, by client and operation."""
    entered = sa.and_(
        COUNTS.c.policy == "authorization",
        COUNTS.c.outcome != "refused",
        COUNTS.c.day >= first,
        COUNTS.c.client != "",
    )
    which = (COUNTS.c.client, COUNTS.c.target, COUNTS.c.operation)
    last, calls = sa.func.max(COUNTS.c.day), sa.func.sum(COUNTS.c["count"])
    query = sa.select(*which, last.label("last"), calls.label("calls")).where(entered)
    for row in connection.execute(query.group_by(*which)).mappings():
        told = {name: row[name] for name in ("client", "target", "operation")}
        yield told | {"last_on": _day(row["last"] * DAY_S), "calls": int(row["calls"])}


def _day(moment: float) -> date:
    return datetime.fromtimestamp(moment, UTC).date()


def _registered(connection: Connection, policy: Gateway) -> dict[str, dict[str, str]]:
    """Whose each application of the portal is, those that were deleted as well."""
    people = connection.execute(sa.select(PEOPLE.c.name, PEOPLE.c.email))
    emails = {row.name: row.email for row in people}
    emails |= {name: person.person or "" for name, person in policy.people.items()}
    rows = connection.execute(sa.select(CLIENTS.c.id, CLIENTS.c.owner))
    return {row.id: {"owner": row.owner, "contact": emails.get(row.owner, "")} for row in rows}


def _people(policy: Gateway, registered: dict[str, dict[str, str]], client: str) -> dict[str, str]:
    known = policy.clients.get(client)
    if client in registered:
        return registered[client]
    if known is None:
        person = policy.people.get(client)
        return {"owner": "a person who signs in" if person else UNKNOWN}
    return {"owner": known.owner or known.person or client, "contact": known.contact}


def affected(settings: Settings, change: Change, now: datetime) -> list[Consumer]:
    """Who used what a change takes away: a field of a request, else the operation or version.

    It is kept in a file of the project: addresses of people who registered stay in the database.
    """
    sent = change.field and change.field.startswith(("query:", "body:", "header:"))
    wanted = Wanted(
        change.document,
        change.operation,
        change.field if sent and change.rule.startswith("request") else None,
    )
    ours = policy_of(settings).clients
    return [
        each if each.client in ours else msgspec.structs.replace(each, contact="")
        for each in consumers(settings, wanted, now)
        if wanted.field or each.field is None
    ]


def of_deprecated(settings: Settings, found: list[Consumer]) -> list[Consumer]:
    """Those uses that are of a deprecated version, operation or field."""
    gateway, documents = policy_of(settings), load_documents(DOCUMENTS)
    named = foreign_documents(gateway, settings.gateway.parent)
    mounts = compile_policy(gateway, documents | named).mounts
    ending: set[tuple[str, str | None, str | None]] = set()
    for target, mount in mounts.items():
        if mount.version.status in {"deprecated", "blocked", "retired"}:
            ending.add((target, None, None))
        for _, operation in operations(mount.document):
            name = operation.told.get("operationId")
            if operation.told.get("deprecated"):
                ending.add((target, name, None))
        for _, route in mount.routes:
            for field in route.fields.deprecated if route.fields else ():
                ending.add((target, route.operation, field))
    return [
        each
        for each in found
        if {
            (each.target, None, None),
            (each.target, each.operation, None),
            (each.target, each.operation, each.field),
        }
        & ending
    ]


class Retiring(msgspec.Struct, frozen=True):
    """Whether a version may go: who still uses it, and who of them agreed in writing."""

    target: str
    days: int
    blocked_by: list[str]
    agreed: list[str]
    uses: list[Consumer]

    @property
    def may_go(self) -> bool:
        """Whether nobody is left who has not agreed."""
        return not self.blocked_by


def can_retire(settings: Settings, target: str, now: datetime) -> Retiring:
    """Look who used a version in the last 90 days."""
    known_target(settings, target)
    policy, wanted = policy_of(settings), Wanted(target)
    every = stored(settings, lambda each: uses(each, wanted.days, now, policy))
    found = [each for each in every if wanted.has(each)]
    consents: dict[str, Any] = stored(settings, lambda each: agreed(each, target))
    clients = sorted({each.client for each in found})
    return Retiring(
        target,
        ACTIVE_DAYS,
        [each for each in clients if each not in consents],
        [each for each in clients if each in consents],
        found,
    )


def consent(
    settings: Settings, client: str, target: str, *, reason: str, by: str, now: datetime
) -> str:
    """Keep that a client agreed that a version goes."""
    known_target(settings, target)
    seen = {each.client for each in consumers(settings, Wanted(target), now)}
    if client not in seen | policy_of(settings).clients.keys():
        told = f"there is no client {client} in gateway.yaml, and none called {target}"
        raise NotFound("client.unknown", told)
    if not reason.strip():
        raise Rejected("consent.reason", "say where the client wrote that it agrees")
    row = {
        "client": client, "target": target, "reason": reason.strip(), "by": by,
        "agreed_at": now.timestamp(),
    }  # fmt: skip
    stored(settings, lambda each: put_all(each, CONSENTS, [row]))
    return f"{client} agreed that {target} goes"


def known_api(settings: Settings, name: str) -> None:
    """NotFound where gateway.yaml has neither an API nor a version of this name."""
    if name not in policy_of(settings).apis:
        known_target(settings, name)


def known_target(settings: Settings, target: str) -> None:
    """NotFound where gateway.yaml has no such version."""
    served = {
        f"{name}/v{major}"
        for name, api in policy_of(settings).apis.items()
        for major in api.versions
    }
    if target not in served:
        told = f"gateway.yaml has no {target}: it has {', '.join(sorted(served))}"
        raise NotFound("version.unknown", told)
