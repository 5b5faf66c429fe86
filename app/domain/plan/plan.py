"""The plan: what a run does next, given what happened. The executor's run actor asks it, records its decisions, then acts.

Every function takes the run's state, what was observed, and a `Decisions` that says what time it is and whether the cluster
can be seen, and collects the answer.
Nothing else goes in: no clock, no randomness, no I/O. So the same observations in the same order give the same outcome,
before a restart and after it. A step is any number of these calls and then, once, `step`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import timedelta

from app.domain.events import EventType
from app.domain.phases import Phase, RunPhase
from app.domain.plan import approvals, attempt_flow, task_flow
from app.domain.plan.attempt_state import AttemptState
from app.domain.plan.decisions import Decisions
from app.domain.plan.outcome import final_outcome
from app.domain.plan.outputs import OutputsRefused, read_outputs
from app.domain.plan.retries import back_off, may_replace, may_retry, retry_delay
from app.domain.plan.run_state import RunState, TaskState, Timer, TimerKind
from app.domain.plan.verdict import ORDINARY_WAITING, Verdict, judge
from app.domain.pods import MAIN, AttemptKey, PodEvent, PodObservation

#: What components say of a pod that waits, where the pod itself says nothing but ContainerCreating.
_TELLING_EVENTS = frozenset({"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "NetworkNotReady", "FailedBinding"})

#: Deferred for one of these, a creation has certainly made no pod; otherwise its answer may be what was lost.
_NOTHING_MADE = frozenset({"QuotaExceeded", "LeaseExpired"})

#: What these timers end may have come to its end by itself while nobody looked.
_AFTER_A_LOOK = frozenset({TimerKind.RUN_TIMEOUT, TimerKind.TIMEOUT, TimerKind.PENDING_TIMEOUT})

#: What is due while the cluster can't be seen waits for so long, again and again; a pod has that time to show that it went.
_UNSEEN_SECONDS = dict.fromkeys(_AFTER_A_LOOK, 0.5) | {TimerKind.NODE_LOST: float(attempt_flow.NODE_LOST_SECONDS)}

#: An attempt that ended while its pod's creation was not answered waits so many times, some 30 s in all, for the pod to show.
_LATE_POD_LOOKS = 6


def start(state: RunState, out: Decisions) -> None:
    """The run begins: it was taken up for the first time, or again after it was retried."""
    state.move_run(RunPhase.RUNNING)
    state.reason = state.message = ""
    if state.started_at is None:
        state.started_at = out.now
    else:  # what it waited for its turn in a group does not count
        state.retried_at = out.now
    out.run_changed = True
    out.say(state, EventType.RUN, phase=state.phase.value)
    set_run_timer(state)
    task_flow.begin(state, out)


def set_run_timer(state: RunState) -> None:
    """The run's timeout counts from its start, or from when it was retried."""
    if state.workflow.timeout_seconds is not None and state.started_at is not None:
        since = max(state.started_at, state.retried_at or state.started_at)
        state.set_timer(since + timedelta(seconds=state.workflow.timeout_seconds), TimerKind.RUN_TIMEOUT)


def step(state: RunState, take_slot: Callable[[], bool], out: Decisions) -> bool:
    """Close a step: let follow what follows. Returns whether something waits for a slot.

    `take_slot` takes one of the service's slots for a pod, False if there is none for this run now.
    """
    stop_waiting(state, out)
    wants_slot = False
    if state.phase in (RunPhase.RUNNING, RunPhase.CANCELLING):
        task_flow.begin_exit(state, out)
        if not state.time_is_up and (not state.suspended or state.phase is RunPhase.CANCELLING):
            wants_slot = task_flow.launch(state, take_slot, out)
    conclude(state, out)
    return wants_slot


def stop_waiting(state: RunState, out: Decisions) -> None:
    """After the first failure of a run that fails fast: end what waits. `step` does it, too; what is large, better before."""
    if state.failing_fast and not state.has_stopped:
        task_flow.fail_fast(state, out)


def conclude(state: RunState, out: Decisions) -> None:
    """End the run when all its tasks are over, and finish it when nothing is left to be done for its pods."""
    if not state.phase.is_over and state.open_tasks == 0:
        if state.phase is RunPhase.CANCELLING and state.terminating > 0:
            return
        phase, reason, message = final_outcome(state)
        state.move_run(phase)
        state.reason, state.message, state.finished_at = reason, message, out.now
        if state.left_behind:
            state.message += f"{'; ' if message else ''}left on nodes that do not answer: {', '.join(state.left_behind)}"
        out.run_changed = out.is_urgent = True
        out.say(state, EventType.RUN, phase=phase.value, reason=state.reason, message=state.message)
    if state.phase.is_over and state.unsettled == 0 and not state.is_finished:
        state.is_finished = True
        out.run_changed = out.is_urgent = True
        out.say(state, EventType.FINISHED, phase=state.phase.value)


def pod_observed(state: RunState, pod: PodObservation, out: Decisions) -> None:
    """A pod of this run is as observed. The same observation again changes nothing."""
    found = state.find_attempt(pod.key)
    if found is None:
        _expel(state, pod, out)
        return
    task, attempt = found
    if not _is_its_pod(state, task, attempt, pod, out):
        return
    if pod.node != attempt.node and pod.node is not None:
        attempt.node = pod.node
        out.attempt_changed(state, task, attempt)
    verdict = judge(pod)
    attempt_flow.collect_logs(task, attempt, pod, out)
    if verdict.main_ended:
        attempt_flow.end_main(state, task, attempt, out)
    attempt_flow.end_logs(task, attempt, pod, out)
    if not pod.exists:
        # Not seen under deletion, it may have only lost the labels that it is watched by: then `settle` deletes it.
        attempt.pod_deleted = attempt.pod_deleted or attempt.delete_requested or pod.deletion_at is not None
    elif pod.deletion_at is not None and not attempt.delete_requested and (not attempt.main_ended or attempt.collecting):
        attempt_flow.expect_gone(state, task, attempt, pod.deletion_grace_seconds, out)
    if not attempt.phase.is_over:
        _follow_verdict(state, task, attempt, pod, verdict, out)
    attempt_flow.settle(state, task, attempt, out)


def _is_its_pod(state: RunState, task: TaskState, attempt: AttemptState, pod: PodObservation, out: Decisions) -> bool:
    """Whether the pod is the attempt's own. Its UID is recorded at the first sight; another pod of its labels is deleted."""
    if attempt.uid == pod.uid:
        return True
    if not pod.exists:
        return False
    if attempt.uid is None and attempt.is_settled:  # nobody waits for it any more: it came too late
        _expel(state, pod, out)
        return False
    if attempt.uid is not None or (pod.namespace, pod.name) != (attempt.namespace, attempt.pod):
        if _expel(state, pod, out):
            own = f"uid {attempt.uid}" if attempt.uid is not None else attempt.pod
            message = f"pod {pod.name} with uid {pod.uid} is not the one of this attempt ({own}): deleted"
            out.say(state, EventType.NOTE, task, attempt, reason="StrayPod", message=message)
        return False
    attempt.uid = pod.uid
    attempt.creating = False
    out.attempt_changed(state, task, attempt)
    return True


def _expel(state: RunState, pod: PodObservation, out: Decisions) -> bool:
    """Have a pod deleted that has our labels and is no attempt's own. False: it is done already, or it is gone."""
    if not pod.exists or pod.uid in state.strays:
        return False
    state.strays.add(pod.uid)
    out.strays.append(pod.ref)
    return True


def _follow_verdict(
    state: RunState, task: TaskState, attempt: AttemptState, pod: PodObservation, verdict: Verdict, out: Decisions
) -> None:
    if verdict.phase is Phase.RUNNING:
        if attempt.phase is Phase.PENDING:
            attempt_flow.run_attempt(state, task, attempt, verdict.started_at or out.now, out)
    elif verdict.phase is Phase.PENDING:
        if attempt.phase is Phase.PENDING and (verdict.reason or attempt.reason not in _TELLING_EVENTS):
            attempt_flow.explain_pending(state, task, attempt, verdict.reason, verdict.message, out)
    else:
        phase: Phase = verdict.phase
        reason, message = verdict.reason, verdict.message
        if phase is Phase.FAILED and pod.deletion_at is not None and not attempt.delete_requested and not pod.reason:
            phase, reason = Phase.ERROR, "PodLost"
            message = f"the pod was deleted by somebody else while it ran ({verdict.message})"
        if phase is Phase.SUCCEEDED:
            phase, reason, message = _hand_on(task, pod)
        finish_attempt(state, task, attempt, phase, reason, message, out, verdict)


def _hand_on(task: TaskState, pod: PodObservation) -> tuple[Phase, str, str]:
    """Take the outputs of a container that ended well; where they are not what they must be, the attempt has failed."""
    text = pod.main.message if pod.main is not None else ""
    try:
        task.outputs = read_outputs(text, task.node.outputs, containers=len(pod.containers))
    except OutputsRefused as error:
        return Phase.FAILED, error.reason, error.message
    return Phase.SUCCEEDED, "", ""


def finish_attempt(
    state: RunState,
    task: TaskState,
    attempt: AttemptState,
    phase: Phase,
    reason: str,
    message: str,
    out: Decisions,
    verdict: Verdict | None = None,
) -> None:
    """End an attempt, and with it its task, unless another attempt follows."""
    attempt_flow.end_attempt(state, task, attempt, phase, reason, message, out, verdict)
    may_go_on = phase is not Phase.SUCCEEDED and _may_go_on(state, task)
    if may_go_on and may_replace(task, attempt):
        _wait_again(state, task, "WaitingForReplacement", f"attempt {attempt.number} was lost: {message}", out)
        task_flow.make_ready(state, task)
    elif may_go_on and may_retry(task, attempt):
        delay = retry_delay(task, state.key(task, attempt))
        _wait_again(state, task, "WaitingForRetry", f"attempt {attempt.number} {phase} ({reason}): {message}", out)
        task.retry_at = attempt_flow.at_the_latest(attempt.finished_at or out.now, out.now) + delay
        state.set_timer(task.retry_at, TimerKind.RETRY, task.name, attempt.number)
    else:
        task_flow.end_task(state, task, task_flow.Outcome(phase, reason, message), out)


def _may_go_on(state: RunState, task: TaskState) -> bool:
    """Whether another attempt may follow, as far as the run is concerned."""
    if task.node.is_exit:
        return state.phase in (RunPhase.RUNNING, RunPhase.CANCELLING) and not state.cancel_forced
    return state.phase is RunPhase.RUNNING and not task_flow.is_stopped(state, task.node)


def _wait_again(state: RunState, task: TaskState, reason: str, message: str, out: Decisions) -> None:
    if task.phase is not Phase.PENDING:
        state.move_task(task, Phase.PENDING)
    task.reason, task.message = reason, message
    out.task_changed(state, task)


def pod_refused(state: RunState, key: AttemptKey, reason: str, message: str, out: Decisions) -> None:
    """The cluster will not take the pod as it is."""
    task, attempt = state.get_attempt(key)
    attempt.creating = False
    if attempt.phase.is_over:
        attempt_flow.settle(state, task, attempt, out)
    else:
        finish_attempt(state, task, attempt, Phase.ERROR, reason, message, out)


def pod_deferred(
    state: RunState, key: AttemptKey, reason: str, message: str, retry_after_seconds: float | None, out: Decisions
) -> None:
    """The pod can't be created just now: say why, and try again. For an attempt that is over: find out what became of it."""
    task, attempt = state.get_attempt(key)
    if attempt.uid is not None:  # its answer was lost or late, and the watch has seen the pod: that tells more
        return
    attempt.create_tries += 1
    attempt.is_absent = reason in _NOTHING_MADE
    if attempt.phase.is_over and attempt.is_absent:
        attempt_flow.settle(state, task, attempt, out)
        return
    delay = _delay(attempt.create_tries, key, retry_after_seconds)
    state.set_timer(out.now + delay, TimerKind.CREATE, task.name, attempt.number)
    if not attempt.phase.is_over:
        attempt_flow.explain_pending(state, task, attempt, reason, message, out)


def log_sealed(state: RunState, key: AttemptKey, container: str, out: Decisions) -> None:
    """A container's log is in the store to its end."""
    task, attempt = state.get_attempt(key)
    attempt.collecting.discard(container)
    attempt.sealed_logs.add(container)
    if container == MAIN:
        attempt_flow.end_main(state, task, attempt, out)
    out.attempt_changed(state, task, attempt)
    attempt_flow.settle(state, task, attempt, out)


def delete_answered(state: RunState, key: AttemptKey, out: Decisions) -> None:
    """The pod's deletion was taken (or there is no such pod)."""
    task, attempt = state.get_attempt(key)
    attempt.pod_deleted = True
    out.attempt_changed(state, task, attempt)
    attempt_flow.settle(state, task, attempt, out)


def delete_deferred(state: RunState, key: AttemptKey, retry_after_seconds: float | None, out: Decisions) -> None:
    """The cluster could not be asked to delete the pod: ask again."""
    task, attempt = state.get_attempt(key)
    attempt.delete_tries += 1
    delay = _delay(attempt.delete_tries, key, retry_after_seconds)
    state.set_timer(out.now + delay, TimerKind.DELETE, task.name, attempt.number)


def _delay(tries: int, key: AttemptKey, retry_after_seconds: float | None) -> timedelta:
    """How long to wait before the cluster is asked again: ever longer, and as long as it says."""
    return max(back_off(tries, key), timedelta(seconds=retry_after_seconds or 0))


def pod_event(state: RunState, key: AttemptKey, event: PodEvent, out: Decisions) -> None:
    """A component said something of a pod: into the history; where the pod itself says nothing, it is the reason too."""
    found = state.find_attempt(key)
    if found is None:
        return
    task, attempt = found
    details = {"type": event.type, "count": event.count, "source": event.source, "uid": event.event_uid}
    out.say(state, EventType.POD, task, attempt, reason=event.reason, message=event.message, details=details)
    waits = attempt.phase is Phase.PENDING and (attempt.reason in ORDINARY_WAITING or attempt.reason in _TELLING_EVENTS)
    if waits and event.reason in _TELLING_EVENTS:
        attempt_flow.explain_pending(state, task, attempt, event.reason, event.message, out)


def fire_timers(state: RunState, out: Decisions) -> None:
    """Do what is due. After a restart, and while the cluster can't be seen, what would end pods waits for a look at them."""
    while state.timers and state.timers[0].at <= out.now:
        timer = heapq.heappop(state.timers)
        state.time_is_up = state.time_is_up or timer.kind is TimerKind.RUN_TIMEOUT
        if state.is_blind and timer.kind in _AFTER_A_LOOK:
            state.held_timers.append(timer)
        elif timer.kind in _UNSEEN_SECONDS and not _sees_all(state, timer, out):
            at = out.now + timedelta(seconds=_UNSEEN_SECONDS[timer.kind])
            state.set_timer(at, timer.kind, timer.task, timer.attempt)
        else:
            _fire(state, timer, out)


def _sees_all(state: RunState, timer: Timer, out: Decisions) -> bool:
    """Whether the pods that the timer is about are seen as they are. What has no pod yet is not waited for."""
    if timer.kind is TimerKind.RUN_TIMEOUT:
        about = [task.live for task in state.tasks.values()]
    else:
        task = state.tasks.get(timer.task)
        about = [task.attempts[timer.attempt - 1]] if task is not None else []
    namespaces = {attempt.namespace for attempt in about if attempt is not None and attempt.uid is not None}
    return all(out.sees(namespace) for namespace in namespaces)


def _fire(state: RunState, timer: Timer, out: Decisions) -> None:
    if timer.kind is TimerKind.RUN_TIMEOUT:
        state.time_is_up = False
        if state.phase is RunPhase.RUNNING and state.open_main:
            task_flow.time_out(state, out)
        return
    task = state.tasks.get(timer.task)
    if task is None:  # others stand in its place
        return
    if timer.kind is TimerKind.APPROVAL:
        approvals.time_out(state, task, out)
    elif timer.kind is TimerKind.RETRY:
        if task.phase is Phase.PENDING and task.retry_at is not None and task.retry_at <= out.now:
            task.retry_at = None
            task_flow.make_ready(state, task)
    else:
        _fire_for_attempt(state, timer, task, task.attempts[timer.attempt - 1], out)


def _fire_for_attempt(state: RunState, timer: Timer, task: TaskState, attempt: AttemptState, out: Decisions) -> None:
    if timer.kind is TimerKind.CREATE:
        if attempt.creating and attempt.uid is None:
            _create_again(state, task, attempt, out)
    elif timer.kind is TimerKind.DELETE:
        if not attempt.pod_deleted:
            out.deletes.append((task, attempt))
    elif timer.kind is TimerKind.NODE_LOST:
        _lose_node(state, task, attempt, out)
    elif timer.kind is TimerKind.PENDING_TIMEOUT and attempt.phase is Phase.PENDING:
        reason = attempt.reason or "PendingTimeout"
        said = attempt.message or "its container did not start"
        message = f"not started after {attempt_flow.spec_of(task).pending_timeout_seconds:g} s: {said}"
        finish_attempt(state, task, attempt, Phase.ERROR, reason, message, out)
    elif timer.kind is TimerKind.TIMEOUT and attempt.phase is Phase.RUNNING:
        message = f"the attempt's timeout of {attempt_flow.spec_of(task).timeout_seconds:g} s is over"
        finish_attempt(state, task, attempt, Phase.FAILED, "DeadlineExceeded", message, out)


def _create_again(state: RunState, task: TaskState, attempt: AttemptState, out: Decisions) -> None:
    """An attempt that ended meanwhile needs no pod; but one may be there, unanswered: give the watch time to see it."""
    if not attempt.phase.is_over:
        attempt.is_absent = False
        out.creates.append((task, attempt))
    elif attempt.create_tries < _LATE_POD_LOOKS:
        attempt.create_tries += 1
        delay = back_off(attempt.create_tries, state.key(task, attempt))
        state.set_timer(out.now + delay, TimerKind.CREATE, task.name, attempt.number)
    else:
        attempt.creating = False
        attempt_flow.settle(state, task, attempt, out)


def _lose_node(state: RunState, task: TaskState, attempt: AttemptState, out: Decisions) -> None:
    """A pod under deletion did not go: its node does not answer. It is left; the cluster deletes it when the node is back."""
    name = f"{attempt.namespace}/{attempt.pod}"
    if attempt.is_settled or (attempt.main_ended and not attempt.collecting) or name in state.left_behind:
        return
    state.left_behind.append(name)
    message = f"pod {attempt.pod} did not go: node {attempt.node or '(none)'} does not answer"
    if not attempt.phase.is_over:
        finish_attempt(state, task, attempt, Phase.ERROR, "NodeLost", message, out)
    out.say(state, EventType.NOTE, task, attempt, reason="NodeLost", message=message)
    out.abandoned_logs.extend((task, attempt, container) for container in sorted(attempt.collecting))
    attempt_flow.end_main(state, task, attempt, out)
    attempt_flow.settle(state, task, attempt, out)
