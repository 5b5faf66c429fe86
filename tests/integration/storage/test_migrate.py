from __future__ import annotations

import asyncio

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from app.domain.errors import DatabaseMismatch
from app.storage import migrate
from app.storage.database import Database, open_database
from app.storage.models import Table
from app.storage.types import UtcDateTime


def _same_type(_context, _inspected, _metadata_column, inspected_type, metadata_type) -> bool:
    """Whether a column's type differs; SQLite's dates have no time zone to compare."""
    return False if isinstance(metadata_type, UtcDateTime) and "DATETIME" in str(inspected_type).upper() else None


async def test_migrations__and_models__agree(database: Database) -> None:
    def compare(connection) -> list:
        context = MigrationContext.configure(connection, opts={"compare_type": _same_type})
        return compare_metadata(context, Table.metadata)

    assert await database.write(compare) == []


async def test_upgrade__again__changes_nothing(database_url: str) -> None:
    await asyncio.to_thread(migrate.upgrade, database_url)
    await asyncio.to_thread(migrate.upgrade, database_url)
    async with open_database(database_url) as database:
        await database.write(migrate.check)


@pytest.mark.postgres
async def test_upgrade__twice_at_once__both_succeed(postgres_url: str) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(asyncio.to_thread(migrate.upgrade, postgres_url))
    async with open_database(postgres_url) as database:
        await database.write(migrate.check)


async def test_check__empty_database__names_the_command(database_url: str) -> None:
    async with open_database(database_url) as database:
        with pytest.raises(DatabaseMismatch, match="podrun db upgrade"):
            await database.write(migrate.check)


async def test_check__newer_database__is_refused(database: Database) -> None:
    await database.write(lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(DatabaseMismatch, match="newer podrun"):
        await database.write(migrate.check)


@pytest.mark.parametrize("url", ["sqlite+aiosqlite://", "sqlite:///:memory:", "mysql://localhost/x"])
async def test_open__database_that_is_not_supported__says_what_is(url: str) -> None:
    with pytest.raises(ValueError, match="sqlite"):
        async with open_database(url):
            pass
