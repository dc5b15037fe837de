"""The read model of projects, as delivery sees them."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection

from apis.runtime.store import find
from contracts.canonical.identity import Source
from contracts.events import Event, ProjectActivated, RunEnded, payload_of
from experience_apis.tables import PROJECTS, put


def follow(connection: Connection, event: Event) -> None:
    """A project that is ready, or one that was taken back with the run that made it."""
    payload = payload_of(event)
    if isinstance(payload, ProjectActivated):
        activated(connection, payload, event)
    elif isinstance(payload, RunEnded) and payload.state == "abandoned":
        mine = PROJECTS.c.run_id == payload.run_id
        values = {"state": "cancelled", "changed_at": event.time.isoformat()}
        connection.execute(sa.update(PROJECTS).where(mine).values(**values))


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
