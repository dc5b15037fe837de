"""Drafting migrations: what was released stays, what came since is one script that only adds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations, ops

from apis.runtime.drafting import digest, draft, operations, release, released
from apis.runtime.migrations import SCRIPTS, lift
from apis.runtime.store import TIERS, Store

NOW = sa.MetaData()
LEASES = sa.Table(  # as it was released, with one column more
    "leases",
    NOW,
    *(
        sa.Column(column.name, column.type, primary_key=column.primary_key)
        for made in operations(sorted((SCRIPTS / "runtime" / "versions").glob("0001*.py")))
        if isinstance(made, ops.CreateTableOp) and made.table_name == "leases"
        for column in made.columns
        if isinstance(column, sa.Column)
    ),
    sa.Column("why", sa.String(40), nullable=True, index=True),
    schema="runtime",
)
PARCELS = sa.Table(
    "parcels",
    NOW,
    sa.Column("id", sa.String(26), primary_key=True),
    sa.Column("sent_at", sa.String(40), index=True),
    schema="runtime",
)


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = Store(store_url)
    yield store
    store.close()


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """The released scripts, in a folder that may be written to."""
    for name in released(SCRIPTS):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SCRIPTS / name, tmp_path / name)
    shutil.copy(SCRIPTS / "released.json", tmp_path)
    return tmp_path


def test_a_released_script_is_never_edited_and_never_leaves() -> None:
    for name, hashed in released(SCRIPTS).items():
        assert digest(SCRIPTS / name) == hashed, f"{name} was released: write the next script"


@pytest.mark.parametrize("tier", TIERS)
def test_a_column_added_later_is_left_out_by_the_release_before(tier: str) -> None:
    for made in operations(sorted((SCRIPTS / tier / "versions").glob("[0-9]*.py"))):
        if isinstance(made, ops.AddColumnOp):
            column = made.column
            assert column.nullable or column.server_default is not None, f"{tier}: {column.name}"


def test_what_came_since_the_release_is_drafted_and_runs_on_what_was_released(
    scripts: Path, store: Store
) -> None:
    (path,) = draft(scripts, [LEASES, PARCELS], "parcels")
    lift(store)

    store.write_now(run, Path(path))

    assert Path(path).name == "0002_parcels.py"
    inspector = sa.inspect(store.engine)
    schema, names = (None, "runtime_{}") if store.sqlite else ("runtime", "{}")
    told = {each["name"] for each in inspector.get_columns(names.format("leases"), schema)}
    assert {"why", *LEASES.columns.keys()} == told
    assert inspector.has_table(names.format("parcels"), schema)
    indexes = {each["name"] for each in inspector.get_indexes(names.format("parcels"), schema)}
    assert len(indexes) == 1


def run(connection: sa.Connection, path: Path) -> None:
    """Run one script as Alembic would."""
    spec = spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    vars(script)["op"] = Operations(MigrationContext.configure(connection))
    script.upgrade()


def test_a_second_draft_takes_the_place_of_the_first_until_it_is_released(scripts: Path) -> None:
    draft(scripts, [LEASES, PARCELS], "parcels")

    (again,) = draft(scripts, [LEASES], "reasons")
    assert sorted(path.name for path in Path(again).parent.glob("*.py")) == [
        "0001_first.py",
        "0002_reasons.py",
    ]
    release(scripts)
    (third,) = draft(scripts, [LEASES, PARCELS])
    assert Path(third).name == "0003_added.py"
    assert "parcels" in Path(third).read_text()
    assert "leases" not in Path(third).read_text()


def test_nothing_new_is_no_script(scripts: Path) -> None:
    release(scripts)
    before = json.loads((scripts / "released.json").read_text())
    assert draft(scripts, [LEASES]) != []
    release(scripts)

    assert draft(scripts, [LEASES]) == []
    assert set(before) < set(released(scripts))
