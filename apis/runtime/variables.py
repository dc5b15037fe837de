"""Every variable of the environment that a process is told something by, and what it means.

`docs/configuration.md` is made from this table and from the types of the two files.
"""

from __future__ import annotations

import msgspec


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
