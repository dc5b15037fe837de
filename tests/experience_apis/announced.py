"""What the process and system tiers announce of a project, as if the flow had gone that far."""

from __future__ import annotations

import itertools
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from apis.runtime.events import publish
from apis.runtime.store import Store
from contracts.canonical.identity import Ref, Source
from contracts.canonical.money import Money
from contracts.canonical.project import Budget, Project
from contracts.events import ProjectActivated, VendorCalled, event_id, event_of

NUMBERS = itertools.count(70_001)


class Made(NamedTuple):
    """A project by its names."""

    id: str
    key: str
    number: str
    workspace: str
    job: str


async def activates_project(store: Store, run: dict[str, Any], **told: Any) -> Made:
    """The project of a run that is done, with a workspace and a job of numbers of their own."""
    contract, n = run["result"], next(NUMBERS)
    made = Made(f"{n:026}", f"project-{n:026}", f"P-{n}", f"w{n}", f"j{n}")
    value = contract["versions"][0]["value"]
    project = Project(
        id=made.id,
        key=made.key,
        number=made.number,
        name=f"Rollout {n}",
        entity=contract["entity"],
        state="active",
        customer=Ref(contract["customer"]["id"]),
        contract=Ref(contract["id"]),
        budget=Budget(total=Money(Decimal(value["amount"]), value["currency"])),
        **told,
    )
    records = (Source("kantata", made.workspace), Source("netsuite", made.job))
    payload = ProjectActivated(project=project, run_id=run["id"], records=records)
    await announce(store, "process", "project.activated", payload, run)
    return made


async def writes_record(store: Store, run: dict[str, Any], **told: Any) -> None:
    """The ledger of a connection says that a step of the run wrote a record."""
    payload = VendorCalled(cause=f"{run['id']}/project_for", status=201, **told)
    await announce(store, "system", "vendor.called", payload, run)


async def announce(store: Store, tier: str, name: str, payload: Any, run: dict[str, Any]) -> None:
    """One event, in a transaction of its tier."""
    event = event_of(
        name,
        payload,
        id=event_id("test", next(NUMBERS)),
        source="/test",
        time=datetime.fromisoformat(run["ended_at"]),
        correlation_id=run["id"],
    )
    await store.write(publish, tier, event)
