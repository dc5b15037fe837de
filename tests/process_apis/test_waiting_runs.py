"""What waits costs nothing: the last of these tests, since it leaves a thousand runs behind."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import sqlalchemy as sa

from apis.runtime.runs import RUNS
from apis.runtime.store import Store
from tests.firm import Firm
from tests.systems import Deal

RUNS_THAT_WAIT = 1_000
AT_ONCE = 20


async def test_a_thousand_waiting_runs_do_not_delay_the_next_deal(firm: Firm) -> None:
    slots = asyncio.Semaphore(AT_ONCE)
    unknown = [Deal(f"006zz{n:010}AAA", "", {}) for n in range(RUNS_THAT_WAIT)]

    async def asked(deal: Deal) -> None:
        async with slots:
            assert (await firm.starts(deal)).status_code == 202

    await asyncio.gather(*map(asked, unknown))
    await all_wait(firm)

    deal = firm.salesforce.wins_deal()
    asked_at = datetime.fromisoformat(firm.salesforce.now())
    await firm.starts(deal)
    run = await firm.run_of(deal)

    started = datetime.fromisoformat(run["started_at"])
    assert started - asked_at < timedelta(seconds=1)


async def all_wait(firm: Firm) -> None:
    """Until every run of an unknown deal has left the engine for its work item."""
    store = Store(firm.house.database_url)
    mine = sa.and_(RUNS.c.record.startswith("006zz"), RUNS.c.state != "waiting")
    asked = sa.select(RUNS.c.id, RUNS.c.state, RUNS.c.started_at).where(mine).limit(5)

    async def busy() -> list[str]:
        return await store.read(lambda c: [str(row) for row in c.execute(asked)])

    await firm.see(busy, lambda found: not found, patience_s=120)
    store.close()
