"""Rows that no process of ours wrote are sealed like all others, and verifying names them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from apis.runtime.audit import AUDIT, record, seal, sealed, sign
from apis.runtime.audit_heads import Signer, newest_of, since_of
from apis.runtime.audit_marks import Marker
from apis.runtime.audit_proof import verify
from apis.runtime.migrations import lift
from apis.runtime.store import Store

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ROWS = AUDIT["process"]
COVERED = [name for name in ROWS.c.keys() if name not in {"hash", "mark"}]  # noqa: SIM118 - a view
FORGED = {
    "at": "2026-01-05T10:00:00.000000+00:00",
    "actor": "demo-owner",
    "action": "decision.approved",
    "object": "work_item",
    "key": "forged-1",
    "detail": "{}",
}
Does = Callable[[Connection], object]


class Firm:
    """A deployment's audit, and its sealer at work."""

    def __init__(self, url: str, home: Path) -> None:
        self.store = Store(url)
        lift(self.store)
        self.signer = Signer(home / "audit.key", home / "audit")
        self.now = NOW

    def acts(self, count: int = 1, actor: str = "ann") -> None:
        for n in range(count):
            told: dict[str, Any] = {"action": "thing.made", "key": f"thing-{n}"}
            self.store.write_now(record, "process", at=self.now, actor=actor, **told)

    def acted_before(self, count: int) -> None:
        """Rows of the release before, which marks nothing."""
        row = {"at": NOW.isoformat(), "actor": "bob", "action": "thing.made", "detail": "{}"}
        self.does(*(lambda c: c.execute(sa.insert(ROWS), row) for _ in range(count)))

    def seals(self) -> None:
        """A second later, the sealer's turn."""
        self.now += SECOND
        self.store.write_now(seal, "process")
        self.store.read_now(sign, "process", self.signer, self.now)

    def does(self, *works: Does) -> None:
        for work in works:
            self.store.write_now(work)

    def row(self, position: int) -> dict[str, Any]:
        wanted = sa.select(ROWS).where(ROWS.c.position == position)
        return dict(self.store.read_now(lambda c: c.execute(wanted).mappings().one()))

    def found(self) -> list[tuple[str, int | None]]:
        folder, key = self.signer.folder, self.signer.public
        told = self.store.read_now(verify, "process", folder, key, self.now)
        return [(each.code, each.position) for each in told]


def inserted(row: dict[str, Any]) -> Does:
    return lambda connection: connection.execute(sa.insert(ROWS), row)


def changed(position: int, **values: Any) -> Does:
    wanted = sa.update(ROWS).where(ROWS.c.position == position).values(**values)
    return lambda connection: connection.execute(wanted)


@pytest.fixture
def firm(store_url: str, tmp_path: Path) -> Iterator[Firm]:
    firm = Firm(store_url, tmp_path)
    firm.seals()
    yield firm
    firm.store.close()


def test_an_approval_of_january_that_was_inserted_in_november_is_found(firm: Firm) -> None:
    firm.acts()
    firm.seals()
    firm.does(inserted(FORGED))
    firm.seals()
    firm.acts()
    firm.seals()

    assert firm.found() == [("audit.forged", 2)]
    assert firm.row(3)["previous"] == firm.row(2)["hash"]  # what comes after it is sealed as ever


def test_a_row_that_forgers_chained_themselves_is_found(firm: Firm) -> None:
    firm.acts()
    firm.seals()
    row = dict.fromkeys(COVERED) | FORGED | {"seq": 99, "position": 2}
    row["previous"] = firm.row(1)["hash"]
    cells = ("position", "previous", *(c for c in COVERED if c not in {"position", "previous"}))
    row["hash"] = sealed([row[name] for name in cells])
    firm.does(inserted(row))
    firm.seals()

    assert firm.found() == [("audit.forged", 2)]


@pytest.mark.parametrize("mark", ["", "x", "a.b.c", "a.b", "\u2603.\u2603.\u2603"])
def test_a_mark_that_was_made_up_is_found(firm: Firm, mark: str) -> None:
    firm.acts()
    firm.does(inserted(FORGED | {"mark": mark}))
    firm.seals()

    assert firm.found() == [("audit.mark-other", 2)]


def test_a_row_that_was_changed_before_it_was_sealed_is_found(firm: Firm) -> None:
    firm.acts(2)
    firm.does(lambda c: c.execute(sa.update(ROWS).where(ROWS.c.key == "thing-1").values(actor="x")))
    firm.seals()

    assert firm.found() == [("audit.forged", 2)]


def test_a_copied_row_is_found_and_one_of_another_tier_too(firm: Firm) -> None:
    firm.acts(3)
    told: dict[str, Any] = {"at": NOW, "actor": "ann", "action": "thing.made"}
    firm.store.write_now(record, "system", **told)
    firm.seals()
    other = sa.select(AUDIT["system"])
    system = dict(firm.store.read_now(lambda c: c.execute(other).mappings().one()))
    anew = {"seq": 98, "position": None, "previous": None, "hash": None}
    firm.does(inserted(firm.row(2) | anew), inserted(system | anew | {"seq": 99}))
    firm.seals()

    assert firm.found() == [("audit.copied", 4), ("audit.forged", 5)]


def test_a_row_changed_and_the_next_deleted_a_second_after_they_were_sealed_are_found(
    firm: Firm,
) -> None:
    firm.acts(2)
    firm.seals()
    firm.acts(2)
    firm.seals()
    third = firm.row(3) | {"actor": "nobody"}
    cells = ("position", "previous", *(c for c in COVERED if c not in {"position", "previous"}))
    firm.does(
        changed(3, actor="nobody", hash=sealed([third[name] for name in cells])),
        lambda c: c.execute(sa.delete(ROWS).where(ROWS.c.position == 4)),
    )

    assert firm.found() == [("audit.forged", 3), ("audit.cut", 4)]
    firm.acts(2)
    firm.seals()
    assert firm.found() == [("audit.forged", 3), ("audit.rewritten", 4)]


def test_rows_of_the_release_before_verify_as_ever_and_new_ones_without_a_mark_do_not(
    store_url: str, tmp_path: Path
) -> None:
    firm = Firm(store_url, tmp_path)
    firm.acted_before(3)
    firm.store.write_now(seal, "process")  # by the sealer of that release
    assert firm.found() == []
    firm.acts()  # a process of this release, while a roll goes on
    firm.acted_before(1)
    firm.seals()  # workers come last
    firm.acts()
    firm.seals()
    assert firm.found() == []

    firm.acted_before(1)
    firm.seals()
    assert firm.found() == [("audit.forged", 7)]
    firm.store.close()


def test_what_tells_since_when_rows_are_marked_cannot_be_made_by_others(firm: Firm) -> None:
    firm.acts()
    firm.does(inserted(FORGED))
    firm.seals()
    since = since_of(firm.signer.folder, "process")
    text = since.read_text()
    since.write_text(text.replace('"position":0', '"position":9'))
    assert ("audit.head-forged", None) in firm.found()
    assert ("audit.forged", 2) in firm.found()
    since.write_bytes(newest_of(firm.signer.folder, "process").read_bytes())
    assert ("audit.head-forged", None) in firm.found()
    since.unlink()
    assert firm.found() == [("audit.heads-missing", None)]
    since.write_text(text)
    assert firm.found() == [("audit.forged", 2)]


def test_with_another_digest_key_it_is_said_once_and_the_chain_still_proves_itself(
    firm: Firm, store_url: str, tmp_path: Path
) -> None:
    firm.acts(30)
    firm.seals()
    other = Firm(store_url, tmp_path)

    assert other.found() == [("audit.mark-other", 1)]
    other.store.close()


def test_a_table_that_a_release_before_made_has_no_marks_and_is_verified(firm: Firm) -> None:
    firm.acts(2)
    firm.seals()
    table = "process.audit" if firm.store.engine.dialect.name == "postgresql" else "process_audit"
    since_of(firm.signer.folder, "process").unlink()
    newest_of(firm.signer.folder, "process").unlink()
    firm.does(lambda c: c.exec_driver_sql(f"ALTER TABLE {table} DROP COLUMN mark"))

    assert firm.found() == []


def test_no_two_rows_have_one_mark() -> None:
    marker = Marker(b"key")

    one, other = marker.mark("process", ["a"]), marker.mark("process", ["a"])

    assert one != other
    assert marker.made(one, "process", ["a"])
    assert not marker.made(one, "process", ["b"])
    assert not marker.made(one, "system", ["a"])
    assert not Marker(b"other").made(one, "process", ["a"])
