"""Every variable of the environment that a process is told something by, and what it means.

`docs/configuration.md` is made from this table and from the types of the two files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from contracts.errors import Misconfigured

T = TypeVar("T")
HIGHEST_PORT = 65_535
ENVIRONMENT = "environment"


class Variable(msgspec.Struct, frozen=True):
    """One variable; `secret` ones may be `file:/path` of a file that only we can read."""

    name: str
    default: str
    meaning: str
    secret: bool = False


NONE = "none"
VARIABLES = (
    Variable("PORT", "8080", "where the gateway listens"),
    Variable("THROUGHLINE_HOST", "127.0.0.1", "the address on which processes listen"),
    Variable("SANDBOX_PORT", "9101", "first of the consecutive ports of the demo's sandboxes"),
    Variable(
        "THROUGHLINE_PLAIN_HTTP",
        NONE,
        "`1` allows plain HTTP on an address that others can reach: something in front of it ends"
        " TLS, or only our own processes reach it",
    ),
    Variable(
        "THROUGHLINE_HEADER_TIMEOUT",
        "10",
        "seconds in which a request's headers must have come; then 408",
    ),
    Variable(
        "THROUGHLINE_KEEP_ALIVE",
        "75",
        "seconds an idle connection is kept: longer than the load balancer keeps it",
    ),
    Variable(
        "THROUGHLINE_CONNECTIONS",
        "1000",
        "connections a process holds; those above are told 503",
    ),
    Variable(
        "THROUGHLINE_DRAIN",
        "5; 0 in `demo` and `test`",
        "seconds between 503 at `/readyz` and the end of listening, for load balancers",
    ),
    Variable(
        "THROUGHLINE_METRICS_PORT",
        NONE,
        "a loopback port on which this process alone answers `/metrics`, for Prometheus beside it",
    ),
    Variable(
        "THROUGHLINE_HOME",
        "./var",
        "state: database, keys, client secrets, pid files, sandboxes",
    ),
    Variable(
        "THROUGHLINE_DATABASE_URL",
        "SQLite under the home",
        "`postgresql://...` in production",
        secret=True,
    ),
    Variable(
        "THROUGHLINE_REDIS_URL",
        NONE,
        "Redis, for several server processes; it holds only what may be lost",
        secret=True,
    ),
    Variable(
        "THROUGHLINE_WORKERS",
        "2 with Redis, 1 without",
        "server processes that share limits: each takes its part while Redis is away",
    ),
    Variable("THROUGHLINE_ENV", "production", "`production`, `test` or `demo`"),
    Variable(
        "THROUGHLINE_CLOCK",
        NONE,
        "URL of a simulated clock; loopback only, refused in production",
    ),
    Variable(
        "THROUGHLINE_INTERNAL_KEY",
        "made once, in the home",
        "key of the tokens between processes: the same for all of them",
        secret=True,
    ),
    Variable(
        "THROUGHLINE_PEERS",
        NONE,
        "where other processes serve: `system/salesforce=http://127.0.0.1:8101,process=...`",
    ),
    Variable("THROUGHLINE_ENTITIES", "apis/entities.yaml", "the metadata file"),
    Variable("THROUGHLINE_GATEWAY", "gateway.yaml", "the policy file"),
    Variable(
        "THROUGHLINE_LEASE", "10", "seconds a worker's lease holds without renewal; tests use 1"
    ),
    Variable(
        "THROUGHLINE_QUEUE_EVERY",
        "0.05",
        "how often (seconds) an idle worker looks for queued runs; taken when the tables are made"
        " or lifted",
    ),
    Variable(
        "THROUGHLINE_SEARCH_LAG",
        "per connection",
        "seconds until a vendor's search shows a new record",
    ),
    Variable(
        "THROUGHLINE_RECORDS_KEY",
        NONE,
        "`file:` or `env:` of 32 bytes in base64 (or the text itself); of several, after commas,"
        " the first encrypts and all decrypt; with it, recorded values are encrypted, [golden"
        " records and events are not](decisions/0012-what-the-records-key-seals.md)",
        secret=True,
    ),
    Variable(
        "THROUGHLINE_DIGEST_KEY",
        "made once, in the home",
        "`file:` or `env:` of the key behind the hashes in the audit: the same on all hosts",
        secret=True,
    ),
    Variable(
        "THROUGHLINE_AUDIT_KEY",
        "`audit.key` in the home",
        "the file of the key that signs the audit's heads, made once: the same for all workers",
    ),
    Variable(
        "THROUGHLINE_AUDIT_HEADS",
        "`audit` in the home",
        "the folder of the signed heads: a second place, best one where nothing can be taken back",
    ),
    Variable("THROUGHLINE_SANDBOX_LATENCY_MS", "0", "how long a sandbox takes to answer"),
    Variable(
        "THROUGHLINE_FEED_EVERY",
        "per feed",
        "seconds between two reads of a feed; the metadata file says it otherwise",
    ),
    Variable("THROUGHLINE_LOG", "INFO", "the least severe log lines shown"),
    Variable(
        "THROUGHLINE_ISSUER",
        "`http://127.0.0.1:<PORT>`",
        "the address in tokens and problem types",
    ),
)


class Reading:
    """Reads an environment; what cannot be used is told at once, each by its name and why."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self.mistakes: list[str] = []

    def done(self) -> None:
        """Misconfigured, if anything cannot be used."""
        if self.mistakes:
            raise Misconfigured("settings.invalid", "\n".join(self.mistakes))

    def text(self, name: str, default: str) -> str:
        """A text; one that is empty is none."""
        return self._env.get(name) or default

    def seconds(self, name: str, default: T, *, zero: bool = False) -> float | T:
        """How long something takes."""
        if not (given := self._env.get(name)):
            return default
        try:
            found = float(given)
        except ValueError:
            found = math.nan
        if math.isfinite(found) and (found > 0 or (zero and found == 0)):
            return found
        least = "of at least 0" if zero else "above 0"
        self.mistakes.append(told(name, f"{given} is no number {least}"))
        return default

    def whole(self, name: str, default: T, most: int | None = None) -> int | T:
        """How many of something, or which."""
        if not (given := self._env.get(name)):
            return default
        if given.isascii() and given.isdigit() and 1 <= int(given) <= (most or int(given)):
            return int(given)
        upto = f"from 1 to {most}" if most else "above 0"
        self.mistakes.append(told(name, f"{given} is no whole number {upto}"))
        return default

    def port(self, name: str, default: T) -> int | T:
        """Where something listens."""
        return self.whole(name, default, HIGHEST_PORT)

    def one_of(self, name: str, among: tuple[str, ...]) -> str:
        """One of a few words, the first where none is given."""
        given = self._env.get(name) or among[0]
        if given not in among:
            self.mistakes.append(told(name, f"{given} is none of {', '.join(among)}"))
        return given

    def scheme(self, name: str, found: str, among: tuple[str, ...], example: str) -> None:
        """Of an address, which may hold a password, only the scheme is told."""
        if found not in among:
            self.mistakes.append(told(name, f"{found or 'it'} is no such address: {example}"))

    def of(self, name: str, read: Callable[[], T], otherwise: T) -> T:
        """What a function makes of it; what that cannot use is a mistake of this variable."""
        try:
            return read()
        except Misconfigured as error:
            self.mistakes.append(told(name, error.detail))
        except (OSError, ValueError) as error:
            self.mistakes.append(told(name, str(error)))
        return otherwise


def scheme_of(url: str) -> str:
    """The scheme of an address that can be followed."""
    try:
        found = urlsplit(url)
        port = found.port
    except ValueError:
        return ""
    return found.scheme if port != 0 else ""


def told(name: str, what: str) -> str:
    """A line about a variable."""
    return f"{ENVIRONMENT}: {name}: {what}"
