"""What the log of events tells of a deal."""

from __future__ import annotations

import msgspec
import sqlalchemy as sa

from apis.runtime.events import LOG
from apis.runtime.store import Store
from contracts.events import Event
from tests.firm import Firm
from tests.systems import Deal


async def events(store: Store, deal: Deal) -> list[Event]:
    """Everything in the log that is about a deal."""
    bodies = await store.read(
        lambda c: c.execute(sa.select(LOG.c.body).order_by(LOG.c.seq)).scalars().all()
    )
    found = [msgspec.json.decode(body, type=Event) for body in bodies]
    run = f"deal_to_project:salesforce:{deal.id}"
    return [
        each
        for each in found
        if (each.correlationid or "").startswith(run)
        or (each.data.get("deal") or {}).get("external_id") == deal.id
    ]


async def lost(firm: Firm, deal: Deal) -> None:
    """The deal is lost, and the feed has seen it: won again before, it was never lost."""
    firm.salesforce.loses(deal)
    store = Store(firm.house.database_url)

    async def look() -> list[str]:
        return [each.type for each in await events(store, deal)]

    await firm.see(look, lambda types: "deal.lost" in types)
    store.close()
