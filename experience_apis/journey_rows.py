"""What the events of one transaction tell of journeys, gathered and written at its end."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from apis.runtime.store import insert_all_new, merge_all, put_all
from contracts.canonical.identity import Source
from contracts.canonical.money import Money
from contracts.events import Event, RunProgressed
from contracts.runs import RunStep
from experience_apis.tables import HAPPENINGS, NAMES, RECORDS, RUNS, STEPS

ENDED = ("done", "abandoned", "failed")
Facts = dict[str, str | int | None]
STATE = sa.bindparam("_state", type_=sa.String)
PROGRESSED = (
    sa.update(RUNS)
    .where(RUNS.c.id == sa.bindparam("_id"), *(RUNS.c.state != each for each in ENDED))
    .values(
        state=STATE,
        since=sa.case((RUNS.c.state == STATE, RUNS.c.since), else_=sa.bindparam("_since")),
        waiting=sa.bindparam("waiting"),
    )
)
"""What is over stays as it ended; a state that goes on began when it began."""


class Record(msgspec.Struct, frozen=True):
    """A record of a system as an event tells of it."""

    source: Source
    object: str
    id: str | None = None
    key: str | None = None
    amount: Money | None = None
    state: str | None = None


class Rows:
    """What the events of one transaction add, written at its end."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._names: list[dict[str, Any]] = []
        self._records: list[dict[str, Any]] = []
        self._steps: list[dict[str, Any]] = []
        self._happenings: list[dict[str, Any]] = []
        self._progress: list[dict[str, Any]] = []

    def names(self, subject: str, *known: str | None) -> None:
        """Ids by which the journey is found."""
        self._names += [{"name": name, "subject": subject} for name in known if name]

    def exists(self, subject: str, record: Record, at: datetime) -> None:
        """A record that exists, or no more."""
        worth = record.amount
        row = {
            "subject": subject,
            "system": record.source.connection,
            "object": record.object,
            "external_id": record.source.external_id,
            "id": record.id,
            "key": record.key,
            "amount": str(worth.amount) if worth else None,
            "currency": worth.currency if worth else None,
            "state": record.state,
            "at": at.isoformat(),
        }
        self._records.append(row)

    def steps(self, run_id: str, steps: dict[str, RunStep]) -> None:
        """Steps as they are now, with the calls they made."""
        self._steps += [
            {"run_id": run_id, "seq": int(seq), "body": msgspec.json.encode(step).decode()}
            for seq, step in steps.items()
        ]

    def progressed(self, payload: RunProgressed, at: datetime) -> None:
        """A run as it is now, and since when it is so."""
        waiting = payload.waiting
        row = {
            "_id": payload.run_id,
            "_state": payload.state,
            "_since": (waiting.since if waiting else at).isoformat(),
            "waiting": msgspec.json.encode(waiting).decode() if waiting else None,
        }
        self._progress.append(row)

    def happened(self, event: Event, subject: str, facts: Facts) -> None:
        """What people read of an event."""
        told = {name: str(value) for name, value in facts.items() if value not in (None, "")}
        row = {
            "id": event.id,
            "subject": subject,
            "type": event.type,
            "at": event.time.isoformat(),
            "facts": msgspec.json.encode(told).decode(),
        }
        self._happenings.append(row)

    def write(self) -> None:
        """Write what was gathered, in order."""
        insert_all_new(self.connection, NAMES, self._names)
        merge_all(self.connection, RECORDS, self._records)
        put_all(self.connection, STEPS, self._steps)
        insert_all_new(self.connection, HAPPENINGS, self._happenings)
        if self._progress:
            self.connection.execute(PROGRESSED, self._progress)
