"""What `throughline worker` runs: flows, relays, feeds, starts, waker, reaper, sealers and more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from apis.runtime import audit
from apis.runtime.audit_heads import Signer
from apis.runtime.deployment import Deployment, loaded
from apis.runtime.events import BATCH, OUTBOXES, behind, consume, outbox_holds, relay
from apis.runtime.flow import Flow, runner
from apis.runtime.leases import FAILED_S, REAPER, Leases, bury, lead, reap, to_wake, wake
from apis.runtime.outages import report
from apis.runtime.rounds import NOW, Duty, Rounds
from apis.runtime.store import Store

SOON_S = 0.2
SEAL_S = 1.0
OUTAGES_S = 1.0
FLOWS = "process_apis.starts:FLOWS"
STARTS = "process_apis.starts:starting"
PROJECTIONS = "experience_apis.projections:PROJECTIONS"
READER = "process_apis.feeds:Reader"
BACKFILLS = "process_apis.starts:backfilling"
DRAIN_S = 12


async def start_worker(deployment: Deployment) -> None:
    """Claim a worker's lease, run flows as its owner and stand for every leadership.

    A worker that cannot reach a connection would park every run that needs it: it does not start.
    """
    for name in deployment.gateway.own:
        if name.startswith("system/"):
            deployment.target(name)
    leases = deployment.leases
    await leases.hold(leases.worker)
    runtime = deployment.runtime()
    flows: list[Flow] = loaded(FLOWS)
    deployment.flows = [flow.name for flow in flows]
    deployment.engine.launch(
        {flow.registered: runner(runtime, flow) for flow in flows}, leases.owner
    )
    for feed in deployment.metadata.feeds:
        await loaded(READER)(runtime, feed).begin()
    rounds = Rounds(deployment.store, leases, deployment.clock, duties(deployment))
    deployment.spawn(rounds.go(SOON_S))
    for name, every, work in leaderships(deployment, leases):
        deployment.spawn(lead(leases, name, every, work))


def duties(deployment: Deployment) -> list[Duty]:
    """What waits in the database for the one process that does it."""
    store, engine, clock = deployment.store, deployment.engine, deployment.clock
    runtime = deployment.runtime()
    readers = [loaded(STARTS)(runtime), *loaded(PROJECTIONS)]
    backfills = loaded(BACKFILLS)(runtime)
    return [
        Duty("waker", to_wake(NOW), lambda: wake(store, engine, clock)),
        Duty("backfills", backfills.due, backfills.tick),
        *(
            Duty(f"reader/{each.reader}", behind(each), partial(consume, store, each))
            for each in readers
        ),
        *(Duty(f"relay/{tier}", outbox_holds(tier), relaying(store, tier)) for tier in OUTBOXES),
    ]


def leaderships(
    deployment: Deployment, leases: Leases
) -> list[tuple[str, float, Callable[[], Awaitable[object]]]]:
    """What one process at a time does by the clock, and how often."""
    store, engine, clock = deployment.store, deployment.engine, deployment.clock
    runtime = deployment.runtime()
    jobs: list[tuple[str, float, Callable[[], Awaitable[object]]]] = [
        ("failures", FAILED_S, lambda: bury(store, engine, clock)),
        (REAPER, min(2.0, leases.ttl / 5), lambda: reap(store, engine, leases, clock)),
        ("outages", OUTAGES_S, lambda: report(store, clock)),
    ]
    for feed in deployment.metadata.feeds:
        reader = loaded(READER)(runtime, deployment.settings.feed(feed))
        jobs.append((f"feed/{feed.connection}/{feed.object}", SOON_S, reader.tick))
    signer = signer_of(deployment)
    sealers = [
        (f"sealer/{tier}", SEAL_S, sealing(deployment, tier, signer)) for tier in audit.AUDIT
    ]
    return [*jobs, *sealers]


def relaying(store: Store, tier: str) -> Callable[[], Awaitable[object]]:
    """Copy a tier's outbox to the log until it is empty."""

    async def work() -> None:
        while await store.write(relay, tier) == BATCH:
            pass

    return work


def sealing(deployment: Deployment, tier: str, signer: Signer) -> Callable[[], Awaitable[object]]:
    """Chain a tier's new audit rows until none waits, then sign where the chain ends."""
    store, clock = deployment.store, deployment.clock

    async def work() -> None:
        if await store.read(audit.waits, tier):
            while await store.write(audit.seal, tier) == audit.BATCH:
                pass
        await store.read(audit.sign, tier, signer, clock.now())

    return work


def signer_of(deployment: Deployment) -> Signer:
    """What signs the heads of this deployment."""
    return Signer(deployment.settings.audit_key, deployment.settings.audit_heads)


async def stop_worker(deployment: Deployment) -> None:
    """Take no more flows, let running ones end and seal what they did; the rest is taken over."""
    await deployment.engine.drain(DRAIN_S)
    store, signer = deployment.store, signer_of(deployment)
    for tier in audit.AUDIT:
        if deployment.leases.held(f"sealer/{tier}"):
            while await store.write(audit.seal, tier):
                pass
            await store.read(audit.sign, tier, signer, deployment.clock.now(), keep=True)
