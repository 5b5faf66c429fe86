"""Between the plan's state and the database's rows: what a step changed, as one Change; a stored run, as a state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from app import failpoints
from app.domain.events import EventType
from app.domain.phases import Phase, RunPhase
from app.domain.plan.attempt_state import AttemptState
from app.domain.plan.decisions import Decisions
from app.domain.plan.evaluation import restore_limit, restore_values
from app.domain.plan.run_state import RunState, TaskState
from app.domain.workflow.parsed import find_parsed
from app.domain.workflow.parsing import parse_workflow
from app.failpoints import Action
from app.storage.broker import RUNS, run_topic
from app.storage.intents import DELETE_INTENT
from app.storage.models import AttemptRow
from app.storage.runs import (
    CLEAR_SUSPENDED,
    DELETE_TASK,
    INSERT_ATTEMPT,
    INSERT_TASK,
    UPDATE_ATTEMPT,
    UPDATE_RUN,
    UPDATE_TASK,
    StoredRun,
    insert_events,
    task_row,
)
from app.storage.writer import Change


def change_of(state: RunState, out: Decisions, epoch: int, clock: str) -> Change:
    """Everything that a step has to record, under the run's epoch. Rows are written whole, from the state as it is now.

    `clock`: how the run's clock is kept.
    """
    run_id = state.run_id
    rows: list[Any] = [(DELETE_TASK, {"b_run_id": run_id, "b_name": name}) for name in out.gone_tasks]
    rows += [(INSERT_TASK, _new_task_row(run_id, task) | _task_columns(task)) for task in out.new_tasks.values()]
    for task, attempt in out.new_attempts:
        out.attempts.pop((task.name, attempt.number), None)
        key = {"run_id": run_id, "task": task.name, "attempt": attempt.number}
        rows.append((INSERT_ATTEMPT, key | _new_attempt_row(attempt) | _attempt_row(attempt)))
    for task, attempt in out.attempts.values():
        key = {"b_run_id": run_id, "b_task": task.name, "b_attempt": attempt.number}
        rows.append((UPDATE_ATTEMPT, key | _attempt_row(attempt)))
    rows += [
        (UPDATE_TASK, {"b_run_id": run_id, "b_name": name} | _task_columns(task))
        for name, task in out.tasks.items()
        if name not in out.new_tasks
    ]
    rows.append((UPDATE_RUN, _run_row(state) | {"clock": clock}))
    if state.is_finished and state.suspended:
        rows.append((CLEAR_SUSPENDED, {"b_run_id": run_id}))
    rows += [(DELETE_INTENT, {"b_id": request}) for request in out.done_requests]
    rows += insert_events(out.events)
    actions = _actions(out) if failpoints.is_armed() else ()
    return Change(rows=rows, fence=(run_id, epoch), topics=(run_topic(run_id), RUNS), actions=actions, is_step=True)


def _actions(out: Decisions) -> list[Action]:
    """What the step does, for failpoints."""
    done = [action for action, happens in _run_actions(out).items() if happens]
    for _, attempt in out.attempts.values():
        if attempt.is_settled:
            done.append(Action.SETTLE_ATTEMPT)
        elif attempt.phase.is_over:
            done.append(Action.RECORD_OUTCOME)
        elif attempt.phase is Phase.RUNNING:
            done.append(Action.RECORD_RUNNING)
        elif attempt.uid is not None:
            done.append(Action.RECORD_UID)
    done += [Action.RECORD_VALUES for task in out.tasks.values() if task.values is not None and not task.attempts]
    return done or [Action.RECORD_STEP]


def _run_actions(out: Decisions) -> dict[Action, bool]:
    told = [event.phase for event in out.events if event.type is EventType.RUN]
    return {
        Action.START_RUN: RunPhase.RUNNING.value in told,
        Action.LAY_OUT_ITEMS: bool(out.new_tasks),
        Action.BEGIN_ATTEMPT: bool(out.new_attempts),
        Action.HEED_REQUEST: bool(out.done_requests),
        Action.END_RUN: any(phase is not None and RunPhase(phase).is_over for phase in told),
        Action.FINISH_RUN: any(event.type is EventType.FINISHED for event in out.events),
    }


def _new_task_row(run_id: str, task: TaskState) -> dict[str, Any]:
    return task_row(
        run_id,
        task.name,
        position=task.node.position,
        depends_on=task.node.depends_on,
        foreach_task=None if task.index is None else task.node.name,
        foreach_index=task.index,
        item=task.item,
    )


def _new_attempt_row(attempt: AttemptState) -> dict[str, Any]:
    return {
        "namespace": attempt.namespace,
        "pod": attempt.pod,
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
        "created_at": attempt.created_at,
        "started_at": attempt.started_at,
        "finished_at": attempt.finished_at,
        "log_sealed": attempt.log_sealed,
        "pod_deleted": attempt.pod_deleted,
    }


def _task_columns(task: TaskState) -> dict[str, Any]:
    return {
        "phase": task.phase.value,
        "reason": task.reason,
        "message": task.message,
        "values": task.values,
        "outputs": task.outputs,
        "attempts_before": task.attempts_before,
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
        "retried_at": state.retried_at,
    }


def restore(stored: StoredRun, namespaces: Sequence[str]) -> RunState:
    """The state of a stored run: as it was when it was last recorded.

    Args:
        stored: its rows.
        namespaces: where pods may run; the first is the default.

    Raises:
        InvalidWorkflow: this version of podrun does not take the document any more.
    """
    run = stored.run
    state = RunState(
        run_id=run.id,
        workflow=find_parsed(stored.document) or parse_workflow(orjson.loads(stored.document)),
        created_at=run.created_at,
        namespaces=tuple(namespaces),
        params=run.params,
        phase=RunPhase(run.phase),
        reason=run.reason,
        message=run.message,
        started_at=run.started_at,
        retried_at=run.retried_at,
        finished_at=run.finished_at,
        is_finished=run.is_finished,
        suspended=run.suspended,
    )
    if state.phase in (RunPhase.CANCELLING, RunPhase.CANCELLED):
        state.cancel_reason = run.cancel_reason
    state.timed_out = state.phase is RunPhase.RUNNING and run.reason == "DeadlineExceeded"
    _restore_tasks(state, stored)
    for attempt in stored.attempts:
        restored = _attempt_of(attempt, stored.logs.get((attempt.task, attempt.attempt), {}))
        task = state.tasks.get(attempt.task)
        # Items of a fan-out that was laid out before the run was retried: their attempts count when they come back.
        (task.attempts if task is not None else state.former.setdefault(attempt.task, [])).append(restored)
    for node in state.nodes.values():  # what values make looks at where the attempts run
        restore_limit(node)
        restore_values(state, node)
    state.recount()
    # What is asked may not be done yet: then `on_exit` is still open, and the forced cancel is to be done.
    state.cancel_forced = state.cancel_reason is not None and run.cancel_force and not state.open_exit
    return state


def newest_time(stored: StoredRun) -> datetime:
    """The latest time at which something of the run is recorded to have been."""
    run = stored.run
    times = [run.created_at, run.started_at, run.retried_at, run.finished_at]
    for task in stored.tasks:
        times += (task.started_at, task.finished_at)
    for attempt in stored.attempts:
        times += (attempt.created_at, attempt.started_at, attempt.finished_at)
    return max(time for time in times if time is not None)


def let_go(state: RunState) -> None:
    """Forget a run that is over task by task; nothing can be asked of the state any more. For large ones, in a thread.

    Forgotten at once, the hundreds of thousands of objects that it consists of would hold up all threads.
    """
    nodes = [*state.workflow.nodes]
    del state.workflow
    while nodes:
        nodes.pop()
        if state.nodes:
            state.nodes.popitem()
    while state.tasks:
        state.tasks.popitem()


def _restore_tasks(state: RunState, stored: StoredRun) -> None:
    items: dict[str, list[Any]] = {}
    for row in stored.tasks:
        if row.foreach_task is not None:
            items.setdefault(row.foreach_task, []).append(row.item)
    for name, of_node in items.items():
        foreach = state.nodes[name].node.foreach
        if foreach is not None and foreach.items is None:
            state.lay_out(name, of_node)
    for row in stored.tasks:
        task = state.tasks[row.name]
        task.phase = Phase(row.phase)
        task.reason, task.message = row.reason, row.message
        task.started_at, task.finished_at, task.retry_at = row.started_at, row.finished_at, row.retry_at
        task.outputs, task.values, task.attempts_before = row.outputs, row.values, row.attempts_before


def _attempt_of(row: AttemptRow, logs: Mapping[str, bool]) -> AttemptState:
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
        sealed_logs={container for container, sealed in logs.items() if sealed},
        begun_logs={container for container, sealed in logs.items() if not sealed},
    )
