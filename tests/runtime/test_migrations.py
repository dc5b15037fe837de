"""Migrations: what the scripts make is what the modules declare, once, on both stores."""

from __future__ import annotations

import ast
import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from apis.runtime.engine import Engine
from apis.runtime.migrations import SCRIPTS, declared, head, lift, migrate, versions
from apis.runtime.store import TIERS, Store
from tests.servers import Servers, drop_database, fresh_database

ADDING = {"create_table", "create_index", "add_column", "f"}
MIGRATES = """
import sys
from pathlib import Path
from apis.runtime.engine import Engine
from apis.runtime.migrations import migrate
from apis.runtime.store import Store
migrate(Store(sys.argv[1]), Engine(sys.argv[1]), Path(sys.argv[2]))
print("alembic" in sys.modules)
"""


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = Store(store_url)
    yield store
    store.close()


@pytest.fixture
def other_store(production: Servers | None, tmp_path: Path) -> Iterator[Store]:
    """A second empty database."""
    base = production.database_url if production else ""
    url = fresh_database(base) if base else f"sqlite:///{tmp_path / 'other.sqlite'}"
    store = Store(url)
    yield store
    store.close()
    if base:
        drop_database(base, url)


def as_declared(connection: sa.Connection) -> None:
    """Make the tables straight from their declarations."""
    if connection.dialect.name != "sqlite":
        for tier in TIERS:
            connection.execute(sa.schema.CreateSchema(tier))
    for table in declared():
        connection.execute(sa.schema.CreateTable(table))
        for index in table.indexes:
            connection.execute(sa.schema.CreateIndex(index))


def shape(store: Store) -> dict[str, Any]:
    """Every table as the database knows it; in what order columns were added does not matter."""
    inspector = sa.inspect(store.engine)
    found = {}
    for schema in [None] if store.sqlite else TIERS:
        for name in inspector.get_table_names(schema):
            if name.endswith("alembic_version"):
                continue
            indexes = inspector.get_indexes(name, schema)
            found[f"{schema}.{name}"] = {
                "columns": {
                    column["name"]: (str(column["type"]), column["nullable"], column["default"])
                    for column in inspector.get_columns(name, schema)
                },
                "key": inspector.get_pk_constraint(name, schema)["constrained_columns"],
                "unique": sorted(
                    each["column_names"] for each in inspector.get_unique_constraints(name, schema)
                ),
                "indexes": {
                    each["name"]: (
                        each["column_names"],
                        bool(each["unique"]),
                        {key: str(told) for key, told in each.get("dialect_options", {}).items()},
                    )
                    for each in indexes
                },
            }
    return found


def test_what_the_scripts_make_is_what_the_modules_declare(
    store: Store, other_store: Store
) -> None:
    lift(store)
    other_store.write_now(as_declared)

    assert shape(store) == shape(other_store)


def test_every_table_of_the_code_is_among_the_declared() -> None:
    names = {f"{table.schema}.{table.name}" for table in declared()}
    for folder in ("apis", "system_apis", "process_apis", "experience_apis"):
        for path in Path(folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "table":
                    words = [
                        str(arg.value) for arg in node.args[:2] if isinstance(arg, ast.Constant)
                    ]
                    if len(words) == 2 and words[0] in TIERS:
                        assert ".".join(words) in names, f"{path}: name it in migrations.OWNERS"


async def test_a_second_time_changes_nothing(store: Store, store_url: str, tmp_path: Path) -> None:
    for _ in range(2):
        engine = Engine(store_url)
        await asyncio.to_thread(migrate, store, engine, tmp_path)
        await engine.close()
        assert store.read_now(versions) == {tier: head(tier) for tier in TIERS}
    before = shape(store)
    lift(store)
    assert shape(store) == before


def test_three_processes_at_once_make_one_database(
    store: Store, store_url: str, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", MIGRATES, store_url, str(tmp_path)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    ends = [process.communicate(timeout=60) for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0], [end[1] for end in ends]
    # one of them ran the scripts; the others waited, looked and never needed Alembic
    assert sorted(end[0].split()[-1] for end in ends) == ["False", "False", "True"]
    assert store.read_now(versions) == {tier: head(tier) for tier in TIERS}


def test_a_database_of_a_newer_release_is_left_alone(store: Store) -> None:
    lift(store)
    version = sa.table("alembic_version", sa.column("version_num"), schema="process")
    store.write_now(
        lambda connection: connection.execute(sa.update(version).values(version_num="9999"))
    )

    lift(store)

    assert store.read_now(versions)["process"] == "9999"


@pytest.mark.parametrize("tier", TIERS)
def test_the_scripts_of_a_tier_are_one_line_and_only_add(tier: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.set_main_option("version_locations", str(SCRIPTS / tier / "versions"))
    config.set_main_option("path_separator", "newline")
    scripts = ScriptDirectory.from_config(config)

    assert scripts.get_heads() == [head(tier)]
    for script in scripts.walk_revisions():
        path = Path(script.path)
        assert path.name.startswith(f"{script.revision}_")
        called = [
            node.attr
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "op"
        ]
        assert set(called) <= ADDING, f"{path}: the release before runs beside this one"
