"""The read model of projects, as delivery sees them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from apis.runtime.store import change, find
from contracts.canonical.identity import Source
from contracts.events import Event, ProjectActivated, RunEnded, payload_of
from experience_apis.tables import PROJECTS, put


def follow(connection: Connection, events: Sequence[Event]) -> None:
    """Projects that are ready, or were taken back with the run that made them."""
    for event in events:
        payload = payload_of(event)
        if isinstance(payload, ProjectActivated):
            activated(connection, payload, event)
        elif isinstance(payload, RunEnded) and payload.state == "abandoned":
            values = {"state": "cancelled", "changed_at": event.time.isoformat()}
            change(connection, PROJECTS, {"run_id": payload.run_id}, **values)


def activated(connection: Connection, payload: ProjectActivated, event: Event) -> None:
    """The project as it was announced last; it keeps the day it was activated first."""
    project, at = payload.project, event.time.isoformat()
    golden = project.id or ""
    earlier = find(connection, PROJECTS, id=golden)
    records = payload.records
    if earlier is not None and not records:
        records = msgspec.json.decode(earlier.records, type=tuple[Source, ...])
    put(
        connection,
        PROJECTS,
        {"id": golden},
        run_id=payload.run_id,
        key=project.key,
        entity=project.entity,
        customer=project.customer.id if project.customer else None,
        state=project.state,
        activated_at=earlier.activated_at if earlier else at,
        changed_at=at,
        body=msgspec.json.encode(project).decode(),
        records=msgspec.json.encode(records).decode(),
    )
