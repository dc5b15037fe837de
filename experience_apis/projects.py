"""The read model of projects, as delivery sees them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection

from apis.runtime.store import change, find
from contracts.canonical.identity import Source
from contracts.events import Event, ProjectActivated, ProjectChanged, payload_of
from experience_apis.tables import PROJECTS, put

FOLLOWED = ("project.activated", "project.changed")


def follow(connection: Connection, events: Sequence[Event]) -> None:
    """Projects that are ready, on hold, cancelled or agreed anew."""
    for event in events:
        payload = payload_of(event)
        if isinstance(payload, ProjectActivated):
            activated(connection, payload, event)
        else:
            changed(connection, payload, event)


def changed(connection: Connection, payload: ProjectChanged, event: Event) -> None:
    """The project as it is now; the run that made it stays the one it is found by."""
    values = {"state": payload.state, "changed_at": event.time.isoformat()}
    if payload.project is not None:
        values["body"] = msgspec.json.encode(payload.project).decode()
    change(connection, PROJECTS, {"id": payload.id}, **values)


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
