"""Processes of the product, forked from one that has imported everything.

A start costs a fork instead of a second and a half of imports. What runs is the command line as it
is: `tests/console`, `tests/deploy` and `tests/upgrade` start it as people do.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

PATIENCE_S = 60.0
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.preloaded"])


class Running(Protocol):
    """What a test asks of a process."""

    pid: int

    def poll(self) -> int | None:
        """Its exit code, or None while it lives."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended; TimeoutExpired before."""

    def send_signal(self, sig: int, /) -> None:
        """Tell it something."""

    def kill(self) -> None:
        """End it."""


class Forked:
    """One process of ours, as `subprocess.Popen` shows one."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], folder: Path, out: Path, err: Path
    ) -> None:
        self._command = command
        for path in (out, err):
            path.touch(0o600)  # who reads what it says need not wait until it can speak
        told = (list(command), dict(env), str(folder), str(out), str(err))
        self._process = CONTEXT.Process(target=become, args=told, daemon=True)
        self._process.start()
        self.pid = int(self._process.pid or 0)

    def poll(self) -> int | None:
        """Its exit code, below zero the signal that ended it."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        self._process.join(timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired(list(self._command), timeout or 0)
        return code

    def send_signal(self, sig: int, /) -> None:
        """Tell it, if it lives."""
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def says(
    command: Sequence[str], env: Mapping[str, str], folder: Path, seconds: float = PATIENCE_S
) -> subprocess.CompletedProcess[str]:
    """Run a command of `throughline` to its end; TimeoutExpired if that does not come."""
    with tempfile.TemporaryDirectory() as place:
        out, err = Path(place, "out"), Path(place, "err")
        process = Forked(command, env, folder, out, err)
        try:
            code = process.wait(seconds)
        finally:
            process.kill()
        return subprocess.CompletedProcess(command, code, out.read_text(), err.read_text())


def become(command: list[str], env: dict[str, str], folder: str, out: str, err: str) -> None:
    """Be `throughline` with this command, which ends by `SystemExit`."""
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["throughline", *command]
    from apis.cli import main  # noqa: PLC0415 - it is there already, for all of us

    try:
        main(prog_name="throughline")
    finally:
        atexit._run_exitfuncs()  # a process that was not forked runs them by itself
