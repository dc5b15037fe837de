"""Running a process: listen, say that we are ready, drain on SIGTERM, leave a clean house."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import uvicorn

from apis.gateway.app import Edge, Front, Gateway
from apis.gateway.client_authentication import ensure_clients, load_credentials
from apis.gateway.compiled import compile_policy
from apis.gateway.decisions import Decisions
from apis.gateway.documents import foreign_documents, load_documents
from apis.gateway.oauth import AuthorizationServer
from apis.gateway.people import People, ensure_people, load_passwords
from apis.gateway.policy import Gateway as Policy
from apis.gateway.revocations import Revocations
from apis.gateway.schemas import Schemas
from apis.gateway.tokens import Tokens, signing_keys
from apis.gateway.trust import Rings
from apis.runtime.clients import Asgi, outgoing
from apis.runtime.deployment import Deployment, reached
from apis.runtime.log import LineWriter, get_logger
from apis.runtime.pids import may_listen, pid_file
from apis.runtime.protocol import protocol
from apis.runtime.readiness import telling, unready, with_peers
from apis.runtime.reloading import Reloading
from apis.runtime.settings import Settings
from apis.runtime.worker import start_worker, stop_worker
from contracts.errors import NotFound

DOCUMENTS = Path("contracts/published/openapi")
GRACE_S = 15
BACKLOG = 1024
log = get_logger(__name__)


def gateway(deployment: Deployment) -> Gateway:
    """The gateway in front of everything this process serves or reaches; its policy may change."""
    settings = deployment.settings
    tokens = Tokens(
        signing_keys(deployment.gateway.signing, settings.home),
        issuer=settings.issuer,
        clock=deployment.clock,
    )
    decisions = Decisions(deployment.store, deployment.clock, deployment.gateway.decisions)
    deployment.spawn(decisions.go())
    deployment.closing.append(decisions.close)
    http = outgoing()
    deployment.closing.append(http.aclose)
    rings = Rings(http, deployment.clock)
    schemas: dict[str, Schemas] = {}
    ready, write = with_peers(deployment), LineWriter().write
    permits = cache(deployment.permits)  # a policy read anew finds those that are held

    def front(policy: Policy) -> Front:
        named = foreign_documents(policy, settings.gateway.parent)
        compiled = compile_policy(policy, load_documents(DOCUMENTS) | named, schemas)
        ensure_clients(settings.home, policy)
        tokens.use(signing_keys(policy.signing, settings.home))
        ensure_people(settings.home, policy)
        credentials = load_credentials(policy, settings.home)
        passwords = load_passwords(policy, settings.home)
        edge = Edge(
            issuer=settings.issuer,
            clock=deployment.clock,
            limiter=deployment.limiter,
            permits=permits,
            tokens=tokens,
            rings=rings,
            oauth=AuthorizationServer(
                policy, credentials, tokens, deployment.store, deployment.clock
            ),
            people=People(passwords, deployment.store, deployment.limiter, deployment.clock),
            ready=ready,
            log=write,
            decisions=decisions,
        )
        front = Front(compiled, deployment.mounts(policy), edge)
        decisions.recording = policy.decisions
        return front

    served = Gateway(front(deployment.gateway), write)
    reloading = Reloading(served, deployment.gateway, settings.home, settings.gateway, front)
    deployment.spawn(reloading.go())
    deployment.spawn(rings.go())
    deployment.spawn(Revocations(deployment.store, tokens).go())
    return served


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
    if port is not None:
        may_listen(port, host())
    deployment = Deployment(settings, part, parts)
    if port is not None and not edge and not deployment.served():
        told = f"there is no api {', '.join(parts)}; gateway.yaml names"
        raise NotFound("part.unknown", f"{told} {', '.join(deployment.gateway.own)}")
    await asyncio.to_thread(reached, deployment.store)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stopping.set)
    with pid_file(settings.home, part, port):
        try:
            await deployment.start()
            if worker:
                await start_worker(deployment)
            if port is None:
                log.info("process.ready", part=part, port=port, worker=worker)
                await stopping.wait()
            else:
                app = await edge_of(deployment) if edge else inside_of(deployment)
                log.info("process.ready", part=part, port=port, worker=worker)
                await answer(app, port, stopping, settings.issuer)
        finally:
            if worker:
                await stop_worker(deployment)
            await deployment.close()


async def edge_of(deployment: Deployment) -> Asgi:
    """The gateway, the only one unless Redis keeps its limits."""
    if deployment.redis is None:
        await deployment.alone("gateway")
    return gateway(deployment)


def inside_of(deployment: Deployment) -> Asgi:
    """The apps of this process for other processes, and whether it is ready."""
    return telling(deployment.inside(), lambda: unready(deployment))


async def answer(app: Asgi, port: int, stopping: asyncio.Event, issuer: str) -> None:
    """Serve until told to stop, then let what is in flight finish."""
    server = listening(app, port, issuer)
    serving = asyncio.create_task(server.serve())
    serving.add_done_callback(lambda _: stopping.set())  # one that ends by itself ends the process
    await stopping.wait()
    server.should_exit = True
    await asyncio.wait([serving], timeout=GRACE_S)


class Server(uvicorn.Server):
    """A server that leaves signals to the process: ours are set before it listens."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def host() -> str:
    """Where this process listens: loopback, or `THROUGHLINE_HOST`."""
    return os.environ.get("THROUGHLINE_HOST", "127.0.0.1")


def listening(app: Asgi, port: int, issuer: str = "") -> uvicorn.Server:
    """A server on `host()`; `issuer` is the address in the types of its problems."""
    config = uvicorn.Config(
        app,
        host=host(),
        port=port,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE_S,
        http=protocol(issuer),
        loop="none",
    )
    return Server(config)
