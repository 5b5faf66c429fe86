"""Going on after a restart: the plan's state from what was stored, then the pods as they are now.

Part of the plan, called by the run actor when it takes up a run that another process, or an earlier actor, has begun.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from app.domain import attempt_flow, plan, task_flow
from app.domain.decisions import Decisions
from app.domain.phases import Phase, RunPhase
from app.domain.pods import PodObservation
from app.domain.run_state import AttemptState, RunState, TaskState, TimerKind

FindPod = Callable[[str, str], PodObservation | None]


def recover(state: RunState) -> None:
    """Derive from the stored tasks and attempts what is not stored: timers, what is ready, what still ends."""
    state.recount()
    workflow = state.workflow
    if workflow.timeout_seconds is not None and state.started_at is not None:
        state.set_timer(state.started_at + timedelta(seconds=workflow.timeout_seconds), TimerKind.RUN_TIMEOUT)
    for task in state.tasks.values():
        failed = task.phase in (Phase.FAILED, Phase.ERROR) and not task.spec.allow_failure
        state.failing_fast = state.failing_fast or (workflow.fail_fast and failed)
        state.terminating += sum(attempt.phase.is_over and not attempt.is_settled for attempt in task.attempts)
        if not task.phase.is_over:
            _set_timers(state, task)


def _set_timers(state: RunState, task: TaskState) -> None:
    live = task.live
    if live is not None and live.phase is Phase.PENDING:
        attempt_flow.set_pending_timer(state, task, live)
    elif live is not None and task.spec.timeout_seconds is not None and live.started_at is not None:
        at = live.started_at + timedelta(seconds=task.spec.timeout_seconds)
        state.set_timer(at, TimerKind.TIMEOUT, task.name, live.number)
    elif live is None and task.retry_at is not None:
        state.set_timer(task.retry_at, TimerKind.RETRY, task.name, len(task.attempts))
    elif live is None and task.open_upstreams == 0 and state.phase is RunPhase.RUNNING:
        task_flow.make_ready(state, task)


def reconcile(state: RunState, find_pod: FindPod, out: Decisions) -> None:
    """Compare every attempt that is not settled with the pods that are there. The watch must have listed them all."""
    for task in state.tasks.values():
        for attempt in task.attempts:
            if not attempt.is_settled:
                _reconcile(state, task, attempt, find_pod(attempt.namespace, attempt.pod), out)


def _reconcile(state: RunState, task: TaskState, attempt: AttemptState, pod: PodObservation | None, out: Decisions) -> None:
    if pod is not None:
        plan.pod_observed(state, pod, out)
    elif attempt.uid is None:
        # No pod was recorded and none is there: the same name again, so that a creation under way is met, not doubled.
        attempt.creating = True
        if attempt.phase.is_over:  # but one may be on its way
            state.set_timer(out.now, TimerKind.CREATE, task.name, attempt.number)
        else:
            out.creates.append((task, attempt))
    else:
        gone = PodObservation(
            key=state.key(task, attempt), namespace=attempt.namespace, name=attempt.pod, uid=attempt.uid, exists=False,
            phase="Unknown",
        )  # fmt: skip
        has_log = attempt.started_at is not None or attempt.log_begun  # cancelled while Pending, it may have begun to speak
        if has_log and not attempt.log_sealed and not attempt.collecting:
            attempt.collecting = True  # what was stored of its log is all there is: the collector seals it, and says so
            out.collects.append((task, attempt))
        plan.pod_observed(state, gone, out)
