"""Runs, tasks, attempts and events as users see them: plain dicts of JSON values, keys as the contract lists them.

Times are text here, so that encoding needs no options and each has the same width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from app.domain.phases import RunPhase
from app.runs.cursors import event_cursor
from app.storage.models import AttemptRow, EventRow, LogRow, RunRow, TaskRow
from app.storage.run_lists import PhaseCounts

API_PREFIX = "/api/v1"
_PART = 500  #: entries of a list that are encoded at once: with outputs that may be two megabytes
View = dict[str, Any]


def encode(value: Any) -> bytes:
    """The JSON of a view."""
    return orjson.dumps(value)


def encode_with_list(view: View, key: str, items: Sequence[View]) -> bytes:
    """The JSON of a view with a long list as its last key. In parts: a part's encoding holds up all threads."""
    parts = (encode(items[start : start + _PART])[1:-1] for start in range(0, len(items), _PART))
    return b"".join((encode(view)[:-1], b",", encode(key), b":[", b",".join(parts), b"]}"))


def time_text(value: datetime | None) -> str | None:
    """RFC 3339 in UTC with microseconds, such as `2026-01-31T12:00:00.000000Z`."""
    if value is None:
        return None
    return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def run_etag(run: RunRow) -> str:
    """The run's weak entity tag."""
    return f'W/"{run.id}.{run.version}"'


def run_view(run: RunRow) -> View:
    """A run."""
    here = f"{API_PREFIX}/runs/{run.id}"
    return {
        "id": run.id,
        "workflow": run.workflow,
        "workflow_version": run.workflow_version,
        "phase": run.phase,
        "reason": run.reason or None,
        "message": run.message or None,
        "is_finished": run.is_finished,
        "suspended": run.suspended,
        "params": run.params,
        "labels": run.labels,
        "created_at": time_text(run.created_at),
        "scheduled_at": time_text(run.scheduled_at),
        "started_at": time_text(run.started_at),
        "finished_at": time_text(run.finished_at),
        "retried_at": time_text(run.retried_at),
        "task_phases": run.task_phases,
        "version": run.version,
        "links": {
            "self": here,
            "tasks": f"{here}/tasks",
            "logs": f"{here}/logs",
            "events": f"{here}/events",
            "workflow": f"{here}/workflow",
            "page": f"/runs/{run.id}",
        },
    }


def phase_counts_view(counts: PhaseCounts) -> View:
    """How many runs are in which phase, each phase named."""
    return {
        "phases": {phase.value: counts.phases.get(phase.value, 0) for phase in RunPhase},
        "looked_at": counts.looked_at,
        "is_complete": counts.is_complete,
    }


def task_views(tasks: Iterable[TaskRow], attempts: Iterable[AttemptRow], logs: Iterable[LogRow]) -> list[View]:
    """Tasks with their attempts; `logs` are those of the containers `main`."""
    stored = {(row.task, row.attempt): row for row in logs}
    by_task: dict[str, list[View]] = {}
    for row in attempts:
        by_task.setdefault(row.task, []).append(_attempt_view(row, stored.get((row.task, row.attempt))))
    return [_task_view(row, by_task.get(row.name, [])) for row in tasks]


def _task_view(row: TaskRow, attempts: Sequence[View]) -> View:
    foreach = None
    if row.foreach_task is not None:
        foreach = {"task": row.foreach_task, "index": row.foreach_index, "item": row.item}
    return {
        "name": row.name,
        "phase": row.phase,
        "reason": row.reason or None,
        "message": row.message or None,
        "depends_on": row.depends_on,
        "foreach": foreach,
        "outputs": row.outputs,
        "started_at": time_text(row.started_at),
        "finished_at": time_text(row.finished_at),
        "attempts": attempts,
    }


def _attempt_view(row: AttemptRow, log: LogRow | None) -> View:
    return {
        "attempt": row.attempt,
        "phase": row.phase,
        "reason": row.reason or None,
        "message": row.message or None,
        "exit_code": row.exit_code,
        "pod": row.pod,
        "namespace": row.namespace,
        "node": row.node,
        "created_at": time_text(row.created_at),
        "started_at": time_text(row.started_at),
        "finished_at": time_text(row.finished_at),
        "log": {
            "bytes": log.bytes if log else 0,
            "lines": log.lines if log else 0,
            "sealed": log.sealed if log else row.log_sealed,
            "gaps": log.gaps if log else 0,
        },
    }


def event_view(row: EventRow, workflows: Mapping[str, str]) -> View:
    """An entry of the history; `workflows` has the workflow's name of each run in question."""
    return {
        "cursor": event_cursor(row.id or 0),
        "time": time_text(row.time),
        "type": row.type,
        "run_id": row.run_id,
        "workflow": workflows.get(row.run_id),
        "task": row.task,
        "attempt": row.attempt,
        "phase": row.phase,
        "reason": row.reason or None,
        "message": row.message or None,
        "details": row.details,
    }
