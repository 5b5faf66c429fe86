"""How one attempt moves: begun, created, running, over, and settled. Part of the plan; it decides nothing about tasks.

begin ─▶ Pending ─▶ Running ─▶ over ─▶ log sealed ─▶ pod deleted ─▶ settled
└──────────────────▲   └─▶ (cancelled, timed out: the pod's delete comes first, its log is followed to the end)
"""

from __future__ import annotations

from datetime import datetime, timedelta

from app.domain.decisions import Decisions
from app.domain.names import pod_name
from app.domain.phases import Phase
from app.domain.pods import ContainerPhase, PodObservation
from app.domain.retries import may_replace
from app.domain.run_state import AttemptState, RunState, TaskState, TimerKind
from app.domain.verdict import Verdict

#: Kubernetes' grace period where a pod names none.
GRACE_SECONDS = 30
#: A pod that is not gone so long after its grace period is on a node that does not answer.
NODE_LOST_SECONDS = 60


def begin_attempt(state: RunState, task: TaskState, out: Decisions) -> AttemptState:
    """Begin the task's next attempt: recorded first, then its pod is created."""
    number = len(task.attempts) + 1
    attempt = AttemptState(
        number=number,
        namespace=state.namespace_of(task),
        pod=pod_name(state.run_id, task.name, number),
        created_at=out.now,
        creating=True,
        is_replacement=bool(task.attempts) and may_replace(task, task.attempts[-1]),
    )
    task.attempts.append(attempt)
    state.live_attempts += 1
    state.unsettled += 1
    task.reason = task.message = ""
    task.retry_at = None
    if task.phase is not Phase.PENDING:
        state.move_task(task, Phase.PENDING)
    out.new_attempts.append((task, attempt))
    out.task_changed(state, task, phase_moved=False)
    out.attempt_changed(state, task, attempt, say=True)
    out.creates.append((task, attempt))
    out.is_urgent = True
    set_pending_timer(state, task, attempt)
    return attempt


def set_pending_timer(state: RunState, task: TaskState, attempt: AttemptState) -> None:
    """The attempt must have started by then."""
    at = attempt.created_at + timedelta(seconds=task.spec.pending_timeout_seconds)
    state.set_timer(at, TimerKind.PENDING_TIMEOUT, task.name, attempt.number)


def run_attempt(state: RunState, task: TaskState, attempt: AttemptState, started_at: datetime, out: Decisions) -> None:
    """Main runs."""
    state.move_attempt(task, attempt, Phase.RUNNING)
    attempt.reason = attempt.message = ""
    attempt.started_at = max(started_at, attempt.created_at)
    out.attempt_changed(state, task, attempt, say=True)
    if task.phase is Phase.PENDING:
        state.move_task(task, Phase.RUNNING)
    task.reason = task.message = ""
    task.started_at = task.started_at or attempt.started_at
    out.task_changed(state, task)
    if task.spec.timeout_seconds is not None:
        at = out.now + timedelta(seconds=task.spec.timeout_seconds)
        state.set_timer(at, TimerKind.TIMEOUT, task.name, attempt.number)


def explain_pending(state: RunState, task: TaskState, attempt: AttemptState, reason: str, message: str, out: Decisions) -> None:
    """The attempt waits, and this is why."""
    if (attempt.reason, attempt.message) == (reason, message):
        return
    attempt.reason, attempt.message = reason, message
    task.reason, task.message = reason, message
    out.attempt_changed(state, task, attempt, say=bool(reason))
    out.task_changed(state, task, phase_moved=False)


def end_attempt(
    state: RunState,
    task: TaskState,
    attempt: AttemptState,
    phase: Phase,
    reason: str,
    message: str,
    out: Decisions,
    verdict: Verdict | None = None,
) -> None:
    """End the attempt: with what its pod showed (`verdict`), or against its pod, whose delete is then due at once."""
    state.move_attempt(task, attempt, phase)
    attempt.reason, attempt.message = reason, message
    if verdict is not None:
        attempt.exit_code = verdict.exit_code
        if verdict.started_at is not None and attempt.started_at is None:
            attempt.started_at = max(verdict.started_at, attempt.created_at)
    finished = verdict.finished_at if verdict is not None and verdict.finished_at else out.now
    attempt.finished_at = max(finished, attempt.started_at or attempt.created_at)
    task.started_at = task.started_at or attempt.started_at
    out.released_slots += 1
    out.attempt_changed(state, task, attempt, say=True)
    settle(state, task, attempt, out)


def end_main(state: RunState, task: TaskState, attempt: AttemptState, out: Decisions) -> None:
    """Main has ended, or never will start: its log has an end, and the pod may go once that is stored."""
    if attempt.main_ended:
        return
    attempt.main_ended = True
    if attempt.phase.is_over:
        state.terminating -= 1
    if attempt.collecting:
        out.ended_logs.append((task, attempt))


def collect_log(task: TaskState, attempt: AttemptState, pod: PodObservation, out: Decisions) -> None:
    """Follow main's log from its first byte, once there is one."""
    main = pod.main
    if main is None or attempt.collecting or attempt.log_sealed or not pod.exists:
        return
    has_ended = main.phase is ContainerPhase.TERMINATED and main.started_at is not None and main.reason != "StartError"
    if main.phase is ContainerPhase.RUNNING or has_ended:
        attempt.collecting = True
        out.collects.append((task, attempt))


def delete_pod(state: RunState, task: TaskState, attempt: AttemptState, out: Decisions) -> None:
    """Ask for the pod's deletion, once."""
    if attempt.delete_requested or attempt.pod_deleted:
        return
    attempt.delete_requested = True
    out.deletes.append((task, attempt))
    if not attempt.main_ended:
        at = out.now + timedelta(seconds=GRACE_SECONDS + NODE_LOST_SECONDS)
        state.set_timer(at, TimerKind.NODE_LOST, task.name, attempt.number)


def settle(state: RunState, task: TaskState, attempt: AttemptState, out: Decisions) -> None:
    """Do what is left for an attempt that is over: seal, delete. Called whenever one of these may have become possible."""
    if not attempt.phase.is_over:
        return
    if attempt.uid is None and not attempt.creating:  # there never was a pod
        end_main(state, task, attempt, out)
        attempt.pod_deleted = True
    if attempt.main_ended and not attempt.collecting and not attempt.log_sealed:  # there is no log to wait for
        attempt.log_sealed = True
        out.attempt_changed(state, task, attempt)
    if attempt.uid is not None and (attempt.log_sealed or not attempt.main_ended):
        delete_pod(state, task, attempt, out)  # main has ended and its log is stored; or it must end now
    if attempt.is_settled and not attempt.counted_settled:
        attempt.counted_settled = True
        state.unsettled -= 1
        out.attempt_changed(state, task, attempt)
