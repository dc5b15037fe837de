"""What a decision must not touch: records of other customers and deals, and runs that go on."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import Connection

from apis.runtime import run_views, runs
from apis.runtime.ids import child_id
from apis.runtime.store import find
from contracts.canonical.identity import Source
from contracts.errors import Conflict
from contracts.runs import WorkItem
from process_apis.customer_master import CONTRACTS, XREF, contract_of
from process_apis.deal_changes import decided_deal
from process_apis.deal_to_project import deal_to_project

JUDGED = ("customer", "project")


def nobody_elses(connection: Connection, item: WorkItem, record: Source) -> None:
    """Conflict if the record that somebody adopts is another customer or project we know.

    Of accounts the step itself says which ones are the same company.
    """
    run = find(connection, runs.RUNS, id=item.run_id)
    deal = Source(run.connection, run.record)
    if record.connection == deal.connection:
        return
    contract = contract_of(connection, deal)
    ours = {item.record.id if item.record else None}
    if contract is not None:
        ours |= {contract.customer.id, child_id("project", contract.id)}
    known = sa.select(XREF.c.object, XREF.c.id).where(
        XREF.c.connection == record.connection,
        XREF.c.external_id == record.external_id,
        XREF.c.object.in_(JUDGED),
        XREF.c.valid_to.is_(None),
    )
    for row in connection.execute(known).all():
        alive = sold_to if row.object == "customer" else under_contract
        if row.id not in ours and alive(connection, row.id, deal):
            raise Conflict(
                "work-item.record-taken",
                f"{record.connection} {record.external_id} is another {row.object} already: "
                "adopted, it would become this one for good",
                owner="caller",
                remedy="adopt the record of this one, retry to make a new one, or abandon",
            )


def sold_to(connection: Connection, customer: str, deal: Source) -> bool:
    """Whether a customer has an account of its own in the CRM: one that was merged has none."""
    account = sa.select(XREF.c.id).where(
        XREF.c.object == "customer",
        XREF.c.id == customer,
        XREF.c.connection == deal.connection,
        XREF.c.valid_to.is_(None),
    )
    return connection.execute(account.limit(1)).scalar() is not None


def under_contract(connection: Connection, project: str, _deal: Source) -> bool:
    """Whether a project belongs to a contract that was not cancelled."""
    contracts = sa.select(CONTRACTS.c.id).where(CONTRACTS.c.state != "cancelled")
    return any(child_id("project", id_) == project for id_ in connection.scalars(contracts))


def not_won_again(connection: Connection, item: WorkItem) -> None:
    """Conflict if a deal that was on hold has been won again: its project is at work by now."""
    if item.step != decided_deal.name or item.run_id is None:
        return
    run = find(connection, runs.RUNS, id=item.run_id)
    deal = Source(run.connection, run.record)
    again = run_views.open_of(connection, deal_to_project.name, deal)
    if again is not None:
        raise Conflict(
            "deal.won-again",
            f"the deal was won again, and run {again.id} is at work on its project",
            owner="caller",
            remedy="wait until that run is over; abandon its own work item to give it up",
        )
