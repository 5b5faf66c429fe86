"""Brings a database to the schema of this code, or says that it does not fit.

The migrations stand at the top of the source tree (`alembic/`) and travel inside the package (`app/storage/migrations`).
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url

from alembic import command
from app.domain.errors import DatabaseMismatch
from app.storage.database import open_database


def migrations_folder() -> Path:
    """Where the migrations are, installed or in the source tree."""
    packed = Path(__file__).parent / "migrations"
    return packed if packed.is_dir() else Path(__file__).parents[2] / "alembic"


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, without a file."""
    made = Config()
    made.set_main_option("script_location", str(migrations_folder()))
    made.set_main_option("path_separator", "os")
    made.attributes["connection"] = connection
    return made


def upgrade(database_url: str) -> None:
    """Bring the database to this code's schema. Blocking: for the command line. Safe to call again."""

    async def run() -> None:
        async with open_database(database_url, is_patient=True) as database:
            await database.write(upgrade_connection)

    asyncio.run(run())


def upgrade_connection(connection: Connection) -> None:
    """Bring the database behind this connection to this code's schema, in the caller's transaction."""
    if connection.dialect.name == "postgresql":  # two that upgrade at once: the second waits, and finds nothing to do
        connection.execute(text("SELECT pg_advisory_xact_lock(7032)"))
    command.upgrade(config(connection), "head")


def check(connection: Connection) -> None:
    """Raise DatabaseMismatch unless the database has this code's schema."""
    found = MigrationContext.configure(connection).get_current_revision()
    script = ScriptDirectory.from_config(config())
    wanted = script.get_current_head()
    if found == wanted:
        return
    url = make_url(str(connection.engine.url)).render_as_string(hide_password=True)
    if found is None or _knows(script, found):
        raise DatabaseMismatch(
            f"database {url} is at revision {found or 'none (it is empty)'}, this podrun needs {wanted}: "
            "run `podrun db upgrade`"
        )
    raise DatabaseMismatch(
        f"database {url} is at revision {found}, which this podrun does not know (it knows up to {wanted}): "
        "a newer podrun has upgraded it; run that version"
    )


def _knows(script: ScriptDirectory, revision: str) -> bool:
    known: set[Any] = {step.revision for step in script.walk_revisions()}
    return revision in known
