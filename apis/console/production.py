"""`throughline check --production`: what is unsafe in a deployment, one a line, with a remedy.

A deployment that starts and works may still be one that nobody should run: with the demo's clients,
keys that others can read, or vendors that are sandboxes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from apis.console.unsafe_policy import policy_findings
from apis.gateway.listeners import is_loopback
from apis.gateway.policy import Gateway, PolicyError
from apis.runtime.deployment import policy_of
from apis.runtime.metadata import Metadata, read_metadata
from apis.runtime.references import resolve
from apis.runtime.settings import Settings
from apis.runtime.store import engine_for
from contracts.errors import Misconfigured

ENOUGH = 32
SHORTEST_LEASE_S = 5
OTHERS = 0o077
SUPERUSER = "select rolsuper from pg_roles where rolname = current_user"
ENVIRONMENT = "environment"
SHARED_KEYS = {
    "THROUGHLINE_INTERNAL_KEY": "file:/path of one key for all",
    "THROUGHLINE_DIGEST_KEY": "file:/path of one key for all",
    "THROUGHLINE_AUDIT_KEY": "/path of one key for all",
}
Told = Iterator[str]


def unsafe(settings: Settings, env: Mapping[str, str], today: date) -> list[str]:
    """What is unsafe about a deployment as this environment describes it."""
    gateway: Gateway | None
    try:
        gateway = policy_of(settings)
        metadata, _ = read_metadata(settings.entities)
    except (Misconfigured, PolicyError, OSError):
        return []  # `findings` says what is wrong with them
    found = [
        *mode(env),
        *reachable(settings, env, gateway),
        *shared(settings, env),
        *keys(settings, env),
        *database(settings.database_url),
        *home(settings.home),
        *vendors(settings, metadata, env),
    ]
    return found + [gateway.lines.told(*each) for each in policy_findings(gateway, metadata, today)]


def told(name: str, what: str, remedy: str) -> str:
    """A line about a variable."""
    return f"{ENVIRONMENT}: {name}: {what}: {remedy}"


def mode(env: Mapping[str, str]) -> Told:
    """What only tests and the demo are told."""
    if (mode := env.get("THROUGHLINE_ENV") or "production") != "production":
        yield told("THROUGHLINE_ENV", f"{mode} lets clocks be moved", "leave it out")
    if env.get("THROUGHLINE_CLOCK"):
        yield told("THROUGHLINE_CLOCK", "time is a test's", "leave it out")
    if env.get("THROUGHLINE_SANDBOX_LATENCY_MS"):
        yield told("THROUGHLINE_SANDBOX_LATENCY_MS", "it is a sandbox's", "leave it out")
    if env.get("THROUGHLINE_SEARCH_LAG"):
        remedy = "leave it out: entities.yaml says it per connection"
        what = "one for all vendors may be shorter than a vendor's search needs"
        yield told("THROUGHLINE_SEARCH_LAG", what, remedy)
    if float(env.get("THROUGHLINE_LEASE") or SHORTEST_LEASE_S) < SHORTEST_LEASE_S:
        what = f"under {SHORTEST_LEASE_S} s a worker that is only slow loses its flows"
        yield told("THROUGHLINE_LEASE", what, "leave it out")


def reachable(settings: Settings, env: Mapping[str, str], gateway: Gateway) -> Told:
    """Who reaches us, and whether what they say can be read on the way."""
    issuer = urlsplit(settings.issuer)
    if issuer.scheme != "https":
        what = f"{settings.issuer} is where tokens say they come from, and no https"
        yield told("THROUGHLINE_ISSUER", what, "the public address, https://...")
    host = env.get("THROUGHLINE_HOST") or "127.0.0.1"
    if not is_loopback(host) and not gateway.balancers:
        what = f"{host} can be reached by others, in plain HTTP, and no balancer ends TLS before it"
        remedy = "leave it out and name `listeners`, or name the networks in `balancers`"
        yield told("THROUGHLINE_HOST", what, remedy)
    for name, listener in gateway.listeners.items():
        if listener.plain and not gateway.balancers:
            place = ("listeners", name, "plain")
            what = (
                "plain HTTP, and no balancer is named: give it a certificate, or name `balancers`"
            )
            yield gateway.lines.told(place, what)
    for part, address in settings.peers.items():
        url = urlsplit(address)
        if url.scheme not in {"http", "https"} or not url.hostname:
            yield told("THROUGHLINE_PEERS", f"{part}={address} is no address", "http://host:port")
    traces = urlsplit(env.get("OTEL_EXPORTER_OTLP_ENDPOINT", ""))
    if traces.scheme == "http" and not is_loopback(traces.hostname or ""):
        what = f"spans leave for {traces.hostname} in plain HTTP"
        yield told("OTEL_EXPORTER_OTLP_ENDPOINT", what, "https://..., or a collector beside us")


def shared(settings: Settings, env: Mapping[str, str]) -> Told:
    """Whether what several processes share is there for all of them."""
    several = bool(settings.peers) or int(env.get("THROUGHLINE_WORKERS") or 1) > 1
    sqlite = settings.database_url.startswith("sqlite")
    if sqlite and (several or settings.redis_url):
        what = "SQLite, and several processes"
        yield told("THROUGHLINE_DATABASE_URL", what, "postgresql://...")
    if several and not settings.redis_url:
        what = "several processes, and each would count limits for itself"
        yield told("THROUGHLINE_REDIS_URL", what, "redis://... for all of them")
    if settings.redis_url:
        redis = urlsplit(settings.redis_url)
        if not is_loopback(redis.hostname or "") and not redis.password:
            what = f"{redis.hostname} asks nobody for a password"
            yield told("THROUGHLINE_REDIS_URL", what, "redis://:password@...")
    if settings.peers:
        for name, mend in SHARED_KEYS.items():
            if not env.get(name):
                what = "made by each home for itself, and processes elsewhere must have the same"
                yield told(name, what, mend)


def keys(settings: Settings, env: Mapping[str, str]) -> Told:
    """Keys that are missing, weak, or in no second place."""
    given = env.get("THROUGHLINE_INTERNAL_KEY")
    if given and len(settings.internal_key) < ENOUGH:
        what = f"under {ENOUGH} characters it can be guessed"
        yield told("THROUGHLINE_INTERNAL_KEY", what, "openssl rand -base64 48")
    if not env.get("THROUGHLINE_RECORDS_KEY"):
        what = "none: personal values of running flows are stored as they are"
        yield told("THROUGHLINE_RECORDS_KEY", what, "openssl rand -base64 32, as file:/path")
    if settings.audit_heads.resolve().is_relative_to(settings.home):
        what = "the signed heads lie beside what they prove"
        yield told("THROUGHLINE_AUDIT_HEADS", what, "a folder of another disk, or of another host")


def database(url: str) -> Told:
    """Whether the database's role may do more than it needs to."""
    if url.startswith("sqlite"):
        return
    name = "THROUGHLINE_DATABASE_URL"
    host = urlsplit(url).hostname or ""
    if not is_loopback(host) and not urlsplit(url).password and "passfile" not in url:
        yield told(name, f"{host} asks nobody for a password", "postgresql://role:password@...")
    try:
        engine = engine_for(url, pool=1)
        with engine.connect() as connection:
            superuser = connection.execute(sa.text(SUPERUSER)).scalar()
        engine.dispose()
    except SQLAlchemyError:
        yield told(name, "it cannot be reached, so its role is not known", "check where it runs")
        return
    if superuser:
        what = "its role is a superuser, who may change what the audit's rows say"
        yield told(name, what, "a role that owns this database and nothing else")


def home(folder: Path) -> Told:
    """What the demo made, and what others can read."""
    if folder.stat().st_mode & OTHERS:
        yield f"{folder}: others can look into it: chmod 700 {folder}"
    for path in sorted((*folder.glob("*"), *folder.glob("audit/*"), *folder.glob("sandboxes/*"))):
        if path.is_file() and path.stat().st_mode & OTHERS:
            yield f"{path}: others can read it: chmod 600 {path}"
    if (folder / "sandboxes").exists():
        yield f"{folder / 'sandboxes'}: sandboxes have run here: begin with an empty home"


def vendors(settings: Settings, metadata: Metadata, env: Mapping[str, str]) -> Told:
    """Connections that lead to sandboxes, or in plain HTTP, and secrets that cannot be read."""
    if settings.entities.name == "entities.yaml" and settings.entities.parent.name == "apis":
        what = "the sample firm's metadata"
        yield told("THROUGHLINE_ENTITIES", what, "the file of your own firm")
    for name, connection in metadata.connections.items():
        for member in ("url", "login_url"):
            reference = getattr(connection, member)
            try:
                url = urlsplit(resolve(reference, env, settings.home)) if reference else None
            except Misconfigured as error:
                yield f"{settings.entities.name}: connections.{name}.{member}: {error.detail}"
                continue
            if url is None:
                continue
            place = f"{settings.entities.name}: connections.{name}.{member}"
            if is_loopback(url.hostname or ""):
                yield f"{place}: {url.netloc} is a sandbox of this machine: the vendor's address"
            elif url.scheme not in {"https", "postgresql"}:
                yield f"{place}: {url.scheme} can be read on the way: https://..."
        if "sandboxes/" in connection.auth.credentials:
            yield (
                f"{settings.entities.name}: connections.{name}.auth.credentials: those of a"
                " sandbox: file:/path of the vendor's, mode 600"
            )
