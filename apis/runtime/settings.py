"""What one process is told by its environment; read once, at start."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from apis.runtime.caps import Caps
from apis.runtime.metadata import Feed
from apis.runtime.references import secret

DRAIN_S = 5
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
        """Read `THROUGHLINE_*` and `PORT`; makes the home and its internal key when missing."""
        home = Path(env.get("THROUGHLINE_HOME", "./var")).resolve()
        for folder in (home, home / "run"):
            folder.mkdir(parents=True, exist_ok=True)
        port = int(env.get("PORT", "8080"))
        unattended = env.get("THROUGHLINE_ENV") not in {"demo", "test"}
        lag = env.get("THROUGHLINE_SEARCH_LAG")
        redis_url = private("THROUGHLINE_REDIS_URL", env) or None
        return cls(
            home=home,
            env=env.get("THROUGHLINE_ENV", "production"),
            database_url=private("THROUGHLINE_DATABASE_URL", env)
            or f"sqlite:///{home}/throughline.sqlite",
            redis_url=redis_url,
            workers=int(env.get("THROUGHLINE_WORKERS") or (2 if redis_url else 1)),
            port=port,
            issuer=env.get("THROUGHLINE_ISSUER", f"http://127.0.0.1:{port}"),
            entities=Path(env.get("THROUGHLINE_ENTITIES", "apis/entities.yaml")),
            gateway=Path(env.get("THROUGHLINE_GATEWAY", "gateway.yaml")),
            peers=dict(
                part.split("=", 1) for part in env.get("THROUGHLINE_PEERS", "").split(",") if part
            ),
            internal_key=internal_key(env, home),
            digest_key=digest_key(env, home),
            audit_key=Path(env.get("THROUGHLINE_AUDIT_KEY") or home / "audit.key"),
            audit_heads=Path(env.get("THROUGHLINE_AUDIT_HEADS") or home / "audit"),
            lease_s=float(env.get("THROUGHLINE_LEASE", "10")),
            search_lag_s=float(lag) if lag else None,
            feed_every_s=float(env["THROUGHLINE_FEED_EVERY"])
            if env.get("THROUGHLINE_FEED_EVERY")
            else None,
            queue_every_s=float(env.get("THROUGHLINE_QUEUE_EVERY", QUEUE_EVERY_S)),
            metrics_port=int(env["THROUGHLINE_METRICS_PORT"])
            if env.get("THROUGHLINE_METRICS_PORT")
            else None,
            caps=Caps.from_env(env),
            drain_s=float(env.get("THROUGHLINE_DRAIN") or (DRAIN_S if unattended else 0)),
        )

    def feed(self, feed: Feed) -> Feed:
        """A feed of the metadata, read as often as this process is told to (the demo and tests)."""
        if self.feed_every_s is None:
            return feed
        return msgspec.structs.replace(feed, every_s=self.feed_every_s)


def private(name: str, env: Mapping[str, str]) -> str | None:
    """A variable that is secret: its value, or of `file:/path` what stands in that file."""
    given = env.get(name)
    if not given or not given.startswith("file:"):
        return given
    return str(secret(given, env, Path()).reveal())


def internal_key(env: Mapping[str, str], home: Path) -> bytes:
    """The key of internal tokens: given, or `$THROUGHLINE_HOME/internal.key`, made once."""
    if given := private("THROUGHLINE_INTERNAL_KEY", env):
        return given.encode()
    return made_once(home / "internal.key")


def digest_key(env: Mapping[str, str], home: Path) -> bytes:
    """The key behind the hashes of the audit: a reference, or `$THROUGHLINE_HOME/digest.key`."""
    if reference := env.get("THROUGHLINE_DIGEST_KEY"):
        given: str = secret(reference, env, home).reveal()
        return given.encode()
    return made_once(home / "digest.key")


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
