"""Where processes of the product come from: one that has imported everything, and forks.

A start then costs a fork instead of two seconds of imports, a hundred times over. Commands come in
on stdin, one JSON object a line; who was born and who died is told on stdout.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import sys
from typing import Any

from tests.crash import launcher

TICK_S = 0.02


def tell(**what: Any) -> None:
    """One line to the harness."""
    os.write(1, json.dumps(what).encode() + b"\n")


def born(asked: dict[str, Any]) -> int:
    """A child that is the process asked for; answers its number."""
    if pid := os.fork():
        return pid
    try:
        os.setsid()
        log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for number in (1, 2):
            os.dup2(log, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.argv = ["launcher", *asked["command"]]
        launcher.main()
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) else 1)
    finally:
        os._exit(1)


def buried() -> None:
    """Tell of every child that has ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        tell(ended=pid, code=os.waitstatus_to_exitcode(status))


def main() -> None:
    """Fork on demand until the harness lets go of stdin."""
    launcher.bound_to_parent()
    importlib.import_module("tests.preloaded")
    tell(ready=os.getpid())
    rest = b""
    while True:
        if select.select([0], [], [], TICK_S)[0]:
            data = os.read(0, 65_536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                tell(started=born(json.loads(line)))
        buried()


if __name__ == "__main__":
    main()
