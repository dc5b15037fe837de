"""Writers of one process take turns at a SQLite file, however long one of them takes."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from sqlalchemy import Connection, text

from apis.runtime.store import engine_for

SLOW_S = 0.6


def test_who_waits_for_a_slow_writer_is_next_and_not_left_to_sqlite_to_look_again(
    tmp_path: Path,
) -> None:
    engine = engine_for(f"sqlite:///{tmp_path}/turns.sqlite")
    order: list[str] = []
    begun = threading.Event()

    def slow() -> None:
        with engine.begin():
            begun.set()
            time.sleep(SLOW_S)
            order.append("slow")

    def next_one() -> None:
        with engine.begin() as connection:
            order.append("next" if has_turn(connection) else "left to SQLite")

    writers = [threading.Thread(target=slow), threading.Thread(target=next_one)]
    writers[0].start()
    begun.wait()
    writers[1].start()
    for each in writers:
        each.join()

    assert order == ["slow", "next"]
    engine.dispose()


def has_turn(connection: Connection) -> bool:
    """Whether a writing transaction waited for its turn and got it."""
    connection.execute(text("select 1"))
    return bool(connection.info.get("turn"))
