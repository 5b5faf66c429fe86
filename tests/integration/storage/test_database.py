from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from app.storage.database import Database, open_database
from app.storage.errors import DatabaseUnavailable, describe_outage, is_full, is_outage
from tests.support.postgres import PostgresServer


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("SELECT pg_terminate_backend(pg_backend_pid())", "terminating connection due to administrator command"),
        ("DO $$ BEGIN RAISE EXCEPTION 'x y' USING ERRCODE = '57P03'; END $$", "x y"),
        ("DO $$ BEGIN RAISE EXCEPTION 'x y' USING ERRCODE = '53100'; END $$", "x y"),
        ("DO $$ BEGIN RAISE EXCEPTION 'x y' USING ERRCODE = '55P03'; END $$", "x y"),
        ("DO $$ BEGIN RAISE EXCEPTION 'x y' USING ERRCODE = '28P01'; END $$", "x y"),
        ("DO $$ BEGIN RAISE EXCEPTION 'x y' USING ERRCODE = '3D000'; END $$", "x y"),
    ],
    ids=["terminated", "starting up", "disk full", "lock timeout", "wrong password", "no database"],
)
async def test_is_outage__postgres_says_so__yes_in_its_words_and_the_next_statement_works(
    postgres_url: str, statement: str, words: str
) -> None:
    async with open_database(postgres_url) as database:
        with pytest.raises(SQLAlchemyError) as caught:
            await database.write(lambda connection: connection.execute(text(statement)))
        assert is_outage(caught.value)
        assert describe_outage(caught.value).endswith(words)
        assert is_full(caught.value) == ("53100" in statement)
        assert await database.read(lambda session: session.scalar(text("SELECT 1"))) == 1


async def test_is_outage__the_statement_is_wrong__no(database: Database) -> None:
    with pytest.raises(SQLAlchemyError) as caught:
        await database.write(lambda connection: connection.execute(text("INSERT INTO instance (id, name) VALUES (1, NULL)")))
    assert not is_outage(caught.value)


@pytest.mark.postgres
async def test_is_outage__nobody_listens__yes() -> None:
    async with open_database("postgresql+asyncpg://podrun@127.0.0.1:9/podrun") as database:
        with pytest.raises(DatabaseUnavailable) as caught:
            await database.read(lambda session: session.scalar(text("SELECT 1")))
    assert is_outage(caught.value)
    assert str(caught.value) == "Connection refused"


@pytest.mark.postgres
async def test_read_and_write__given_up_while_the_server_hangs__end_at_once_and_work_when_it_goes_on() -> None:
    with PostgresServer.started() as server:
        async with open_database(server.url("postgres")) as database:

            def hang(connection: Connection) -> None:
                connection.execute(text("SELECT 1"))
                server.freeze()
                connection.execute(text("SELECT 2"))

            for ask in (lambda: database.write(hang), lambda: database.read(lambda session: session.scalar(text("SELECT 1")))):
                began = time.monotonic()
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.5):
                        await ask()
                assert time.monotonic() - began < 1.5
            server.thaw()
            await database.write(lambda connection: connection.execute(text("SELECT 1")))


async def test_is_full__sqlite_has_no_room__yes_and_it_works_when_there_is(tmp_path: Path) -> None:
    async with open_database(f"sqlite+aiosqlite:///{tmp_path}/podrun.db") as database:
        await database.write(lambda connection: connection.execute(text("CREATE TABLE t (x BLOB)")))
        insert = text("INSERT INTO t VALUES (zeroblob(1000000))")
        await database.write(lambda connection: connection.execute(text("PRAGMA max_page_count = 10")).all())
        with pytest.raises(SQLAlchemyError) as caught:
            await database.write(lambda connection: connection.execute(insert))
        assert is_outage(caught.value)
        assert is_full(caught.value)
        assert describe_outage(caught.value) == "database or disk is full"
        await database.write(lambda connection: connection.execute(text("PRAGMA max_page_count = 10000")).all())
        await database.write(lambda connection: connection.execute(insert))
        assert await database.read(lambda session: session.scalar(text("SELECT count(*) FROM t"))) == 1


@pytest.mark.postgres
async def test_read__its_connection_is_cut__is_made_again_once(postgres_url: str) -> None:
    async with open_database(postgres_url) as database:
        made = 0

        def cut(session: Session, times: int) -> int:
            nonlocal made
            made += 1
            if made <= times:
                session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
            return session.scalar(text("SELECT 42"))

        assert await database.read(lambda session: cut(session, 1)) == 42
        assert made == 2
        made = 0
        with pytest.raises(SQLAlchemyError) as caught:
            await database.read(lambda session: cut(session, 9))
        assert (made, is_outage(caught.value)) == (2, True)


@pytest.mark.postgres
async def test_read__the_process_stood_still_meanwhile__is_made_again(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.storage.database.READ_SECONDS", 0.2)
    monkeypatch.setattr("app.storage.database.LATE_SECONDS", 0.2)
    async with open_database(postgres_url) as database:
        made = 0

        def stand_still(session: Session) -> int:
            nonlocal made
            made += 1
            if made == 1:
                time.sleep(0.6)  # holds up the event loop, as a stopped process does
            return session.scalar(text("SELECT 42"))

        assert await database.read(stand_still) == 42
        assert made == 2
        with pytest.raises(DatabaseUnavailable, match="did not answer in time"):
            await database.read(lambda session: session.scalar(text("SELECT pg_sleep(5)")))
