"""The flow engine (DBOS) as a journal and a queue; the only module that knows it.

Recipe: every flow is enqueued, one attempt of a step is one recorded step, values are JSON, the
owner is new at every process start, the application version never changes.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import msgspec
import sqlalchemy as sa
from dbos import DBOS, DBOSClient, Serializer
from sqlalchemy import Connection, event

from apis.runtime.records import Records
from apis.runtime.settings import QUEUE_EVERY_S
from apis.runtime.store import BUSY_S, engine_for
from apis.runtime.turns import turns, writes_in_turn

QUEUE = "flows"
SUSPECTS = "suspects"
VERSION = "1"
NAME = "throughline"
SUSPECTS_POLL_S = 1.0
CONCURRENCY = 20
FlowFunction = Callable[[Any], Awaitable[Any]]


class StoredError(Exception):
    """An error of the engine itself, read back from its tables."""


class Json(Serializer):
    """Values as JSON text, sealed where there is a key: arguments, outcomes, decisions, errors.

    `tl_json_1` is stored per row: its meaning never changes.
    """

    def __init__(self, records: Records) -> None:
        self._records = records

    def name(self) -> str:
        """What rows are marked with."""
        return "tl_json_1"

    def serialize(self, data: Any) -> str:
        """Text of a value; an error keeps its name and message."""
        if isinstance(data, BaseException):
            data = {"$error": type(data).__name__, "message": str(data)}
        return self._records.seal(msgspec.json.encode(data).decode())

    def deserialize(self, serialized_data: str) -> Any:
        """The value again; an error comes back as `StoredError`."""
        value = msgspec.json.decode(self._records.unseal(serialized_data))
        if isinstance(value, dict) and "$error" in value:
            return StoredError(f"{value['$error']}: {value['message']}")
        return value


class Pending(msgspec.Struct, frozen=True):
    """A flow that some worker is running, or was when it died."""

    run_id: str
    owner: str
    queue: str


class Engine:
    """Enqueue, resume and cancel from any process; `launch` makes this one run flows."""

    def __init__(
        self, url: str, *, poll_s: float = QUEUE_EVERY_S, records: Records | None = None
    ) -> None:
        self._url = url
        self._values = Json(records or Records())
        self._poll_s = poll_s
        self._database = journal_database(url)
        self._client: DBOSClient | None = None
        self._threads = ThreadPoolExecutor(2, "engine")
        self._launched = False

    @property
    def needs(self) -> str:
        """What `migrate` brings about, in a word: when it is the same there is nothing to do."""
        return f"dbos {version('dbos')}, queues {CONCURRENCY} {self._poll_s} {SUSPECTS_POLL_S}"

    def migrate(self) -> None:
        """Make or lift the engine's own tables; once per deployment, before any process starts."""
        logging.getLogger("dbos").setLevel(logging.WARNING)
        DBOS.migrate(self._url)
        register = self.client.register_queue
        register(QUEUE, worker_concurrency=CONCURRENCY, polling_interval_sec=self._poll_s)
        register(SUSPECTS, global_concurrency=1, polling_interval_sec=SUSPECTS_POLL_S)

    def _config(self, owner: str) -> Any:
        return {
            "name": NAME,
            "system_database_engine": self._database,
            "application_version": VERSION,
            "executor_id": owner,
            "serializer": self._values,
            "use_listen_notify": True,
            "run_migrations": False,
            "log_level": "WARNING",
            "notification_listener_polling_interval_sec": 1.0,
        }

    def launch(self, flows: dict[str, FlowFunction], owner: str) -> None:
        """Run flows in this process, on the running loop, as `owner`."""
        DBOS(config=self._config(owner))
        logging.getLogger("dbos").addFilter(not_a_suspension)
        for name, function in flows.items():
            DBOS.workflow(name=name, max_recovery_attempts=None)(function)
        DBOS.listen_queues([QUEUE, SUSPECTS])
        DBOS.launch()
        self._launched = True

    async def step(self, name: str, work: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """Run `work` as one recorded step: after a restart its value is read, not made again."""
        return await DBOS.run_step_async({"name": name}, work, *args)

    async def patched(self, name: str) -> bool:
        """True in runs that began after the change called `name` was released."""
        return await DBOS.patch_async(name)

    def run_id(self) -> str:
        """The run whose code is running now."""
        return str(DBOS.workflow_id)

    def enqueue(self, connection: Connection, flow: str, run_id: str, argument: Any) -> None:
        """Queue a flow in the transaction of its outbox row; the same id again changes nothing."""
        options: Any = {
            "queue_name": QUEUE,
            "workflow_name": flow,
            "workflow_id": run_id,
            "app_version": VERSION,
        }
        self.client.enqueue_in_transaction(connection, options, argument)

    @property
    def client(self) -> DBOSClient:
        """Access to the engine's tables without running flows."""
        if self._client is None:
            self._client = DBOSClient(
                system_database_engine=self._database,
                serializer=self._values,
                application_name=NAME,
                lazy=True,
            )
        return self._client

    async def pending(self) -> list[Pending]:
        """What is owned by a worker, living or dead."""
        rows = await self._outside(
            self.client.list_workflows, status="PENDING", load_input=False, load_output=False
        )
        return [
            Pending(row.workflow_id, row.executor_id or "", row.queue_name or QUEUE) for row in rows
        ]

    async def statuses(self, run_ids: Sequence[str]) -> dict[str, str]:
        """The engine's private status of each run that it knows."""
        rows = await self._outside(
            self.client.list_workflows,
            workflow_ids=list(run_ids),
            load_input=False,
            load_output=False,
        )
        return {row.workflow_id: row.status for row in rows}

    async def recorded(self, run_id: str) -> list[tuple[str, Any]]:
        """The steps that a run has recorded, in their order: name and value."""
        rows = await self._outside(self.client.list_workflow_steps, run_id)
        return [(row["function_name"], row["output"]) for row in rows]

    async def resume(self, run_ids: Sequence[str], queue: str = QUEUE) -> None:
        """Put runs back into a queue, whoever owned them: only for what nobody runs."""
        await self._outside(self.client.resume_workflows, list(run_ids), queue_name=queue)

    async def cancel(self, run_ids: Sequence[str]) -> None:
        """Take runs out of the engine; their recorded steps stay."""
        await self._outside(self.client.cancel_workflows, list(run_ids))

    async def drain(self, seconds: int) -> None:
        """Stop taking flows, let running ones end for so long, then let go."""
        if self._launched:
            await self._outside(
                DBOS.destroy, destroy_registry=True, workflow_completion_timeout_sec=seconds
            )
            # the engine had made its own threads the loop's; those have ended
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2, "ending"))
            self._launched = False

    async def close(self) -> None:
        """Let go of the database."""
        if self._client is not None:
            await self._outside(self._client.destroy)
        self._threads.shutdown(wait=True)
        self._database.dispose()

    async def _outside(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """In a thread under an empty context: inside a flow the engine would record the call."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._threads, lambda: outside(lambda: work(*args, **kwargs))
        )


def journal_database(url: str) -> sa.Engine:
    """The engine's connections: a lost step is repeated safely, so SQLite need not flush each."""
    if not url.startswith("sqlite"):
        return engine_for(url, pool=5)
    database = sa.create_engine(url, pool_size=5, max_overflow=0, connect_args={"timeout": BUSY_S})

    @event.listens_for(database, "connect")
    def connect(raw: Any, _record: Any) -> None:
        raw.isolation_level = "IMMEDIATE"
        for pragma in (
            "journal_mode = WAL",
            "synchronous = NORMAL",
            f"busy_timeout = {BUSY_S * 1000}",
        ):
            raw.execute(f"PRAGMA {pragma}")

    writes_in_turn(database, turns(url))
    return database


def not_a_suspension(record: logging.LogRecord) -> bool:
    """Drop what the engine says when a flow suspends: it takes that for a loss."""
    if record.exc_info and type(record.exc_info[1]).__name__ == "DBOSAwaitedWorkflowCancelledError":
        return False
    return "is no longer owned by this execution" not in record.getMessage()


def outside(work: Callable[[], Any]) -> Any:
    """Run `work` as if no flow were running here."""
    return contextvars.Context().run(work)
