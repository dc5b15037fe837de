"""Running a process: listen, say that we are ready, drain on SIGTERM, leave a clean house."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from apis.gateway.app import Edge, gateway_app
from apis.gateway.oauth import (
    AuthorizationServer,
    StoreOnce,
    ensure_clients,
    load_credentials,
)
from apis.gateway.policy import compile_policy, load_documents
from apis.gateway.tokens import Tokens, signing_keys
from apis.runtime.clients import Asgi
from apis.runtime.deployment import Deployment
from apis.runtime.log import LineWriter, get_logger
from apis.runtime.pids import pid_file
from apis.runtime.protocol import Protocol
from apis.runtime.settings import Settings
from apis.runtime.worker import start_worker, stop_worker

DOCUMENTS = Path("contracts/published/openapi")
GRACE_S = 15
BACKLOG = 1024
log = get_logger(__name__)


def gateway(deployment: Deployment) -> Asgi:
    """The gateway in front of everything this process serves or reaches."""
    settings = deployment.settings
    policy = compile_policy(deployment.gateway, load_documents(DOCUMENTS))
    ensure_clients(settings.home, policy.gateway)
    tokens = Tokens(
        signing_keys(policy.gateway.signing, settings.home),
        issuer=settings.issuer,
        clock=deployment.clock,
    )
    once = StoreOnce(deployment.store)  # an assertion counts once, restarts included
    credentials = load_credentials(policy.gateway, settings.home)
    edge = Edge(
        issuer=settings.issuer,
        clock=deployment.clock,
        limiter=deployment.limiter,
        tokens=tokens,
        oauth=AuthorizationServer(policy.gateway, credentials, tokens, once, deployment.clock),
        ready=lambda: unready(deployment),
        log=LineWriter().write,
    )
    return gateway_app(policy, deployment.mounts(), edge)


async def unready(deployment: Deployment) -> list[str]:
    """What keeps this process from serving; nothing when it is ready."""
    try:
        await deployment.store.read(
            lambda connection: connection.exec_driver_sql("select 1").scalar()
        )
    except Exception as error:  # noqa: BLE001 - whatever it is, we are not ready
        return [f"database: {type(error).__name__}"]
    return [f"lease lost: {name}" for name in deployment.leases.missing()]


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
    deployment = Deployment(settings, part, parts)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stopping.set)
    with pid_file(settings.home, part, port):
        try:
            await deployment.start()
            if port is not None and not edge and not deployment.apps:
                told = f"gateway.yaml names no api of {', '.join(parts)}"
                raise SystemExit(told)
            if worker:
                await start_worker(deployment)
            server = None
            if port is not None:
                if edge and deployment.redis is None:
                    await deployment.alone("gateway")
                app = gateway(deployment) if edge else deployment.inside()
                server = listening(app, port)
                serving = asyncio.create_task(server.serve())
                deployment.spawn(ended(serving, stopping))
            log.info("process.ready", part=part, port=port, worker=worker)
            await stopping.wait()
            if server is not None:
                server.should_exit = True
                await asyncio.wait([serving], timeout=GRACE_S)
        finally:
            if worker:
                await stop_worker(deployment)
            await deployment.close()


async def ended(serving: asyncio.Task[None], stopping: asyncio.Event) -> None:
    """A server that ended by itself ends the process."""
    await asyncio.wait([serving])
    stopping.set()


class Server(uvicorn.Server):
    """A server that leaves signals to the process: ours are set before it listens."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def listening(app: Asgi, port: int) -> uvicorn.Server:
    """A server on loopback, or on `THROUGHLINE_HOST`."""
    config = uvicorn.Config(
        app,
        host=os.environ.get("THROUGHLINE_HOST", "127.0.0.1"),
        port=port,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE_S,
        http=Protocol,
        loop="none",
    )
    return Server(config)
