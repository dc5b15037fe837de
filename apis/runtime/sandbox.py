"""The kit every vendor sandbox stands on: state, faults, log, clock, TLS.

A vendor adds the wire format alone: `system_apis/<vendor>/sandbox/app.py` with a function
`sandbox(kit) -> Vendor`. A sandbox is a process of its own and is reached over HTTP only.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib
import logging
import os
import sqlite3
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Protocol

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from apis.runtime.clock import Clock, simulated_clock_url
from apis.runtime.sandbox_clock import ServedClock
from apis.runtime.sandbox_faults import CLAIMED, SPOILED, Drift, Fault, Faults, spoiled
from apis.runtime.sandbox_files import Log, certificate, credentials
from apis.runtime.sandbox_wire import (
    Answer,
    Call,
    Receive,
    Refusal,
    Scope,
    Send,
    received,
    sent,
)
from apis.runtime.variables import Reading
from contracts.errors import Misconfigured

LOG = logging.getLogger(__name__)
DROP = "throughline.drop"
NO_ANSWER = {"timeout-before-commit", "timeout-after-commit"}
INSIDE = {"lock", "hide", "timeout-after-commit", *SPOILED}


class Vendor(Protocol):
    """The wire format of one vendor."""

    def named(self) -> Collection[str]:
        """Every operation that a fault may name."""

    def operations(self, call: Call) -> tuple[list[str], str | None]:
        """What the call does, its parts after the whole, and the business key it carries."""

    def answer(self, call: Call) -> Answer:
        """Act inside the open transaction."""

    def refusal(self, fault: str, call: Call) -> Answer:
        """How this vendor says throttle, error, expire-token, html and maintenance."""

    @property
    def drift(self) -> Drift:
        """A schema change nobody announced, for the fault of that name."""

    def state(self) -> dict[str, list[Any]]:
        """All records in the vendor's own form."""

    def reset(self) -> None:
        """Begin again with an empty account; ids are never used twice."""

    def example(self, name: str, options: dict[str, str]) -> list[dict[str, Any]] | None:
        """Vendor calls that make something happen, or None if there is no such example."""


class Kit:
    """What a vendor's sandbox may use: database, clock, credentials, settings, hidden records."""

    def __init__(self, name: str, home: Path) -> None:
        self.name = name
        self.folder = home / "sandboxes"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.clock = Clock()
        self.settings: dict[str, Any] = {}
        self.hidden: dict[tuple[str, str], float] = {}
        self.created: dict[str, str] = {}
        self.most_at_once: Callable[[Call], int | None] = lambda _call: None
        path = self.folder / f"{name}.sqlite"
        self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=NORMAL")  # survives kill -9; power loss may cost calls
        self.db.execute("PRAGMA busy_timeout=30000")
        self.db.execute("CREATE TABLE IF NOT EXISTS _counters (name TEXT PRIMARY KEY, n INTEGER)")

    def credentials(self, make: Callable[[], dict[str, str]]) -> dict[str, str]:
        """The credentials this sandbox accepts, made at the first start."""
        return credentials(self.folder, self.name, make)

    def set(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Turn some of the vendor's switches; answers how all of them stand."""
        self.settings |= settings
        return self.settings

    def next(self, counter: str, first: int = 1) -> int:
        """A number nobody had before, not even before a reset."""
        sql = (
            "INSERT INTO _counters VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET n=n+1 RETURNING n"
        )
        return int(self.db.execute(sql, [counter, first]).fetchone()[0])

    def attempt(self, act: Callable[[], Answer]) -> Answer:
        """What an act answers; a refused one is undone."""
        self.db.execute("SAVEPOINT attempt")
        try:
            answer = act()
        except Refusal as refusal:
            self.db.execute("ROLLBACK TO attempt")
            answer = refusal.answer()
        self.db.execute("RELEASE attempt")
        return answer

    def hide(self, kind: str, record: str, seconds: float) -> None:
        """Keep a record out of search for a while."""
        self.hidden[kind, record] = self.clock.timestamp() + seconds

    def hidden_ids(self, kind: str) -> list[str]:
        """The records of one object that search must not find now."""
        if not self.hidden:
            return []
        now = self.clock.timestamp()
        return [record for (k, record), until in self.hidden.items() if k == kind and until > now]


class Sandbox:
    """One vendor behind HTTP, with its back door `/__sandbox__` and the clock."""

    def __init__(self, kit: Kit, vendor: Vendor, clock_url: str | None = None) -> None:
        self.kit, self.vendor, self.clock_url = kit, vendor, clock_url
        self.faults = Faults(vendor.named())
        self.log = Log(kit.folder / f"{kit.name}.jsonl")
        self.running = 0
        self.clock = ServedClock(kit.clock)
        given = Reading(os.environ)
        self.latency_s = given.seconds("THROUGHLINE_SANDBOX_LATENCY_MS", 0, zero=True) / 1000
        given.done()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
            return
        call = await received(scope, receive)
        if call is None:  # half a request is none: nothing is done, nobody is told
            return
        if call.path.startswith(("/__sandbox__/", "/__clock__")):
            await self.clock.moved_since(call.query.get("moved"))
            await sent(send, self._back_door(call), asyncio.sleep)
            return
        if (answer := await self._serve(call)) is not None:
            await sent(send, answer, asyncio.sleep)
        elif drop := scope.get("extensions", {}).get(DROP):
            drop()
            await receive()  # the server has seen the connection go: nothing to complain about
        else:
            raise ConnectionAbortedError

    def close(self) -> None:
        """Let go of the database and the log."""
        self.kit.db.close()
        self.log.close()

    async def _serve(self, call: Call) -> Answer | None:
        """Answer, counting the calls under way where the vendor takes only so many."""
        most = self.kit.most_at_once(call)
        call.crowded = most is not None and self.running >= most
        counts = most is not None and not call.crowded
        self.running += counts
        try:
            answer = await self._served(call)
            await asyncio.sleep(answer.delay_s if answer else 0)
            return answer
        finally:
            self.running -= counts

    async def _served(self, call: Call) -> Answer | None:
        operations, key = self.vendor.operations(call)
        self.log.n = n = self.log.n + 1
        received = {
            "n": n,
            "at": self.kit.clock.now(),
            "phase": "received",
            "method": call.method,
            "path": call.path,
            "operation": operations[0],
            "key": key,
            "body_sha256": hashlib.sha256(call.body).hexdigest(),
        }
        self.log.write(received)
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        fault, part = self.faults.meet(operations, self.kit.clock.timestamp()) or (None, 0)
        kind = fault.fault if fault else None
        answer = self._answer(call, operations, fault, part)
        done = {
            "n": n,
            "phase": "done",
            "committed": bool(answer and answer.written),
            "answered": kind not in NO_ANSWER,
            "status": answer.status if answer and kind not in NO_ANSWER else None,
        }
        self.log.write(done)
        if fault and kind in NO_ANSWER:
            await asyncio.sleep(fault.seconds)
            return None
        return answer

    def _answer(
        self, call: Call, operations: list[str], fault: Fault | None, part: int
    ) -> Answer | None:
        if fault is None:
            return self._act(call)
        if fault.fault == "timeout-before-commit":
            return None
        if fault.fault in CLAIMED:
            return spoiled(fault, self._act(call, "error"), self.vendor.drift)
        if fault.fault not in INSIDE:
            return self._act(call, fault.fault)
        if fault.fault == "lock":
            call.locked = part
        if fault.fault == "hide":
            return self._hidden(call, operations[part], fault.seconds)
        return spoiled(fault, self._act(call), self.vendor.drift)

    def _hidden(self, call: Call, operation: str, seconds: float) -> Answer:
        """A write hides what it wrote; a search misses the record written last."""
        kind, _, verb = operation.rpartition(".")
        if verb == "search" and kind in self.kit.created:
            self.kit.hide(kind, self.kit.created[kind], seconds)
        answer = self._act(call)
        for written, record in answer.written:
            self.kit.hide(written, record, seconds)
        return answer

    def _act(self, call: Call, fault: str | None = None) -> Answer:
        """One call is one transaction; what it wrote is committed before anyone hears of it."""
        self.kit.db.execute("BEGIN")
        try:
            answer = self.vendor.refusal(fault, call) if fault else self.vendor.answer(call)
        except Exception:  # a vendor answers even what it cannot make sense of
            self.kit.db.execute("ROLLBACK")
            LOG.exception("%s %s", call.method, call.path)
            return self.vendor.refusal("error", call)
        self.kit.db.execute("COMMIT")
        self.kit.created.update(answer.written)
        return answer

    def _back_door(self, call: Call) -> Answer:
        what, _, name = call.path.rstrip("/").partition("/examples/")
        doors: dict[str, Callable[[], Any]] = {
            "GET /__clock__": self.clock.shown,
            "PUT /__clock__": lambda: self.clock.put(_json(call)),
            "GET /__sandbox__/state": self.vendor.state,
            "POST /__sandbox__/reset": self._reset,
            "GET /__sandbox__/faults": lambda: self.faults.plan,
            "PUT /__sandbox__/faults": lambda: self.faults.put(call.body),
            "GET /__sandbox__/settings": lambda: self.kit.settings,
            "PUT /__sandbox__/settings": lambda: self.kit.set(_json(call)),
            "PUT /__sandbox__/latency": lambda: self._set_latency(_json(call)),
        }
        if name and call.method == "GET":
            doors["GET /__sandbox__"] = lambda: self._example(name, call.query)
        door = doors.get(f"{call.method} {what}")
        if door is None:
            return Answer(404, b'{"detail":"the sandbox has no such door"}')
        try:
            return Answer(200, msgspec.json.encode(door()))
        except (ValueError, TypeError, LookupError) as error:
            return Answer(422, msgspec.json.encode({"detail": str(error)}))

    def _example(self, name: str, options: dict[str, str]) -> list[dict[str, Any]]:
        if (calls := self.vendor.example(name, options)) is None:
            msg = f"no example {name!r}"
            raise LookupError(msg)
        return calls

    def _set_latency(self, body: dict[str, Any]) -> dict[str, Any]:
        self.latency_s = float(body["ms"]) / 1000
        return body

    def _reset(self) -> dict[str, str]:
        self.faults.clear()
        self.log.clear()
        self.kit.settings.clear()
        self.kit.hidden.clear()
        self.kit.created.clear()
        self.kit.db.execute("BEGIN IMMEDIATE")
        self.vendor.reset()
        self.kit.db.execute("COMMIT")
        return {"reset": self.kit.name}

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        follow = None
        if self.clock_url:
            await self.kit.clock.look(self.clock_url)
            follow = asyncio.create_task(self.kit.clock.follow(self.clock_url))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if follow:
            follow.cancel()
        await send({"type": "lifespan.shutdown.complete"})


def _json(call: Call) -> dict[str, Any]:
    return msgspec.json.decode(call.body, type=dict[str, Any])


class _Droppable(HttpToolsProtocol):
    """HTTP that can hang up without an answer, which ASGI alone cannot."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        extensions: dict[str, Any] = {DROP: self.transport.abort}
        self.scope["extensions"] = extensions


def known(name: str) -> None:
    """Misconfigured for a vendor without a sandbox; says which vendors have one."""
    folder = Path(importlib.import_module("system_apis").__path__[0])
    names = sorted(found.parent.parent.name for found in folder.glob("*/sandbox/app.py"))
    if name not in names:
        told = f"there is no sandbox of {name!r}; there is one of {', '.join(names)}"
        raise Misconfigured("sandbox.unknown", told)


def make_sandbox(name: str, home: Path, clock_url: str | None = None) -> Sandbox:
    """The sandbox of one vendor as an ASGI app, its vendor loaded by name."""
    known(name)
    kit = Kit(name, home)
    module = importlib.import_module(f"system_apis.{name}.sandbox.app")
    return Sandbox(kit, module.sandbox(kit), clock_url)


def run(
    name: str, port: int, home: Path, *, tls: bool = False, clock_url: str | None = None
) -> None:
    """Serve one vendor's sandbox on loopback until a signal ends it."""
    app = make_sandbox(name, home, clock_url)
    files = certificate(app.kit.folder) if tls else (None, None)
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        http=_Droppable,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=3,
        ssl_certfile=files[0],
        ssl_keyfile=files[1],
    )


def main() -> None:
    """`python -m apis.runtime.sandbox salesforce --port 9101 [--tls]`."""
    parser = argparse.ArgumentParser(prog="sandbox")
    parser.add_argument("name")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tls", action="store_true")
    options = parser.parse_args()
    home = Path(os.environ.get("THROUGHLINE_HOME", "./var"))
    clock_url = simulated_clock_url(dict(os.environ))
    run(options.name, options.port, home, tls=options.tls, clock_url=clock_url)


if __name__ == "__main__":
    main()
