"""The next script of a tier: what is declared and no script makes yet; what was released stays.

Only development needs it: `python -m apis.runtime.migrations draft`, and `release` once a release.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from alembic.autogenerate import render_python_code
from alembic.operations import Operations, ops
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Table

RELEASED = "released.json"
NEXT = '''\
"""What the {tier} tier has got since {last}."""
# ruff: noqa: D103, INP001 - Alembic loads it by its path; a function is named by its table

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{last}"


def upgrade() -> None:
{calls}
'''


def draft(scripts: Path, tables: Sequence[Table], what: str = "added") -> list[str]:
    """Write the script each tier lacks; one drafted since the last release is written anew."""
    written: list[str] = []
    kept = released(scripts)
    for tier in sorted({str(each.schema) for each in tables}):
        for path in lines_of(scripts, tier):
            if path.relative_to(scripts).as_posix() not in kept:
                path.unlink()
        before = lines_of(scripts, tier)
        functions = additions([each for each in tables if each.schema == tier], before)
        if functions:
            last = before[-1].name[:4]
            revision = f"{int(last) + 1:04}"
            calls = "\n".join(f"    {name}()" for name in functions)
            text = NEXT.format(tier=tier, revision=revision, last=last, calls=calls)
            path = scripts / tier / "versions" / f"{revision}_{what}.py"
            path.write_text("\n\n".join([text, *functions.values()]), "utf-8")
            written.append(str(path))
    if written:
        command = [sys.executable, "-m", "ruff", "format", "--quiet", *written]
        subprocess.run(command, check=True)  # noqa: S603 - our own words
    return written


def release(scripts: Path) -> list[str]:
    """Freeze every script there is: from now on databases that others keep have run it."""
    every = sorted(scripts.glob("*/versions/[0-9]*.py"))
    hashes = {path.relative_to(scripts).as_posix(): digest(path) for path in every}
    (scripts / RELEASED).write_text(json.dumps(hashes, indent=2) + "\n", "utf-8")
    return list(hashes)


def released(scripts: Path) -> dict[str, str]:
    """The scripts of every release so far, each with the hash it keeps for ever."""
    hashes: dict[str, str] = json.loads((scripts / RELEASED).read_text("utf-8"))
    return hashes


def digest(script: Path) -> str:
    """What tells a script from one that was edited."""
    return hashlib.sha256(script.read_bytes()).hexdigest()


def lines_of(scripts: Path, tier: str) -> list[Path]:
    """A tier's scripts, first to last."""
    return sorted((scripts / tier / "versions").glob("[0-9]*.py"))


def additions(tables: Sequence[Table], before: Sequence[Path]) -> dict[str, str]:
    """Per table the function that makes it, or adds to it what the scripts before did not."""
    made = operations(before)
    columns = {(str(each.table_name), column.name) for each in made for column in columns_of(each)}
    indexes = {str(each.index_name) for each in made if isinstance(each, ops.CreateIndexOp)}
    functions: dict[str, str] = {}
    for table in tables:
        lacking: list[ops.MigrateOperation] = []
        if table.name not in {name for name, _ in columns}:
            lacking.append(ops.CreateTableOp.from_table(table))
        else:
            new = [column for column in table.columns if (table.name, column.name) not in columns]
            lacking += [ops.AddColumnOp(table.name, each, schema=table.schema) for each in new]
        named = sorted(table.indexes, key=lambda index: str(index.name))
        lacking += [ops.CreateIndexOp.from_index(one) for one in named if one.name not in indexes]
        if lacking:
            functions[table.name] = function(table.name, lacking)
    return functions


def columns_of(made: Any) -> list[Column[Any]]:
    """The columns that an operation of a script makes."""
    if isinstance(made, ops.CreateTableOp):
        return [each for each in made.columns if isinstance(each, Column)]
    return [made.column] if isinstance(made, ops.AddColumnOp) else []


def operations(scripts: Sequence[Path]) -> list[Any]:
    """What scripts would do, as they say it; no database is asked."""
    said: list[Any] = []

    class Heard(Operations):
        def invoke(self, operation: Any) -> Any:
            said.append(operation)

    heard = Heard(MigrationContext.configure(dialect_name="postgresql", opts={"as_sql": True}))
    for path in scripts:
        loader = SourceFileLoader(path.stem, str(path))
        script = ModuleType(path.stem)
        loader.exec_module(script)
        vars(script)["op"] = heard
        vars(script)["upgrade"]()
    return said


def function(name: str, lacking: list[ops.MigrateOperation]) -> str:
    """The function that makes one table with its indexes, or adds to one."""
    lines = render_python_code(ops.UpgradeOps(ops=lacking)).splitlines()
    code = [f"    {line.removeprefix('    ')}" for line in lines if line.lstrip()[:1] != "#"]
    return "\n".join([f"def {name}() -> None:", *code, ""])
