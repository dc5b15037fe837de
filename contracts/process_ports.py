"""What the processes offer, as `ports.py` says it of systems: methods that carry a route."""

from __future__ import annotations

from datetime import date
from typing import Protocol

from contracts.canonical.identity import Source
from contracts.connections import Connection, ConnectionPage
from contracts.ports import operation
from contracts.runs import (
    Backfill,
    BackfillPage,
    DecisionKind,
    Run,
    RunPage,
    WorkItem,
    WorkItemPage,
)


class DealToProject(Protocol):
    """A won deal becomes a project."""

    @operation("POST", "/runs", status=202)
    async def start_run(self, deal: Source) -> Run:
        """Start the flow for a deal, or the run it already has."""

    @operation("GET", "/runs/{id}")
    async def get_run(self, id: str) -> Run:  # noqa: A002 - the path's own word
        """How far a run is, what it did and what it waits for."""

    @operation("GET", "/runs")
    async def list_runs(self, deal: str | None = None, cursor: str | None = None) -> RunPage:
        """Runs of the flow, the newest first; those of one deal when its id in the CRM is given."""

    @operation("POST", "/backfills", status=202)
    async def start_backfill(
        self, system: str, won_since: date, entity: str | None = None
    ) -> Backfill:
        """Start what was won since a day, or answer the backfill that does so already."""

    @operation("GET", "/backfills")
    async def list_backfills(self, cursor: str | None = None) -> BackfillPage:
        """Backfills without their deals, the newest first."""

    @operation("GET", "/backfills/{id}")
    async def get_backfill(self, id: str, cursor: str | None = None) -> Backfill:  # noqa: A002 - as above
        """How far a backfill is, and what became of each deal."""

    @operation("POST", "/backfills/{id}/cancellations")
    async def cancel_backfill(self, id: str) -> Backfill:  # noqa: A002 - as above
        """Start no more deals; runs that have begun go on."""


class WorkQueue(Protocol):
    """What people must set right or decide."""

    @operation("GET", "/work-items")
    async def list_work_items(
        self, owner: str | None = None, state: str | None = None, cursor: str | None = None
    ) -> WorkItemPage:
        """Work items of a role, the longest waiting first."""

    @operation("GET", "/work-items/{id}")
    async def get_work_item(self, id: str) -> WorkItem:  # noqa: A002 - the path's own word
        """One work item with its evidence."""

    @operation("PUT", "/work-items/{id}/assignee")
    async def assign_work_item(self, id: str, assignee: str | None = None) -> WorkItem:  # noqa: A002 - the path's own word
        """A work item given to a person, or to nobody."""

    @operation("POST", "/work-items/{id}/comments", status=201)
    async def comment_work_item(self, id: str, text: str) -> WorkItem:  # noqa: A002 - the path's own word
        """A note on a work item, for those who come after."""

    @operation("POST", "/work-items/{id}/decisions")
    async def decide_work_item(
        self,
        id: str,  # noqa: A002 - the path's own word
        decision: DecisionKind,
        comment: str = "",
        record: Source | None = None,
    ) -> WorkItem:
        """Retry, abandon, approve, reject or adopt; a second decision is a conflict."""


class Connections(Protocol):
    """The accounts at systems that the processes work with."""

    @operation("GET", "/connections")
    async def list_connections(self, cursor: str | None = None) -> ConnectionPage:
        """Every connection with the parts it plays, by name."""

    @operation("GET", "/connections/{name}")
    async def get_connection(self, name: str) -> Connection:
        """One connection, with what its system says of itself."""
