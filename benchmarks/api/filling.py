"""Databases with many runs that are over, written straight into the tables of the real migrations, on SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.storage.migrate import upgrade

#: The first run's time; a second later comes the next.
FIRST_AT = datetime(2026, 1, 1, tzinfo=UTC)
WORKFLOWS = 100
#: One of so many runs.
FAILED_OF, ERROR_OF, RARE_OF = 50, 250, 10
BATCH = 50_000
COMMON = "daily"
DOCUMENT = {"name": "filled", "tasks": [{"name": "a", "image": "busybox:1", "command": ["true"]}]}

RUN_SQL = """INSERT INTO runs (id, workflow, phase, reason, message, is_finished, suspended, params, labels, task_phases,
version, created_at, started_at, finished_at, cancel_reason, cancel_force, epoch)
VALUES (?, ?, ?, ?, ?, 1, 0, '{}', ?, ?, 7, ?, ?, ?, '', 0, 1)"""
DOCUMENT_SQL = "INSERT INTO documents (run_id, body) VALUES (?, ?)"
TASK_SQL = """INSERT INTO task_runs (run_id, name, position, depends_on, phase, reason, message, attempts_before, started_at,
finished_at) VALUES (?, 'a', 0, '[]', 'Succeeded', '', '', 0, ?, ?)"""
ATTEMPT_SQL = """INSERT INTO attempts (run_id, task, attempt, phase, reason, message, exit_code, namespace, pod, is_replacement,
created_at, started_at, finished_at, log_sealed, pod_deleted)
VALUES (?, 'a', 1, 'Succeeded', '', '', 0, 'default', ?, 0, ?, ?, ?, 1, 1)"""

Row = tuple[object, ...]


def time_of(number: int) -> datetime:
    """When the run of that number was created."""
    return FIRST_AT + timedelta(seconds=number)


def id_of(number: int) -> str:
    """The run's id: a UUIDv7 of its time, which the number makes unique."""
    milliseconds = f"{int(time_of(number).timestamp() * 1000):012x}"
    return f"{milliseconds[:8]}-{milliseconds[8:]}-7000-8000-{number:012x}"


def workflow_of(number: int) -> str:
    """The workflow of that run: they come in turn."""
    return f"workflow-{number % WORKFLOWS}"


def phase_of(number: int) -> str:
    """The phase of that run."""
    spread = number * 7919 // WORKFLOWS  # not in step with the workflows
    return "Error" if spread % ERROR_OF == 0 else "Failed" if spread % FAILED_OF == 0 else "Succeeded"


def _written(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S.%f")


def _runs(first: int, end: int) -> Iterator[Row]:
    for number in range(first, end):
        phase, created = phase_of(number), time_of(number)
        labels = {"team": f"team-{number % RARE_OF}", "kind": COMMON}
        reason, message = ("", "") if phase == "Succeeded" else ("TaskFailed", "a: exit code 1")
        yield (
            id_of(number), workflow_of(number), phase, reason, message, json.dumps(labels), json.dumps({phase: 1}),
            _written(created), _written(created), _written(created + timedelta(seconds=30)),
        )  # fmt: skip


def fill_runs(database: Path, count: int, *, whole: bool = False) -> None:
    """Make the database and write so many runs that are over; `whole`: with their documents, tasks and attempts."""
    upgrade(f"sqlite+aiosqlite:///{database}")
    connection = sqlite3.connect(database)
    # Nobody else has it open, and what is cut off is made anew: nothing is waited for.
    for pragma in ("synchronous=OFF", "cache_size=-400000"):
        connection.execute(f"PRAGMA {pragma}").close()
    body = json.dumps(DOCUMENT).encode()
    for first in range(0, count, BATCH):
        end = min(first + BATCH, count)
        with connection:
            connection.executemany(RUN_SQL, _runs(first, end))
            if whole:
                ids = [(id_of(number), _written(time_of(number))) for number in range(first, end)]
                connection.executemany(DOCUMENT_SQL, ((run_id, body) for run_id, _ in ids))
                connection.executemany(TASK_SQL, ((run_id, time, time) for run_id, time in ids))
                connection.executemany(ATTEMPT_SQL, ((run_id, f"pod-{run_id}", time, time, time) for run_id, time in ids))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
    connection.close()
