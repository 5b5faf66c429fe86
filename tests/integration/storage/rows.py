"""Rows for tests of the storage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from app.storage.runs import INSERT_DOCUMENT, INSERT_RUN, INSERT_TASK, task_row
from app.storage.writer import Change

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def run_row(number: int, **values: Any) -> dict[str, Any]:
    """Runs in the order of their numbers, a second apart; the ids' times are those of their creation."""
    created_at = NOW + timedelta(seconds=number)
    milliseconds = f"{int(created_at.timestamp()) * 1000 + created_at.microsecond // 1000:012x}"
    return {
        "id": f"{milliseconds[:8]}-{milliseconds[8:]}-7000-8000-{number:012d}",
        "workflow": "demo",
        "workflow_version": None,
        "phase": "Pending",
        "reason": "",
        "message": "",
        "is_finished": False,
        "suspended": False,
        "params": {},
        "labels": {},
        "task_phases": {"Pending": 1},
        "version": 1,
        "created_at": created_at,
        "started_at": None,
        "finished_at": None,
        "retried_at": None,
        "clock": None,
        "group_key": None,
        "group_policy": None,
        "queued_at": None,
        "scheduled_at": None,
        "schedule_of": None,
        "cancel_requested_at": None,
        "cancel_reason": "",
        "cancel_force": False,
        "owner": None,
        "epoch": 0,
    } | values


def new_run(number: int, tasks: tuple[str, ...] = ("a",), **values: Any) -> Change:
    """The change that submits such a run."""
    row = run_row(number, **values)
    return Change(
        rows=[
            (INSERT_RUN, row),
            (INSERT_DOCUMENT, {"run_id": row["id"], "body": b"{}"}),
            *((INSERT_TASK, task_row(row["id"], name, position, ())) for position, name in enumerate(tasks)),
        ]
    )
