"""Turns at writing a SQLite file, within one process.

SQLite lets one connection write and has the others sleep and look again, longer each time; who
waits here wakes at once. Other processes, and whoever waits too long, are left to SQLite.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

from sqlalchemy import Connection, Engine, event

PATIENCE_S = 10.0
"""Then SQLite's own lock. With little patience one slow commit on a busy machine sends everybody
there, where each hand-over is a sleep: the queue never gets shorter again."""
WRITES = ("INSERT", "UPDATE", "DELETE")


@cache
def turns(url: str) -> threading.Lock:
    """What all writers of this process to one file share."""
    del url
    return threading.Lock()


def take_turn(connection: Connection, turn: threading.Lock) -> None:
    """Wait for the turn, once a transaction; it ends when the connection goes back to its pool."""
    if not connection.info.get("turn"):
        connection.info["turn"] = turn.acquire(timeout=PATIENCE_S)


def end_turns(engine: Engine, turn: threading.Lock) -> None:
    """Give the turn to the next as soon as the transaction is over."""

    @event.listens_for(engine, "checkin")
    def checkin(_raw: Any, record: Any) -> None:
        if record.info.pop("turn", False):
            turn.release()


def writes_in_turn(engine: Engine, turn: threading.Lock) -> None:
    """For an engine whose transactions begin to write with their first change."""
    end_turns(engine, turn)

    @event.listens_for(engine, "before_cursor_execute")
    def before(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip()[:6].upper() in WRITES:
            take_turn(connection, turn)
