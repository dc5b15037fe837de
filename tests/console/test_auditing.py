"""`throughline audit verify` proves what the audit holds, or says where it was touched."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from apis.cli import main
from apis.runtime.audit import AUDIT, record, seal, sign
from apis.runtime.audit_heads import Head, Signer, since_of
from apis.runtime.clock import Clock
from apis.runtime.migrations import lift
from apis.runtime.settings import Settings
from apis.runtime.store import Store

MINUTE = timedelta(minutes=1)


@pytest.fixture
def store(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("THROUGHLINE_HOME", str(tmp_path))
    monkeypatch.setenv("THROUGHLINE_DATABASE_URL", store_url)
    return Store(store_url, digest_key=Settings.from_env(os.environ).digest_key)


def verified(*more: str) -> Result:
    return CliRunner().invoke(main, ["audit", "verify", *more])


def acted(store: Store, home: Path) -> None:
    """Three effects ten minutes ago, chained, their head signed."""
    lift(store)
    at, signer = Clock().now() - 10 * MINUTE, Signer(home / "audit.key", home / "audit")
    store.read_now(sign, "process", signer, at)  # a sealer was here before them
    for n in range(3):
        store.write_now(record, "process", at=at, actor="demo", action="run.started", key=f"r{n}")
    store.write_now(seal, "process")
    store.read_now(sign, "process", signer, at)


def test_a_home_without_a_database_has_nothing_to_verify_and_stays_empty(
    store: Store, tmp_path: Path
) -> None:
    result = verified()
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"there is nothing to verify: no audit in {store.engine.url!r}" in result.stderr
    assert "THROUGHLINE_DATABASE_URL and _HOME name them" in result.stderr
    assert not (tmp_path / "audit.key").exists()
    store.close()


def test_the_key_of_an_export_is_refused_where_none_is_named(store: Store) -> None:
    result = verified("--key", "zzz")
    assert result.exit_code == 2
    assert "name the file with --export" in result.stderr
    store.close()


def test_a_row_that_was_inserted_is_found_and_which_rows_have_no_marks_is_told(
    store: Store, tmp_path: Path
) -> None:
    acted(store, tmp_path)
    rows = AUDIT["process"]
    false = {"at": "2026-01-05T10:00:00+00:00", "actor": "demo-owner", "detail": "{}"}
    approval = sa.insert(rows).values(**false, action="decision.approved", key="forged-1")
    store.write_now(lambda connection: connection.execute(approval))
    store.write_now(seal, "process")

    result = verified()
    assert result.exit_code == 1
    assert "process, row 4: audit.forged: row 4 bears no mark" in result.stderr

    since_of(tmp_path / "audit", "process").unlink()
    signer = Signer(tmp_path / "audit.key", tmp_path / "audit")
    store.read_now(sign, "process", signer, Clock().now())  # as by the first of a new release
    result = verified()
    assert result.exit_code == 0, result.stderr
    assert "process: 4 rows, without marks up to row 4" in result.stdout
    store.close()


def test_a_whole_audit_is_told_tier_by_tier(store: Store, tmp_path: Path) -> None:
    acted(store, tmp_path)
    result = verified()
    assert result.exit_code == 0
    assert "process: 3 rows" in result.stdout
    store.close()


def test_a_changed_row_and_a_lost_key_are_found(store: Store, tmp_path: Path) -> None:
    acted(store, tmp_path)
    rows = AUDIT["process"]
    change = sa.update(rows).where(rows.c.key == "r1").values(actor="nobody")
    store.write_now(lambda connection: connection.execute(change))

    result = verified()
    assert result.exit_code == 1
    assert "process, row 2: audit.changed" in result.stderr

    (tmp_path / "audit.key").unlink()
    result = verified()
    assert result.exit_code == 1
    assert "audit.key-missing" in result.stderr
    store.close()


def test_an_audit_whose_table_is_gone_is_found(store: Store, tmp_path: Path) -> None:
    acted(store, tmp_path)
    store.write_now(AUDIT["process"].drop)

    result = verified()
    assert result.exit_code == 1
    assert "process, row 1: audit.cut: the table of this audit is not there" in result.stderr
    assert "system: 0 rows" in result.stdout
    store.close()


def test_heads_without_the_database_they_were_signed_of_are_found(
    store: Store, tmp_path: Path
) -> None:
    signer = Signer(tmp_path / "audit.key", tmp_path / "audit")
    head = Head(tier="process", position=3, hash="0" * 64, at="2026-11-22T09:00:00", key="")
    signer.sign(head)

    result = verified()
    assert result.exit_code == 1
    assert "process, row 1: audit.cut" in result.stderr
    store.close()
