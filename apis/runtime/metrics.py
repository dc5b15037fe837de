"""What Prometheus reads of a process: requests, refusals, vendor calls, queues, leases, its loop.

A request costs a look-up and two additions here; names and text are made when somebody reads.
Labels are names of our own files (APIs, operations, plans, connections), so they are bounded and
personal to nobody.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from itertools import accumulate, product
from typing import Any, get_args

import sqlalchemy as sa
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection

from apis.gateway.policy import Client
from apis.runtime import chores
from apis.runtime.audit import AUDIT
from apis.runtime.budget import Budget
from apis.runtime.clients import Asgi
from apis.runtime.deployment import Deployment
from apis.runtime.events import OUTBOXES
from apis.runtime.leases import LEASES, WORKER
from apis.runtime.runs import RUNS
from apis.runtime.store import database_now
from apis.runtime.work_items import WORK_ITEMS
from contracts.runs import RunState

BUCKETS_MS = (1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 10_000.0)
LAG_S = 0.5
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"
RUN_STATES: tuple[str, ...] = get_args(RunState)
REQUEST = ("api", "operation", "version", "status", "plan")
Key = tuple[str | None, str | None, int, str]
Depths = dict[str, dict[tuple[str, ...], float]]


class Metrics:
    """The counts of one process, and what it finds in the database when it is read."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self.clients: Mapping[str, Client] = deployment.gateway.clients
        """Whose plans are told: those of the policy that is served, with who registered."""
        self._requests: dict[Key, list[float]] = {}
        self._refused: Counter[tuple[str, str]] = Counter()
        self._lag_s = 0.0
        deployment.spawn(self._watch())

    def seen(self, line: Mapping[str, Any]) -> None:
        """Count a line of the access log."""
        if line["event"] == "requests.refused":
            self._refused["overloaded", ""] += line["count"]
        if line["event"] != "request":
            return
        ms: float = line["ms"]
        client = self.clients.get(line["client"])
        plan = client.plan if client else ""
        key = (line["target"], line["operation"], line["status"] // 100, plan)
        row = self._requests.get(key)
        if row is None:
            row = self._requests[key] = [0.0] * (len(BUCKETS_MS) + 2)
        row[bisect_left(BUCKETS_MS, ms)] += 1
        row[-1] += ms
        if line["code"] is not None:
            self._refused[line["code"], plan] += 1

    async def text(self) -> bytes:
        """All of it, in the format that Prometheus reads."""
        deployment = self._deployment
        depths = await deployment.store.read(_depths, deployment.clock.now(), deployment.flows)
        registry = CollectorRegistry()
        registry.register(_Collected([*self._of_requests(), *self._of_process(), *_of(depths)]))
        return generate_latest(registry)

    async def _watch(self) -> None:
        """How late the event loop comes to what is due, the worst of late."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(LAG_S)
            late = max(0.0, time.monotonic() - began - LAG_S)
            self._lag_s = max(late, self._lag_s * 0.9)

    def _of_requests(self) -> Iterator[Metric]:
        took = HistogramMetricFamily(
            "throughline_request_seconds", "Requests at the gateway.", labels=REQUEST
        )
        for (target, operation, status, plan), row in list(self._requests.items()):
            api, _, version = (target or "").rpartition("/")
            counts = accumulate(row[:-1])
            ends = [*(str(ms / 1000) for ms in BUCKETS_MS), "+Inf"]
            labels = api, operation or "", version, f"{status}xx", plan
            took.add_metric(labels, list(zip(ends, counts, strict=True)), row[-1] / 1000)
        yield took
        refused = CounterMetricFamily(
            "throughline_refusals", "Requests refused, by code.", labels=("code", "plan")
        )
        for each, count in list(self._refused.items()):
            refused.add_metric(each, count)
        yield refused

    def _of_process(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "throughline_event_loop_lag_seconds", "How late the loop comes.", value=self._lag_s
        )
        yield from _of_connections(self._deployment.budgets)


def exposing(metrics: Metrics) -> Asgi:
    """An app with nothing but `/metrics`, for a port that only this machine reaches."""

    async def told(scope: Any, _receive: Any, send: Any) -> None:
        found = scope["path"] == "/metrics"
        body = await metrics.text() if found else b""
        headers = [(b"content-type", CONTENT_TYPE), (b"content-length", b"%d" % len(body))]
        status = 200 if found else 404
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return told


class _Collected(Collector):
    """What was collected already."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _of_connections(budgets: Mapping[str, Budget]) -> Iterator[Metric]:
    calls = CounterMetricFamily(
        "throughline_vendor_calls", "Calls of a vendor.", labels=("connection", "outcome")
    )
    opened = GaugeMetricFamily(
        "throughline_breaker_open", "1 while calls are not tried.", labels=["connection"]
    )
    for name, budget in budgets.items():
        opened.add_metric([name], float(budget.is_open))
        for outcome, count in budget.outcomes.items():
            calls.add_metric((name, outcome), count)
    yield calls
    yield opened


def _depths(connection: Connection, now: datetime, flows: Iterable[str]) -> Depths:
    """What the database knows, which is the same whichever process is asked."""
    items = sa.select(WORK_ITEMS.c.owner, sa.func.count()).where(WORK_ITEMS.c.state == "open")
    done = chores.last(connection)
    return {
        "runs": _runs(connection, flows),
        "items": {
            (owner,): count
            for owner, count in connection.execute(items.group_by(WORK_ITEMS.c.owner))
        },
        "outbox": {
            (tier,): connection.scalar(sa.select(sa.func.count()).select_from(outbox)) or 0
            for tier, outbox in OUTBOXES.items()
        },
        "leases": _leases(connection),
        "unsealed": {(tier,): _unsealed_s(connection, tier, now) for tier in AUDIT},
        "chore_age": {(name,): (now - at).total_seconds() for name, (at, _) in done.items()},
        "chore_findings": {(name,): found for name, (_, found) in done.items()},
    }


def _runs(connection: Connection, flows: Iterable[str]) -> dict[tuple[str, ...], float]:
    """Runs of every flow in every state: a first failure is a step from 0, not from nothing."""
    query = sa.select(RUNS.c.flow, RUNS.c.state, sa.func.count()).group_by(
        RUNS.c.flow, RUNS.c.state
    )
    found = {(row.flow, row.state): row[2] for row in connection.execute(query)}
    named = {flow for flow, _ in found} | set(flows)
    told: dict[tuple[str, ...], float] = dict.fromkeys(product(sorted(named), RUN_STATES), 0)
    return told | found


def _leases(connection: Connection) -> dict[tuple[str, ...], float]:
    """Who leads what is known to all; workers are counted, for their names are new each start."""
    query = sa.select(LEASES.c.name).where(LEASES.c.until >= database_now(connection))
    names = connection.execute(query).scalars()
    held = Counter("worker" if name.startswith(WORKER) else name for name in names)
    return {(name,): count for name, count in held.items()}


def _unsealed_s(connection: Connection, tier: str, now: datetime) -> float:
    """How long the oldest row of an audit waits for its seal."""
    rows = AUDIT[tier]
    oldest = connection.scalar(sa.select(sa.func.min(rows.c.at)).where(rows.c.position.is_(None)))
    return max(0.0, (now - datetime.fromisoformat(oldest)).total_seconds()) if oldest else 0.0


FAMILIES = {
    "runs": ("throughline_runs", "Runs of flows; those `queued` wait for a worker.", "flow state"),
    "items": ("throughline_work_items_open", "Work items that wait for people.", "owner"),
    "outbox": ("throughline_outbox_waiting", "Events that are not in the log yet.", "tier"),
    "leases": ("throughline_lease_held", "Leases held, by whichever process.", "of"),
    "unsealed": (
        "throughline_audit_unsealed_seconds",
        "How long the oldest audit row waits for its seal.",
        "tier",
    ),
    "chore_age": ("throughline_chore_age_seconds", "Since a chore ended last.", "of"),
    "chore_findings": ("throughline_chore_findings", "What a chore found wrong last.", "of"),
}


def _of(depths: Depths) -> Iterator[Metric]:
    for name, rows in depths.items():
        metric, help_text, labels = FAMILIES[name]
        family = GaugeMetricFamily(metric, help_text, labels=labels.split())
        for each, count in rows.items():
            family.add_metric(each, count)
        yield family
