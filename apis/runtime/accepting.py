"""Taking in connections, many at a time: a loop that is behind must not let new callers wait.

The event loop itself (libuv since 1.45) takes one a turn, and under overload a turn is long.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from apis.runtime.log import get_logger

AT_ONCE = 64
PAUSE_S = 1.0
"""So long nobody is taken in where the system has no more file descriptors or memory."""
log = get_logger(__name__)


class Accepting:
    """A listening socket whose connections each get a protocol; closed like a server of asyncio."""

    def __init__(
        self, listener: socket.socket, made: Callable[[], asyncio.Protocol], **tls: Any
    ) -> None:
        self._listener = listener
        self._made = made
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._greeting: set[asyncio.Task[Any]] = set()
        self._pause: asyncio.TimerHandle | None = None
        listener.settimeout(0)
        self._go_on()

    def _go_on(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener, self._take)

    def _take(self) -> None:
        """Take in those who wait, some of them before others are served."""
        for _ in range(AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("connections.not-taken", error=error.strerror, pause_s=PAUSE_S)
                self._loop.remove_reader(self._listener)
                self._pause = self._loop.call_later(PAUSE_S, self._go_on)
                return
            connection.settimeout(0)
            greeted = self._loop.connect_accepted_socket(self._made, connection, **self._tls)
            task = self._loop.create_task(greeted)
            self._greeting.add(task)
            task.add_done_callback(self._greeted)

    def _greeted(self, task: asyncio.Task[Any]) -> None:
        """Forget who is in, and who did not shake hands."""
        self._greeting.discard(task)
        if not task.cancelled():
            task.exception()

    def close(self) -> None:
        """Take in nobody any more."""
        if self._listener.fileno() < 0:
            return
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    async def wait_closed(self) -> None:
        """Be closed: connections are the server's to wait for."""
