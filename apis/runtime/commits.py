"""Group commit on SQLite: one thread writes, and what waits together is committed together.

A flush to disk and a change of threads cost more than most of our transactions; each keeps its own
savepoint, so that one that fails takes nothing else with it. Nobody hears before the commit.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine

MOST = 50
Work = Callable[[Connection], Any]


class Job(NamedTuple):
    """One transaction somebody waits for, under the context of who asked."""

    work: Work
    context: contextvars.Context
    future: asyncio.Future[Any] | Future[Any]
    loop: asyncio.AbstractEventLoop | None


class Outcome(NamedTuple):
    """What became of a job."""

    future: asyncio.Future[Any] | Future[Any]
    value: Any = None
    error: BaseException | None = None

    def tell(self) -> None:
        """Tell who waits, if anyone still does; on its own loop."""
        if self.future.done():
            return
        if self.error is None:
            self.future.set_result(self.value)
        else:
            self.future.set_exception(self.error)


class Commits:
    """The writer of one process."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-write", daemon=True)
        self._thread.start()

    async def write(self, work: Work) -> Any:
        """Run a transaction; answers once it is committed."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._jobs.put(Job(work, contextvars.copy_context(), future, loop))
        return await future

    def write_now(self, work: Work) -> Any:
        """The same for a thread without a loop; it waits its turn and is not starved by others."""
        future: Future[Any] = Future()
        self._jobs.put(Job(work, contextvars.copy_context(), future, None))
        return future.result()

    def close(self) -> None:
        """Write what was asked for so far, then end."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        going = True
        while going:
            jobs = [self._jobs.get()]
            with suppress(Empty):
                while len(jobs) < MOST:
                    jobs.append(self._jobs.get_nowait())
            going = None not in jobs
            asked = [job for job in jobs if job and not job.future.cancelled()]
            if asked:
                told(asked, self._committed(asked))

    def _committed(self, jobs: list[Job]) -> list[Outcome]:
        try:
            with self._engine.begin() as connection:
                if len(jobs) == 1:
                    return [Outcome(jobs[0].future, jobs[0].context.run(jobs[0].work, connection))]
                return [apart(connection, job) for job in jobs]
        except BaseException as error:  # noqa: BLE001 - whoever asked has to hear of it
            return [Outcome(job.future, error=error) for job in jobs]


def apart(connection: Connection, job: Job) -> Outcome:
    """One of several transactions of a commit: alone it fails, alone it is undone."""
    connection.exec_driver_sql("SAVEPOINT job")
    try:
        outcome = Outcome(job.future, job.context.run(job.work, connection))
    except Exception as error:  # noqa: BLE001 - whoever asked has to hear of it
        connection.exec_driver_sql("ROLLBACK TO job")
        outcome = Outcome(job.future, error=error)
    connection.exec_driver_sql("RELEASE job")
    return outcome


def told(jobs: list[Job], outcomes: list[Outcome]) -> None:
    """Wake each loop once."""
    for loop in {job.loop for job in jobs}:
        mine = [each for job, each in zip(jobs, outcomes, strict=True) if job.loop is loop]
        if loop is None:
            tell(mine)
            continue
        with suppress(RuntimeError):  # the loop has ended: nobody waits
            loop.call_soon_threadsafe(tell, mine)


def tell(outcomes: list[Outcome]) -> None:
    """Tell each."""
    for each in outcomes:
        each.tell()
