"""The database as this release needs it: each tier's tables by Alembic, then the engine's own.

Scripts are `apis/migrations/<tier>/versions/<number>_<what>.py`, one line of them per tier. They
only add, so that the release before this one runs beside it.
"""

from __future__ import annotations

import fcntl
import importlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Connection, Table

from apis.runtime.engine import Engine
from apis.runtime.store import METADATA, TIERS, Store

SCRIPTS = Path(__file__).parent.parent / "migrations"
OWNERS = ("apis.gateway.oauth", "apis.runtime.writes", "apis.runtime.audit", "process_apis.starts")
"""Modules that, between them, declare every table of the deployment."""
LOCK = 7_401_000
FIRST = '''\
"""The first tables of the {tier} tier."""
# ruff: noqa: D103, INP001 - Alembic loads it by its path; a function is named by its table

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
{calls}
'''


def migrate(store: Store, engine: Engine, home: Path) -> None:
    """Bring every table up to date; a second caller waits, then finds it done."""
    with alone(store, home):
        lift(store)
        engine.migrate()


@contextmanager
def alone(store: Store, home: Path) -> Iterator[None]:
    """One migration at a time: a lock in the database, or beside the SQLite file."""
    if store.sqlite:
        with (home / "migrate.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    # outside a transaction: an index that is built concurrently waits for open ones
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.select(sa.func.pg_advisory_lock(LOCK)))
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


def head(tier: str) -> str:
    """The number of a tier's last script."""
    return max(path.name[:4] for path in (SCRIPTS / tier / "versions").glob("[0-9]*.py"))


def versions(connection: Connection) -> dict[str, str]:
    """The number of the script each tier ran last; a newer release may have more than we know."""
    inspector = sa.inspect(connection)
    sqlite = connection.dialect.name == "sqlite"
    found = dict.fromkeys(TIERS, "")
    for tier in TIERS:
        name, schema = (f"{tier}_alembic_version", None) if sqlite else ("alembic_version", tier)
        if inspector.has_table(name, schema=schema):
            version = sa.table(name, sa.column("version_num"), schema=schema)
            found[tier] = connection.execute(sa.select(version)).scalar() or ""
    return found


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


def draft() -> list[Path]:
    """Write each tier's first script anew from its declared tables, while none is released."""
    written = []
    for tier in TIERS:
        tables = [table for table in declared() if table.schema == tier]
        path = SCRIPTS / tier / "versions" / "0001_first.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        calls = "\n".join(f"    {table.name}()" for table in tables)
        text = FIRST.format(tier=tier, calls=calls)
        path.write_text("\n\n".join([text, *(creation(table) for table in tables)]), "utf-8")
        written.append(path)
    command = [sys.executable, "-m", "ruff", "format", "--quiet", *written]
    subprocess.run(command, check=True)  # noqa: S603 - our own words
    return written


def creation(table: Table) -> str:
    """The function that makes one table with its indexes."""
    from alembic.autogenerate import render_python_code  # noqa: PLC0415 - only drafting needs it
    from alembic.operations import ops  # noqa: PLC0415 - as above

    indexes = sorted(table.indexes, key=lambda index: str(index.name))
    made = [
        ops.CreateTableOp.from_table(table),
        *(ops.CreateIndexOp.from_index(index) for index in indexes),
    ]
    lines = render_python_code(ops.UpgradeOps(ops=made)).splitlines()
    code = [f"    {line.removeprefix('    ')}" for line in lines if line.lstrip()[:1] != "#"]
    return "\n".join([f"def {table.name}() -> None:", *code, ""])


if __name__ == "__main__":
    if sys.argv[1:] != ["draft"]:
        sys.exit("usage: python -m apis.runtime.migrations draft")
    for each in draft():
        print(each)  # noqa: T201 - a command's answer
