"""Engines and connections. One interface for SQLite and PostgreSQL: a function of a `Session` or `Connection`, run whole.

SQLite is called through its synchronous driver, one thread call for a whole read or transaction: a thread hop for each
statement, as async drivers do, triples the cost of a commit. There is one writing thread, so that writes never wait for a
lock, and a few reading ones, each on its own snapshot (WAL). PostgreSQL is called through asyncpg; the same functions run
there in SQLAlchemy's greenlets.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

import asyncpg
import orjson
from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Session

from app.storage.errors import DatabaseUnavailable, describe_outage
from app.storage.types import dump_json

T = TypeVar("T")
READERS = 4
#: By which sessions of PostgreSQL are known to be podrun's.
APPLICATION_NAME = "podrun"
#: What a read or a transaction may take on PostgreSQL, the waiting for a connection included: a server that has died, or is
#: stopped, without a word must not hold up whoever asks, nor the writer.
READ_SECONDS, WRITE_SECONDS = 10.0, 20.0
#: A limit that is noticed later than this was not noticed because the process, or its event loop, stood still.
LATE_SECONDS = 1.0
#: A connection that was idle for so long is asked whether it lives before it is used.
IDLE_SECONDS = 1.0
_GOODBYE_SECONDS = 0.25


class Database(Protocol):
    """A database that is open. `read` sees one snapshot; `write` is one transaction, committed when it returns.

    Both raise the database's errors (SQLAlchemyError). A `write` that raised one that `storage.errors.is_outage` knows may
    have been committed all the same.
    """

    url: URL
    is_shared: bool  #: whether other processes may write to it, too

    async def read(self, function: Callable[[Session], T]) -> T:
        """Run the function on a snapshot. It must not write."""

    async def write(self, function: Callable[[Connection], T]) -> T:
        """Run the function in one transaction and commit it. For `Writer` and start-up; all else goes through `Writer`."""


@asynccontextmanager
async def open_database(url: str, *, is_patient: bool = False) -> AsyncIterator[Database]:
    """Open the database for as long as the block runs. Connects lazily. `is_patient`: for work that may take minutes.

    Raises:
        ValueError: the URL names neither SQLite in a file nor PostgreSQL.
    """
    parsed = make_url(url)
    kind = parsed.get_backend_name()
    if kind == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise ValueError(f"database_url {url!r}: SQLite needs a file, such as sqlite+aiosqlite:///podrun.db")
        async with SqliteDatabase.open(parsed) as sqlite:
            yield sqlite
    elif kind == "postgresql":
        async with PostgresDatabase.open(parsed, is_patient=is_patient) as postgres:
            yield postgres
    else:
        raise ValueError(f"database_url {url!r}: {kind} is not supported, use sqlite or postgresql")


class SqliteDatabase:
    """SQLite in a file: WAL, and `synchronous=FULL`, so that what was acknowledged survives a power cut."""

    is_shared = False  # see storage.lock

    def __init__(
        self, url: URL, writing: Engine, reading: Engine, writer: ThreadPoolExecutor, readers: ThreadPoolExecutor
    ) -> None:
        self.url = url
        self._writing, self._reading, self._writer, self._readers = writing, reading, writer, readers
        self._connection: Connection | None = None  # the writing thread's own, kept from one transaction to the next

    @classmethod
    @asynccontextmanager
    async def open(cls, url: URL) -> AsyncIterator[SqliteDatabase]:
        """Open it; the file is made if missing (its tables are not: see `storage.migrate`)."""
        with (
            _sqlite_engine(url, "IMMEDIATE") as writing,
            _sqlite_engine(url, "DEFERRED") as reading,
            ThreadPoolExecutor(1, "database-writer") as writer,
            ThreadPoolExecutor(READERS, "database-reader") as readers,
        ):
            database = cls(url, writing, reading, writer, readers)
            try:
                yield database
            finally:
                await asyncio.get_running_loop().run_in_executor(writer, database._disconnect)

    async def read(self, function: Callable[[Session], T]) -> T:
        """See Database."""

        def run() -> T:
            with self._reading.connect() as connection, Session(connection) as session:
                return function(session)

        return await asyncio.get_running_loop().run_in_executor(self._readers, run)

    async def write(self, function: Callable[[Connection], T]) -> T:
        """See Database."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._write, function)

    def _write(self, function: Callable[[Connection], T]) -> T:
        if self._connection is None:
            self._connection = self._writing.connect()
        try:
            with self._connection.begin():
                return function(self._connection)
        except BaseException:  # whatever it was, the next transaction has nothing of it
            self._disconnect()
            raise

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextlib.contextmanager
def _sqlite_engine(url: URL, begin: str) -> Any:
    engine = create_engine(
        URL.create("sqlite", database=url.database),
        json_serializer=dump_json,
        json_deserializer=orjson.loads,
        connect_args={"timeout": 30, "check_same_thread": False},
        pool_size=READERS,
        max_overflow=0,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below, never by the driver's guess
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-16000"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {begin}")

    try:
        yield engine
    finally:
        engine.dispose()


class PostgresDatabase:
    """PostgreSQL through asyncpg. No session sits on a lock: a stopped process must not hold up its successor."""

    is_shared = True

    def __init__(self, url: URL, engine: AsyncEngine, writing: AsyncEngine, *, is_patient: bool) -> None:
        self.url = url
        self.engine, self._writing = engine, writing
        self._read_seconds = None if is_patient else READ_SECONDS
        self._write_seconds = None if is_patient else WRITE_SECONDS
        self._snapshots = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @classmethod
    @asynccontextmanager
    async def open(cls, url: URL, *, is_patient: bool = False) -> AsyncIterator[PostgresDatabase]:
        """Make the pools, one for reading and one for writing: hundreds of readers must not keep a lease from its renewal.

        The first connection is made by its first user. `is_patient`: statements may take as long as they need.
        """
        reading = _postgres_engine(url, 10, is_patient=is_patient)
        # A plan that was kept from when the tables were small finds a task among ten thousand by looking at all of them.
        writing = _postgres_engine(url, 2, is_patient=is_patient, plan_cache_mode="force_custom_plan")
        try:
            yield cls(url, reading, writing, is_patient=is_patient)
        finally:
            await reading.dispose()
            await writing.dispose()

    async def read(self, function: Callable[[Session], T]) -> T:
        """See Database. Made again, once, where it failed by what is over: who follows a log must not notice."""
        began_at = time.monotonic()
        try:
            return await self._read_once(function)
        except SQLAlchemyError as error:
            was_cut = isinstance(error, DBAPIError) and error.connection_invalidated
            if not was_cut and not self._was_stopped_since(began_at):
                raise
        return await self._read_once(function)

    async def _read_once(self, function: Callable[[Session], T]) -> T:
        def run(connection: Connection) -> T:
            with Session(connection) as session:
                return function(session)

        async with _answering(self._read_seconds), self._snapshots.connect() as connection:
            return await connection.run_sync(run)

    def _was_stopped_since(self, began_at: float) -> bool:
        """Whether a read took longer than it may: then this process did not run, and nothing is known of the database."""
        return self._read_seconds is not None and time.monotonic() - began_at > self._read_seconds + LATE_SECONDS

    async def write(self, function: Callable[[Connection], T]) -> T:
        """See Database."""
        async with _answering(self._write_seconds), self._writing.begin() as connection:
            return await connection.run_sync(function)


@asynccontextmanager
async def _answering(seconds: float | None) -> AsyncIterator[None]:
    """Raise DatabaseUnavailable where the database can't be reached, or has not done the block in that time."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as exc:
        raise DatabaseUnavailable("it did not answer in time") from exc
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as exc:  # a connection could not be made
        raise DatabaseUnavailable(describe_outage(exc)) from exc


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """A connection that is not waited for: the server may not answer."""

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncpg's signature
        """Say goodbye, in a moment; where SQLAlchemy gives a time, which it does of one that has failed, not even that."""
        if timeout is not None:
            self.terminate()
            return
        with contextlib.suppress(TimeoutError):  # then it is cut
            await super().close(timeout=_GOODBYE_SECONDS)


def _postgres_engine(url: URL, pool_size: int, *, is_patient: bool, **settings: str) -> AsyncEngine:
    # Who waits for a lock outlasts a stopped process that has it: see storage.sessions.
    limits = {} if is_patient else {"idle_in_transaction_session_timeout": "5000", "lock_timeout": "8000"}
    engine = create_async_engine(
        url.set(drivername="postgresql+asyncpg"),
        json_serializer=dump_json,
        json_deserializer=orjson.loads,
        pool_size=pool_size,
        max_overflow=pool_size // 2,
        pool_timeout=10,
        connect_args={
            "connection_class": _Connection,
            "timeout": 10,
            "command_timeout": None if is_patient else 60,
            "server_settings": {"application_name": APPLICATION_NAME, "timezone": "UTC", **limits, **settings},
        },
    )
    _ask_idle_connections(engine.sync_engine)
    return engine


def _ask_idle_connections(engine: Engine) -> None:
    """Ask a connection whether it lives before it is used, where it was idle; SQLAlchemy's own `pool_pre_ping` asks each time.

    One that has just been used costs a round trip less: a twelfth of a commit.
    """

    @event.listens_for(engine, "checkin")
    def note(_connection: object, record: ConnectionPoolEntry) -> None:
        record.info["used_at"] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def ask(connection: DBAPIConnection, record: ConnectionPoolEntry, _fairy: object) -> None:
        used_at = record.info.get("used_at")  # it is forgotten with the connection
        if used_at is None or time.monotonic() - used_at < IDLE_SECONDS:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error  # those that are older than this one are not asked each by itself


def database_now(connection: Connection) -> datetime:
    """The time by the database's clock, so that those of replicas need not agree; on SQLite by this machine's."""
    if connection.dialect.name == "postgresql":
        now: datetime = connection.execute(select(func.clock_timestamp())).scalar_one()
        return now
    return datetime.now(UTC)
