"""How one attempt moves: begun, created, running, over, and settled. Part of the plan; it decides nothing about tasks.

begin ─▶ Pending ─▶ Running ─▶ over ─▶ log sealed ─▶ pod deleted ─▶ settled
└──────────────────▲   └─▶ (cancelled, timed out: the pod's delete comes first, its log is followed to the end)
"""

from __future__ import annotations

from datetime import datetime, timedelta

from app.domain.names import pod_name
from app.domain.phases import Phase
from app.domain.plan.attempt_state import AttemptState
from app.domain.plan.decisions import Decisions
from app.domain.plan.retries import may_replace
from app.domain.plan.run_state import RunState, TaskState, TimerKind
from app.domain.plan.verdict import Verdict
from app.domain.pods import MAIN, ContainerObservation, ContainerPhase, PodObservation
from app.domain.workflow.document import Task

#: Kubernetes' grace period where a pod names none.
GRACE_SECONDS = 30
#: The kubelet cuts the times of a container's start and end to these.
_WHOLE_SECOND = timedelta(seconds=1)
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
        is_replacement=bool(task.recent_attempts) and may_replace(task, task.attempts[-1]),
    )
    task.attempts.append(attempt)
    state.live_attempts += 1
    state.nodes[task.node.name].live_attempts += 1
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


def spec_of(task: TaskState) -> Task:
    """The whole of a task that has an attempt: its expressions were evaluated before."""
    if task.spec is None:
        raise AssertionError(f"task {task.name} has an attempt, and its expressions are not known")
    return task.spec


def set_pending_timer(state: RunState, task: TaskState, attempt: AttemptState) -> None:
    """The attempt must have started by then."""
    at = attempt.created_at + timedelta(seconds=spec_of(task).pending_timeout_seconds)
    state.set_timer(at, TimerKind.PENDING_TIMEOUT, task.name, attempt.number)


def run_attempt(state: RunState, task: TaskState, attempt: AttemptState, started_at: datetime, out: Decisions) -> None:
    """Main runs."""
    state.move_attempt(task, attempt, Phase.RUNNING)
    attempt.reason = attempt.message = ""
    attempt.started_at = _as_told(started_at, attempt.created_at, out.now)
    out.attempt_changed(state, task, attempt, say=True)
    if task.phase is Phase.PENDING:
        state.move_task(task, Phase.RUNNING)
    task.reason = task.message = ""
    task.started_at = task.started_at or attempt.started_at
    out.task_changed(state, task)
    set_timeout(state, task, attempt, out)


def set_timeout(state: RunState, task: TaskState, attempt: AttemptState, out: Decisions) -> None:
    """An attempt whose main has started must be over by then."""
    timeout_seconds = spec_of(task).timeout_seconds
    if timeout_seconds is not None and attempt.started_at is not None:
        at = at_the_latest(attempt.started_at, out.now) + timedelta(seconds=timeout_seconds)
        state.set_timer(at, TimerKind.TIMEOUT, task.name, attempt.number)


def _as_told(told: datetime | None, earliest: datetime, now: datetime) -> datetime:
    """When main started or ended, as its node says, where that can be so by the run's clock; else now, when it was seen.

    Nodes have clocks of their own.
    """
    if told is None or not earliest - _WHOLE_SECOND < told <= now:
        return now
    return max(told, earliest)


def at_the_latest(told: datetime, now: datetime) -> datetime:
    """The last moment that a time may stand for which may have been cut to whole seconds."""
    return told if told.microsecond else min(told + _WHOLE_SECOND, now)


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
            attempt.started_at = _as_told(verdict.started_at, attempt.created_at, out.now)
    finished_at = verdict.finished_at if verdict is not None else None
    attempt.finished_at = _as_told(finished_at, attempt.started_at or attempt.created_at, out.now)
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
    end_log(task, attempt, MAIN, out)


def end_log(task: TaskState, attempt: AttemptState, container: str, out: Decisions) -> None:
    """Nothing more comes into a container's log."""
    if container in attempt.collecting and container not in attempt.ended_logs:
        attempt.ended_logs.add(container)
        out.ended_logs.append((task, attempt, container))


def collect_logs(task: TaskState, attempt: AttemptState, pod: PodObservation, out: Decisions) -> None:
    """Follow each container's log from its first byte, once there is one. Called before `end_main`, so that none is missed."""
    attempt.others_run = False
    attempt.pod_leaves = not pod.exists or pod.deletion_at is not None
    for container in pod.containers:
        if container.name == MAIN:
            attempt.told_started_at, attempt.told_finished_at = container.started_at, container.finished_at
        elif container.phase is not ContainerPhase.TERMINATED and pod.exists:
            attempt.others_run = attempt.others_run or container.phase is ContainerPhase.RUNNING
        is_known = container.name in attempt.collecting or container.name in attempt.sealed_logs
        if not is_known and pod.exists and _has_log(container):
            attempt.collecting.add(container.name)
            out.collects.append((task, attempt, container.name))
    if not pod.exists:
        unseen = {container.name for container in pod.containers if container.phase is not ContainerPhase.TERMINATED}
        attempt.orphaned_logs = attempt.collecting & unseen
        collect_rest(task, attempt, out)


def collect_rest(task: TaskState, attempt: AttemptState, out: Decisions) -> None:
    """The pod is gone: what was stored of its logs is all there is. A collector seals each, and says so."""
    # Main may have spoken unheard.
    mute = {MAIN} if attempt.started_at is not None else set()
    for container in sorted((attempt.begun_logs | mute) - attempt.collecting - attempt.sealed_logs):
        attempt.collecting.add(container)
        out.collects.append((task, attempt, container))
        end_log(task, attempt, container, out)


def _has_log(container: ContainerObservation) -> bool:
    if container.phase is ContainerPhase.TERMINATED:
        return container.started_at is not None and container.reason != "StartError"
    return container.phase is ContainerPhase.RUNNING


def end_logs(task: TaskState, attempt: AttemptState, pod: PodObservation, out: Decisions) -> None:
    """Say which containers have ended for good. A sidecar is started again until main has ended; main has `end_main`."""
    for container in pod.containers:
        if container.name == MAIN:
            continue
        restarts = container.is_sidecar or not container.is_init
        is_over = container.phase is ContainerPhase.TERMINATED and (attempt.main_ended or not restarts)
        if is_over or not pod.exists:
            end_log(task, attempt, container.name, out)


def delete_pod(state: RunState, task: TaskState, attempt: AttemptState, out: Decisions) -> None:
    """Ask for the pod's deletion, once."""
    if attempt.delete_requested or attempt.pod_deleted:
        return
    attempt.delete_requested = True
    out.deletes.append((task, attempt))
    if not attempt.main_ended or attempt.collecting:
        expect_gone(state, task, attempt, None, out)


def expect_gone(state: RunState, task: TaskState, attempt: AttemptState, grace_seconds: int | None, out: Decisions) -> None:
    """The pod is being deleted. It goes within its grace period (None: its own) from now, unless its node does not answer.

    That counts from when it was first seen: what the cluster's clock says of its end is not to be compared with ours.
    """
    grace = _grace_seconds(task) if grace_seconds is None else grace_seconds
    at = out.now + timedelta(seconds=grace + NODE_LOST_SECONDS)
    if attempt.gone_by is None or at < attempt.gone_by:
        attempt.gone_by = at
        state.set_timer(at, TimerKind.NODE_LOST, task.name, attempt.number)


def _grace_seconds(task: TaskState) -> int:
    """How long the pod's containers have to end after the delete."""
    written = task.spec.pod.get("terminationGracePeriodSeconds") if task.spec and task.spec.pod else None
    return written if isinstance(written, int) else GRACE_SECONDS


def settle(state: RunState, task: TaskState, attempt: AttemptState, out: Decisions) -> None:
    """Do what is left for an attempt that is over: seal, delete. Called whenever one of these may have become possible."""
    if not attempt.phase.is_over:
        return
    attempt.creating = attempt.creating and not attempt.is_absent
    if attempt.uid is None and not attempt.creating:  # there never was a pod
        end_main(state, task, attempt, out)
        attempt.pod_deleted = True
    is_silent = not attempt.collecting and (not attempt.others_run or attempt.pod_deleted)
    if attempt.main_ended and is_silent and not attempt.log_sealed:  # there is no log to wait for
        attempt.log_sealed = True
        out.attempt_changed(state, task, attempt)
    if attempt.uid is not None and (not attempt.main_ended or _only_others_speak(attempt)):
        delete_pod(state, task, attempt, out)  # main has ended and its log is stored; or it must end now
    if attempt.is_settled and not attempt.counted_settled:
        attempt.counted_settled = True
        state.unsettled -= 1
        out.attempt_changed(state, task, attempt)


def _only_others_speak(attempt: AttemptState) -> bool:
    """Whether all logs are stored but those of containers that only the pod's delete will end."""
    return attempt.log_sealed or not (attempt.collecting & (attempt.ended_logs | {MAIN}))
