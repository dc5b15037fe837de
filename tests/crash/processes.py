"""Every process of one deployment, by name: started, watched, buried; none outlives the harness."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers import ROOT

END_S = 10.0


@dataclass
class Child:
    """A process that was started: its command, its number and, once it has ended, its exit code."""

    command: tuple[str, ...]
    pid: int
    code: int | None = None

    @property
    def part(self) -> str:
        """What its pid file is called."""
        kind, *rest = self.command
        names = {"worker": f"worker-{rest[-1] if rest else 1}", "up": "up"}
        if kind == "sandbox":
            return f"sandbox-{rest[0]}"
        return names.get(kind) or rest[0].replace("/", "-")


class Processes:
    """The processes of one home, all forked by one nursery."""

    def __init__(self, home: Path, env: dict[str, str]) -> None:
        self.home = home
        self.running: dict[str, Child] = {}
        self._codes: dict[int, int] = {}
        self._rest = b""
        with (home / "nursery.log").open("ab") as log:
            self._nursery = subprocess.Popen(
                [sys.executable, "-m", "tests.crash.nursery"], cwd=ROOT, env=env, bufsize=0,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._told("ready")

    def start(self, name: str, *command: str) -> None:
        """Start a process of the product under the knife; its log is `<name>.log`."""
        assert self._nursery.stdin is not None
        asked = {"command": command, "log": str(self.home / f"{name}.log")}
        self._nursery.stdin.write(json.dumps(asked).encode() + b"\n")
        self.running[name] = Child(command, self._told("started"))

    def dead(self) -> list[str]:
        """Which processes have ended."""
        return [name for name, child in self.running.items() if self.ended(child.pid) is not None]

    def restart(self, names: list[str]) -> None:
        """Start again what has died."""
        for name in names:
            self.start(name, *self.running[name].command)

    def ended(self, pid: int) -> int | None:
        """The exit code of a process, if it has ended; minus the signal that ended it."""
        self._listen(0)
        return self._codes.get(pid)

    def ready(self, name: str) -> bool:
        """Whether a process has written its pid file since its last start."""
        child = self.running[name]
        if self.ended(child.pid) is not None:
            return False
        try:
            return int((self.home / "run" / f"{child.part}.pid").read_text()) == child.pid
        except (FileNotFoundError, ValueError):
            return False

    def signal(self, number: signal.Signals) -> None:
        """Tell every living process."""
        for child in self.running.values():
            if self.ended(child.pid) is None:
                os.kill(child.pid, number)

    def stop(self) -> None:
        """End everything at once."""
        self.signal(signal.SIGKILL)
        end = time.monotonic() + END_S
        while len(self.dead()) < len(self.running) and time.monotonic() < end:
            time.sleep(0.02)
        self._nursery.kill()
        self._nursery.wait()

    def _told(self, what: str) -> int:
        """Wait for the nursery's answer."""
        while True:
            for line in self._listen(60.0):
                if what in line:
                    return int(line[what])

    def _listen(self, seconds: float) -> list[dict[str, Any]]:
        """What the nursery has said; who has ended is remembered."""
        assert self._nursery.stdout is not None
        lines: list[bytes] = []
        while select.select([self._nursery.stdout], [], [], 0 if lines else seconds)[0]:
            data = os.read(self._nursery.stdout.fileno(), 65_536)
            assert data, f"the nursery has ended: see {self.home}/nursery.log"
            *whole, self._rest = (self._rest + data).split(b"\n")
            lines += whole
        said = [json.loads(line) for line in lines]
        self._codes |= {each["ended"]: each["code"] for each in said if "ended" in each}
        return said
