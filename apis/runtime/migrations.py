"""The database as this release needs it: each tier's tables by Alembic, then the engine's own.

Scripts are `apis/migrations/<tier>/versions/<number>_<what>.py`, one line of them per tier. They
only add, so that the release before this one runs beside it. `apis.runtime.drafting` writes the
next one; those of `released.json` are never edited.
"""

from __future__ import annotations

import fcntl
import importlib
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, Connection, String, Table

from apis.runtime.engine import Engine
from apis.runtime.log import get_logger
from apis.runtime.store import METADATA, TIERS, Store, table

SCRIPTS = Path(__file__).parent.parent / "migrations"
ENGINE = table("runtime", "engine", Column("has", String(120), primary_key=True))
"""What the engine's own tables were brought to last."""
OWNERS = (
    "apis.gateway.own",
    "apis.gateway.fields",
    "apis.gateway.consents",
    "apis.gateway.extensions",
    "apis.gateway.version_states",
    "apis.portal.app",
    "apis.runtime.writes",
    "apis.runtime.restores",
    "apis.runtime.audit",
    "apis.runtime.chores",
    "process_apis.starts",
    "experience_apis.projections",
)
"""Modules that, between them, declare every table of the deployment."""
log = get_logger(__name__)
LOCK = 7_401_000
WAIT_S = 0.05


def migrate(store: Store, engine: Engine, home: Path) -> None:
    """Bring every table up to date; a second caller waits, then finds it done."""
    with alone(store, home):
        lift(store)
        if not store.read_now(engine_has, engine.needs):
            engine.migrate()
            store.write_now(engine_got, engine.needs)


@contextmanager
def alone(store: Store, home: Path) -> Iterator[None]:
    """One migration at a time: a lock in the database, or beside the SQLite file."""
    if store.sqlite:
        with (home / "migrate.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    # no transaction stays open, not even to wait for the lock: the engine builds indexes
    # concurrently, which waits for every open transaction
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        mine = sa.select(sa.func.pg_try_advisory_lock(LOCK))
        while not connection.execute(mine).scalar_one():
            time.sleep(WAIT_S)
        try:
            yield
        finally:
            connection.execute(sa.select(sa.func.pg_advisory_unlock(LOCK)))


def lift(store: Store) -> None:
    """Run the scripts each tier lacks, all in one transaction; only a look where it lacks none."""
    at = store.read_now(versions)
    behind = [tier for tier in TIERS if at[tier] < head(tier)]
    if behind:
        store.write_now(upgrade, behind)
    for tier in behind:
        log.info("tables.migrated", tier=tier, since=at[tier] or None, to=head(tier))


def engine_has(connection: Connection, what: str) -> bool:
    """Whether the engine's tables are as this release needs them."""
    return connection.execute(sa.select(ENGINE.c.has)).scalar() == what


def engine_got(connection: Connection, what: str) -> None:
    """Record what the engine's tables were brought to."""
    connection.execute(sa.delete(ENGINE))
    connection.execute(sa.insert(ENGINE).values(has=what))


def head(tier: str) -> str:
    """The number of a tier's last script."""
    return max(path.name[:4] for path in (SCRIPTS / tier / "versions").glob("[0-9]*.py"))


def versions(connection: Connection) -> dict[str, str]:
    """The number of the script each tier ran last; a newer release may have more than we know."""
    found = dict.fromkeys(TIERS, "")
    for tier in TIERS:
        if has_table(connection, tier, "alembic_version"):
            name, schema = _named(connection, tier, "alembic_version")
            version = sa.table(name, sa.column("version_num"), schema=schema)
            found[tier] = connection.execute(sa.select(version)).scalar() or ""
    return found


def has_table(connection: Connection, tier: str, name: str) -> bool:
    """Whether the database has this table of a tier."""
    name, schema = _named(connection, tier, name)
    return sa.inspect(connection).has_table(name, schema=schema)


def has_column(connection: Connection, column: Column[Any]) -> bool:
    """Whether a table that is there has this column: a release before ours may have made it."""
    name, schema = _named(connection, str(column.table.schema), column.table.name)
    there = sa.inspect(connection).get_columns(name, schema=schema)
    return any(each["name"] == column.name for each in there)


def _named(connection: Connection, tier: str, name: str) -> tuple[str, str | None]:
    sqlite = connection.dialect.name == "sqlite"
    return (f"{tier}_{name}", None) if sqlite else (name, tier)


def upgrade(connection: Connection, tiers: Sequence[str]) -> None:
    """Run Alembic on these tiers."""
    from alembic import command  # noqa: PLC0415 - costs time that only a new release has
    from alembic.config import Config  # noqa: PLC0415 - as above

    for tier in tiers:
        if connection.dialect.name != "sqlite":
            connection.execute(sa.schema.CreateSchema(tier, if_not_exists=True))
        config = Config(attributes={"tier": tier, "connection": connection})
        for option, path in (
            ("script_location", SCRIPTS),
            ("version_locations", SCRIPTS / tier / "versions"),
        ):
            config.set_main_option(option, str(path).replace("%", "%%"))
        config.set_main_option("path_separator", "newline")
        command.upgrade(config, "head")


def declared() -> list[Table]:
    """Every table of the deployment as its module declares it."""
    for owner in OWNERS:
        importlib.import_module(owner)
    return METADATA.sorted_tables


if __name__ == "__main__":
    from apis.runtime import drafting  # it takes what it needs: this module is not imported twice

    match sys.argv[1:]:
        case ["draft", *what]:
            done = drafting.draft(SCRIPTS, declared(), *what[:1])
        case ["release"]:
            done = drafting.release(SCRIPTS)
        case _:
            sys.exit("usage: python -m apis.runtime.migrations draft [what] | release")
    for each in done:
        print(each)  # noqa: T201 - a command's answer
