"""Which processes of this home live, and which ports are taken."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path


@contextmanager
def pid_file(home: Path, part: str, port: int | None) -> Iterator[None]:
    """`run/<part>.pid`, and `run/<part>.port` where it listens, while the process lives."""
    told = {"pid": os.getpid(), "port": port}
    paths = {home / "run" / f"{part}.{name}": value for name, value in told.items() if value}
    for path, value in paths.items():
        path.write_text(str(value))
    try:
        yield
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def alive(path: Path) -> bool:
    """Whether the process that wrote this pid file lives."""
    try:
        os.kill(int(path.read_text()), 0)
    except PermissionError:
        return True
    except (OSError, ValueError):
        return False
    return True


def free_number(home: Path, part: str) -> int:
    """The lowest number that no living `<part>-<n>` of this home has."""
    return next(n for n in count(1) if not alive(home / "run" / f"{part}-{n}.pid"))


def port_is_free(port: int) -> bool:
    """Whether nothing listens on a loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
