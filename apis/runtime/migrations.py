"""The database as this release needs it: our tables, then the engine's."""

from __future__ import annotations

import fcntl
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from apis.runtime.engine import Engine
from apis.runtime.store import Store

OWNERS = ("apis.gateway.oauth", "apis.runtime.writes", "apis.runtime.audit", "process_apis.starts")

"""Modules that, between them, declare every table of the deployment."""
LOCK = 7_401_000


def migrate(store: Store, engine: Engine, home: Path) -> None:
    """Bring every tier's tables and the engine's up to date; a second caller waits, then finds it done."""
    for owner in OWNERS:
        importlib.import_module(owner)
    with alone(store, home):
        store.create()
        engine.migrate()


@contextmanager
def alone(store: Store, home: Path) -> Iterator[None]:
    """One migration at a time: a lock in the database, or beside the SQLite file."""
    if store.sqlite:
        with (home / "migrate.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    with store.engine.connect() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_lock(LOCK)))
        try:
            yield
        finally:
            connection.execute(sa.select(sa.func.pg_advisory_unlock(LOCK)))
