"""Every row of an installation's database, read as it stands there: not through the service's code, and in one snapshot."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg

from tests.support.waiting import run_apart

Row = dict[str, Any]
Tables = dict[str, list[Row]]

#: In the order of what they say; alembic's own is of no interest.
TABLES = (
    "instance", "executors", "runs", "documents", "task_runs", "attempts", "run_events", "run_intents", "run_groups",
    "idempotency_keys", "logs", "log_blocks", "log_commits", "log_gaps", "workflows", "workflow_versions",
)  # fmt: skip
_JSON = frozenset({"params", "labels", "task_phases", "depends_on", "item", "values", "outputs", "details", "schedule"})
_BOOLEAN = frozenset({
    "is_finished", "suspended", "cancel_force", "is_replacement", "log_sealed", "pod_deleted", "continues", "sealed", "paused",
})  # fmt: skip
_KEYS = ("run_id", "task", "attempt", "name", "log_id", "first_byte", "seq", "key")
_TIME = frozenset({"time", "lease_until"})
_WAIT_SECONDS = 30.0


def read_tables(database_url: str) -> Tables:
    """All rows of all tables, values as Python has them: aware times, booleans, JSON decoded."""
    if database_url.startswith("sqlite"):
        return read_sqlite(Path(database_url.partition("///")[2]))
    return run_apart(_read_postgres(database_url.replace("+asyncpg", "")))


def read_sqlite(path: Path) -> Tables:
    """The rows in a file of SQLite."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=_WAIT_SECONDS)
    connection.row_factory = sqlite3.Row
    try:
        connection.execute("BEGIN")
        return {table: _plain(connection.execute(f'SELECT * FROM "{table}"')) for table in TABLES}
    finally:
        connection.close()


def grouped(rows: Iterable[Row], *names: str) -> defaultdict[Any, list[Row]]:
    """The rows by the value in that column, or by the tuple of the values in these."""
    found: defaultdict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        found[row[names[0]] if len(names) == 1 else tuple(row[name] for name in names)].append(row)
    return found


async def _read_postgres(url: str) -> Tables:
    connection = await asyncpg.connect(url, timeout=_WAIT_SECONDS)
    try:
        async with asyncio.timeout(4 * _WAIT_SECONDS), connection.transaction(isolation="repeatable_read", readonly=True):
            return {table: _plain(await connection.fetch(f'SELECT * FROM "{table}"')) for table in TABLES}
    finally:
        await connection.close()


def _plain(rows: Iterable[Any]) -> list[Row]:
    """In the order of their keys, which PostgreSQL does not keep."""
    plain = [{name: _value(name, row[name]) for name in row.keys()} for row in rows]  # noqa: SIM118 - rows are no mappings
    names = (
        ("id",) if plain and "id" in plain[0] else ("run_id", "task", "attempt", "name", "log_id", "first_byte", "seq", "key")
    )
    return sorted(plain, key=lambda row: [row[name] for name in names if name in row])


def _value(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _JSON:
        return json.loads(value) if isinstance(value, str) else value
    if name in _BOOLEAN:
        return bool(value)
    if name.endswith("_at") or name in _TIME:
        return (datetime.fromisoformat(value) if isinstance(value, str) else value).replace(tzinfo=UTC)
    return value
