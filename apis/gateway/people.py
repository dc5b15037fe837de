"""The people who sign in: their passwords, and the sessions of their browsers."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import secrets
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from sqlalchemy import Column, Connection, Float, String

from apis.gateway.balancers import caller_of
from apis.gateway.grants import digest
from apis.gateway.guard import Scope
from apis.gateway.policy import Gateway, Person, PolicyError
from apis.gateway.registered import PEOPLE
from apis.gateway.tokens import read_secret, write_private
from apis.runtime.clock import Clock
from apis.runtime.limits import Limit, Limiter, Verdict
from apis.runtime.store import Store, find, insert_new, table

PEOPLE_FILE = "people.json"
HASH = "password_hash"
SESSION_S = 3600
"""How long a browser is not asked again for the password."""
MOST_PASSWORD = 1_000
AT_ONCE = 2
BY_BOTH = Limit(10, 900, 10)
"""How often one address may try one person."""
BY_ADDRESS = Limit(300, 300, 300)
BY_PERSON = Limit(100, 3600, 100)
"""Over all addresses: more than one address alone can use up."""
Counted = tuple[str, Limit, Verdict]

SESSIONS = table(
    "gateway",
    "sessions",
    Column("digest", String(64), primary_key=True),
    Column("person", String(200), nullable=False),
    Column("password", String(64), nullable=False),
    Column("expires_at", Float, nullable=False, index=True),
)


def hashed(password: str) -> str:
    """What to keep instead of a password: Argon2id as OWASP's cheat sheet asks, in the PHC form."""
    made = Argon2id(salt=os.urandom(16), length=32, iterations=2, lanes=1, memory_cost=19_456)
    return made.derive_phc_encoded(password.encode())


def ensure_people(home: Path, gateway: Gateway) -> None:
    """Keep `$THROUGHLINE_HOME/people.json`: a password, made once, per person kept there."""
    path = home / PEOPLE_FILE
    held: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else {}
    missing = [
        name
        for name, person in gateway.people.items()
        if person.password == f"home:{PEOPLE_FILE}" and name not in held
    ]
    if not missing:
        return
    for name in missing:
        password = secrets.token_urlsafe(12)
        held[name] = {"password": password, HASH: hashed(password)}
    write_private(path, json.dumps(held, indent=2) + "\n", replace=path.exists())


def load_passwords(gateway: Gateway, home: Path) -> dict[str, str]:
    """Resolve every reference; PolicyError names each that leads to no hash."""
    found, mistakes = {}, []
    for name, person in gateway.people.items():
        try:
            found[name] = _hash_of(person, name, home)
        except (ValueError, OSError) as error:
            mistakes.append(gateway.lines.told(("people", name, "password"), str(error)))
    if mistakes:
        raise PolicyError(mistakes)
    return found


def _hash_of(person: Person, name: str, home: Path) -> str:
    found = read_secret(person.password, home, member=name, field=HASH)
    if not found.startswith("$argon2id$"):
        msg = "no hash is there: `throughline password` makes one"
        raise ValueError(msg)
    return found


class People:
    """Who is who, by password or by the session of their browser."""

    def __init__(
        self,
        passwords: dict[str, str],
        store: Store,
        limiter: Limiter,
        clock: Clock,
        balancers: Iterable[str] = (),
        *,
        registered: bool = False,
    ) -> None:
        self._passwords = passwords
        self._registered = registered
        """Whether those who registered themselves sign in as well."""
        self._store = store
        self._limiter = limiter
        self._clock = clock
        self._balancers = [ip_network(each) for each in balancers]
        self._turns = asyncio.Semaphore(AT_ONCE)

    def address(self, scope: Scope) -> str:
        """Where a request comes from."""
        return caller_of(scope, self._balancers)

    async def tried(self, name: str, password: str, scope: Scope) -> tuple[bool, float]:
        """Whether this is their password; else the seconds to wait where it was tried too often.

        A right one does not count against the person, only against the address: each costs a core.
        """
        wait, counted = await self._counted(name, scope)
        if wait or not await self.right(name, password):
            return False, wait
        for key, limit, verdict in counted:
            if limit is not BY_ADDRESS:
                self._limiter.give_back(key, limit, self._clock.timestamp(), verdict)
        return True, 0.0

    async def wait(self, name: str, scope: Scope) -> float:
        """Count an attempt; the seconds to wait where there were too many of them."""
        return (await self._counted(name, scope))[0]

    async def _counted(self, name: str, scope: Scope) -> tuple[float, list[Counted]]:
        now, address = self._clock.timestamp(), self.address(scope)
        counted: list[Counted] = []
        for kind, value, limit in (
            ("both", f"{address} {name}", BY_BOTH),
            ("address", address, BY_ADDRESS),
            ("person", name, BY_PERSON),
        ):
            key = f"sign-in:{kind}:{digest(value)}"
            verdict = await self._limiter.take(key, limit, now)
            if not verdict.allowed:  # what is refused here does not count against the person
                return max(verdict.retry_after, 1.0), counted
            counted.append((key, limit, verdict))
        return 0.0, counted

    async def right(self, name: str, password: str) -> bool:
        """Whether this is their password; nobody's takes as long to check."""
        if not (self._passwords or self._registered):
            return False
        known = await self._password(name)
        given = password[:MOST_PASSWORD].encode("utf-8", "surrogatepass")
        async with self._turns:  # each costs 19 MiB and a core for some time
            right = await asyncio.to_thread(_verified, given, known or _nobody())
        return right and known is not None

    async def opened(self, name: str) -> str:
        """A session for this person: what their browser keeps."""
        session = secrets.token_urlsafe(32)
        now = self._clock.timestamp()
        mark = _fingerprint(await self._password(name) or "")
        row = {"digest": digest(session), "person": name, "password": mark}
        await self._store.write(_open, row, now)
        return session

    async def of(self, session: str) -> str | None:
        """Who this browser belongs to, unless their password changed since."""
        row = await self._store.read(find, SESSIONS, digest=digest(session)) if session else None
        if row is None or row.expires_at <= self._clock.timestamp():
            return None
        known = await self._password(row.person)
        same = known is not None and hmac.compare_digest(row.password, _fingerprint(known))
        return str(row.person) if same else None

    async def close(self, session: str) -> None:
        """End a session."""
        await self._store.write(_close, digest(session))

    async def hashed(self, password: str) -> str:
        """What to keep of a new password; it waits for its turn as a check does."""
        async with self._turns:
            return await asyncio.to_thread(hashed, password)

    async def _password(self, name: str) -> str | None:
        """What is kept of a person's password: by the policy, else by themselves."""
        known = self._passwords.get(name)
        if known is None and self._registered and name.isprintable():
            row = await self._store.read(find, PEOPLE, name=name)
            known = row.password if row else None
        return known


def _fingerprint(password: str) -> str:
    return sha256(password.encode()).hexdigest()


@cache
def _nobody() -> str:
    return hashed(secrets.token_urlsafe(16))


def _verified(password: bytes, known: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(password, known)
    except (InvalidKey, ValueError):
        return False
    return True


def _open(connection: Connection, row: dict[str, Any], now: float) -> None:
    connection.execute(sa.delete(SESSIONS).where(SESSIONS.c.expires_at < now))
    insert_new(connection, SESSIONS, **row, expires_at=now + SESSION_S)


def _close(connection: Connection, known: str) -> None:
    connection.execute(sa.delete(SESSIONS).where(SESSIONS.c.digest == known))
