"""What a worker looks after: one question to the database for all of it, five times a second."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection

from apis.runtime.clock import Clock
from apis.runtime.leases import FAILED_S, Leases
from apis.runtime.log import get_logger
from apis.runtime.store import Store

NOW = sa.bindparam("now", type_=sa.String)
"""The clock's moment, for what is due by its time."""
log = get_logger(__name__)


class Duty(msgspec.Struct, frozen=True):
    """What one process at a time does; `due` says in SQL whether there is anything to do."""

    name: str
    due: ColumnElement[bool]
    work: Callable[[], Awaitable[object]]


class Rounds:
    """The duties that this process leads: those that are due are done, each one at a time."""

    def __init__(self, store: Store, leases: Leases, clock: Clock, duties: Sequence[Duty]) -> None:
        self._store, self._leases, self._clock = store, leases, clock
        self._duties = duties
        self._busy: set[str] = set()
        self._questions: dict[tuple[str, ...], sa.Executable] = {}

    async def go(self, every: float) -> None:
        """Go round every so many seconds (real time), for ever."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    for duty in await self._due():
                        self._busy.add(duty.name)
                        tasks.create_task(self._done(duty))
                except Exception as error:  # it outlives what it meets, as the duties do
                    log.exception("rounds.failed", error=type(error).__name__)
                    await asyncio.sleep(FAILED_S)
                await asyncio.sleep(every)

    async def _due(self) -> list[Duty]:
        free = [each for each in self._duties if each.name not in self._busy]
        mine = [each for each in free if await self._leases.claim(each.name)]
        if not mine:
            return []
        told = await self._store.read(self._asked, mine)
        return [each for each, due in zip(mine, told, strict=True) if due]

    def _asked(self, connection: Connection, duties: Sequence[Duty]) -> Sequence[Any]:
        names = tuple(each.name for each in duties)
        if names not in self._questions:
            columns = (each.due.label(f"due_{n}") for n, each in enumerate(duties))
            self._questions[names] = sa.select(*columns)
        now = {"now": self._clock.now().isoformat()}
        return connection.execute(self._questions[names], now).one()

    async def _done(self, duty: Duty) -> None:
        try:
            await duty.work()
        except Exception as error:  # a leader outlives what it meets: it is logged and tried again
            log.exception("leader.failed", leader=duty.name, error=type(error).__name__)
            await asyncio.sleep(FAILED_S)
        finally:
            self._busy.discard(duty.name)
