from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from apis.runtime.audit import AUDIT, digest, record, seal, sign
from apis.runtime.audit_heads import Signer, newest_of, read_heads
from apis.runtime.audit_proof import verify
from apis.runtime.migrations import lift
from apis.runtime.store import Store
from contracts.errors import Misconfigured

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ROWS = AUDIT["process"]
Seals = Callable[[datetime], int]


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    store = Store(store_url)
    lift(store)
    yield store
    store.close()


def at_home(home: Path) -> Signer:
    """What signs with the key of a home, into its own folder."""
    return Signer(home / "audit.key", home / "audit")


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return at_home(tmp_path)


def acted(connection: Connection, n: int) -> None:
    record(
        connection,
        "process",
        at=NOW,
        actor="svc:process for demo",
        action="customer.marked",
        cause=f"run-1/step/{n}",
        object="customer",
        key=f"customer-{n}",
        system="salesforce",
        after={"key": n},
        detail={"n": n},
    )


def sealed(store: Store, signer: Signer, rows: int = 5) -> None:
    """Rows, their chain, and the head of all of them signed."""
    for n in range(rows):
        store.write_now(acted, n)
    assert seals(store, signer, NOW) == rows
    assert seals(store, signer, NOW + MINUTE) == 0


def seals(store: Store, signer: Signer, now: datetime) -> int:
    """What a sealer does every second; how many rows it chained."""
    chained = store.write_now(seal, "process")
    store.read_now(sign, "process", signer, now)
    return chained


def codes(store: Store, signer: Signer, at: datetime = NOW) -> list[tuple[str, int | None]]:
    found = store.read_now(verify, "process", signer.folder, signer.public, at)
    return [(finding.code, finding.position) for finding in found]


def change(store: Store, *statements: sa.Executable) -> None:
    def run(connection: Connection) -> None:
        for statement in statements:
            connection.execute(statement)

    store.write_now(run)


def at(position: int) -> sa.ColumnElement[bool]:
    return ROWS.c.position == position


def test_an_untouched_chain_is_good_news(store: Store, signer: Signer) -> None:
    sealed(store, signer)
    assert codes(store, signer) == []
    store.write_now(acted, 9)
    assert codes(store, signer, NOW + timedelta(seconds=4)) == []
    assert codes(store, signer, NOW + timedelta(seconds=6)) == [("audit.unsealed", None)]
    assert seals(store, signer, NOW + MINUTE) == 1
    assert codes(store, signer, NOW + MINUTE) == []


def test_a_row_rolls_back_with_its_effect(store: Store) -> None:
    def fails(connection: Connection) -> None:
        acted(connection, 1)
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        store.write_now(fails)
    assert store.read_now(lambda c: c.execute(sa.select(ROWS)).all()) == []


def test_a_changed_value_is_found(store: Store, signer: Signer) -> None:
    sealed(store, signer)
    change(store, ROWS.update().where(at(3)).values(actor="svc:process for demp"))
    assert codes(store, signer) == [("audit.changed", 3)]


def test_a_deleted_row_is_found(store: Store, signer: Signer) -> None:
    sealed(store, signer)
    change(store, ROWS.delete().where(at(2)))
    assert codes(store, signer) == [("audit.missing", 2)]


def test_swapped_rows_are_found(store: Store, signer: Signer) -> None:
    sealed(store, signer)
    change(
        store,
        ROWS.update().where(at(2)).values(position=99),
        ROWS.update().where(at(3)).values(position=2),
        ROWS.update().where(at(99)).values(position=3),
    )
    assert codes(store, signer)[0][1] == 2


def test_an_inserted_row_is_found(store: Store, signer: Signer) -> None:
    sealed(store, signer)
    for n in (5, 4, 3):
        change(store, ROWS.update().where(at(n)).values(position=n + 1))
    false = {"at": "x", "actor": "x", "action": "x", "detail": "{}", "hash": "y"}
    change(store, ROWS.insert().values(position=3, previous="z", **false))
    assert codes(store, signer)[0][1] == 3


def test_a_cut_tail_is_found_by_the_signed_head(store: Store, signer: Signer) -> None:
    sealed(store, signer)
    change(store, ROWS.delete().where(ROWS.c.position > 3))
    assert codes(store, signer) == [("audit.cut", 4)]


def test_a_chain_made_anew_is_found_by_the_signed_head(
    store: Store, signer: Signer, tmp_path: Path
) -> None:
    sealed(store, signer)
    change(store, ROWS.update().values(position=None, previous=None, hash=None))
    change(store, ROWS.update().where(ROWS.c.key == "customer-1").values(actor="nobody"))
    (tmp_path / "other").mkdir()
    seals(store, at_home(tmp_path / "other"), NOW)
    assert codes(store, signer) == [("audit.forged", 2), ("audit.rewritten", 5)]


def test_a_head_that_we_did_not_sign_is_found(store: Store, signer: Signer) -> None:
    sealed(store, signer)
    heads, newest = signer.heads("process"), newest_of(signer.folder, "process")
    for file in (heads, newest):
        text = file.read_text()
        file.write_text(text.replace('"position":5', '"position":4'))
        assert ("audit.head-forged", 4) in codes(store, signer)
        file.write_text(text + '{"torn')
        assert codes(store, signer) == [("audit.head-forged", 0)]
        file.write_text(text)
    heads.unlink()
    newest.unlink()
    assert codes(store, signer, NOW + MINUTE) == []  # the first head may not be due yet
    assert codes(store, signer, NOW + 3 * MINUTE) == [("audit.heads-missing", 1)]


def test_each_sealing_is_signed_at_once_and_a_head_is_kept_a_minute(
    store: Store, signer: Signer
) -> None:
    def kept() -> list[int]:
        return [each.position for each in read_heads(signer.heads("process"))]

    for s in range(59):
        store.write_now(acted, s)
        seals(store, signer, NOW + timedelta(seconds=s))
        assert newest(signer) == s + 1
    assert kept() == [1]
    seals(store, signer, NOW + timedelta(seconds=60))
    seals(store, signer, NOW + timedelta(seconds=61))
    assert kept() == [1, 59]
    assert codes(store, signer) == []


def newest(signer: Signer) -> int:
    """How far the newest head goes, as the next sealer reads it."""
    head = at_home(signer.folder.parent).newest("process")
    assert head is not None
    return head.position


def test_where_nothing_may_be_replaced_every_head_is_a_line(store: Store, signer: Signer) -> None:
    newest = newest_of(signer.folder, "process")
    newest.with_name(f".{newest.name}").mkdir()  # no draft of it can be written
    for n in range(3):
        store.write_now(acted, n)
        for s in (0.2, 0.4):
            seals(store, signer, NOW + timedelta(seconds=n + s))
    assert [each.position for each in read_heads(signer.heads("process"))] == [1, 2, 3]


def test_only_what_is_committed_is_signed(store: Store, signer: Signer) -> None:
    def rolled_back(connection: Connection) -> None:
        acted(connection, 9)
        seal(connection, "process")
        raise ValueError

    sealed(store, signer)
    with pytest.raises(ValueError, match=r"^$"):
        store.write_now(rolled_back)
    store.read_now(sign, "process", signer, NOW + MINUTE)

    assert newest(signer) == 5
    assert codes(store, signer) == []


def test_a_tail_that_was_cut_stays_found_whatever_is_sealed_after_it(
    store: Store, signer: Signer
) -> None:
    sealed(store, signer)
    store.write_now(acted, 6)
    seals(store, signer, NOW + MINUTE)
    change(store, ROWS.delete().where(ROWS.c.position > 4))
    for n in range(3):
        store.write_now(acted, 10 + n)
        seals(store, signer, NOW + MINUTE)

    assert newest(signer) == 7
    assert codes(store, signer) == [("audit.rewritten", 5), ("audit.rewritten", 6)]


def test_a_whole_chain_that_was_deleted_stays_found(store: Store, signer: Signer) -> None:
    sealed(store, signer)
    change(store, ROWS.delete())
    for s in range(3):
        seals(store, signer, NOW + timedelta(minutes=s))

    assert codes(store, signer) == [("audit.cut", 1)]
    assert len(read_heads(signer.heads("process"))) == 1


def test_two_sealers_cannot_fork_the_chain(store: Store, signer: Signer) -> None:
    sealed(store, signer)
    store.write_now(acted, 9)
    fork = ROWS.update().where(ROWS.c.position.is_(None))
    first = sa.select(ROWS.c.previous).where(at(5)).scalar_subquery()
    with pytest.raises(sa.exc.IntegrityError):
        change(store, fork.values(position=6, previous=first, hash="x"))


def test_the_key_is_kept_from_others(tmp_path: Path) -> None:
    first = at_home(tmp_path)
    assert (tmp_path / "audit.key").stat().st_mode & 0o777 == 0o600
    assert at_home(tmp_path).public == first.public
    (tmp_path / "audit.key").chmod(0o644)
    with pytest.raises(Misconfigured, match="chmod 600"):
        at_home(tmp_path)


def test_no_float_and_no_value_enters_a_row(store: Store) -> None:
    with pytest.raises(TypeError, match="float"):
        store.write_now(record, "process", at=NOW, actor="a", action="b", detail={"x": [1.5]})
    assert digest({"b": 1, "a": 2}, b"key") == digest({"a": 2, "b": 1}, b"key")
    assert digest(None, b"key") is None
