"""What whoever has the command line does is in the audit, as what is done in the portal is."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from apis.cli import main
from apis.runtime.audit import AUDIT
from apis.runtime.migrations import lift
from apis.runtime.store import Store


@pytest.fixture
def database(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of this release that nobody is connected to, as commands are told."""
    monkeypatch.setenv("THROUGHLINE_HOME", str(tmp_path))
    monkeypatch.setenv("THROUGHLINE_DATABASE_URL", store_url)
    store = Store(store_url)
    lift(store)
    store.close()
    return store_url


def says(words: str) -> str:
    answer = CliRunner().invoke(main, words.split())
    assert answer.exit_code == 0, answer.output
    return answer.output


def told(database: str, tier: str) -> list[tuple[str, str, str | None, str]]:
    store = Store(database)
    rows = AUDIT[tier].c
    wanted = sa.select(rows.actor, rows.action, rows.key, rows.detail).order_by(rows.seq)
    found = store.read_now(lambda connection: connection.execute(wanted).all())
    store.close()
    return [tuple(row) for row in found]


def test_a_key_that_an_operator_makes_or_ends_is_told(database: str) -> None:
    made = says("api-keys make --client demo --scope catalog.read")
    key, name = made.split()[0], made.partition("id is ")[2][:8]
    says(f"api-keys revoke {name}")

    scopes = f'{{"api_key":"{name}","scopes":["catalog.read"]}}'
    rows = told(database, "gateway")
    assert rows == [
        ("operator", "api-key.made", "demo", scopes),
        ("operator", "api-key.revoked", "demo", f'{{"api_key":"{name}"}}'),
    ]
    assert key not in str(rows)


def test_the_end_of_a_restore_is_told(database: str) -> None:
    says("restore --mark")
    says("restore --reconciled")

    actions = [action for _, action, *_ in told(database, "system")]
    assert actions == ["database.restored", "database.reconciled"]
