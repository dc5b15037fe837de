"""The HTTP server of a process: its listeners, the deadlines of its connections, how it leaves."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import uvicorn

from apis.runtime.accepting import Accepting
from apis.runtime.caps import Caps
from apis.runtime.clients import Asgi
from apis.runtime.log import get_logger
from apis.runtime.protocol import Protocol, State
from apis.runtime.tls import Tls
from contracts.errors import Misconfigured

GRACE_S = 10
HANDSHAKE_S = 10
LINGER_S = 1.0
"""Who holds an idle connection may ask once more before it is closed, and is told to go."""
LATE_TICKS = 2
RELOAD_TICKS = 20
COLLECTED = 20_000, 10, 20
"""After so many objects the collector looks; a call that ends leaves nothing for it."""
log = get_logger(__name__)


class Door(NamedTuple):
    """A listening socket and, where it speaks TLS, its certificates."""

    socket: socket.socket
    tls: Tls | None = None


class Server(uvicorn.Server):
    """uvicorn on several doors, with our protocol; signals are left to the process."""

    server_state: State

    def __init__(self, config: uvicorn.Config, kind: type[Protocol], doors: list[Door]) -> None:
        super().__init__(config)
        self.server_state = State()
        self.servers: list[Accepting] = []  # type: ignore[assignment]  # closed alike
        self._kind = kind
        self._doors = doors

    @property
    def connections(self) -> list[Protocol]:
        """Those that are open now."""
        return cast("list[Protocol]", list(self.server_state.connections))

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none: the process has its own handlers before it listens."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - uvicorn's
        """Open the doors."""
        self.servers = [self._opened(door) for door in self._doors]
        self.started = True

    def _opened(self, door: Door) -> Accepting:
        names = door.tls.listener.names if door.tls else ()
        known = frozenset(name.lower() for name in names)

        def made() -> Protocol:
            protocol = self._kind(self.config, self.server_state, {})
            protocol.door, protocol.names = door, known
            return protocol

        more: dict[str, Any] = {}
        if door.tls:
            more = {"ssl": door.tls.context, "ssl_handshake_timeout": HANDSHAKE_S}
        return Accepting(door.socket.dup(), made, **more)

    async def on_tick(self, counter: int) -> bool:
        """Look at the deadlines five times a second, at the certificates every other second."""
        if counter % LATE_TICKS == 0:
            now = asyncio.get_running_loop().time()
            for connection in self.connections:
                if connection.due <= now:
                    connection.late(now)
        if counter % RELOAD_TICKS == 0 and not self.server_state.leaving:
            await self._reload()
        return await super().on_tick(counter)

    async def _reload(self) -> None:
        """Use certificates that have changed; connections made under the old ones end soon."""
        for place, door in enumerate(self._doors):
            try:
                if door.tls is None or not door.tls.changed():
                    continue
            except Misconfigured as error:
                log.warning("certificates.not-reloaded", error=error.detail)
                continue
            before, self.servers[place] = self.servers[place], self._opened(door)
            before.close()
            for connection in self.connections:
                if connection.door is door:
                    connection.leave()
            log.info("certificates.reloaded", listener=door.tls.name)

    async def leave(self, pause_s: float, hurry: asyncio.Event) -> None:
        """Say with every answer that it is the last, then accept nobody, then let idle ones go.

        `pause_s` is for load balancers: so long whoever still comes is served.
        """
        self.server_state.leaving = True
        for connection in self.connections:
            connection.leave()
        await within(hurry, pause_s)
        for server in self.servers:
            server.close()
        for door in self._doors:
            door.socket.close()
        end = asyncio.get_running_loop().time() + LINGER_S
        while self.server_state.connections and asyncio.get_running_loop().time() < end:
            if await within(hurry, 0.02):
                break
        self.should_exit = True


async def within(event: asyncio.Event, seconds: float) -> bool:
    """Whether it happens in this time, which is waited for otherwise."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False


def kept_as_made() -> None:
    """Tell the collector that what was made at start stays, and to look less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTED)


def server_of(app: Asgi, doors: list[Door], *, issuer: str, caps: Caps) -> Server:
    """A server behind these doors; `issuer` is the address in the types of its problems."""
    config = uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        date_header=True,
        ws="none",
        timeout_graceful_shutdown=GRACE_S,
        http=Protocol,
        loop="none",
    )
    kind = type("Protocol", (Protocol,), {"issuer": issuer, "caps": caps})
    return Server(config, kind, doors)
