"""A bare engine flow: as many steps, the same vendor calls, the same bytes; nothing of ours.

A process of its own, told by lines of JSON: `{"deals": [{"deal", "account"}, ...]}`
runs them through a queue and answers `{"seconds", "cpu"}`. The engine is set up as well as we know:
SQLite in WAL without a flush per step, JSON values, the same queue of 20.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
import uuid
from typing import Any

import httpx
import uvloop
from dbos import DBOS, SetWorkflowID
from httpx_aiohttp import AiohttpTransport

from apis.runtime.engine import Json, journal_database

QUEUE = "flows"
POOL = 20
VERSION = "v62.0"
HTTP: dict[str, Any] = {}


async def call(method: str, path: str, **more: Any) -> Any:
    """One vendor call."""
    answer = await HTTP["client"].request(method, f"/services/data/{VERSION}{path}", **more)
    answer.raise_for_status()
    return answer.json() if answer.content else None


@DBOS.step(name="read")
async def read(deal: str) -> Any:
    """The one query, and its answer recorded."""
    found = await call("GET", "/query", params={"q": HTTP["query"].replace("$ID", deal)})
    return found["records"][0]


@DBOS.step(name="decide")
async def decide(record: dict[str, Any]) -> str | None:
    """A step without a call."""
    return record.get("Nobody")


@DBOS.step(name="customer")
async def customer(record: dict[str, Any]) -> Any:
    """A step that records a customer."""
    return record["Account"]


@DBOS.step(name="mark_account")
async def mark_account(account: str) -> str:
    """A write, and its outcome recorded."""
    await call("PATCH", f"/sobjects/Account/{account}", json={"TL_Customer_Key__c": f"c-{account}"})
    return account


@DBOS.step(name="contract")
async def contract(record: dict[str, Any]) -> Any:
    """A step that records a contract."""
    return record


@DBOS.step(name="mark_deal")
async def mark_deal(deal: str) -> str:
    """The last write."""
    body = {"TL_Project_Key__c": f"p-{deal}", "TL_Project_Status__c": "contracted"}
    await call("PATCH", f"/sobjects/Opportunity/{deal}", json=body)
    return deal


@DBOS.workflow(name="bare")
async def bare(deal: str, account: str) -> str:
    """Six steps, three of them with a call: what deal_to_project does, unguarded."""
    record = await read(deal)
    await decide(record)
    await customer(record)
    await mark_account(account)
    await contract(record)
    marked = await mark_deal(deal)
    HTTP["left"] -= 1
    if not HTTP["left"]:
        HTTP["ended"].set()
    return marked


async def burst(deals: list[dict[str, str]]) -> dict[str, Any]:
    """All at once into the queue, which runs 20 at a time; until the last is done."""
    HTTP["left"], HTTP["ended"] = len(deals), asyncio.Event()
    began, cpu = time.perf_counter(), used()
    handles = []
    for each in deals:
        with SetWorkflowID(str(uuid.uuid4())):
            handles.append(
                await DBOS.enqueue_workflow_async(QUEUE, bare, each["deal"], each["account"])
            )
    await HTTP["ended"].wait()  # cheaper than asking the engine for each
    told = {"seconds": time.perf_counter() - began, "cpu": used() - cpu}
    for handle in handles:
        await handle.get_result(polling_interval_sec=0.02)
    return told


def used() -> float:
    """CPU seconds of this process so far."""
    now = resource.getrusage(resource.RUSAGE_SELF)
    return now.ru_utime + now.ru_stime


async def serve(options: argparse.Namespace) -> None:
    """Answer each line."""
    limits = httpx.Limits(max_connections=POOL, max_keepalive_connections=POOL)
    carried = AiohttpTransport(limits=limits) if options.transport == "aiohttp" else None
    HTTP["query"] = options.query
    HTTP["client"] = httpx.AsyncClient(
        base_url=options.sandbox, limits=limits, transport=carried, trust_env=False,
        headers={"Authorization": f"Bearer {options.token}"}, timeout=httpx.Timeout(30, pool=None),
    )  # fmt: skip
    database = journal_database(options.database)
    DBOS.migrate(options.database)
    DBOS(config={
        "name": "bare", "system_database_engine": database, "application_version": "1",
        "executor_id": f"bare-{uuid.uuid4()}", "serializer": Json(), "log_level": "WARNING",
        "run_migrations": False, "use_listen_notify": True,
        "notification_listener_polling_interval_sec": 1.0,
    })  # fmt: skip
    DBOS.launch()
    await DBOS.register_queue_async(QUEUE, worker_concurrency=POOL, polling_interval_sec=0.1)
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
    for name in ("--database", "--sandbox", "--token", "--query", "--transport"):
        parser.add_argument(name, required=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
