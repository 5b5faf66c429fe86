from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from app.storage.database import Database, open_database
from app.storage.errors import is_outage


@pytest.mark.postgres
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT pg_terminate_backend(pg_backend_pid())",
        "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '57P03'; END $$",
        "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '53100'; END $$",
        "DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '55P03'; END $$",
    ],
    ids=["terminated", "starting up", "disk full", "lock timeout"],
)
async def test_is_outage__postgres_says_so__yes_and_the_next_statement_works(postgres_url: str, statement: str) -> None:
    async with open_database(postgres_url) as database:
        with pytest.raises(SQLAlchemyError) as caught:
            await database.write(lambda connection: connection.execute(text(statement)))
        assert is_outage(caught.value)
        assert await database.read(lambda session: session.scalar(text("SELECT 1"))) == 1


async def test_is_outage__the_statement_is_wrong__no(database: Database) -> None:
    with pytest.raises(SQLAlchemyError) as caught:
        await database.write(lambda connection: connection.execute(text("INSERT INTO instance (id, name) VALUES (1, NULL)")))
    assert not is_outage(caught.value)


@pytest.mark.postgres
async def test_is_outage__nobody_listens__yes() -> None:
    async with open_database("postgresql+asyncpg://podrun@127.0.0.1:9/podrun") as database:
        with pytest.raises((SQLAlchemyError, OSError)) as caught:
            await database.read(lambda session: session.scalar(text("SELECT 1")))
    assert is_outage(caught.value)
