"""`throughline contracts consumers`, `can-retire`, `consent`: who uses what, and who agreed."""

from __future__ import annotations

import re
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
from apis.gateway.fields import Fields, used_since
from apis.gateway.policy import MODES, Gateway
from apis.gateway.registered import CLIENTS, PEOPLE
from apis.gateway.schemas import Schemas
from apis.runtime.deployment import policy_of
from apis.runtime.openapi import document_name
from apis.runtime.serving import DOCUMENTS
from apis.runtime.settings import Settings
from apis.runtime.store import put_all
from contracts.api_changes import operations
from contracts.changes import Change, Document
from contracts.errors import NotFound, Rejected, Unavailable

ACTIVE_DAYS = 90
UNKNOWN = "not in gateway.yaml"
NARROWED = re.compile(
    r"request-(?:parameter|property)-(?:removed(?:-.+)?|type-changed|enum-value-removed|became-enum"
    r"|became-not-nullable|(?:any|one)-of-removed|(?:pattern|format|multiple-of)-(?:added|changed)"
    r"|(?:exclusive-)?(?:max|min)(?:-[a-z]+)?-(?:set|increased|decreased))"
)
"""What breaks those who send a field. Others break who sends nothing, which is not noted."""


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
    if wanted.days > (kept := policy.decisions.counts_days):
        many = f"{kept} day{'s' * (kept != 1)}"
        told = f"uses are kept for {many}: `decisions: counts_days` in gateway.yaml says so"
        raise Rejected("uses.not-kept", told)
    if not counted(settings):
        return []
    found = stored(settings, lambda each: uses(each, wanted.days, now, policy))
    return [each for each in found if wanted.has(each)]


def counted(settings: Settings) -> bool:
    """Whether a gateway ever ran with this database: else nobody knows here who used what."""
    try:
        stored(settings, lambda _: None)
    except Unavailable as error:
        if error.code != "database.empty":
            raise
        return False
    return True


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


class Affected(NamedTuple):
    """Who would miss what a change takes away, of so many days."""

    consumers: list[Consumer]
    used_by: list[str]
    days: int


def affected(settings: Settings, change: Change, old: Document, now: datetime) -> Affected:
    """Who used what a change of this released document breaks: a field, an operation, all of it.

    It is kept in a file of the project: addresses of people who registered stay in the database.
    """
    policy = policy_of(settings)
    days = looked_at(policy) if counted(settings) else 0
    mounted = {
        f"{name}/v{major}": version.modes.within(api.modes.within(MODES))
        for name, api in policy.apis.items()
        for major, version in api.versions.items()
        if document_name(name, api, major) == change.document
    }
    seen = all(modes.requests == "enforce" for modes in mounted.values())
    field = noted_field(change, old) if seen else None
    found, used_by = [], set()
    for target in sorted(mounted.keys() or {change.document}):
        wanted = Wanted(target, change.operation, field, days)
        found += [it for it in consumers(settings, wanted, now) if field or it.field is None]
        used_by |= dependants(policy, target)
    told = [
        each if each.client in policy.clients else msgspec.structs.replace(each, contact="")
        for each in found
    ]
    return Affected(told, sorted(used_by), days)


def noted_field(change: Change, old: Document) -> str | None:
    """The field that those who break have sent, if its use was noted."""
    if not change.field or not NARROWED.fullmatch(change.rule):
        return None
    for _, each in operations(old):
        if each.told.get("operationId") == change.operation:
            try:
                fields = Fields(Schemas(old), each.path, each.method)
            except ValueError:  # the gateway cannot read it either
                return None
            return change.field if change.field in fields.told() else None
    return None


def looked_at(policy: Gateway) -> int:
    """How many days back uses are looked at: no more than are kept."""
    return min(ACTIVE_DAYS, policy.decisions.counts_days)


def dependants(policy: Gateway, target: str) -> set[str]:
    """Our APIs that are built on a version: inside, only the newest major is called."""
    name, _, major = target.rpartition("/v")
    api = policy.apis.get(name)
    if api is not None and str(api.spoken) != major:
        return set()
    return {other for other, it in policy.apis.items() if name in it.uses}


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


class Retiring(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a version may go: who still uses it, and who of them agreed in writing."""

    target: str
    days: int
    kept_days: int
    """For how many days uses are kept at all."""
    blocked_by: list[str]
    agreed: list[str]
    used_by: list[str]
    """Our APIs that are built on it."""
    uses: list[Consumer]

    @property
    def left(self) -> list[str]:
        """Why it must stay: who has not agreed, what is built on it, or that it cannot be told."""
        found = [*self.blocked_by, *(f"{name} is built on it" for name in self.used_by)]
        if self.days < ACTIVE_DAYS:
            found.append(f"uses of {ACTIVE_DAYS} days are looked at and {self.kept_days} are kept")
        return found

    @property
    def may_go(self) -> bool:
        """Whether nothing is left that speaks against it."""
        return not self.left


def can_retire(settings: Settings, target: str, now: datetime) -> Retiring:
    """Look who used a version in the last 90 days, and what is built on it."""
    known_target(settings, target)
    policy = policy_of(settings)
    wanted = Wanted(target, days=looked_at(policy))
    every = stored(settings, lambda each: uses(each, wanted.days, now, policy))
    found = [each for each in every if wanted.has(each)]
    consents: dict[str, Any] = stored(settings, lambda each: agreed(each, target))
    clients = sorted({each.client for each in found})
    return Retiring(
        target=target,
        days=wanted.days,
        kept_days=policy.decisions.counts_days,
        blocked_by=[each for each in clients if each not in consents],
        agreed=[each for each in clients if each in consents],
        used_by=sorted(dependants(policy, target)),
        uses=found,
    )


class Agreement(NamedTuple):
    """That a client agreed in writing that a version goes: where it wrote so, who records it."""

    client: str
    target: str
    reason: str
    by: str


def consent(settings: Settings, told: Agreement, now: datetime) -> str:
    """Keep that a client agreed that a version goes."""
    policy = policy_of(settings)
    known_target(settings, told.target)
    wanted = Wanted(told.target, days=looked_at(policy))
    seen = {each.client for each in consumers(settings, wanted, now)}
    if told.client not in seen | policy.clients.keys():
        why = f"there is no client {told.client} in gateway.yaml, and none called {told.target}"
        raise NotFound("client.unknown", why)
    row = told._asdict() | {"agreed_at": now.timestamp()}
    stored(settings, lambda each: put_all(each, CONSENTS, [row]))
    return f"{told.client} agreed that {told.target} goes"


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
