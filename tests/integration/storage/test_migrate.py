from __future__ import annotations

import asyncio

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from alembic import command
from app.domain.errors import DatabaseMismatch
from app.storage import migrate
from app.storage.database import Database, open_database
from app.storage.models import Table
from app.storage.runs import list_tasks
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


async def test_upgrade__first_tables_with_runs__keeps_every_row(database_url: str) -> None:
    def fill(connection: Connection) -> None:
        command.upgrade(migrate.config(connection), "0001")
        connection.execute(
            text(
                "INSERT INTO runs (id, workflow, phase, reason, message, is_finished, suspended, params, labels, task_phases,"
                " version, created_at, cancel_reason, cancel_force, epoch)"
                " VALUES ('r', 'w', 'Running', '', '', false, false, '{}', '{}', '{}', 1, '2026-01-02 03:04:05', '', false, 1)"
            )
        )
        connection.execute(
            text(
                "INSERT INTO task_runs (run_id, name, position, depends_on, phase, reason, message)"
                " VALUES ('r', 'a', 0, '[]', 'Running', '', '')"
            )
        )
        connection.execute(text("INSERT INTO documents (run_id, body) VALUES ('r', '{}')"))

    def count(connection: Connection) -> list[int]:
        tables = ("runs", "task_runs", "documents")
        return [connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() for table in tables]

    async with open_database(database_url) as database:
        await database.write(fill)
        await database.write(migrate.upgrade_connection)
        assert await database.write(count) == [1, 1, 1]
        (task,) = await database.read(lambda session: list_tasks(session, "r"))
        assert (task.name, task.attempts_before, task.item, task.values) == ("a", 0, None, None)
        await database.write(lambda connection: command.downgrade(migrate.config(connection), "0001"))
        assert await database.write(count) == [1, 1, 1]
