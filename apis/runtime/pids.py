"""Which processes of this home live, and which ports are taken."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from contracts.errors import Misconfigured


@contextmanager
def pid_file(home: Path, part: str, port: int | None) -> Iterator[None]:
    """`run/<part>.pid`, and `run/<part>.port` where it listens, while the process lives."""
    told = {"pid": os.getpid(), "port": port}
    paths = {home / "run" / f"{part}.{name}": value for name, value in told.items() if value}
    theirs = {  # of a process that lives and may refuse us: what it wrote is put back
        path: path.read_text()
        for path in paths
        if path.exists() and alive(home / "run" / f"{part}.pid")
    }
    for path, value in paths.items():
        path.write_text(str(value))
    try:
        yield
    finally:
        lives = alive_number(theirs.get(home / "run" / f"{part}.pid", ""))
        for path, value in paths.items():
            if lives and path in theirs:
                path.write_text(theirs[path])
            elif path.exists() and path.read_text() == str(value):
                path.unlink()


def alive(path: Path) -> bool:
    """Whether the process that wrote this pid file lives."""
    try:
        return alive_number(path.read_text())
    except OSError:
        return False


def alive_number(pid: str) -> bool:
    """Whether the process of this number lives."""
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def free_number(home: Path, part: str) -> int:
    """The lowest number that no living `<part>-<n>` of this home has."""
    return next(n for n in count(1) if not alive(home / "run" / f"{part}-{n}.pid"))


def free_name(home: Path, part: str) -> str:
    """The part itself, or with the lowest number from 2 that no living process of it has."""
    names = (part if n == 1 else f"{part}-{n}" for n in count(1))
    return next(name for name in names if not alive(home / "run" / f"{name}.pid"))


def port_is_free(port: int) -> bool:
    """Whether nothing listens on a loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def may_listen(port: int, host: str = "127.0.0.1") -> None:
    """Misconfigured where we could not listen: before anything is started, not in the middle."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        held = error.errno == errno.EADDRINUSE
        why = "is held by another program" if held else f"cannot be used: {error.strerror}"
        remedy = "choose another with --port or PORT="
        raise Misconfigured("port.held", f"port {port} of {host} {why}", remedy=remedy) from error
