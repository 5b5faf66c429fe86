"""What a run has come to, given how its tasks ended."""

from __future__ import annotations

from app.domain.phases import Phase, RunPhase
from app.domain.plan.run_state import RunState, TaskState

Outcome = tuple[RunPhase, str, str]  #: phase, reason, message


def run_outcome(state: RunState) -> Outcome:
    """The outcome of the tasks without those of `on_exit`: what these see as `run.phase`."""
    if state.cancel_reason is not None:
        return RunPhase.CANCELLED, "Cancelled", state.cancel_reason
    if state.timed_out:
        return RunPhase.FAILED, "DeadlineExceeded", f"the run's timeout of {state.workflow.timeout_seconds:g} s is over"
    if state.open_main:
        return _main_outcome(state)
    if state.main_outcome is None:  # each task of `on_exit` may ask
        state.main_outcome = _main_outcome(state)
    return state.main_outcome


def _main_outcome(state: RunState) -> Outcome:
    for phase, run_phase, reason in (
        (Phase.CANCELLED, RunPhase.CANCELLED, "Cancelled"),  # it was retried but for these tasks
        (Phase.FAILED, RunPhase.FAILED, "TaskFailed"),
        (Phase.ERROR, RunPhase.ERROR, "TaskError"),
    ):
        if (told := _told(state, phase, is_exit=False)) is not None:
            return run_phase, reason, told
    return RunPhase.SUCCEEDED, "", ""


def final_outcome(state: RunState) -> Outcome:
    """The outcome of the whole run: a failed task of `on_exit` fails a run that had succeeded."""
    outcome = run_outcome(state)
    if outcome[0] is not RunPhase.SUCCEEDED:
        return outcome
    for phase in (Phase.FAILED, Phase.ERROR):
        if (told := _told(state, phase, is_exit=True)) is not None:
            return RunPhase.FAILED, "OnExitFailed", told
    return outcome


def _told(state: RunState, phase: Phase, *, is_exit: bool) -> str | None:
    """A sentence on the first task in this phase that may not be in it, None if there is none."""
    if not state.task_phases[phase]:
        return None
    bad = [task for task in state.tasks.values() if task.phase is phase and _counts(task, is_exit=is_exit)]
    if not bad:
        return None
    first = min(bad, key=lambda task: task.place)
    more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
    return f"task {first.name}: {first.reason}: {first.message}{more}"


def _counts(task: TaskState, *, is_exit: bool) -> bool:
    return task.node.is_exit is is_exit and not task.allows_failure
