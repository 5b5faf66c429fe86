"""Going on after a restart: the plan's state from what was stored, then the pods as they are now.

Part of the plan, called by the run actor when it takes up a run that another process, or an earlier actor, has begun.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from app.domain.phases import Phase, RunPhase
from app.domain.plan import attempt_flow, plan, task_flow
from app.domain.plan.attempt_state import AttemptState
from app.domain.plan.decisions import Decisions
from app.domain.plan.run_state import RunState, TaskState, TimerKind
from app.domain.pods import PodObservation

FindPod = Callable[[str, str], PodObservation | None]


def recover(state: RunState, out: Decisions) -> None:
    """Derive from the stored tasks and attempts what is not stored: timers, what is ready or can start, what still ends."""
    state.recount()
    state.is_blind = state.unsettled > 0
    state.terminating = sum(attempt.phase.is_over and not attempt.main_ended for attempt in state.attempts())
    if not state.phase.is_over:
        plan.set_run_timer(state)
    for task in state.tasks.values():
        state.failing_fast = state.failing_fast or (state.workflow.fail_fast and task.fails_run)
        if not task.phase.is_over and task.has_begun:
            _go_on(state, task, out)
    if state.phase is RunPhase.RUNNING:
        task_flow.begin(state, out)


def _go_on(state: RunState, task: TaskState, out: Decisions) -> None:
    """A task that was begun: its timers, or its turn."""
    live = task.live
    if live is not None and live.phase is Phase.PENDING:
        if not _is_untried(live):
            attempt_flow.set_pending_timer(state, task, live)
    elif live is not None:
        attempt_flow.set_timeout(state, task, live, out)
    elif task.phase is Phase.RUNNING:
        task_flow.set_approval_timer(state, task)
    elif task.retry_at is not None:
        state.set_timer(task.retry_at, TimerKind.RETRY, task.name, len(task.attempts))
    else:
        task_flow.make_ready(state, task)


def _is_untried(attempt: AttemptState) -> bool:
    """Whether nothing was heard of the attempt's pod: the process may have died before it asked for one."""
    return attempt.uid is None and not attempt.reason


def reconcile(state: RunState, find_pod: FindPod, out: Decisions, pods: Iterable[PodObservation] = ()) -> None:
    """Compare every attempt that is not settled with the pods that are there. The watch must have listed them all.

    `pods` are those with the run's labels, whatever their names: some may be no attempt's own.
    """
    for task in state.tasks.values():
        for attempt in task.attempts:
            if not attempt.is_settled:
                _reconcile(state, task, attempt, find_pod(attempt.namespace, attempt.pod), out)
    own = {attempt.uid for attempt in state.attempts()}
    for pod in pods:
        if pod.uid not in own:
            plan.pod_observed(state, pod, out)
    state.is_blind = False
    for timer in state.held_timers:
        state.set_timer(*timer)
    state.held_timers.clear()


def _reconcile(state: RunState, task: TaskState, attempt: AttemptState, pod: PodObservation | None, out: Decisions) -> None:
    if pod is not None and (pod.key != state.key(task, attempt) or attempt.uid not in (None, pod.uid)):
        plan.pod_observed(state, pod, out)  # another pod has the name: the attempt's own, if there was one, is gone
        pod = None
    if not attempt.phase.is_over and _is_untried(attempt):
        if pod is None:  # this is the first try: that podrun was away is not the pod's time
            attempt.created_at = out.now
            out.attempt_changed(state, task, attempt)
        attempt_flow.set_pending_timer(state, task, attempt)
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
        plan.pod_observed(state, gone, out)
