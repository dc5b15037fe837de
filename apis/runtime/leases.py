"""Who holds what, for how long: workers, leaders, and the take-over of what a lost worker held.

Leases use the database's clock and real time. One thread per process renews all its leases in one
statement; an expired lease never comes back, and a process whose own lease is lost ends at once.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
import time
from collections.abc import Awaitable, Callable

import sqlalchemy as sa
from sqlalchemy import Column, ColumnElement, Connection, Float, Integer, String

from apis.runtime import runs
from apis.runtime.clock import Clock
from apis.runtime.engine import QUEUE, SUSPECTS, Engine, Pending
from apis.runtime.log import get_logger
from apis.runtime.store import Store, database_now, insert_new, table
from apis.runtime.waits import item_id
from apis.runtime.work_items import FAILED as FAILED_CODE
from apis.runtime.work_items import POISON as POISON_CODE
from apis.runtime.work_items import open_item
from contracts.runs import WorkItem

LEASES = table(
    "runtime",
    "leases",
    Column("name", String(200), primary_key=True),
    Column("owner", String(200), nullable=False),
    Column("token", Integer, nullable=False),
    Column("until", Float, nullable=False),
)
WORKER = "worker/"
REAPER = "reaper"
POISON = 4
ISOLATED = "/poison."
WAITS = runs.WAITS
AN_ISOLATION = WAITS.c.id.contains(ISOLATED, autoescape=True)
FAILED_S = 2.0
PATIENCE = 1.5
LOST = 70
log = get_logger(__name__)


def claim(connection: Connection, name: str, owner: str, ttl: float) -> bool:
    """Take a free or expired lease; False while somebody else holds it."""
    now = database_now(connection)
    if insert_new(connection, LEASES, name=name, owner=owner, token=1, until=now + ttl):
        return True
    taken = connection.execute(
        sa.update(LEASES)
        .where(LEASES.c.name == name, LEASES.c.until < now)
        .values(owner=owner, token=LEASES.c.token + 1, until=now + ttl)
    )
    return taken.rowcount == 1


def renew(connection: Connection, owner: str, ttl: float) -> set[str]:
    """Prolong all unexpired leases of an owner; answers their names."""
    now = database_now(connection)
    mine = sa.and_(LEASES.c.owner == owner, LEASES.c.until >= now)
    connection.execute(sa.update(LEASES).where(mine).values(until=now + ttl))
    return set(connection.execute(sa.select(LEASES.c.name).where(mine)).scalars())


def release(connection: Connection, owner: str) -> None:
    """Give all leases of an owner back."""
    connection.execute(sa.delete(LEASES).where(LEASES.c.owner == owner))


def holder(connection: Connection, name: str) -> str | None:
    """Who holds a lease now."""
    mine = sa.and_(LEASES.c.name == name, LEASES.c.until >= database_now(connection))
    return connection.execute(sa.select(LEASES.c.owner).where(mine)).scalar_one_or_none()


def of_others(connection: Connection, owner: str) -> dict[str, float]:
    """The leases that somebody else holds now, and for how many seconds more."""
    now = database_now(connection)
    theirs = sa.and_(LEASES.c.owner != owner, LEASES.c.until >= now)
    rows = connection.execute(sa.select(LEASES.c.name, LEASES.c.until).where(theirs))
    return {name: until - now for name, until in rows}


def live_workers(connection: Connection) -> set[str]:
    """The owners whose worker lease has not expired."""
    now = database_now(connection)
    rows = sa.select(LEASES.c.owner).where(LEASES.c.name.startswith(WORKER), LEASES.c.until >= now)
    return set(connection.execute(rows).scalars())


class Leases:
    """The leases of this process under one owner name, new at every start."""

    def __init__(self, store: Store, part: str, *, ttl: float) -> None:
        self.owner = f"{part}-{os.getpid()}-{secrets.token_hex(4)}"
        self._store = store
        self.ttl = ttl
        self._held: dict[str, float] = {}
        self._taken: dict[str, float] = {}
        self._looked_at = float("-inf")
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._renewing, name="leases", daemon=True)
        self._vital: set[str] = set()

    @property
    def worker(self) -> str:
        """The lease without which this process must not run flows."""
        return WORKER + self.owner

    async def hold(self, name: str) -> bool:
        """Claim a lease this process cannot live without; False if another keeps holding it."""
        ends = time.monotonic() + PATIENCE * self.ttl
        while not await self.claim(name):
            if time.monotonic() > ends:
                return False
            await asyncio.sleep(self.ttl / 10)
        self._vital.add(name)
        if not self._thread.is_alive():
            self._thread.start()
        return True

    def held(self, name: str | None = None) -> bool:
        """True while a lease is surely ours, by our own clock; asked before every vendor write."""
        return time.monotonic() < self._held.get(name or self.worker, 0.0)

    def holding(self) -> list[str]:
        """The names this process holds."""
        return sorted(name for name in dict(self._held) if self.held(name))

    def missing(self) -> list[str]:
        """The leases this process lives by and does not surely hold now."""
        return sorted(name for name in self._vital if not self.held(name))

    async def claim(self, name: str) -> bool:
        """Become the holder of `name` if it is free, which is looked up for all names together."""
        if self.held(name):
            return True
        await self._look()
        began = time.monotonic()
        if began < self._taken.get(name, 0.0):
            return False
        if await self._store.write(claim, name, self.owner, self.ttl):
            self._held[name] = began + self.ttl
            return True
        return False

    async def _look(self) -> None:
        """See what others hold, now and then: to claim is a write, and most leases are taken."""
        began = time.monotonic()
        if began - self._looked_at >= self.ttl / 4:
            self._looked_at = began
            others = await self._store.read(of_others, self.owner)
            self._taken = {name: began + left for name, left in others.items()}

    def _renewing(self) -> None:
        while not self._ends.wait(self.ttl / 4):
            began = time.monotonic()
            try:
                mine = self._store.write_now(renew, self.owner, self.ttl)
            except Exception:  # noqa: BLE001 - a thread that ended would renew nothing, and not say so
                mine = {name for name, until in self._held.items() if began < until}
                log.warning("leases.renewal-failed", owner=self.owner)
                self._check(mine)
                continue
            self._held = dict.fromkeys(mine, began + self.ttl)
            self._check(mine)

    def _check(self, mine: set[str]) -> None:
        lost = self._vital - mine
        if lost and not self._ends.is_set():
            log.error("lease.lost", owner=self.owner, leases=sorted(lost))
            os._exit(LOST)

    def stop(self) -> None:
        """End renewing and give everything back."""
        self._ends.set()
        if self._thread.is_alive():
            self._thread.join()
        self._store.write_now(release, self.owner)
        self._held = {}


async def lead(
    leases: Leases, name: str, every: float, work: Callable[[], Awaitable[object]]
) -> None:
    """Do `work` every so many seconds (real time) while this process holds the lease `name`."""
    while True:
        pause = every
        try:
            if await leases.claim(name):
                await work()
            else:
                pause = max(every, leases.ttl / 4)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # a leader outlives what it meets: it is logged and tried again
            log.exception("leader.failed", leader=name, error=type(error).__name__)
            await asyncio.sleep(FAILED_S)
        await asyncio.sleep(pause)


def to_wake(now: ColumnElement[str]) -> ColumnElement[bool]:
    """In SQL whether any run has waited for long enough, or has its decision."""
    due = sa.exists().where(WAITS.c.state == "open", WAITS.c.due_at <= now)
    return sa.or_(due, sa.exists().where(WAITS.c.state == "decided"))


async def wake(store: Store, engine: Engine, clock: Clock) -> int:
    """Bring back every suspended run whose wait is due or decided; answers how many."""
    if await store.read(runs.any_due, clock.now()):
        await store.write(runs.due, clock.now())
    run_ids = await store.read(runs.decided_runs)
    if not run_ids:
        return 0
    statuses = await engine.statuses(run_ids)
    suspended = [run_id for run_id in run_ids if statuses.get(run_id) == "CANCELLED"]
    if not suspended:
        return 0
    retried = await store.read(isolated, suspended)
    if retried:
        await store.write(forgive, retried)
    await engine.resume(suspended)
    if retried:  # no flow takes this decision: it is taken once its run is back
        await store.write(released, retried)
    return len(suspended)


async def reap(store: Store, engine: Engine, leases: Leases, clock: Clock) -> int:
    """Re-queue what dead workers held, and isolate what kills its worker; answers how many.

    Safe in this order: lease expired, listed, judged, our lease checked, resumed; a poison flow
    has its work item before it leaves the engine, since nobody would look for it afterwards.
    """
    pending = await engine.pending()
    if not pending:
        return 0
    alive = await store.read(live_workers)
    dead = [flow for flow in pending if flow.owner not in alive]
    if not dead:
        return 0
    counts = await store.write(judge, dead, leases.owner, clock)
    if not leases.held(REAPER):
        return 0
    if poison := [run_id for run_id, deaths in counts.items() if deaths >= POISON]:
        await engine.cancel(poison)
    if not leases.held(REAPER):
        return 0
    if first := [run_id for run_id, deaths in counts.items() if deaths == 1]:
        await engine.resume(first, QUEUE)
    if again := [run_id for run_id, deaths in counts.items() if 1 < deaths < POISON]:
        await engine.resume(again, SUSPECTS)
    return len(dead)


async def bury(store: Store, engine: Engine, clock: Clock) -> int:
    """Close runs whose flow ended in an error that no step has: a defect, never silent."""
    at_work = await store.read(runs.at_work)
    statuses = await engine.statuses(at_work) if at_work else {}
    failed = [run_id for run_id, status in statuses.items() if status == "ERROR"]
    for run_id in failed:
        await store.write(failure, run_id, clock)
    return len(failed)


def failure(connection: Connection, run_id: str, clock: Clock) -> None:
    """A failed run and its work item, in one transaction."""
    runs.end(connection, runs.End(run_id=run_id, state="failed", at=clock.now()))
    item = WorkItem(
        id=item_id(f"{run_id}/failed"),
        code=FAILED_CODE,
        title="A flow ended in an error of its own",
        detail=f"{run_id} cannot go on: its code and what was recorded of it do not fit together",
        owner="integration",
        remedy="read the log, mend the cause, then start the flow for this record again",
        run_id=run_id,
        since=clock.now(),
    )
    open_item(connection, item)


def judge(connection: Connection, dead: list[Pending], reaper: str, clock: Clock) -> dict[str, int]:
    """How often each run's worker has died, this time included; the fourth death isolates the run.

    One transaction, by the holder of the lease only: a decision to retry comes wholly before it,
    and the run goes on with its deaths forgiven, or wholly after it, and `wake` brings it back.
    """
    if reaper != holder(connection, REAPER):
        return {}
    if retried := isolated(connection, [flow.run_id for flow in dead]):
        forgive(connection, retried)
        released(connection, retried)
    counts = {
        flow.run_id: runs.count_takeover(connection, flow.run_id, flow.owner) for flow in dead
    }
    isolate(connection, [run_id for run_id, deaths in counts.items() if deaths >= POISON], clock)
    return counts


def isolate(connection: Connection, run_ids: list[str], clock: Clock) -> None:
    """Park runs that killed every worker that took them: a person looks, *retry* tries again."""
    for run_id in run_ids:
        wait_id = isolation(connection, run_id)
        wait = runs.Wait(
            id=wait_id,
            run_id=run_id,
            at=clock.now(),
            owner="integration",
            work_item_id=item_id(wait_id),
        )
        item = WorkItem(
            id=wait.work_item_id or "",
            code=POISON_CODE,
            title="A flow ended the process that ran it, again and again",
            detail=f"{run_id} was taken over {POISON} times and each worker died with it",
            owner="integration",
            remedy="read the log of the workers that died, mend the cause, then retry",
            run_id=run_id,
            since=clock.now(),
        )
        runs.open_wait(connection, wait)
        open_item(connection, item, wait.id)


def isolation(connection: Connection, run_id: str) -> str:
    """The wait of a run that is isolated: the open one, else the next."""
    mine = sa.and_(WAITS.c.run_id == run_id, AN_ISOLATION, WAITS.c.state != "open")
    ended = sa.select(sa.func.count()).where(mine)
    return f"{run_id}{ISOLATED}{connection.execute(ended).scalar_one() + 1}"


def isolated(connection: Connection, run_ids: list[str]) -> list[str]:
    """Those of these runs about whose isolation a person has decided."""
    mine = sa.and_(WAITS.c.run_id.in_(run_ids), AN_ISOLATION, WAITS.c.state == "decided")
    return list(connection.execute(sa.select(WAITS.c.run_id).where(mine)).scalars())


def forgive(connection: Connection, run_ids: list[str]) -> None:
    """Isolated runs go on: the workers that died with them count no more."""
    counts, mine = runs.TAKEOVERS, runs.RUNS.c.id.in_(run_ids)
    connection.execute(sa.delete(counts).where(counts.c.run_id.in_(run_ids)))
    connection.execute(sa.update(runs.RUNS).where(mine).values(state="running"))


def released(connection: Connection, run_ids: list[str]) -> None:
    """Isolated runs are back in the engine: their decision is taken."""
    mine = sa.and_(WAITS.c.run_id.in_(run_ids), AN_ISOLATION, WAITS.c.state == "decided")
    connection.execute(sa.update(WAITS).where(mine).values(state="taken"))
