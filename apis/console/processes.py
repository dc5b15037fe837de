"""The demo's processes: used when they run already, else started, watched and stopped."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import httpx

from apis.runtime.clock import Clock
from apis.runtime.pids import alive, port_is_free

READY_S = 60.0
LOOK_S = 0.05
STOP_S = 20.0
TAIL = 12
PARENT_DEATH = 1  # PR_SET_PDEATHSIG of Linux
OK = 200


class PortHeldError(Exception):
    """A port belongs to somebody else."""


class NotReadyError(Exception):
    """A process ended, or did not become ready in time."""


class Part(NamedTuple):
    """A process of the demo: its pid file, command, port and where it says that it is ready.

    `advice` is what to do where its port is somebody else's.
    """

    name: str
    title: str
    command: tuple[str, ...]
    port: int
    advice: str
    ready: str

    def url(self, path: str = "") -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}{path}"


class Processes:
    """The processes that belong to one home."""

    def __init__(self, home: Path, http: httpx.AsyncClient) -> None:
        self._home = home
        self._http = http
        self._ours: list[tuple[Part, subprocess.Popen[bytes]]] = []
        (home / "logs").mkdir(parents=True, exist_ok=True)

    async def running(self, part: Part) -> Part | None:
        """The part as this home runs it already; PortHeldError if its port is somebody else's."""
        if alive(self._home / "run" / f"{part.name}.pid"):
            for port in dict.fromkeys((known_port(self._home, part.name, part.port), part.port)):
                found = part._replace(port=port)
                if await self._answers(found):
                    return found
        if not port_is_free(part.port):
            told = f"Port {part.port} is held by another program; {part.title} needs it."
            raise PortHeldError(f"{told} {part.advice}")
        return None

    async def start(self, part: Part, env: Mapping[str, str]) -> float:
        """Start a part and wait until it is ready; answers after how many seconds it was."""
        clock, log = Clock(), self._log(part)
        began = clock.timestamp()
        with log.open("ab") as file:
            process = subprocess.Popen(  # noqa: ASYNC220, S603 - our own program
                [sys.executable, "-m", "apis.cli", *part.command],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,  # Ctrl-C reaches us alone; we stop them in order
                preexec_fn=ends_with_us(),  # noqa: PLW1509 - no other thread runs yet
            )
        self._ours.append((part, process))
        self._port_file(part).write_text(str(part.port))
        while not await self._answers(part):
            if process.poll() is not None:
                raise NotReadyError(f"{part.title} ended at once.\n{self._told(log)}")
            if clock.timestamp() - began > READY_S:
                raise NotReadyError(f"{part.title} is not ready.\n{self._told(log)}")
            await clock.sleep(LOOK_S)
        return clock.timestamp() - began

    def ended(self) -> str | None:
        """The title of a part that ended by itself."""
        gone = (part.title for part, process in self._ours if process.poll() is not None)
        return next(gone, None)

    def stop(self) -> None:
        """Stop what we started, last first; each may finish what is in flight."""
        for part, process in reversed(self._ours):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._port_file(part).unlink(missing_ok=True)
        self._ours.clear()

    async def _answers(self, part: Part) -> bool:
        try:
            answer = await self._http.get(part.url(part.ready), timeout=2)
        except httpx.HTTPError:
            return False
        return answer.status_code == OK

    def _port_file(self, part: Part) -> Path:
        return self._home / "run" / f"{part.name}.port"

    def _log(self, part: Part) -> Path:
        return self._home / "logs" / f"{part.name}.log"

    def _told(self, log: Path) -> str:
        last = log.read_text("utf-8", errors="replace").splitlines()[-TAIL:]
        return "\n".join([f"The end of {log}:", *(f"  {line}" for line in last)])


def known_port(home: Path, name: str, default: int) -> int:
    """Where a part of this home listens, if it was started by the demo and lives."""
    if not alive(home / "run" / f"{name}.pid"):
        return default
    try:
        return int((home / "run" / f"{name}.port").read_text())
    except (OSError, ValueError):
        return default


def ends_with_us() -> Callable[[], None] | None:
    """What a child runs first, so that it is told to stop when we die, even by kill -9 (Linux)."""
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def bind() -> None:
        prctl(PARENT_DEATH, signal.SIGTERM)
        if os.getppid() != parent:  # we died before it was bound
            os._exit(1)

    return bind
