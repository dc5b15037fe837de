"""`python -m tests.benchmarks.open_loop`: asks at a set rate, whether answers come or not.

wrk waits for an answer before it asks again, which spares an overloaded server; callers do not.
It prints one JSON object: answers by status, those without `Retry-After` that need it, latencies.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import Counter, deque
from pathlib import Path

import uvloop

TICK_S = 0.005
DRAIN_S = 5.0


class Caller(asyncio.Protocol):
    """One connection; it is given back when its answer is whole."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.buffer = b""
        self.asked_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def ask(self) -> None:
        self.asked_at = time.perf_counter()
        self.transport.write(self.run.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, end, body = self.buffer.partition(b"\r\n\r\n")
        if not end:
            return
        lower = head.lower()
        length = int(lower.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        if len(body) < length:
            return
        self.buffer = b""
        self.run.seen(self, int(head[9:12]), time.perf_counter() - self.asked_at, lower)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.run.lost(self, cut=bool(self.asked_at))


class Run:
    """Asks so many times a second, over as many connections as that takes up to a bound."""

    def __init__(self, port: int, request: bytes, most: int) -> None:
        self.port, self.request, self.most = port, request, most
        self.idle: deque[Caller] = deque()
        self.open = self.opening = 0
        self.statuses: Counter[str] = Counter()
        self.without = 0
        self.kept_back = 0
        self.latencies: dict[int, list[float]] = {}

    def seen(self, caller: Caller, status: int, took: float, head: bytes) -> None:
        self.statuses[str(status)] += 1
        if status in {429, 503} and b"\r\nretry-after: " not in head:
            self.without += 1
        self.latencies.setdefault(status, []).append(took)
        caller.asked_at = 0.0
        if b"\r\nconnection: close" in head:
            caller.transport.close()
        else:
            self.idle.append(caller)

    def lost(self, caller: Caller, *, cut: bool) -> None:
        self.open -= 1
        if cut:
            self.statuses["cut off"] += 1
        elif caller in self.idle:
            self.idle.remove(caller)

    async def connect(self) -> None:
        try:
            _, caller = await asyncio.get_running_loop().create_connection(
                lambda: Caller(self), "127.0.0.1", self.port
            )
        except OSError:
            self.statuses["no connection"] += 1
            self.open -= 1
        else:
            self.idle.append(caller)
        self.opening -= 1

    async def go(self, rate: float, seconds: float) -> None:
        began, asked, tasks = time.perf_counter(), 0, set()
        while (passed := time.perf_counter() - began) < seconds:
            due = int(passed * rate) - asked
            asked += due
            for _ in range(due):
                if self.idle:
                    self.idle.pop().ask()
                elif self.open < self.most:
                    self.open += 1
                    self.opening += 1
                    task = asyncio.ensure_future(self.connect())
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                else:
                    self.kept_back += 1
            await asyncio.sleep(TICK_S)
        await asyncio.sleep(0.1)
        end = time.perf_counter() + DRAIN_S
        while len(self.idle) < self.open and time.perf_counter() < end:  # noqa: ASYNC110 - no hurry
            await asyncio.sleep(0.02)

    def told(self, seconds: float) -> dict[str, object]:
        latencies = {
            status: [sorted(each)[int(len(each) * share)] * 1e3 for share in (0.5, 0.99)]
            for status, each in self.latencies.items()
        }
        return {
            "statuses": self.statuses, "without": self.without, "kept_back": self.kept_back,
            "connections": self.open, "ms": latencies, "unanswered": self.open - len(self.idle),
            "served": self.statuses["200"] / seconds,
        }  # fmt: skip


def main() -> None:
    """Read the options and ask."""
    parser = argparse.ArgumentParser()
    for name, kind in (("--port", int), ("--rate", float), ("--seconds", float), ("--most", int)):
        parser.add_argument(name, type=kind, required=True)
    parser.add_argument("--request", type=Path, required=True)
    asked = parser.parse_args()
    run = Run(asked.port, asked.request.read_bytes(), asked.most)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run.go(asked.rate, asked.seconds))
    sys.stdout.write(json.dumps(run.told(asked.seconds)) + "\n")


if __name__ == "__main__":
    main()
