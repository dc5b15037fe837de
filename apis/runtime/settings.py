"""What one process is told by its environment; read once, at start."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from apis.runtime.caps import Caps
from apis.runtime.clock import simulated_clock_url
from apis.runtime.log import level_of
from apis.runtime.metadata import Feed
from apis.runtime.references import secret
from apis.runtime.variables import Reading, scheme_of, told
from contracts.errors import Misconfigured

DRAIN_S = 5
LEASE_S = 10
DATABASES = ("sqlite", "postgresql", "postgres")
HTTP = ("http", "https")
REDISES = ("redis", "rediss", "unix")
QUEUE_EVERY_S = 0.05
"""An idle worker looks so often for runs that are queued, at about half a millisecond a look."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Where state lives, who listens where, and which files rule."""

    home: Path
    env: str
    database_url: str
    redis_url: str | None
    workers: int
    port: int
    issuer: str
    entities: Path
    gateway: Path
    peers: dict[str, str]
    internal_key: bytes
    digest_key: bytes
    audit_key: Path
    audit_heads: Path
    lease_s: float
    search_lag_s: float | None
    feed_every_s: float | None
    queue_every_s: float
    caps: Caps
    metrics_port: int | None
    drain_s: float
    """Between saying at /readyz that it leaves and accepting nobody: for load balancers."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read `THROUGHLINE_*` and `PORT`; makes the home and its keys when missing.

        Misconfigured names every variable that cannot be used.
        """
        known = told_by(env)
        with usable():
            for folder in (known.home, known.home / "run"):
                folder.mkdir(parents=True, exist_ok=True)
            return with_keys(known, made_once)

    @classmethod
    def found(cls, env: Mapping[str, str]) -> Settings:
        """The same with nothing made: a key that the first start will make is empty."""
        with usable():
            return with_keys(told_by(env), kept)

    def feed(self, feed: Feed) -> Feed:
        """A feed of the metadata, read as often as this process is told to (the demo and tests)."""
        if self.feed_every_s is None:
            return feed
        return msgspec.structs.replace(feed, every_s=self.feed_every_s)


def told_by(env: Mapping[str, str]) -> Settings:
    """What the environment alone says; a key that it does not name is empty."""
    given = Reading(env)
    home = Path(given.text("THROUGHLINE_HOME", "./var")).resolve()
    port = given.port("PORT", 8080)
    mode = given.one_of("THROUGHLINE_ENV", ("production", "test", "demo"))
    database_url, redis_url = stores(given, env, home)
    nowhere: dict[str, str] = {}
    peers = given.of("THROUGHLINE_PEERS", lambda: peers_of(env), nowhere)
    given.of("THROUGHLINE_CLOCK", lambda: simulated_clock_url(dict(env)), None)
    given.of("THROUGHLINE_LOG", lambda: level_of(given.text("THROUGHLINE_LOG", "INFO")), 0)
    known = Settings(
        home=home,
        env=mode,
        database_url=database_url,
        redis_url=redis_url,
        workers=given.whole("THROUGHLINE_WORKERS", 2 if redis_url else 1),
        port=port,
        issuer=issuer(given, port),
        entities=Path(given.text("THROUGHLINE_ENTITIES", "apis/entities.yaml")),
        gateway=Path(given.text("THROUGHLINE_GATEWAY", "gateway.yaml")),
        peers=peers,
        internal_key=given.of(
            "THROUGHLINE_INTERNAL_KEY", lambda: private("THROUGHLINE_INTERNAL_KEY", env), ""
        ).encode(),
        digest_key=given.of("THROUGHLINE_DIGEST_KEY", lambda: digest_key(env, home), b""),
        audit_key=Path(given.text("THROUGHLINE_AUDIT_KEY", str(home / "audit.key"))),
        audit_heads=Path(given.text("THROUGHLINE_AUDIT_HEADS", str(home / "audit"))),
        lease_s=given.seconds("THROUGHLINE_LEASE", LEASE_S),
        search_lag_s=given.seconds("THROUGHLINE_SEARCH_LAG", None, zero=True),
        feed_every_s=given.seconds("THROUGHLINE_FEED_EVERY", None),
        queue_every_s=given.seconds("THROUGHLINE_QUEUE_EVERY", QUEUE_EVERY_S),
        caps=Caps.read(given),
        metrics_port=given.port("THROUGHLINE_METRICS_PORT", None),
        drain_s=given.seconds(
            "THROUGHLINE_DRAIN", DRAIN_S if mode == "production" else 0, zero=True
        ),
    )
    given.done()
    return known


def issuer(given: Reading, port: int) -> str:
    """Our public address; whatever we name begins with it, so nothing may stand behind its path."""
    name = "THROUGHLINE_ISSUER"
    found = given.text(name, f"http://127.0.0.1:{port}")
    given.scheme(name, scheme_of(found), HTTP, "https://api.example.com")
    if found.endswith("/") or not {"?", "#"}.isdisjoint(found):
        given.mistakes.append(told(name, f"{found} must end without / and have no ? and no #"))
    return found


def stores(given: Reading, env: Mapping[str, str], home: Path) -> tuple[str, str | None]:
    """Where the database is, and Redis if there is one."""
    database, redis = "THROUGHLINE_DATABASE_URL", "THROUGHLINE_REDIS_URL"
    ours = f"sqlite:///{home}/throughline.sqlite"
    database_url = given.of(database, lambda: private(database, env), ours) or ours
    redis_url = given.of(redis, lambda: private(redis, env), "") or None
    example = "postgresql://role:password@host/name"
    given.scheme(database, database_scheme(database_url), DATABASES, example)
    if redis_url:
        given.scheme(redis, scheme_of(redis_url), REDISES, "redis://:password@host:6379/0")
    return database_url, redis_url


def database_scheme(url: str) -> str:
    """The scheme as the engine reads it: a password may hold what other addresses may not."""
    try:
        return sa.make_url(url).get_backend_name()
    except (ArgumentError, ValueError):
        return ""


def peers_of(env: Mapping[str, str]) -> dict[str, str]:
    """Where other processes serve, by part."""
    named = [part for part in env.get("THROUGHLINE_PEERS", "").split(",") if part]
    for part in named:
        if scheme_of(part.partition("=")[2]) not in HTTP:
            msg = f"{part} names no address: part=http://host:port,..."
            raise ValueError(msg)
    return dict(part.split("=", 1) for part in named)


def private(name: str, env: Mapping[str, str]) -> str:
    """A variable that is secret: its value, or of `file:/path` what stands in that file."""
    given = env.get(name) or ""
    if not given.startswith("file:"):
        return given
    return text_of(given, secret(given, env, Path()).reveal())


def digest_key(env: Mapping[str, str], home: Path) -> bytes:
    """The key behind the hashes of the audit, where the environment refers to one."""
    reference = env.get("THROUGHLINE_DIGEST_KEY")
    if not reference:
        return b""
    return text_of(reference, secret(reference, env, home).reveal()).encode()


def text_of(reference: str, found: object) -> str:
    """What a reference leads to; an empty file is no key, and no reason to make another."""
    if isinstance(found, str) and found:
        return found
    raise Misconfigured("reference.missing", f"{reference} holds no text")


def with_keys(known: Settings, key: Callable[[Path], bytes]) -> Settings:
    """The settings with the keys of the home where the environment names no other."""
    return msgspec.structs.replace(
        known,
        internal_key=known.internal_key or key(known.home / "internal.key"),
        digest_key=known.digest_key or key(known.home / "digest.key"),
    )


@contextmanager
def usable() -> Iterator[None]:
    """Say of a home that cannot be used whose setting it is."""
    try:
        yield
    except OSError as error:
        what = told("THROUGHLINE_HOME", f"{error.filename}: {error.strerror}")
        raise Misconfigured("settings.invalid", what) from error


def kept(path: Path) -> bytes:
    """A key of this home, if it was made already."""
    return path.read_bytes() if path.exists() else b""


def made_once(path: Path, make: Callable[[], bytes] | None = None) -> bytes:
    """A key of this home: whoever needs it first makes it whole, and nobody else can read it."""
    if not path.exists():
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(make() if make else secrets.token_urlsafe(48).encode())
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    return path.read_bytes()
