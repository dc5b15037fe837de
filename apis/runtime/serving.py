"""Running a process: listen, say that we are ready, drain on SIGTERM, leave a clean house."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from apis.gateway.app import Edge, Front, Gateway, Log
from apis.gateway.client_authentication import ensure_clients, load_credentials
from apis.gateway.compiled import Policy as Compiled
from apis.gateway.compiled import compile_policy
from apis.gateway.decisions import Decisions
from apis.gateway.documents import foreign_documents, load_documents
from apis.gateway.extensions import Extensions
from apis.gateway.fields import FieldUses
from apis.gateway.idempotency import Idempotency
from apis.gateway.listeners import is_loopback, listener_problems
from apis.gateway.oauth import AuthorizationServer
from apis.gateway.people import People, ensure_people, load_passwords
from apis.gateway.policy import Gateway as Policy
from apis.gateway.policy import PolicyError
from apis.gateway.registered import Registry
from apis.gateway.revocations import Revocations
from apis.gateway.schemas import Schemas
from apis.gateway.tokens import Tokens, signing_keys
from apis.gateway.trust import Rings
from apis.gateway.uses import Uses
from apis.gateway.version_states import Lives
from apis.portal.app import Portal
from apis.runtime import traces
from apis.runtime.clients import Asgi, outgoing
from apis.runtime.deployment import Deployment, reached
from apis.runtime.log import LineWriter, get_logger
from apis.runtime.metrics import Metrics, exposing
from apis.runtime.pids import free_name, pid_file
from apis.runtime.readiness import telling, unready, with_peers
from apis.runtime.reloading import Reloading
from apis.runtime.server import Door, kept_as_made, server_of
from apis.runtime.settings import Settings
from apis.runtime.sockets import allow_sockets, handing, listening_socket
from apis.runtime.tls import Tls
from apis.runtime.worker import start_worker, stop_worker
from contracts.errors import Misconfigured, NotFound
from contracts.schemas import PUBLISHED

HERE = Path("contracts/published/openapi")
DOCUMENTS = HERE if HERE.is_dir() else PUBLISHED / "openapi"
"""What is published: of the tree we run in, else of the installed package."""
END_S = 12
log = get_logger(__name__)


def gateway(deployment: Deployment, metrics: Metrics) -> Gateway:
    """The gateway in front of everything this process serves or reaches; its policy may change."""
    settings, lines = deployment.settings, LineWriter()
    decisions = Decisions(deployment.store, deployment.clock, deployment.gateway.decisions)
    deployment.spawn(decisions.go())
    deployment.closing.append(decisions.close)
    schemas: dict[str, Schemas] = {}

    def write(line: dict[str, Any]) -> None:
        lines.write(line)
        metrics.seen(line)

    registry = Registry(deployment.store, deployment.clock)
    around = edges(deployment, write, decisions, metrics, registry)

    def front(policy: Policy) -> Front:
        named = foreign_documents(policy, settings.gateway.parent)
        compiled = compile_policy(policy, load_documents(DOCUMENTS) | named, schemas)
        joined = msgspec.structs.replace(compiled, gateway=registry.joined(policy))
        return Front(joined, deployment.mounts(policy), around(policy, joined.gateway))

    def used(policy: Compiled) -> None:  # a file that is refused rules none of it
        decisions.recording = policy.gateway.decisions
        metrics.clients = policy.gateway.clients

    def take(policy: Policy) -> None:
        lives.take(policy, deployment.clock.now())

    lives = Lives(deployment.store)
    served = Gateway(front(deployment.gateway), write, used)
    take(deployment.gateway)
    files = settings.home, settings.gateway
    reloading = Reloading(served, deployment.gateway, files, front, take)
    deployment.spawn(reloading.go())
    registry.tells(reloading.again)
    deployment.spawn(registry.go())
    return served


def edges(
    deployment: Deployment,
    write: Log,
    decisions: Decisions,
    metrics: Metrics,
    registry: Registry,
) -> Callable[[Policy, Policy], Edge]:
    """What the gateway stands on, by its policy; what it remembers outlives a policy."""
    settings, store, clock = deployment.settings, deployment.store, deployment.clock
    keys = signing_keys(deployment.gateway.signing, settings.home)
    tokens = Tokens(keys, issuer=settings.issuer, clock=clock)
    rings = Rings(http := outgoing(), clock)
    deployment.closing.append(http.aclose)
    deployment.spawn(rings.go())
    deployment.spawn(Revocations(store, tokens).go())
    uses = Uses(store, clock)
    deployment.spawn(uses.go())
    deployment.closing.append(uses.close)
    fields = FieldUses(store, clock)
    deployment.spawn(fields.go())
    deployment.closing.append(fields.close)
    extensions = Extensions(store, clock)
    deployment.spawn(extensions.go())
    ready = with_peers(deployment)
    idempotency = Idempotency(store, deployment.records, clock, settings.lease_s)
    deployment.spawn(idempotency.go())
    permits = cache(deployment.permits)  # a policy read anew finds those that are held

    def edge(policy: Policy, joined: Policy) -> Edge:
        ensure_clients(settings.home, policy)
        tokens.use(signing_keys(policy.signing, settings.home))
        ensure_people(settings.home, policy)
        credentials = registry.proofs(joined, load_credentials(policy, settings.home))
        passwords = load_passwords(policy, settings.home)
        return Edge(
            issuer=settings.issuer,
            clock=clock,
            limiter=deployment.limiter,
            permits=permits,
            tokens=tokens,
            oauth=AuthorizationServer(joined, credentials, tokens, store, uses),
            people=People(
                passwords, store, deployment.limiter, clock, policy.balancers,
                registered=policy.portal is not None,
            ),
            ready=ready,
            log=write,
            decisions=decisions,
            idempotency=idempotency,
            metrics=metrics.text,
            rings=rings,
            fields=fields,
            portal=Portal,
            store=store,
            registered=registry.look,
            entities=deployment.metadata.entities.keys(),
            extended=extensions.extended,
        )  # fmt: skip

    return edge


class Stopping:
    """SIGTERM and SIGINT from now until the process ends: the first stops it, the next hurries."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurry = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):  # the loop's own handlers end with the loop
            signal.signal(each, self._told)

    def _told(self, *_: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        (self.hurry if self.asked.is_set() else self.asked).set()


async def serve(
    settings: Settings,
    part: str,
    parts: tuple[str, ...],
    *,
    port: int | None,
    worker: bool,
    edge: bool,
) -> None:
    """Be one process until SIGTERM or SIGINT: apps or gateway on a port, flows, or both."""
    stopping = Stopping()
    allow_sockets()
    part = free_name(settings.home, part) if settings.redis_url else part
    deployment = Deployment(settings, part, parts)
    if port is not None and not edge and not deployment.served():
        told = f"there is no api {', '.join(parts)}; gateway.yaml names"
        raise NotFound("part.unknown", f"{told} {', '.join(deployment.gateway.own)}")
    traces.begin(part, os.environ)
    with ExitStack() as house:
        house.callback(traces.end)
        doors = doors_of(deployment, port, house, edge=edge) if port is not None else []
        await asyncio.to_thread(reached, deployment.store)
        house.enter_context(pid_file(settings.home, part, port))
        try:
            await deployment.start()
            if worker:
                await start_worker(deployment)
            metrics = measured(deployment, house)
            app = await edge_of(deployment, metrics) if edge else inside_of(deployment)
            log.info("process.ready", part=part, port=port, worker=worker)
            if doors:
                await answer(app, doors, stopping, deployment)
            else:
                await stopping.asked.wait()
        finally:
            if worker:
                await stop_worker(deployment)
            await deployment.close()


def doors_of(deployment: Deployment, port: int, house: ExitStack, *, edge: bool) -> list[Door]:
    """What this process listens on: its port and, for a gateway, the listeners of its policy.

    They are open at once: who connects while we start waits. With Redis, where there may be
    several processes, they are another process's sockets if one of this home has them.
    """
    settings, gateway = deployment.settings, deployment.gateway
    if found := list(listener_problems(gateway.listeners)):
        raise PolicyError([gateway.lines.told(*each) for each in found])
    only_here()
    wanted: list[tuple[str, int, Tls | None]] = [(host(), port, None)]
    for name, each in gateway.listeners.items() if edge else ():
        wanted.append((each.host, each.port, Tls.of(name, each, settings.home)))
    doors = []
    for place, number, tls in wanted:
        shared = settings.redis_url is not None
        opened = house.enter_context(listening_socket(settings.home, place, number, shared=shared))
        if shared:
            house.enter_context(handing(settings.home, number, opened))
        doors.append(Door(opened, tls))
    return doors


def only_here() -> None:
    """Misconfigured where others reach a port in plain HTTP and nobody said that they may."""
    if os.environ.get("THROUGHLINE_PLAIN_HTTP") == "1" or is_loopback(host()):
        return
    told = f"others can reach {host()}, and this port speaks plain HTTP"
    remedy = (
        "leave THROUGHLINE_HOST out and name `listeners` with certificates in gateway.yaml; "
        "THROUGHLINE_PLAIN_HTTP=1 where something in front of it ends TLS"
    )
    raise Misconfigured("listener.plain", told, remedy=remedy)


def measured(deployment: Deployment, house: ExitStack) -> Metrics:
    """The metrics of this process, on a loopback port of their own where one is named."""
    settings, metrics = deployment.settings, Metrics(deployment)
    if settings.metrics_port is not None:
        port = settings.metrics_port
        opened = listening_socket(settings.home, "127.0.0.1", port, shared=False)
        door = Door(house.enter_context(opened))
        server = server_of(exposing(metrics), [door], issuer=settings.issuer, caps=settings.caps)
        deployment.spawn(server.serve())
    return metrics


async def edge_of(deployment: Deployment, metrics: Metrics) -> Asgi:
    """The gateway, the only one unless Redis keeps its limits."""
    if deployment.redis is None:
        await deployment.alone("gateway")
    return gateway(deployment, metrics)


def inside_of(deployment: Deployment) -> Asgi:
    """The apps of this process for other processes, and whether it is ready."""
    return telling(deployment.inside(), lambda: unready(deployment))


async def answer(app: Asgi, doors: list[Door], stopping: Stopping, deployment: Deployment) -> None:
    """Serve until told to stop; then /readyz says so, and what is in flight finishes."""
    settings = deployment.settings
    server = server_of(app, doors, issuer=settings.issuer, caps=settings.caps)
    kept_as_made()
    serving = asyncio.create_task(server.serve())
    serving.add_done_callback(lambda _: stopping.asked.set())  # ends by itself: so do we
    await stopping.asked.wait()
    deployment.leaving = True
    await server.leave(settings.drain_s, stopping.hurry)
    ended, _ = await asyncio.wait([serving], timeout=END_S)
    for each in ended:
        each.result()  # a server that could not begin is an error, not an end


def host() -> str:
    """Where this process listens: loopback, or `THROUGHLINE_HOST`."""
    return os.environ.get("THROUGHLINE_HOST") or "127.0.0.1"
