"""A migrated database, SQLite and PostgreSQL alike, with its writer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.storage import migrate
from app.storage.broker import Broker
from app.storage.database import Database, open_database
from app.storage.writer import Writer


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{tmp_path}/podrun.db"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as database:
        await database.write(migrate.upgrade_connection)
        yield database


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
async def writer(database: Database, broker: Broker) -> AsyncIterator[Writer]:
    async with Writer(database, broker) as writer:
        yield writer
