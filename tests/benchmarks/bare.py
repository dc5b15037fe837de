"""A bare engine flow: the steps and vendor calls of a recorded run; nothing of ours.

A process of its own, told by lines of JSON: `{"deals": [...]}` runs them through a queue and
answers `{"seconds", "cpu"}`. The engine is set up as well as we know: SQLite in WAL without a
flush per step, JSON values, the same queue of 20; a pool of connections per system, as the
product has it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import msgspec
import uvloop
from dbos import DBOS, SetWorkflowID
from httpx_aiohttp import AiohttpTransport

from apis.runtime.engine import CONCURRENCY, QUEUE, Json, journal_database
from apis.runtime.records import Records
from apis.runtime.settings import QUEUE_EVERY_S
from tests.benchmarks.recording import Call, Recipe, filled, made_by

STATE: dict[str, Any] = {}


async def call(asked: Call, values: dict[str, str]) -> Any:
    """One vendor call: what it answered, as it will be recorded."""
    answer = await STATE["http"][asked.system].request(
        asked.method,
        filled(asked.path, values),
        content=filled(asked.body, values) or None,
        headers=asked.headers,
    )
    if answer.status_code != asked.status:
        raise RuntimeError(f"{asked.method} {asked.path} answered {answer.status_code}")
    if asked.makes:
        values[asked.makes] = made_by(answer) or ""
    return answer.json() if answer.content else None


async def act(calls: list[Call], values: dict[str, str]) -> Any:
    """A step: its calls' answers, or what is known of the deal where it makes none."""
    return [await call(each, values) for each in calls] or values


@DBOS.workflow(name="bare")
async def bare(values: dict[str, str]) -> dict[str, str]:
    """As many steps as the product has, each recorded."""
    for name, calls in STATE["recipe"].steps:
        await DBOS.run_step_async({"name": name}, act, calls, values)
    STATE["left"] -= 1
    if not STATE["left"]:
        STATE["ended"].set()
    return values


async def burst(deals: list[dict[str, str]]) -> dict[str, Any]:
    """All at once into the queue, which runs 20 at a time; until the last is done."""
    STATE["left"], STATE["ended"] = len(deals), asyncio.Event()
    began, cpu = time.perf_counter(), used()
    handles = []
    for each in deals:
        with SetWorkflowID(str(uuid.uuid4())):
            handles.append(await DBOS.enqueue_workflow_async(QUEUE, bare, each))
    async with asyncio.timeout(120):
        await STATE["ended"].wait()  # cheaper than asking the engine for each
    told = {"seconds": time.perf_counter() - began, "cpu": used() - cpu}
    for handle in handles:
        await handle.get_result(polling_interval_sec=0.02)
    return told


def used() -> float:
    """CPU seconds of this process so far."""
    now = resource.getrusage(resource.RUSAGE_SELF)
    return now.ru_utime + now.ru_stime


def client(url: str, token: str, transport: str, pool: int) -> httpx.AsyncClient:
    """A client of one system."""
    limits = httpx.Limits(max_connections=pool, max_keepalive_connections=pool)
    carried = AiohttpTransport(limits=limits) if transport == "aiohttp" else None
    return httpx.AsyncClient(
        base_url=url, limits=limits, transport=carried, trust_env=False,
        headers={"Authorization": token}, timeout=httpx.Timeout(30, pool=None),
    )  # fmt: skip


async def serve(options: argparse.Namespace) -> None:
    """Answer each line."""
    recipe = STATE["recipe"] = msgspec.json.decode(options.recipe.read_bytes(), type=Recipe)
    STATE["http"] = {
        system: client(url, recipe.tokens[system], options.transport, pool)
        for system, (url, pool) in json.loads(options.systems).items()
    }
    database = journal_database(options.database)
    DBOS.migrate(options.database)
    DBOS(config={
        "name": "bare", "system_database_engine": database, "application_version": "1",
        "executor_id": f"bare-{uuid.uuid4()}", "serializer": Json(Records()),
        "log_level": "WARNING",
        "run_migrations": False, "use_listen_notify": True,
        "notification_listener_polling_interval_sec": 1.0,
    })  # fmt: skip
    DBOS.launch()
    await DBOS.register_queue_async(
        QUEUE, worker_concurrency=CONCURRENCY, polling_interval_sec=QUEUE_EVERY_S
    )
    loop = asyncio.get_running_loop()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        answer = await burst(json.loads(line)["deals"])
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    DBOS.destroy()


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser()
    for name in ("--database", "--systems", "--transport"):
        parser.add_argument(name, required=True)
    parser.add_argument("--recipe", required=True, type=Path)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
