"""Clients and people that registered themselves: rows beside those of the policy file.

A row never says more than the file lets it: what a client may do is cut to the `portal` of the
policy whenever it is read, so a tighter policy holds for who is there already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import Any

import msgspec
import sqlalchemy as sa
from joserfc.jwk import KeySet
from sqlalchemy import BigInteger, Column, Connection, Float, String, Text

from apis.gateway.client_authentication import Credentials
from apis.gateway.policy import Client, Gateway, PolicyError, Portal
from apis.runtime.clock import Clock
from apis.runtime.store import Store, add_all, change, table
from apis.runtime.typed_yaml import Place
from apis.runtime.watching import watch

LOOK_S = 0.25
REFERENCE = "registered:"
"""Before the id of a secret whose digest is in the database."""
NO_SECRET = f"{REFERENCE}none"
"""A client that has no proof left can prove nothing; it is not one that needs none."""
SANDBOX, GRANTED = "sandbox", "granted"

PEOPLE = table(
    "gateway",
    "registered_people",
    Column("name", String(200), primary_key=True),
    Column("called", String(200), nullable=False),
    Column("email", String(320), nullable=False),
    Column("password", Text, nullable=False),
    Column("joined_at", Float, nullable=False),
)
CLIENTS = table(
    "gateway",
    "registered_clients",
    Column("id", String(200), primary_key=True),
    Column("owner", String(200), nullable=False, index=True),
    Column("title", String(200), nullable=False),
    Column("purpose", Text, nullable=False),
    Column("stage", String(20), nullable=False),
    Column("client", Text, nullable=False),
    Column("made_at", Float, nullable=False),
    Column("ends_at", Float),
    Column("deleted_at", Float),
)
SECRETS = table(
    "gateway",
    "registered_secrets",
    Column("id", String(16), primary_key=True),
    Column("client", String(200), nullable=False, index=True),
    Column("digest", String(64), nullable=False),
    Column("made_at", Float, nullable=False),
    Column("retired_at", Float),
)
CHANGES = table(
    "gateway",
    "registered_changes",
    Column("of", String(20), primary_key=True),
    Column("count", BigInteger, nullable=False),
)
"""How often the rows above changed: what every worker looks at."""


class Application(msgspec.Struct, frozen=True, kw_only=True):
    """A registered client as its row tells it."""

    id: str
    owner: str
    title: str
    purpose: str
    stage: str
    client: Client
    made_at: float
    ends_at: float | None = None
    deleted_at: float | None = None

    def live(self, now: float) -> bool:
        """Whether it may call at all."""
        return self.deleted_at is None and (self.ends_at is None or now < self.ends_at)


class Snapshot(msgspec.Struct, frozen=True):
    """All rows as they were at one look."""

    changes: int
    applications: tuple[Application, ...]
    secrets: dict[str, dict[str, str]]
    """By client: the digests of its live secrets by their ids, the older first."""
    people: frozenset[str]


def application_of(row: Any) -> Application:
    """A row as a struct."""
    values = {name: getattr(row, name) for name in Application.__struct_fields__}
    return Application(**values | {"client": msgspec.json.decode(row.client, type=Client)})


def changed(connection: Connection) -> None:
    """Tell every worker to look."""
    add_all(connection, CHANGES, [{"of": "clients", "count": 1}])


def changes(connection: Connection) -> int:
    """How often anything changed."""
    return int(connection.execute(_SEEN).scalar() or 0)


def snapshot(connection: Connection) -> Snapshot:
    """Read everything; the count first, so that what comes meanwhile is read again."""
    seen = changes(connection)
    applications = tuple(map(application_of, connection.execute(_APPLICATIONS)))
    secrets: dict[str, dict[str, str]] = {}
    for row in connection.execute(_SECRETS):
        secrets.setdefault(row.client, {})[row.id] = row.digest
    people = frozenset(connection.execute(_NAMES).scalars())
    return Snapshot(seen, applications, secrets, people)


_APPLICATIONS = sa.select(CLIENTS).order_by(CLIENTS.c.made_at)
_SECRETS = (
    sa.select(SECRETS).where(SECRETS.c.retired_at.is_(None)).order_by(SECRETS.c.made_at)
)  # fmt: skip
_SEEN = sa.select(CHANGES.c["count"])
_NAMES = sa.select(PEOPLE.c.name)


def within(application: Application, gateway: Gateway, portal: Portal) -> Client | None:
    """What this client may do under the policy as it is now; None where that is nothing."""
    client, sandbox = application.client, portal.sandbox
    if application.stage == SANDBOX:
        plan, scopes, rows = sandbox.plan, client.scopes & sandbox.scopes, sandbox.rows
    elif client.plan in portal.plans:
        plan, rows = client.plan, client.rows or sandbox.rows
        scopes = client.scopes & (sandbox.scopes | gateway.asked_for)
    else:
        return None
    return Client(
        plan=plan, scopes=scopes, rows=rows, keys=client.keys, person=application.owner,
        secret=NO_SECRET,
    )  # fmt: skip


def is_registered(client: Client) -> bool:
    """Whether a client of a joined policy is a row, and no member of the file."""
    return any(each.startswith(REFERENCE) for each in client.secrets)


def joined(gateway: Gateway, known: Snapshot, now: float) -> Gateway:
    """A policy with the registered clients that act under it; PolicyError where a name is taken."""
    if mistakes := list(_twice(gateway, known)):
        raise PolicyError([gateway.lines.told(*each) for each in mistakes])
    if gateway.portal is None:
        return gateway
    found = dict(gateway.clients)
    for each in known.applications:
        client = within(each, gateway, gateway.portal) if each.live(now) else None
        if client is not None:
            found[each.id] = _with_secrets(client, known.secrets.get(each.id, {}))
    return msgspec.structs.replace(gateway, clients=found)


class Registry:
    """What this worker knows of them; it takes what changed several times a second."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known = store.read_now(snapshot)
        self._ends = inf
        self._again: Callable[[], object] = lambda: None

    def joined(self, gateway: Gateway) -> Gateway:
        """The policy with the registered clients in it; PolicyError where a name is taken."""
        now, known = self._clock.timestamp(), self._known
        ends = (each.ends_at for each in known.applications if each.ends_at and each.live(now))
        self._ends = min(ends, default=inf)
        return joined(gateway, known, now)

    def proofs(self, gateway: Gateway, credentials: Credentials) -> Credentials:
        """The credentials of the file's clients, with those of the registered ones of `joined`."""
        secrets, keys = dict(credentials.secrets), dict(credentials.keys)
        for each in self._known.applications:
            if each.id not in gateway.clients:
                continue
            mine = self._known.secrets.get(each.id, {})
            secrets[each.id] = tuple(bytes.fromhex(digest) for digest in mine.values())
            if each.client.keys:
                keys[each.id] = KeySet.import_key_set({"keys": each.client.keys})  # type: ignore[typeddict-item]  # they were read before they were kept
        return Credentials(secrets, keys)

    def tells(self, again: Callable[[], object]) -> None:
        """Make all that follows anew with this whenever something changed."""
        self._again = again

    async def go(self) -> None:
        """Look for as long as the process lives."""
        await watch("registered", self.look, LOOK_S)

    async def look(self) -> None:
        """Take what changed, and leave out what has ended."""
        known = self._known
        if await self._store.read(changes) != known.changes:
            self._known = await self._store.read(snapshot)
        elif self._clock.timestamp() < self._ends:
            return
        try:
            self._again()
        except BaseException:
            self._known = known  # it is tried again
            raise


def _with_secrets(client: Client, secrets: Iterable[str]) -> Client:
    references = tuple(f"{REFERENCE}{each}" for each in secrets) or NO_SECRET
    return msgspec.structs.replace(client, secret=references)


def _twice(gateway: Gateway, known: Snapshot) -> Iterable[tuple[Place, str]]:
    """The names of the file that somebody registered: nobody may become another by a file."""
    taken = known.people | {each.id for each in known.applications}
    for kind, names in (("clients", gateway.clients), ("people", gateway.people)):
        for name in sorted(names.keys() & taken):
            yield (kind, name), "this name is registered in the portal: take another"


def put(connection: Connection, client_id: str, client: Client, **more: Any) -> None:
    """Keep what a client may do from now on."""
    kept = msgspec.json.encode(msgspec.structs.replace(client, secret=None)).decode()
    change(connection, CLIENTS, {"id": client_id}, client=kept, **more)
    changed(connection)
