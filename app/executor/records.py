"""Between the plan's state and the database's rows: what a step changed, as one Change; a stored run, as a state."""

from __future__ import annotations

from typing import Any

import orjson

from app.domain.decisions import Decisions
from app.domain.phases import Phase, RunPhase
from app.domain.run_state import AttemptState, RunState, TaskState
from app.domain.workflow import parse_workflow
from app.storage.broker import RUNS, run_topic
from app.storage.models import AttemptRow
from app.storage.runs import (
    INSERT_ATTEMPT,
    UPDATE_ATTEMPT,
    UPDATE_RUN,
    UPDATE_TASK,
    StoredRun,
    insert_events,
)
from app.storage.writer import Change


def change_of(state: RunState, out: Decisions, epoch: int) -> Change:
    """Everything that a step has to record, under the run's epoch. Rows are written whole, from the state as it is now."""
    rows: list[Any] = []
    for task, attempt in out.new_attempts:
        out.attempts.pop((task.name, attempt.number), None)
        key = {"run_id": state.run_id, "task": task.name, "attempt": attempt.number}
        rows.append((INSERT_ATTEMPT, key | _new_attempt_row(attempt) | _attempt_row(attempt)))
    for task, attempt in out.attempts.values():
        key = {"b_run_id": state.run_id, "b_task": task.name, "b_attempt": attempt.number}
        rows.append((UPDATE_ATTEMPT, key | _attempt_row(attempt)))
    rows += [(UPDATE_TASK, _task_row(state, task)) for task in out.tasks.values()]
    rows.append((UPDATE_RUN, _run_row(state)))
    rows += insert_events(out.events)
    return Change(rows=rows, fence=(state.run_id, epoch), topics=(run_topic(state.run_id), RUNS), is_step=True)


def _new_attempt_row(attempt: AttemptState) -> dict[str, Any]:
    return {
        "namespace": attempt.namespace,
        "pod": attempt.pod,
        "created_at": attempt.created_at,
        "is_replacement": attempt.is_replacement,
    }


def _attempt_row(attempt: AttemptState) -> dict[str, Any]:
    return {
        "phase": attempt.phase.value,
        "reason": attempt.reason,
        "message": attempt.message,
        "exit_code": attempt.exit_code,
        "pod_uid": attempt.uid,
        "node": attempt.node,
        "started_at": attempt.started_at,
        "finished_at": attempt.finished_at,
        "log_sealed": attempt.log_sealed,
        "pod_deleted": attempt.pod_deleted,
    }


def _task_row(state: RunState, task: TaskState) -> dict[str, Any]:
    return {
        "b_run_id": state.run_id,
        "b_name": task.name,
        "phase": task.phase.value,
        "reason": task.reason,
        "message": task.message,
        "outputs": None,
        "started_at": task.started_at,
        "finished_at": task.finished_at,
        "retry_at": task.retry_at,
    }


def _run_row(state: RunState) -> dict[str, Any]:
    return {
        "run_id": state.run_id,
        "phase": state.phase.value,
        "reason": state.reason,
        "message": state.message,
        "is_finished": state.is_finished,
        "task_phases": {phase.value: count for phase, count in state.task_phases.items() if count},
        "started_at": state.started_at,
        "finished_at": state.finished_at,
    }


def restore(stored: StoredRun, default_namespace: str) -> RunState:
    """The state of a stored run: as it was when it was last recorded.

    Raises:
        InvalidWorkflow: this version of podrun does not take the document any more.
    """
    run = stored.run
    state = RunState(
        run_id=run.id,
        workflow=parse_workflow(orjson.loads(stored.document)),
        created_at=run.created_at,
        default_namespace=default_namespace,
        phase=RunPhase(run.phase),
        reason=run.reason,
        message=run.message,
        started_at=run.started_at,
        finished_at=run.finished_at,
        is_finished=run.is_finished,
    )
    if state.phase in (RunPhase.CANCELLING, RunPhase.CANCELLED):
        state.cancel_reason = run.cancel_reason
    for row in stored.tasks:
        task = state.tasks[row.name]
        task.phase = Phase(row.phase)
        task.reason, task.message = row.reason, row.message
        task.started_at, task.finished_at, task.retry_at = row.started_at, row.finished_at, row.retry_at
    for attempt in stored.attempts:
        restored = _attempt_of(attempt)
        restored.log_begun = (attempt.task, attempt.attempt) in stored.open_logs
        state.tasks[attempt.task].attempts.append(restored)
    state.recount()
    return state


def _attempt_of(row: AttemptRow) -> AttemptState:
    return AttemptState(
        number=row.attempt,
        namespace=row.namespace,
        pod=row.pod,
        created_at=row.created_at,
        phase=Phase(row.phase),
        reason=row.reason,
        message=row.message,
        exit_code=row.exit_code,
        uid=row.pod_uid,
        node=row.node,
        is_replacement=row.is_replacement,
        started_at=row.started_at,
        finished_at=row.finished_at,
        log_sealed=row.log_sealed,
        pod_deleted=row.pod_deleted,
    )
