"""How tasks follow each other: what is ready, what can no longer run, and what the run has come to.

Part of the plan (`domain.plan`), and called by it alone. Everything is done iteratively and costs what changes:
a chain of 10,000 tasks without pods ends in one step.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable

from app.domain.attempt_flow import begin_attempt, end_attempt
from app.domain.decisions import Decisions
from app.domain.events import EventType
from app.domain.phases import Phase, RunPhase
from app.domain.run_state import RunState, TaskState

Outcome = tuple[Phase, str, str]  #: phase, reason, message


def make_ready(state: RunState, task: TaskState) -> None:
    """The task may start as soon as there is a slot; in document order among those that may."""
    task.is_ready = True
    heapq.heappush(state.ready, (task.position, task.name))
    state.newly_ready.append(task.name)


def end_task(state: RunState, task: TaskState, phase: Phase, reason: str, message: str, out: Decisions) -> list[TaskState]:
    """End a task, then all that follows from it alone. Returns every task that ended."""
    ended: list[TaskState] = []
    queue: list[tuple[TaskState, Outcome]] = [(task, (phase, reason, message))]
    while queue:
        current, outcome = queue.pop()
        if current.phase.is_over:
            continue
        _set_outcome(state, current, *outcome, out)
        ended.append(current)
        for name in current.downstream:
            follower = state.tasks[name]
            follower.open_upstreams -= 1
            if follower.open_upstreams == 0 and not follower.phase.is_over:
                verdict = _decide(state, follower)
                if verdict is not None:
                    queue.append((follower, verdict))
                elif follower.spec.image is None:
                    queue.append((follower, (Phase.SUCCEEDED, "", "")))
                else:
                    make_ready(state, follower)
    return ended


def _set_outcome(state: RunState, task: TaskState, phase: Phase, reason: str, message: str, out: Decisions) -> None:
    state.move_task(task, phase)
    task.reason, task.message = reason, message
    task.finished_at, task.retry_at, task.is_ready = out.now, None, False
    out.task_changed(state, task)
    failed = phase in (Phase.FAILED, Phase.ERROR) and not task.spec.allow_failure
    if failed and state.workflow.fail_fast:
        state.failing_fast = True


def _decide(state: RunState, task: TaskState) -> Outcome | None:
    """None: the task runs. Else how it ends without running. The rule is `all_success`, until there are others."""
    if not task.spec.depends_on:
        return None
    upstreams = [state.tasks[name] for name in task.spec.depends_on]
    failed = next((upstream for upstream in upstreams if upstream.phase.is_failure), None)
    if failed is not None:
        return Phase.OMITTED, "UpstreamFailed", f"upstream {failed.name} is {failed.phase}"
    skipped = next((upstream for upstream in upstreams if upstream.phase is Phase.SKIPPED), None)
    if skipped is not None:
        return Phase.SKIPPED, "UpstreamSkipped", f"upstream {skipped.name} was skipped"
    return None


def start_run(state: RunState, out: Decisions) -> None:
    """The run begins: its first tasks are ready."""
    state.move_run(RunPhase.RUNNING)
    state.started_at = out.now
    out.run_changed = True
    out.say(state, EventType.RUN, phase=state.phase.value)
    for task in state.tasks.values():
        if task.spec.depends_on:
            continue
        if task.spec.image is None:
            end_task(state, task, Phase.SUCCEEDED, "", "", out)
        else:
            make_ready(state, task)


def launch(state: RunState, take_slot: Callable[[], bool], out: Decisions) -> bool:
    """Start what is ready, as far as slots go. Returns whether something waits for a slot of the service."""
    limit = state.workflow.max_parallel_tasks
    wants_slot = False
    while state.ready:
        task = state.tasks[state.ready[0][1]]
        if task.is_ready:
            if limit is not None and state.live_attempts >= limit:
                break
            if not take_slot():
                wants_slot = True
                break
            task.is_ready = False
            begin_attempt(state, task, out)
        heapq.heappop(state.ready)  # where it is not ready any more, it ended meanwhile
    _say_who_waits(state, out)
    return wants_slot


def _say_who_waits(state: RunState, out: Decisions) -> None:
    """Tasks that became ready and got no slot say so, once each."""
    for name in state.newly_ready:
        task = state.tasks[name]
        if task.is_ready:
            task.reason, task.message = "WaitingForSlot", "ready, waits until fewer pods run"
            out.task_changed(state, task, phase_moved=False)
    state.newly_ready.clear()


def fail_fast(state: RunState, out: Decisions) -> None:
    """After the first failure nothing new starts: what waits is Omitted, what waits for a retry stays as it failed."""
    for task in list(state.tasks.values()):
        if task.phase.is_over or task.live is not None:
            continue
        if task.attempts:
            last = task.attempts[-1]
            end_task(state, task, last.phase, last.reason, last.message, out)
        else:
            end_task(state, task, Phase.OMITTED, "FailFast", "another task failed first, and the workflow fails fast", out)


def time_out(state: RunState, out: Decisions) -> None:
    """The run's time is up: what runs is Failed, the rest is Omitted."""
    state.timed_out = True
    message = f"the run's timeout of {state.workflow.timeout_seconds:g} s is over"
    _end_all(state, Phase.FAILED, Phase.OMITTED, "DeadlineExceeded", message, out)


def _end_all(state: RunState, running: Phase, waiting: Phase, reason: str, message: str, out: Decisions) -> None:
    """End every task that is not over: in one phase where an attempt of it is under way, in the other where none is."""
    for task in state.tasks.values():
        if task.phase.is_over:
            continue
        live = task.live
        if live is not None:
            end_attempt(state, task, live, running, reason, message, out)
        _set_outcome(state, task, waiting if live is None else running, reason, message, out)
    state.ready.clear()


def cancel(state: RunState, reason: str, out: Decisions) -> None:
    """Everything that is not over becomes Cancelled; its pods are deleted and their logs followed to the end."""
    state.cancel_reason = reason
    state.move_run(RunPhase.CANCELLING)
    state.reason, state.message = "Cancelled", reason
    out.run_changed = out.is_urgent = True
    out.say(state, EventType.RUN, phase=state.phase.value, reason=state.reason, message=reason)
    _end_all(state, Phase.CANCELLED, Phase.CANCELLED, "Cancelled", reason or "the run was cancelled", out)


def conclude(state: RunState, out: Decisions) -> None:
    """End the run when all its tasks are over, and finish it when nothing is left to be done for its pods."""
    if not state.phase.is_over and state.open_tasks == 0:
        if state.phase is RunPhase.CANCELLING and state.terminating > 0:
            return
        phase, reason, message = _outcome(state)
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


def _outcome(state: RunState) -> tuple[RunPhase, str, str]:
    if state.cancel_reason is not None:
        return RunPhase.CANCELLED, "Cancelled", state.cancel_reason
    if state.timed_out:
        return RunPhase.FAILED, "DeadlineExceeded", f"the run's timeout of {state.workflow.timeout_seconds:g} s is over"
    for phase, run_phase, reason in (
        (Phase.FAILED, RunPhase.FAILED, "TaskFailed"),
        (Phase.ERROR, RunPhase.ERROR, "TaskError"),
    ):
        if not state.task_phases[phase]:
            continue
        bad = [task for task in state.tasks.values() if task.phase is phase and not task.spec.allow_failure]
        if bad:
            more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
            return run_phase, reason, f"task {bad[0].name}: {bad[0].reason}: {bad[0].message}{more}"
    return RunPhase.SUCCEEDED, "", ""
