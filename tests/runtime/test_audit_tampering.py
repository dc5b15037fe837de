"""Rows written by two workers at once, sealed across a take-over: no touch goes unseen."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from apis.runtime.audit import AUDIT, COVERED, seal, sign
from apis.runtime.audit_heads import Signer, newest_of
from apis.runtime.audit_proof import Finding, verify
from apis.runtime.migrations import lift
from apis.runtime.store import Store
from tests.runtime.audit_worker import DIGEST_KEY
from tests.servers import Servers, drop_database, fresh_database

ROOT = Path(__file__).parents[2]
ROWS = AUDIT["process"]
EACH, MANY = 150, 100_000
PATIENCE_S = 30.0
FLIPS = 6
HOUR = timedelta(hours=1)
Tamper = Callable[[Connection], object]


class Chain:
    """An audit that two workers have left, and what proves it."""

    def __init__(self, store: Store, home: Path) -> None:
        self.store, self.home = store, home
        self.signer = Signer(home / "audit.key", home / "audit")
        self.rows = store.read_now(lambda c: c.execute(in_order()).mappings().all())

    def found(self) -> list[Finding]:
        folder, key = self.signer.folder, self.signer.public
        return self.store.read_now(verify, "process", folder, key, datetime.now(UTC))

    def codes(self) -> list[tuple[str, int | None]]:
        return [(each.code, each.position) for each in self.found()]

    def tampered(self, *tampers: Tamper) -> list[tuple[str, int | None]]:
        """What is found when rows were touched; afterwards they are as they were."""
        for tamper in tampers:
            self.store.write_now(tamper)
        try:
            return self.codes()
        finally:
            self.store.write_now(lambda c: c.execute(sa.delete(ROWS)))
            kept = [dict(row) for row in self.rows]
            self.store.write_now(lambda c: c.execute(sa.insert(ROWS), kept))


def in_order() -> Any:
    return sa.select(ROWS).order_by(ROWS.c.position)


def at(position: int) -> sa.ColumnElement[bool]:
    return ROWS.c.position == position


def update(place: int, **values: Any) -> Tamper:
    return lambda c: c.execute(sa.update(ROWS).where(at(place)).values(**values))


@pytest.fixture(scope="module")
def chain(production: Servers | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    home = tmp_path_factory.mktemp("audit")
    url = f"sqlite:///{home}/audit.sqlite"
    if production is not None:
        url = fresh_database(production.database_url)
    store = Store(url, digest_key=DIGEST_KEY)
    lift(store)
    taken_over(store, home)
    yield Chain(store, home)
    store.close()
    if production is not None:
        drop_database(production.database_url, url)


def taken_over(store: Store, home: Path) -> None:
    """Two workers write; the one that seals is killed in the middle, and the other goes on."""
    with worker(store, home, "ann", MANY) as ann:
        assert ann.stdout.readline().startswith("sealed")
        with worker(store, home, "ben", EACH) as ben:
            end = time.monotonic() + PATIENCE_S
            while not store.read_now(written_by, "ben"):
                assert time.monotonic() < end
                time.sleep(0.01)
            ann.kill()
            assert ben.stdout.readline().startswith("sealed")
            ben.communicate("end\n", timeout=PATIENCE_S)
    assert ben.returncode == 0
    signer = Signer(home / "audit.key", home / "audit")
    while store.write_now(seal, "process"):
        pass
    store.read_now(sign, "process", signer, datetime.now(UTC), keep=True)


def worker(store: Store, home: Path, name: str, rows: int) -> subprocess.Popen[str]:
    url = store.engine.url.render_as_string(hide_password=False)
    command = [sys.executable, "-m", "tests.runtime.audit_worker", url, str(home), name, str(rows)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)


def written_by(connection: Connection, name: str) -> bool:
    return connection.execute(sa.select(ROWS.c.seq).where(ROWS.c.actor == name)).first() is not None


def test_rows_of_two_workers_and_two_sealers_are_one_chain(chain: Chain) -> None:
    assert chain.codes() == []
    assert {row["actor"] for row in chain.rows} == {"ann", "ben"}
    assert [row["position"] for row in chain.rows] == [*range(1, len(chain.rows) + 1)]
    assert sum(row["actor"] == "ben" for row in chain.rows) == EACH


@pytest.mark.parametrize("column", [*COVERED, "hash", "mark"])
def test_a_flipped_byte_of_any_column_is_found_where_it_is(chain: Chain, column: str) -> None:
    chance = random.Random(column)  # noqa: S311 - the same flips every time
    for _ in range(FLIPS):
        place = chance.randrange(2, len(chain.rows) - 1)
        before = chain.rows[place - 1][column]

        found = chain.tampered(update(place, **{column: flipped(before, chance)}))

        assert found, (place, before)
        assert found[0][1] == place, (found, before)


def flipped(value: Any, chance: random.Random) -> Any:
    """The value with one bit of one byte the other way round; of nothing comes something."""
    if isinstance(value, int):
        return value + 1_000_000
    if not value:
        return "A"
    at_byte = chance.randrange(len(value))
    other = chr(ord(value[at_byte]) ^ 1)
    return value[:at_byte] + other + value[at_byte + 1 :]


@pytest.mark.one_form
def test_bytes_that_are_no_text_any_more_are_found_all_the_same(chain: Chain) -> None:
    """SQLite keeps them; PostgreSQL refuses to."""
    broken: Any = sa.literal_column("CAST(X'61FF62' AS TEXT)")

    assert chain.tampered(update(7, actor=broken))[0] == ("audit.changed", 7)


@pytest.mark.parametrize("place", [1, 2, 90])
def test_a_deleted_row_is_found(chain: Chain, place: int) -> None:
    deleted = chain.tampered(lambda c: c.execute(sa.delete(ROWS).where(at(place))))

    assert deleted[0] == ("audit.missing", place)


def test_a_deleted_row_is_found_after_the_gap_was_closed(chain: Chain) -> None:
    def closed(connection: Connection) -> None:
        connection.execute(sa.delete(ROWS).where(at(40)))
        for row in chain.rows[40:]:
            connection.execute(
                sa.update(ROWS).where(at(row["position"])).values(position=row["position"] - 1)
            )

    assert chain.tampered(closed)[0] == ("audit.broken", 40)


@pytest.mark.parametrize("kept", [("position",), ("position", "previous"), COVERED[:2]])
def test_two_rows_that_changed_places_are_found(chain: Chain, kept: tuple[str, ...]) -> None:
    one, other = chain.rows[11], chain.rows[29]

    def exchanged(connection: Connection) -> None:
        connection.execute(sa.delete(ROWS).where(ROWS.c.seq.in_([one["seq"], other["seq"]])))
        of_one = {name: one[name] for name in kept}
        of_other = {name: other[name] for name in kept}
        connection.execute(sa.insert(ROWS), [dict(one) | of_other, dict(other) | of_one])

    assert chain.tampered(exchanged)[0][1] == 12


def test_an_inserted_row_is_found(chain: Chain) -> None:
    def inserted(connection: Connection) -> None:
        for row in reversed(chain.rows[49:]):
            later = {"position": row["position"] + 1}
            connection.execute(sa.update(ROWS).where(ROWS.c.seq == row["seq"]).values(**later))
        false = {"seq": 10**6, "position": 50, "previous": "f" * 64, "hash": "e" * 64}
        connection.execute(sa.insert(ROWS), [dict(chain.rows[48]) | false])

    assert chain.tampered(inserted)[0] == ("audit.broken", 50)


@pytest.mark.parametrize("rows", [1, 60])
def test_a_cut_tail_is_found(chain: Chain, rows: int) -> None:
    last = len(chain.rows) - rows
    cut = chain.tampered(lambda c: c.execute(sa.delete(ROWS).where(ROWS.c.position > last)))

    assert cut == [("audit.cut", last + 1)]


def test_a_full_rewrite_with_every_hash_made_anew_is_found(chain: Chain) -> None:
    """By the marks and by the heads: the chain itself is whole."""

    def rewritten(connection: Connection) -> None:
        connection.execute(sa.update(ROWS).values(position=None, previous=None, hash=None))
        connection.execute(sa.update(ROWS).where(ROWS.c.key == "ben-3").values(actor="nobody"))
        while seal(connection, "process"):
            pass

    found = chain.tampered(rewritten)

    assert {code for code, _ in found} == {"audit.forged", "audit.rewritten"}


def test_heads_that_were_touched_or_taken_away_are_found(chain: Chain) -> None:
    files = [chain.signer.heads("process"), newest_of(chain.signer.folder, "process")]
    kept = {path: path.read_bytes() for path in files}
    last, late = len(chain.rows), datetime.now(UTC) + HOUR

    def codes() -> list[tuple[str, int | None]]:
        folder, key = chain.signer.folder, chain.signer.public
        found = chain.store.read_now(verify, "process", folder, key, late)
        return [(each.code, each.position) for each in found]

    assert codes() == []
    for path, text in kept.items():
        path.write_bytes(text.replace(b'"tier":"process"', b'"tier":"gateway"'))
        assert ("audit.head-forged", last) in codes()
        other = f'"position":{last + 9}'.encode()
        path.write_bytes(text.replace(f'"position":{last}'.encode(), other))
        assert ("audit.head-forged", last + 9) in codes()
        path.write_bytes(b"")
    assert codes() == [("audit.heads-missing", 1)]
    for path, text in kept.items():
        path.write_bytes(text)


def test_a_row_deleted_before_it_was_sealed_leaves_no_trace(chain: Chain) -> None:
    """The known limit: for about a second a row is as safe as the database keeps it."""
    unsealed = {"seq": 10**6, "position": None, "previous": None, "hash": None}

    def gone(connection: Connection) -> None:
        connection.execute(sa.insert(ROWS), [dict(chain.rows[0]) | unsealed])
        connection.execute(sa.delete(ROWS).where(ROWS.c.position.is_(None)))

    assert chain.tampered(gone) == []
