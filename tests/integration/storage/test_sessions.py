"""Sessions that hold locks and say nothing more, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from app.storage.database import APPLICATION_NAME, PostgresDatabase, open_database
from app.storage.sessions import end_stuck, end_stuck_sessions

pytestmark = pytest.mark.postgres
SECONDS = 20.0


class HalfSpoken:
    """A session that speaks PostgreSQL's protocol by hand, so that it can stop anywhere.

    Source: https://www.postgresql.org/docs/current/protocol-message-formats.html
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.pid = 0

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str, application_name: str) -> AsyncIterator[HalfSpoken]:
        """A session as podrun's, or as somebody else's."""
        at = make_url(url)
        reader, writer = await asyncio.open_connection(at.host, at.port)
        session = cls(reader, writer)
        words = ("user", "postgres", "database", at.database or "", "application_name", application_name)
        start = struct.pack("!i", 196608) + b"".join(word.encode() + b"\0" for word in words) + b"\0"
        writer.write(struct.pack("!i", len(start) + 4) + start)
        await session._ready()
        try:
            yield session
        finally:
            writer.close()

    async def query(self, statement: str) -> None:
        """A whole statement."""
        self._say(b"Q", statement.encode() + b"\0")
        await self._ready()

    async def begin_many(self, statement: str) -> None:
        """The first of many rows, and not a word of the next ones: what a process does that is stopped while it sends them."""
        self._say(b"P", b"\0" + statement.encode() + b"\0" + struct.pack("!h", 0))
        self._say(b"B", b"\0\0" + struct.pack("!hhh", 0, 0, 0))
        self._say(b"E", b"\0" + struct.pack("!i", 0))
        self._say(b"H", b"")
        while (await self._message())[0] != b"C":
            pass

    async def ended(self) -> None:
        """Until the server has cut it."""
        try:
            while True:
                await self._message()
        except asyncio.IncompleteReadError:
            pass

    def _say(self, kind: bytes, body: bytes) -> None:
        self._writer.write(kind + struct.pack("!i", len(body) + 4) + body)

    async def _message(self) -> tuple[bytes, bytes]:
        head = await self._reader.readexactly(5)
        return head[:1], await self._reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)

    async def _ready(self) -> None:
        while True:
            kind, body = await self._message()
            assert kind != b"E", body
            if kind == b"K":
                self.pid = struct.unpack("!i", body[:4])[0]
            if kind == b"Z":
                return


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[PostgresDatabase]:
    async with open_database(postgres_url) as database:
        assert isinstance(database, PostgresDatabase)
        await database.write(lambda connection: connection.execute(text("CREATE TABLE things (id int)")))
        await database.write(lambda connection: connection.execute(text("INSERT INTO things VALUES (1)")))
        yield database


async def _take(database: PostgresDatabase) -> None:
    await database.write(lambda connection: connection.execute(text("SELECT id FROM things FOR UPDATE")))


async def test_end_stuck_sessions__stopped_while_it_sends_many_rows__who_waits_gets_its_lock(
    database: PostgresDatabase, postgres_url: str
) -> None:
    async with HalfSpoken.opened(postgres_url, APPLICATION_NAME) as stopped, asyncio.TaskGroup() as group:
        await stopped.query("BEGIN")
        await stopped.query("SELECT id FROM things FOR UPDATE")
        await stopped.begin_many("INSERT INTO things VALUES (2)")
        looking = group.create_task(end_stuck_sessions(database))
        async with asyncio.timeout(SECONDS):
            await _take(database)  # its lock_timeout is longer than a stopped process may have it
            await stopped.ended()
        looking.cancel()
    assert await database.read(lambda session: session.scalar(text("SELECT count(*) FROM things"))) == 1


async def test_end_stuck__at_work_idle_or_somebody_elses__goes_on(database: PostgresDatabase, postgres_url: str) -> None:
    async with (
        HalfSpoken.opened(postgres_url, APPLICATION_NAME) as working,
        HalfSpoken.opened(postgres_url, APPLICATION_NAME) as idle,
        HalfSpoken.opened(postgres_url, APPLICATION_NAME) as reading,
        HalfSpoken.opened(postgres_url, "psql") as other,
    ):
        for session in (working, idle, other):
            await session.query("BEGIN")
        await idle.query("INSERT INTO things VALUES (2)")
        await reading.begin_many("SELECT id FROM things")
        await other.begin_many("INSERT INTO things VALUES (3)")
        await asyncio.sleep(0.3)
        await working.begin_many("INSERT INTO things VALUES (4)")
        assert await database.write(lambda connection: end_stuck(connection, 0.2)) == []
        connection = await asyncpg.connect(postgres_url.replace("+asyncpg", ""), timeout=10)
        try:
            alive = {row["pid"] for row in await connection.fetch("SELECT pid FROM pg_stat_activity")}
        finally:
            await connection.close()
        assert {working.pid, idle.pid, reading.pid, other.pid} <= alive
        await asyncio.sleep(0.3)
        assert await database.write(lambda connection: end_stuck(connection, 0.2)) == [working.pid]
