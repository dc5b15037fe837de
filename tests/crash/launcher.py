"""One process of the product under the knife: `python -m tests.crash.launcher worker --name a`.

Counts the boundaries of the armed deals (write transactions, calls sent, answers received) and
dies, stops or waits at the one that is armed. Nothing of our own code is replaced: only a method of
SQLAlchemy's connection and one of httpx's transport are wrapped.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from apis.runtime.context import CURRENT

FOLDER = "CRASH_FOLDER"
WRITES = re.compile(r"\s*(INSERT INTO|UPDATE|DELETE FROM)\s+([\w.\"]+)", re.IGNORECASE)
TIER = re.compile(r"^(gateway|system|process|experience|runtime|dbos|main)[._]")
STATUS = re.compile(r"'(PENDING|ENQUEUED|CANCELLED|SUCCESS|ERROR)'")
SHOWN = {"steps", "runs", "outbox"}
PARENT_DEATH = 1


class Knife:
    """What is armed, read anew at every boundary; only one process may claim the hit."""

    def __init__(self, folder: Path, role: str) -> None:
        self.folder = folder
        self.role = role
        self._lock = threading.Lock()
        self._read: tuple[int, list[dict[str, Any]]] = (0, [])

    def armed(self) -> list[dict[str, Any]]:
        """The arms of now, one a deal."""
        try:
            stamp = (self.folder / "arm.json").stat().st_mtime_ns
        except FileNotFoundError:
            return []
        with self._lock:
            if stamp != self._read[0]:
                self._read = (stamp, json.loads((self.folder / "arm.json").read_text()))
            return self._read[1]

    def meet(self, arm: dict[str, Any], name: str) -> None:
        """A boundary of the armed deal: note it, and act if it is the one."""
        told = self._noted(arm, name)
        if arm.get("role") != self.role or not {told, f"{name}#*"} & names_of(arm):
            return
        hit = self._claimed(arm)
        if hit is not None:
            self._act(arm, hit)

    def _noted(self, arm: dict[str, Any], name: str) -> str:
        """Write the boundary on the deal's trail; from the second time on its name has a number."""
        with (self.folder / f"trail-{arm['token']}.jsonl").open("a+b", buffering=0) as trail:
            fcntl.flock(trail, fcntl.LOCK_EX)
            trail.seek(0)
            known = f'"role": "{self.role}", "plain": {json.dumps(name)},'.encode()
            met = 1 + trail.read().count(known)
            told = f"{name}#{met}" if met > 1 else name
            line = {"role": self.role, "plain": name, "name": told, "pid": os.getpid()}
            trail.write(json.dumps(line | {"at": time.time()}).encode() + b"\n")
        return told

    def _claimed(self, arm: dict[str, Any]) -> Path | None:
        """The mark of this hit, or None when another process had it or all hits are spent."""
        for n in range(arm.get("times", 1)):
            mark = self.folder / f"hit-{arm['token']}-{n}"
            try:
                handle = os.open(mark, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            except FileExistsError:
                continue
            os.write(handle, json.dumps({"pid": self._victim(arm), "at": time.time()}).encode())
            os.close(handle)
            return mark
        return None

    def _victim(self, arm: dict[str, Any]) -> int:
        """Ourselves, or the worker whose call this process is serving."""
        if arm["action"] == "kill-caller":
            return int((self.folder / f"caller-{arm['token']}").read_text())
        return os.getpid()

    def _act(self, arm: dict[str, Any], mark: Path) -> None:
        victim = json.loads(mark.read_text())["pid"]
        if arm["action"] in ("kill", "kill-caller"):
            os.kill(victim, signal.SIGKILL)
        elif arm["action"] == "stop":
            os.kill(victim, signal.SIGSTOP)
        elif arm["action"] == "pause":
            while not (self.folder / f"release-{arm['token']}").exists():
                time.sleep(0.01)

    def calls(self, arm: dict[str, Any]) -> None:
        """A worker says that it is the one that calls now."""
        if self.role == "worker":
            (self.folder / f"caller-{arm['token']}").write_text(str(os.getpid()))


def names_of(arm: dict[str, Any]) -> set[str]:
    """The boundaries an arm is pointed at: one, several or none."""
    name = arm.get("name", [])
    return {name} if isinstance(name, str) else set(name)


def working_for() -> tuple[str, str]:
    """The run and step whose work goes on here, if any."""
    call = CURRENT.get(None)
    if call is None:
        return "", ""
    if call.run is not None:
        return call.run.run_id, call.run.step.name if call.run.step else "flow"
    run_id, _, step = (call.context.request_key or "").partition("/")
    return run_id, step.partition("/")[0]


def table_of(name: str, given: str) -> str:
    """A table's name without its tier; of the engine's own flows also the state they go to."""
    table = TIER.sub("", name.replace('"', ""))
    if table == "workflow_status" and (first := STATUS.search(given)):
        return f"{table} {first.group(1).lower()}"
    return table


def named(wrote: list[tuple[str, str]]) -> str:
    """What a transaction is known by: its step and its tables, whatever was shown on the way."""
    tables = {table for _, table in wrote}
    step = next((step for step, _ in wrote if step), "engine")
    if tables <= SHOWN and (step == "engine" or "outbox" not in tables):
        return "engine: shown"
    if "happenings" in tables:
        return "engine: read models"
    return f"{step}: {'+'.join(sorted(tables - {'steps'}))}"


def boundaries(
    wrote: list[tuple[str, str, str]], arms: list[dict[str, Any]]
) -> Iterator[tuple[dict[str, Any], str]]:
    """The name of a transaction for each armed deal that it wrote for."""
    for arm in arms:
        mine = [(step, table) for deal, step, table in wrote if deal == arm["deal"]]
        if mine:
            yield arm, named(mine)


def watch_commits(knife: Knife) -> None:
    """Every transaction that wrote for an armed deal has a boundary before and one after."""

    @sa.event.listens_for(sa.Engine, "begin")
    def began(connection: Connection) -> None:
        connection.info["crash"] = [[]]

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def ran(connection: Connection, _c: Any, statement: str, given: Any, *_: Any) -> None:
        groups: list[list[tuple[str, str, str]]] = connection.info.setdefault("crash", [[]])
        if statement.startswith("SAVEPOINT"):  # one of several that are committed together
            groups.append([])
        elif statement.startswith("ROLLBACK TO"):
            groups[-1].clear()
        elif (found := WRITES.match(statement)) and (arms := knife.armed()):
            (run_id, step), values = working_for(), repr(given)
            deals = [arm["deal"] for arm in arms if arm["deal"] in run_id + values]
            wrote = table_of(found.group(2), values)
            groups[-1] += [(deal, step, wrote) for deal in deals]

    plain = Connection._commit_impl

    def commit(self: Connection) -> None:
        groups, arms = self.info.get("crash") or [], knife.armed()
        self.info["crash"] = [[]]
        names = [pair for group in groups for pair in boundaries(group, arms)]
        for arm, name in names:
            knife.meet(arm, f"before commit of {name}")
        plain(self)
        for arm, name in names:
            knife.meet(arm, f"after commit of {name}")

    Connection._commit_impl = commit  # type: ignore[method-assign]  # the only place before and after


def watch_calls(knife: Knife) -> None:
    """Every call for an armed deal has a boundary before it leaves and one when it is answered."""
    plain = httpx.AsyncHTTPTransport.handle_async_request

    async def call(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        run_id, step = working_for()
        mine = [arm for arm in knife.armed() if arm["deal"] in run_id]
        arm = None if "/oauth" in request.url.path else next(iter(mine), None)
        if arm:
            knife.calls(arm)
            knife.meet(arm, f"send of {step}: {request.method}")
        answer = await plain(self, request)
        if arm:
            knife.meet(arm, f"answer to {step}: {request.method}")
        return answer

    httpx.AsyncHTTPTransport.handle_async_request = call  # type: ignore[method-assign]  # as above


def bound_to_parent(number: signal.Signals = signal.SIGKILL) -> None:
    """Be told to end when the process that started us ends, however that happens."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PARENT_DEATH, number)
        if os.getppid() == 1:  # it died before we were bound
            os._exit(1)


def main() -> None:
    bound_to_parent()
    if folder := os.environ.get(FOLDER):
        role = sys.argv[2].partition("/")[0] if sys.argv[1] == "serve" else sys.argv[1]
        knife = Knife(Path(folder), role)
        watch_commits(knife)
        watch_calls(knife)
    from apis.cli import main as throughline  # noqa: PLC0415 - after the counters are in place

    throughline(prog_name="throughline")


if __name__ == "__main__":
    main()
