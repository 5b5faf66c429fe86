"""Tasks that wait for a person. Part of the plan."""

from __future__ import annotations

from datetime import timedelta

from app.domain.phases import Phase
from app.domain.plan.decisions import Decisions
from app.domain.plan.run_state import RunState, TaskState
from app.domain.plan.task_flow import WAITING_FOR_APPROVAL, Outcome, approval_seconds, end_task


def answer(state: RunState, name: str, comment: str, out: Decisions, *, approved: bool) -> None:
    """Somebody has approved or rejected the task. It does nothing where nobody waits for that any more."""
    task = state.tasks.get(name)
    if task is None or task.phase is not Phase.RUNNING or task.reason != WAITING_FOR_APPROVAL:
        return
    if approved:
        end_task(state, task, Outcome(Phase.SUCCEEDED, "Approved", comment), out)
    else:
        end_task(state, task, Outcome(Phase.FAILED, "Rejected", comment or "somebody rejected it"), out)


def time_out(state: RunState, task: TaskState, out: Decisions) -> None:
    """Nobody has answered in time."""
    approval, seconds = task.spec.approval if task.spec else None, approval_seconds(task)
    if approval is None or seconds is None or task.phase is not Phase.RUNNING or task.reason != WAITING_FOR_APPROVAL:
        return
    if task.started_at is None or task.started_at + timedelta(seconds=seconds) > out.now:
        return  # it waits anew, since the run was retried
    message = f"nobody approved it within {seconds:g} s"
    phase = Phase.SKIPPED if approval.on_timeout == "skip" else Phase.FAILED
    end_task(state, task, Outcome(phase, "ApprovalTimeout", message), out)
