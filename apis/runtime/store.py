"""The database: transaction functions run in threads, the same on SQLite and PostgreSQL.

A transaction is a plain function of a connection: `await store.write(open_run, run)`. On SQLite one
thread writes (`BEGIN IMMEDIATE`, WAL, `synchronous=FULL`), so a process never waits for itself.
"""

from __future__ import annotations

import asyncio
import contextvars
import re
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, MetaData, Table, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import QueuePool

from apis.runtime.commits import Commits
from apis.runtime.turns import end_turns, take_turn, turns
from contracts.errors import FieldError, Rejected

P = ParamSpec("P")
T = TypeVar("T")

METADATA = MetaData()
TIERS = ("gateway", "system", "process", "experience", "runtime")
BUSY_S = 30
UNUSED_S = 1.0
_SCHEMA = re.compile(rf"\b({'|'.join(TIERS)})\.(?=[a-z])")
_INDEX = re.compile(rf"\bINDEX (IF NOT EXISTS )?({'|'.join(TIERS)})\.(\w+) ON (\w+)")


def table(tier: str, name: str, *columns: Any, **options: Any) -> Table:
    """A table of one tier: `process.runs` on PostgreSQL, `process_runs` on SQLite."""
    return Table(name, METADATA, *columns, schema=tier, **options)


def engine_for(url: str, *, synchronous: str = "FULL", pool: int = 5) -> Engine:
    """An engine that begins writing transactions at once and names tiers as the store does."""
    if not url.startswith("sqlite"):
        url = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql+psycopg://", url)
        return watched(sa.create_engine(url, pool_size=2 * pool, max_overflow=0))
    engine = sa.create_engine(
        url,
        poolclass=QueuePool,
        pool_size=pool,
        max_overflow=0,
        connect_args={"timeout": BUSY_S, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def connect(raw: Any, _record: Any) -> None:
        raw.isolation_level = None
        raw.execute(f"PRAGMA busy_timeout = {BUSY_S * 1000}")
        raw.execute("PRAGMA journal_mode = WAL")
        raw.execute(f"PRAGMA synchronous = {synchronous}")
        raw.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("reading"):
            connection.exec_driver_sql("BEGIN")
            return
        take_turn(connection, turn)
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    turn = turns(url)
    end_turns(engine, turn)

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def spell(_c: Any, _cur: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        return spelled(statement), parameters

    return engine


@lru_cache(maxsize=2_000)
def spelled(statement: str) -> str:
    """A statement as SQLite knows our tables."""
    if statement.startswith("CREATE"):  # SQLite writes the schema before the index's name
        statement = _INDEX.sub(r"INDEX \1\3 ON \2_\4", statement)
    return _SCHEMA.sub(r"\1_", statement)


def watched(engine: Engine) -> Engine:
    """Ask a connection whether it still lives when it was not used for a while, as after a restart.

    Asking at every checkout (`pool_pre_ping`) would double the round trips of a small transaction.
    """

    @event.listens_for(engine, "checkin")
    def checkin(_raw: Any, record: Any) -> None:
        record.info["used"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def checkout(raw: Any, record: Any, _fairy: Any) -> None:
        if time.monotonic() - record.info.get("used", time.monotonic()) < UNUSED_S:
            return
        try:
            engine.dialect.do_ping(raw)
        except engine.dialect.loaded_dbapi.Error as error:
            raise sa.exc.DisconnectionError from error

    return engine


class Store:
    """One deployment's database, as this process uses it."""

    def __init__(self, url: str, *, pool: int = 6, digest_key: bytes | None = None) -> None:
        self.url = url
        self.sqlite = url.startswith("sqlite")
        self.digest_key = digest_key or secrets.token_bytes(32)
        """Behind what stands for values in the audit; with none given, comparable to nothing."""
        self.engine = engine_for(url, pool=pool).execution_options(digest_key=self.digest_key)
        self._reading = self.engine.execution_options(reading=True)
        if not self.sqlite:  # a statement sees what is committed, with or without a transaction
            self._reading = self._reading.execution_options(isolation_level="AUTOCOMMIT")
        self._alone = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._commits = Commits(self.engine) if self.sqlite else None
        self._writers = ThreadPoolExecutor(pool, "store-write")
        self._readers = ThreadPoolExecutor(2 if self.sqlite else pool, "store-read")

    async def write(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work(connection, ...)` as one writing transaction; an exception rolls it back."""
        if self._commits is not None:
            done: T = await self._commits.write(
                lambda connection: work(connection, *args, **kwargs)
            )
            return done
        return await self._run(self._writers, lambda: self.write_now(work, *args, **kwargs))

    async def read(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run `work(connection, ...)` as one reading transaction."""
        return await self._run(self._readers, lambda: self.read_now(work, *args, **kwargs))

    def write_now(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`write` for callers that are already in a thread."""
        if self._commits is not None:
            done: T = self._commits.write_now(lambda connection: work(connection, *args, **kwargs))
            return done
        with self.engine.begin() as connection:
            return work(connection, *args, **kwargs)

    def read_now(
        self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`read` for callers that are already in a thread."""
        with self._reading.connect() as connection:
            return work(connection, *args, **kwargs)

    async def insert(self, statement: Callable[[str], Any], values: dict[str, Any]) -> bool:
        """Insert unless a unique key is taken, as a transaction of its own; True when it is new.

        `statement(dialect)` is a `new_row`. One statement alone costs PostgreSQL a third.
        """

        def work(connection: Connection) -> bool:
            made = statement(connection.dialect.name)
            return connection.execute(made, values).rowcount == 1

        def alone() -> bool:
            with self._alone.begin() as connection:
                return work(connection)

        return await (self.write(work) if self.sqlite else self._run(self._writers, alone))

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        inside = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(threads, inside.run, work)

    def close(self) -> None:
        """Let running transactions end and close every connection."""
        if self._commits is not None:
            self._commits.close()
        self._writers.shutdown(wait=True)
        self._readers.shutdown(wait=True)
        self.engine.dispose()


def digest_key(connection: Connection) -> bytes:
    """The `digest_key` of the store that a connection is of."""
    key: bytes = connection.get_execution_options()["digest_key"]
    return key


def insert_new(connection: Connection, into: Table, /, **values: Any) -> bool:
    """Insert unless a unique key is taken; True when the row is new."""
    statement = new_row(into, connection.dialect.name)
    return connection.execute(statement, values).rowcount == 1


def insert_all_new(connection: Connection, into: Table, rows: list[dict[str, Any]]) -> None:
    """Insert, in order, what is not there by its unique key."""
    if rows:
        connection.execute(new_row(into, connection.dialect.name), rows)


def put_all(connection: Connection, into: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows, or change those that are there by their primary key."""
    if rows:
        connection.execute(_put(into, connection.dialect.name), rows)


def merge_all(connection: Connection, into: Table, rows: list[dict[str, Any]]) -> None:
    """`put_all`, but a None is not known and changes nothing; all rows name the same columns."""
    if rows:
        statement = _merge(into, connection.dialect.name, tuple(rows[0]))
        connection.execute(statement, rows)


def add_all(connection: Connection, into: Table, rows: list[dict[str, Any]]) -> None:
    """Insert rows, or add to the `count` of those that are there by their primary key."""
    if rows:
        connection.execute(_added(into, connection.dialect.name), rows)


# Making a statement costs several times what running it does: these are made once a shape.


@cache
def new_row(into: Table, dialect: str, *, inline: bool = True) -> Any:
    """The statement that inserts a row unless a unique key is taken."""
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    statement = insert(into).on_conflict_do_nothing()
    if not inline:
        return statement
    return statement.inline().execution_options(preserve_rowcount=True)


@cache
def _put(into: Table, dialect: str) -> Any:
    insert = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(into).inline()
    key = [column.name for column in into.primary_key]
    values = {each.name: each for each in insert.excluded if each.name not in key}
    return insert.on_conflict_do_update(index_elements=key, set_=values)


@cache
def _added(into: Table, dialect: str) -> Any:
    insert = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(into).inline()
    key = [column.name for column in into.primary_key]
    total = into.c["count"] + insert.excluded["count"]
    return insert.on_conflict_do_update(index_elements=key, set_={"count": total})


@cache
def _merge(into: Table, dialect: str, given: tuple[str, ...]) -> Any:
    insert = (sqlite.insert if dialect == "sqlite" else postgresql.insert)(into).inline()
    key = [column.name for column in into.primary_key]
    values = {
        name: sa.func.coalesce(insert.excluded[name], into.c[name])
        for name in given
        if name not in key
    }
    return insert.on_conflict_do_update(index_elements=key, set_=values)


def find(connection: Connection, table: Table, /, **key: Any) -> Any:
    """The first row with these values, or None."""
    return connection.execute(_select(table, tuple(key)), key).first()


@cache
def _select(table: Table, key: tuple[str, ...]) -> Any:
    return sa.select(table).where(*(table.c[name] == sa.bindparam(name) for name in key))


def change(connection: Connection, table: Table, key: dict[str, Any], /, **values: Any) -> int:
    """Change the rows with the values of `key`; answers how many."""
    given = {f"_{name}": value for name, value in key.items()}
    return connection.execute(_update(table, tuple(key)), given | values).rowcount


@cache
def _update(table: Table, key: tuple[str, ...]) -> Any:
    wanted = (table.c[name] == sa.bindparam(f"_{name}") for name in key)
    return sa.update(table).where(*wanted)


def database_now(connection: Connection) -> float:
    """Seconds since 1970 by the database's clock (real time: leases use it)."""
    return float(connection.execute(_now(connection.dialect.name)).scalar_one())


@cache
def _now(dialect: str) -> Any:
    return sa.select(seconds_now(dialect))


def seconds_now(dialect: str) -> Any:
    """`database_now` as a part of another statement."""
    sql = (
        "(julianday('now') - 2440587.5) * 86400.0"
        if dialect == "sqlite"
        else "extract(epoch from clock_timestamp())"
    )
    return sa.literal_column(sql, sa.Float)


def page_end(cursor: str) -> tuple[str, str]:
    """The moment and the id of a page's last row, as its `next` says them; nothing else is one."""
    at, mark, last = cursor.replace(" ", "+").partition("~")  # a plus that nobody encoded
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise no_cursor() from None
    if not mark or not last or moment.tzinfo is None:
        raise no_cursor()
    return at, last


def no_cursor() -> Rejected:
    """What no page has as its `next`."""
    told = "it is no page's `next`"
    return Rejected(
        "validation-failed",
        f"cursor: {told}",
        errors=(
            FieldError(pointer="", parameter="cursor", where="query", code="invalid", message=told),
        ),
        owner="caller",
        remedy="leave it out for the first page; for the others send `next` as it was answered",
    )
