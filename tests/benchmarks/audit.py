"""Sealing and verifying a million audit rows, beside the least that this can be done with."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection

from apis.runtime.audit import AUDIT, COVERED, seal, sign
from apis.runtime.audit_heads import Signer
from apis.runtime.audit_marks import WRITTEN, marker
from apis.runtime.audit_proof import verify
from apis.runtime.migrations import lift
from apis.runtime.store import Store, digest_key
from tests.benchmarks.figures import Figure, say
from tests.benchmarks.product import home
from tests.servers import CannotStartError, postgres

ROWS = 1_000_000
BATCH = 20_000
TIER = "process"
AT = datetime(2026, 11, 1, tzinfo=UTC)
HEX = "9c1b7e44d0a25f8836b1c4e07f5a9d23" * 2


def audit(rows: int = ROWS) -> list[Figure]:
    """Both stores where PostgreSQL can be had."""
    with home() as folder:
        figures = measured("SQLite", f"sqlite:///{folder}/audit.sqlite", folder, rows)
    try:
        with postgres(durable=True) as url, home() as folder:
            figures += measured("PostgreSQL", url, folder, rows)
    except CannotStartError as error:
        say(f"PostgreSQL: not run, {error}")
    return figures


def measured(name: str, url: str, folder: Path, rows: int) -> list[Figure]:
    """One store: rows written, sealed with a head a minute, verified, and read bare."""
    store = Store(url)
    lift(store)
    signer = Signer(folder / "audit.key", folder / "audit")
    for n in range(0, rows, BATCH):
        store.write_now(acted, n, min(BATCH, rows - n))
    sealing = seconds(lambda: all_sealed(store, signer))
    bare = seconds(lambda: store.read_now(bare_select))
    memory = from_now_on()
    verifying = seconds(lambda: whole(store, signer, rows))
    grown = peak_mb() - memory
    loop = seconds(lambda: bare_loop(rows))
    store.close()
    say(
        f"  {name}: bare SELECT {bare:.1f} s, bare sha256+json {loop:.1f} s, memory {grown:+.0f} MB"
    )
    beside = f"{loop / verifying:.2f} of sha256+json, {bare / verifying:.2f} of a bare SELECT"
    rate = f"{rows / verifying:,.0f} rows/s, {beside}, memory {grown:+.0f} MB"
    return [
        Figure(f"verify {rows:,} rows, {name}", verifying, "s", 30, 15, "low", rate),
        Figure(f"seal, {name}", rows / sealing, "rows/s", 2_000, 10_000, "high"),
    ]


def acted(connection: Connection, first: int, count: int) -> None:
    """Rows as the writes of a flow leave them."""
    given = [
        {
            "at": (AT + timedelta(milliseconds=n)).isoformat(timespec="microseconds"),
            "actor": "svc:process for demo",
            "cause": f"deal_to_project:salesforce:006{n}:1/project_for",
            "action": "project.create",
            "object": "project",
            "key": f"project-{n}",
            "connection": "kantata",
            "after_hash": HEX,
            "detail": "{}",
        }
        for n in range(first, first + count)
    ]
    marks = marker(digest_key(connection))
    for row in given:
        row["mark"] = marks.mark(TIER, [row.get(name) for name in WRITTEN])
    connection.execute(sa.insert(AUDIT[TIER]), given)


def all_sealed(store: Store, signer: Signer) -> None:
    """As the sealer does it when it was away: part after part, then the head."""
    store.read_now(sign, TIER, signer, AT)
    while store.write_now(seal, TIER):
        pass
    store.read_now(sign, TIER, signer, AT)


def whole(store: Store, signer: Signer, rows: int) -> None:
    """What `throughline audit verify` asks; nothing may be wrong."""
    found = store.read_now(verify, TIER, signer.folder, signer.public, AT)
    assert not found, found
    last = signer.newest(TIER)
    assert last is not None
    assert last.position == rows


def bare_select(connection: Connection) -> None:
    """The same cells by the driver alone, a part at a time."""
    dialect = connection.dialect.name
    table = f"{TIER}.audit" if dialect == "postgresql" else f"{TIER}_audit"
    raw = connection.connection.cursor()
    place = "%s" if dialect == "postgresql" else "?"
    cells, last = ", ".join((*COVERED, "hash")), 0
    ask = f"SELECT {cells} FROM {table} WHERE position > {place} ORDER BY position LIMIT 5000"  # noqa: S608 - our own names
    while raw.execute(ask, (last,)) and (found := raw.fetchall()):
        last = found[-1][0]


def bare_loop(rows: int) -> None:
    """A chain of the same cells with the standard library and no database."""
    previous, cells = "0" * 64, ["svc:process for demo", "x" * 48, "project.create", HEX, "{}"]
    for n in range(rows):
        text = json.dumps([n, previous, n, *cells, "project", f"project-{n}", "kantata", None])
        previous = hashlib.sha256(text.encode()).hexdigest()


def seconds(work: Callable[[], object]) -> float:
    """How long it takes, by the wall."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def from_now_on() -> float:
    """What memory this process has, from where its peak is counted again."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak_mb()


def peak_mb() -> float:
    """The most memory this process has had since."""
    told = Path("/proc/self/status").read_text()
    return int(told.partition("VmHWM:")[2].split()[0]) / 1024
