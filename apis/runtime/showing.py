"""What people see of running flows: gathered, and written together a moment later.

Nothing depends on it: a run that is replayed is shown again, and its end or its wait is written
with all that was not shown yet.
"""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING

import sqlalchemy as sa

from apis.runtime import runs
from apis.runtime.log import get_logger
from contracts.runs import RunStep

if TYPE_CHECKING:
    from apis.runtime.flow import Running

SHOWN_S = 0.25
log = get_logger(__name__)


class Showing:
    """The runs of one worker that have something to show."""

    def __init__(self) -> None:
        self._late: dict[str, Running] = {}
        self._writing: asyncio.Task[None] | None = None

    def later(self, running: Running) -> None:
        """Show this run soon, with all others that have changed by then."""
        if not self._late:
            asyncio.get_running_loop().call_later(SHOWN_S, self._begin)
        self._late[running.run_id] = running

    async def rest(self, running: Running) -> dict[int, RunStep]:
        """What was not shown yet of a run that ends or waits; the caller writes it."""
        if self._writing is not None:
            await asyncio.wait([self._writing])
        return running.taken()

    def _begin(self) -> None:
        work = self._write(self._writing)
        outside = contextvars.Context()  # it is nobody's step
        self._writing = asyncio.get_running_loop().create_task(work, context=outside)

    async def _write(self, earlier: asyncio.Task[None] | None) -> None:
        if earlier is not None:  # in order: what was shown before must not be written after
            await asyncio.wait([earlier])
        late, self._late = self._late, {}
        taken = {run_id: steps for run_id, running in late.items() if (steps := running.taken())}
        if not taken:
            return
        runtime = next(iter(late.values())).runtime
        try:
            await runtime.store.write(runs.show_all, taken, runtime.clock.now())
        except sa.exc.SQLAlchemyError as error:
            log.warning("runs.not-shown", error=type(error).__name__)
            for run_id, steps in taken.items():
                late[run_id].unshown = steps | late[run_id].unshown
