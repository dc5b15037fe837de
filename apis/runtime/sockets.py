"""Listening sockets: opened once, and handed to the next process of the same address.

Processes that share one socket share its queue: one that stops accepting leaves nobody in it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from apis.runtime.log import get_logger
from contracts.errors import Misconfigured

BACKLOG = 1024
HANDED_S = 10.0
QUICKER_S = 1.0
log = get_logger(__name__)


def allow_sockets() -> None:
    """Let this process hold as many files as its system lets it ask for.

    systemd begins with 1024, which are fewer than the connections that we let come, and whoever
    takes the last of them takes it from the database too.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # a system that says "no limit" and means another
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def listening_socket(home: Path, host: str, port: int, *, shared: bool) -> socket.socket:
    """The socket of an address: a living process's of this home where `shared`, else a new one."""
    end = time.monotonic() + QUICKER_S
    while True:
        if shared and (given := handed(home, port)):
            return given
        try:
            return opened(host, port)
        except OSError as error:
            held = error.errno == errno.EADDRINUSE
            if shared and held and time.monotonic() < end:
                time.sleep(0.05)  # another process was quicker, and will hand it over
                continue
            why = "is held by another program" if held else f"cannot be used: {error.strerror}"
            told = f"port {port} of {host} {why}"
            remedy = "choose another with --port or PORT="
            raise Misconfigured("port.held", told, remedy=remedy) from error


def opened(host: str, port: int) -> socket.socket:
    """A socket that listens from now on: who connects while we start waits instead of failing."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.create_server((host, port), family=family, backlog=BACKLOG)
    made.settimeout(0)
    return made


def handed(home: Path, port: int) -> socket.socket | None:
    """The socket that a living process of this home listens with on this port."""
    for path in (home / "run").glob(f"{port}-*.socket"):
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(HANDED_S)
            try:
                asking.connect(str(path))
                _, given, _, _ = socket.recv_fds(asking, 1, 1)
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)  # of a process that was killed
                continue
            except OSError:
                continue  # it ended meanwhile
        if given:
            made = socket.socket(fileno=given[0])
            made.settimeout(0)
            return made
    return None


@contextmanager
def handing(home: Path, port: int, kept: socket.socket) -> Iterator[None]:
    """Give the socket to every process that asks, as long as this one listens with it."""
    path = home / "run" / f"{port}-{os.getpid()}.socket"
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as asked:
        try:
            asked.bind(str(path))
        except OSError as error:  # a path of a socket has at most 107 bytes
            log.warning("socket.not-shared", port=port, error=str(error))
            yield
            return
        asked.listen()
        asked.settimeout(0)

        def give() -> None:
            caller, _ = asked.accept()
            with caller:
                if kept.fileno() < 0:
                    return  # we have stopped listening
                socket.send_fds(caller, [b"1"], [kept.fileno()])

        loop.add_reader(asked.fileno(), give)
        try:
            yield
        finally:
            loop.remove_reader(asked.fileno())
            path.unlink(missing_ok=True)
