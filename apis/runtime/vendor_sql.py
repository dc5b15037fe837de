"""A system that is a database (`VendorSql`): read by query, written by the ledger's rules.

Its engine is synchronous SQLAlchemy, so that every dialect serves; calls run in threads of its own.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import sqlalchemy as sa

from apis.runtime.budget import Budget
from apis.runtime.caller import Caller
from apis.runtime.clock import Clock
from apis.runtime.context import CURRENT
from apis.runtime.metadata import Connection
from apis.runtime.owners import Owners
from apis.runtime.store import Store
from apis.runtime.wire import Unanswered, noted
from apis.runtime.writes import Write
from contracts.canonical.identity import Ref
from contracts.errors import Conflict, Misconfigured, ThroughlineError, Transient, Unavailable

T = TypeVar("T")
LONGEST_WAIT_S = 2.0
Statements = Sequence[tuple[str, Mapping[str, Any]]]


class VendorSql(Caller):
    """Calls one database. Values are always bound (`:name`), never formatted into a statement."""

    def __init__(
        self,
        vendor: str,
        name: str,
        connection: Connection,
        *,
        store: Store,
        clock: Clock,
        engine: sa.Engine,
        budget: Budget,
        owners: Owners | None = None,
    ) -> None:
        super().__init__(vendor, name, connection, store=store, clock=clock, owners=owners)
        self._engine = engine
        self.budget = budget
        self._threads = ThreadPoolExecutor(connection.budgets.concurrency, f"sql-{name}")

    async def read(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        """The rows of one query, by column name."""

        def rows() -> list[dict[str, Any]]:
            with self._engine.connect() as database:
                found = database.execute(sa.text(statement), values).mappings()
                return [dict(row) for row in found]

        return await self._called(f"read {first_word(statement)}", rows, writes=False)

    async def write(self, write: Write, statements: Statements, external_id: str) -> Ref:
        """All statements in one transaction, once under the ledger; the record's id is given."""
        sending = self._sending(CURRENT.get(), write, [dict(values) for _, values in statements])
        if found := await self._earlier(sending):
            return found

        def transaction() -> None:
            with self._engine.begin() as database:
                for statement, values in statements:
                    database.execute(sa.text(statement), values)

        try:
            await self._called(f"{write.kind} {write.object}", transaction, writes=True)
        except ThroughlineError as error:
            await self._let_go([sending], refused=not isinstance(error, Unanswered))
            raise
        return await self._settled(sending, Ref(None, external_id), None)

    async def _called(self, operation: str, work: Callable[[], T], *, writes: bool) -> T:
        left = self._left(self._deadline())
        self.budget.check(self._clock)
        async with self.budget.permit(self._clock, min(LONGEST_WAIT_S, left)):
            try:
                with noted(self.name, operation, self._clock.now()):
                    async with asyncio.timeout(left):
                        value = await self._in_thread(work)
            except (sa.exc.SQLAlchemyError, TimeoutError) as problem:
                error = self._classified(problem, writes=writes)
                self.budget.failed(error, self._clock)
                raise error from problem
            self.budget.worked()
            return value

    async def _in_thread(self, work: Callable[[], T]) -> T:
        inside = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._threads, inside.run, work)

    def _classified(self, problem: Exception, *, writes: bool) -> ThroughlineError:
        """Who acts next; a write whose end nobody saw may have happened."""
        source = self.name
        if isinstance(problem, sa.exc.IntegrityError):
            text = "the database holds another record under this key"
            return Conflict(self._code("DUPLICATE_KEY"), text, source=source)
        if isinstance(problem, sa.exc.ProgrammingError):
            text = "the database refused the statement: rights, or a table that is not there"
            return Misconfigured(
                self._code("STATEMENT_REFUSED"), text, owner="integration", source=source
            )
        if isinstance(problem, sa.exc.DBAPIError) and not problem.connection_invalidated:
            return Transient(self._code("DATABASE_ERROR"), "the database failed", source=source)
        if writes:
            return Unanswered(self._code("NO_ANSWER"), "the database did not answer", source=source)
        return Unavailable(
            self._code("NOT_REACHED"), "the database cannot be reached", source=source
        )

    def close(self) -> None:
        """Let running calls end."""
        self._threads.shutdown(wait=True)
        self._engine.dispose()


def first_word(statement: str) -> str:
    """What kind of statement it is, for the list of calls: without values and names."""
    return statement.split(maxsplit=1)[0].lower()
