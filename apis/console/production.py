"""`throughline check --production`: what is unsafe in a deployment, one a line, with a remedy.

A deployment that starts and works may still be one that nobody should run: with the demo's clients,
keys that others can read, or vendors that are sandboxes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from apis.console.unsafe_keys import keys, parts, secret_findings, there, vendors
from apis.console.unsafe_policy import policy_findings
from apis.gateway.listeners import is_loopback
from apis.gateway.policy import Gateway, PolicyError
from apis.runtime import variables
from apis.runtime.deployment import policy_of
from apis.runtime.log import level_of
from apis.runtime.metadata import read_metadata
from apis.runtime.settings import Settings
from apis.runtime.store import engine_for
from apis.runtime.traces import ENDPOINTS
from contracts.errors import Misconfigured

SHORTEST_LEASE_S = 5
LONGEST_S = {
    "THROUGHLINE_LEASE": 60,
    "THROUGHLINE_HEADER_TIMEOUT": 60,
    "THROUGHLINE_KEEP_ALIVE": 3_600,
    "THROUGHLINE_DRAIN": 300,
}
ENCRYPTED = {"require", "verify-ca", "verify-full"}
OTHERS = 0o077
OURS = "THROUGHLINE_"
ALIKE = 0.8
"""From there on a name is taken for a slip, and not for a secret that `env:` names."""
SUPERUSER = "select rolsuper from pg_roles where rolname = current_user"
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
        *misspelled(env),
        *reachable(settings, env, gateway),
        *shared(settings, env),
        *times(settings),
        *keys(settings, env),
        *database(settings.database_url, env),
        *home(settings.home),
        *vendors(settings, metadata, env),
    ]
    rows = [*secret_findings(gateway, settings.home), *policy_findings(gateway, metadata, today)]
    return found + [gateway.lines.told(*each) for each in rows]


def told(name: str, what: str, remedy: str) -> str:
    """A line about a variable, with its remedy."""
    return f"{variables.told(name, what)}: {remedy}"


def misspelled(env: Mapping[str, str]) -> Told:
    """Names that nobody reads and that look like one somebody does: its default is in force."""
    known = {each.name.removeprefix(OURS) for each in variables.VARIABLES}
    for name in sorted(env):
        word = name.removeprefix(OURS)
        if word == name or word in known:
            continue
        for near in get_close_matches(word, known, n=1, cutoff=ALIKE):
            yield told(name, "no process reads it", f"was {OURS}{near} meant?")


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
    if level_of(env.get("THROUGHLINE_LOG") or "INFO") < logging.INFO:
        what = "what libraries say of each call is logged, with what it held"
        yield told("THROUGHLINE_LOG", what, "leave it out")


def times(settings: Settings) -> Told:
    """Times with which one slow or silent party holds up the others."""
    if settings.lease_s < SHORTEST_LEASE_S:
        what = f"under {SHORTEST_LEASE_S} s a worker that is only slow loses its flows"
        yield told("THROUGHLINE_LEASE", what, "leave it out")
    said = {
        "THROUGHLINE_LEASE": (settings.lease_s, "the flows of a lost worker stand still"),
        "THROUGHLINE_HEADER_TIMEOUT": (settings.caps.header_s, "who says nothing is listened to"),
        "THROUGHLINE_KEEP_ALIVE": (settings.caps.keep_alive_s, "an idle connection is kept"),
        "THROUGHLINE_DRAIN": (settings.drain_s, "a process that is told to end still serves"),
    }
    for name, (seconds, what) in said.items():
        if seconds > LONGEST_S[name]:
            most = f"at most {LONGEST_S[name]}, or leave it out"
            yield told(name, f"{what} for {seconds:g} s", most)


def reachable(settings: Settings, env: Mapping[str, str], gateway: Gateway) -> Told:
    """Who reaches us, and whether what they say can be read on the way."""
    yield from issuer(settings.issuer)
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
    yield from spans(env)


def issuer(address: str) -> Told:
    """Whether others can find who issued a token where it says."""
    name, mend = "THROUGHLINE_ISSUER", "the public address, https://..."
    url = urlsplit(address)
    if url.scheme != "https":
        what = f"{address} is where tokens say they come from, and no https"
        yield told(name, what, mend)
    elif not url.hostname or is_loopback(url.hostname):
        yield told(name, f"{address} leads nobody else to us", mend)


def spans(env: Mapping[str, str]) -> Told:
    """Whether spans can be read on their way."""
    name = next((each for each in ENDPOINTS if env.get(each)), "")
    url = parts(env.get(name, ""))
    if name and (url.scheme not in {"http", "https"} or not url.hostname):
        yield told(name, f"{env[name]} is no address", "https://...")
    elif url.scheme == "http" and not is_loopback(url.hostname or ""):
        what = f"spans leave for {url.hostname} in plain HTTP"
        yield told(name, what, "https://..., or a collector beside us")


def shared(settings: Settings, env: Mapping[str, str]) -> Told:
    """Whether what several processes share is there for all of them."""
    several = bool(settings.peers) or (settings.workers > 1 and not settings.redis_url)
    sqlite = settings.database_url.startswith("sqlite")
    if sqlite and (several or settings.redis_url):
        what = "SQLite, and several processes"
        yield told("THROUGHLINE_DATABASE_URL", what, "postgresql://...")
    if several and not settings.redis_url:
        what = "several processes, and each would count limits for itself"
        yield told("THROUGHLINE_REDIS_URL", what, "redis://... for all of them")
    if settings.redis_url:
        redis = urlsplit(settings.redis_url)
        host = redis.hostname or ""
        if not local(host) and not redis.password:
            what = f"{host} asks nobody for a password"
            yield told("THROUGHLINE_REDIS_URL", what, "rediss://:password@...")
        if redis.scheme == "redis" and not inside(host):
            what = f"what it keeps can be read on the way to {host}"
            yield told("THROUGHLINE_REDIS_URL", what, "rediss://...")
    if settings.peers:
        for name, mend in SHARED_KEYS.items():
            if not env.get(name):
                what = "made by each home for itself, and processes elsewhere must have the same"
                yield told(name, what, mend)


def local(host: str) -> bool:
    """Whether a host is this machine: loopback, or a socket in its files."""
    return not host or host.startswith("/") or is_loopback(host)


def inside(host: str) -> bool:
    """Whether what goes there stays on this machine, or in its containers' own network.

    There alone a service is called by one word, and networks that others reach are not told from
    those that nobody else does by anything we can see: each other host needs TLS.
    """
    return local(host) or ("." not in host and ":" not in host)


def database(url: str, env: Mapping[str, str]) -> Told:
    """Whether what it holds can be read on the way, or its role may do more than it needs to."""
    if url.startswith("sqlite"):
        return
    name = "THROUGHLINE_DATABASE_URL"
    address = sa.make_url(url)
    host = str(address.host or address.query.get("host", ""))
    if not local(host) and not address.password and "passfile" not in address.query:
        yield told(name, f"{host} asks nobody for a password", "postgresql://role:password@...")
    mode = address.query.get("sslmode") or env.get("PGSSLMODE")
    if not inside(host) and mode not in ENCRYPTED:
        what = f"what it keeps can be read on the way to {host}"
        yield told(name, what, "?sslmode=verify-full&sslrootcert=/path, at least sslmode=require")
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
    if not there(folder / "."):
        return  # the first start makes it, for us alone
    if folder.stat().st_mode & OTHERS:
        yield f"{folder}: others can look into it: chmod 700 {folder}"
    for path in sorted((*folder.glob("*"), *folder.glob("audit/*"), *folder.glob("sandboxes/*"))):
        if path.is_file() and path.stat().st_mode & OTHERS:
            yield f"{path}: others can read it: chmod 600 {path}"
    if (folder / "sandboxes").exists():
        yield f"{folder / 'sandboxes'}: sandboxes have run here: begin with an empty home"
