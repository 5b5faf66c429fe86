"""How tasks follow each other: what may run, what can no longer run, and how all of them are ended at once.

    upstreams over ─▶ trigger rule ─▶ (fan-out laid out) ─▶ `when` and the other expressions ─▶ ready ─▶ attempt
                          └─▶ Omitted, Skipped                       └─▶ Skipped, Failed

Part of the plan, and called by it alone. Everything is done iteratively and costs what changes:
a chain of 10,000 tasks without pods ends in one step.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import NamedTuple

from app.domain.phases import Phase, RunPhase
from app.domain.plan.attempt_flow import begin_attempt, end_attempt
from app.domain.plan.decisions import Decisions
from app.domain.plan.evaluation import evaluation_of_list, evaluations_of_tasks
from app.domain.plan.outcome import run_outcome
from app.domain.plan.run_state import NodeState, RunState, TaskState, TimerKind
from app.domain.workflow.nodes import Node
from app.domain.workflow.trigger_rules import RUN_AFTER_FAILURE, Tally, TriggerRule, decide

#: So many attempts are begun in one step, and so many tasks say that they wait: then others have their turn.
STEP_ATTEMPTS = 100
STEP_WORDS = 500


#: The reason of a task that waits for a person.
WAITING_FOR_APPROVAL = "WaitingForApproval"


class Outcome(NamedTuple):
    """How a task ends."""

    phase: Phase
    reason: str = ""
    message: str = ""


Ending = tuple[TaskState, Outcome]

_FAIL_FAST = Outcome(Phase.OMITTED, "FailFast", "another task failed first, and the workflow fails fast")


def make_ready(state: RunState, task: TaskState) -> None:
    """The task may start as soon as there is a slot; in document order among those that may."""
    task.is_ready = True
    heapq.heappush(state.ready, (*task.place, task.name))
    state.newly_ready.append(task.name)


def end_task(state: RunState, task: TaskState, outcome: Outcome, out: Decisions) -> None:
    """End a task, then all that follows from it alone."""
    end_tasks(state, [(task, outcome)], out)


def end_tasks(state: RunState, endings: Sequence[Ending], out: Decisions) -> None:
    """End tasks, then all that follows from them alone."""
    queue = list(reversed(endings))
    while queue:
        task, outcome = queue.pop()
        if task.phase.is_over:
            continue
        _set_outcome(state, task, outcome, out)
        node = state.nodes[task.node.name]
        if node.open_members:
            continue
        for name in node.downstream:
            follower = state.nodes[name]
            follower.open_upstreams -= 1
            if follower.open_upstreams == 0:
                queue.extend(consider(state, follower, out))


def _set_outcome(state: RunState, task: TaskState, outcome: Outcome, out: Decisions) -> None:
    state.move_task(task, outcome.phase)
    task.reason, task.message = outcome.reason, outcome.message
    task.finished_at, task.retry_at, task.is_ready, task.evaluating = out.now, None, False, False
    out.task_changed(state, task)
    state.failing_fast = state.failing_fast or (state.workflow.fail_fast and task.fails_run)


def consider(state: RunState, node: NodeState, out: Decisions) -> list[Ending]:
    """Start what of a node can start, its upstreams being over. Returns those of its tasks that end without running."""
    waiting = [task for task in node.members if not task.has_begun]
    if not waiting:
        return []
    verdict = _judge(state, node.node)
    if verdict is not None:
        return [(task, verdict) for task in waiting]
    if not node.is_laid_out:
        if not node.asks_list:
            node.asks_list = True
            out.evaluations.append(evaluation_of_list(state, node))
        return []
    if node.node.foreach is not None and waiting[0].index is None:
        return [(waiting[0], Outcome(Phase.SKIPPED, "NoItems", "there are no items"))]
    return admit(state, node.node, waiting, out)


def _judge(state: RunState, node: Node) -> Outcome | None:
    """None: the node's tasks run. Else how they end without running."""
    if is_stopped(state, node):
        return _FAIL_FAST
    if not node.depends_on:
        return None
    tally = Tally()
    for name in node.depends_on:
        tally = tally.plus(state.nodes[name].tally)
    phase = decide(node.trigger_rule, tally)
    if phase is None:
        return None
    if phase is Phase.OMITTED:
        return Outcome(phase, "UpstreamFailed", _who(state, node, failed=True))
    only_skipped = bool(tally.skipped) and not tally.failed and not tally.succeeded
    if only_skipped or node.trigger_rule is TriggerRule.ALL_SUCCESS:
        return Outcome(phase, "UpstreamSkipped", _who(state, node, failed=False))
    counts = f"{tally.succeeded} succeeded, {tally.failed} failed, {tally.skipped} skipped"
    return Outcome(phase, "TriggerRule", f"of its upstream tasks {counts}: {node.trigger_rule} does not run then")


def _who(state: RunState, node: Node, *, failed: bool) -> str:
    """A sentence on the first upstream task that failed, or was skipped; there is one."""
    first = next(task for name in node.depends_on if (task := _first_ended(state.nodes[name], failed=failed)) is not None)
    return f"upstream {first.name} {f'is {first.phase}' if failed else 'was skipped'}"


def _first_ended(node: NodeState, *, failed: bool) -> TaskState | None:
    if not (node.tally.failed if failed else node.tally.skipped):
        return None
    if failed not in node.first_ended:
        node.first_ended[failed] = next(
            task for task in node.members if (task.phase.is_failure if failed else task.phase is Phase.SKIPPED)
        )
    return node.first_ended[failed]


def is_stopped(state: RunState, node: Node) -> bool:
    """Whether nothing of the node starts any more, because another task failed first."""
    return state.failing_fast and not node.is_exit and node.trigger_rule not in RUN_AFTER_FAILURE


def admit(state: RunState, node: Node, tasks: Sequence[TaskState], out: Decisions) -> list[Ending]:
    """The trigger rule lets these tasks of a node run. Returns those that end without running."""
    if node.when is False:
        return [(task, Outcome(Phase.SKIPPED, "WhenFalse", "`when` is false")) for task in tasks]
    endings: list[Ending] = []
    unknown = [task for task in tasks if _is_unknown(node, task)]
    for task in unknown:
        task.evaluating = True
    if unknown:
        out.evaluations.extend(evaluations_of_tasks(state, node, unknown))
    for task in tasks:
        if not task.evaluating:
            endings += start(state, task, out)
    return endings


def _is_unknown(node: Node, task: TaskState) -> bool:
    """Whether expressions must be evaluated before the task can start."""
    return task.spec is None or (isinstance(node.when, str) and node.when not in (task.values or {}))


def start(state: RunState, task: TaskState, out: Decisions) -> list[Ending]:
    """All is known of the task: it may begin. Returns it with its end where there is nothing to do for it."""
    if task.spec is None:
        raise AssertionError(f"task {task.name} is started before its expressions are known")
    approval = task.spec.approval
    if state.suspended and state.phase is RunPhase.RUNNING:
        make_ready(state, task)
    elif approval is not None:
        state.move_task(task, Phase.RUNNING)
        task.reason, task.message = WAITING_FOR_APPROVAL, approval.message or "waits until somebody approves or rejects it"
        task.started_at = out.now
        out.task_changed(state, task)
        set_approval_timer(state, task)
    elif task.spec.image is None:
        return [(task, Outcome(Phase.SUCCEEDED))]
    else:
        make_ready(state, task)
    return []


def set_approval_timer(state: RunState, task: TaskState) -> None:
    """Nobody waits for an approval for longer than its task says."""
    seconds = approval_seconds(task)
    if seconds is not None and task.started_at is not None:
        state.set_timer(task.started_at + timedelta(seconds=seconds), TimerKind.APPROVAL, task.name)


def approval_seconds(task: TaskState) -> float | None:
    """How long the task waits for its approval; None: for ever. What runs on exit has an end, so its approvals have one too."""
    if task.spec is None or task.spec.approval is None:
        return None
    own = task.spec.approval.timeout_seconds
    return task.spec.timeout_seconds if own is None and task.node.is_exit else own


def begin(state: RunState, out: Decisions, *, is_exit: bool = False) -> None:
    """Start what waits for nobody, of `on_exit` or of all others."""
    free = [node for node in state.nodes.values() if node.node.is_exit is is_exit and node.open_upstreams == 0]
    end_tasks(state, [ending for node in free for ending in consider(state, node, out)], out)


def begin_exit(state: RunState, out: Decisions) -> None:
    """When all others are over and no container of theirs runs any more, `on_exit` runs, however they ended."""
    if state.exit_begun or state.open_main or state.terminating or not state.open_exit:
        return
    state.exit_begun = True
    begin(state, out, is_exit=True)


def launch(state: RunState, take_slot: Callable[[], bool], out: Decisions) -> bool:
    """Start what is ready, as far as slots go. Returns whether something waits for a slot of the service."""
    limit = state.workflow.max_parallel_tasks
    wants_slot = False
    begun = 0
    while state.ready:
        task = state.tasks.get(state.ready[0][2])
        if task is None or not task.is_ready:  # it ended meanwhile
            _let_next(state, heapq.heappop(state.ready))
            continue
        if task.spec is not None and task.spec.image is None:  # it was held back while the run was suspended
            heapq.heappop(state.ready)
            task.is_ready = False
            end_tasks(state, start(state, task, out), out)
            continue
        node = state.nodes[task.node.name]
        if node.max_parallel is not None and node.live_attempts >= node.max_parallel:
            heapq.heappush(node.held, heapq.heappop(state.ready))
            continue
        if begun >= STEP_ATTEMPTS:
            out.goes_on = True
            break
        if limit is not None and state.live_attempts >= limit:
            break
        if not take_slot():
            wants_slot = True
            break
        heapq.heappop(state.ready)
        task.is_ready = False
        begin_attempt(state, task, out)
        begun += 1
    _say_who_waits(state, out)
    return wants_slot


def _let_next(state: RunState, entry: tuple[int, int, str]) -> None:
    """A task that was let through by `max_parallel` takes no slot: the next one may."""
    task = state.tasks.get(entry[2])
    node = state.nodes[task.node.name] if task is not None else None
    if node is not None and node.held:
        heapq.heappush(state.ready, heapq.heappop(node.held))


def _say_who_waits(state: RunState, out: Decisions) -> None:
    """Tasks that became ready and got no slot say so, once each."""
    names, state.newly_ready = state.newly_ready[:STEP_WORDS], state.newly_ready[STEP_WORDS:]
    for name in names:
        task = state.tasks.get(name)
        if task is not None and task.is_ready:
            task.reason, task.message = "WaitingForSlot", "ready, waits until fewer pods run"
            out.task_changed(state, task, phase_moved=False)
    out.goes_on = out.goes_on or bool(state.newly_ready)


def fail_fast(state: RunState, out: Decisions) -> None:
    """After the first failure nothing new starts: what waits is Omitted, what waits for a retry stays as it failed."""
    state.has_stopped = True
    for task in list(state.tasks.values()):
        if task.phase.is_over or task.live is not None or not is_stopped(state, task.node):
            continue
        if task.recent_attempts:
            last = task.attempts[-1]
            end_task(state, task, Outcome(last.phase, last.reason, last.message), out)
        else:
            end_task(state, task, _FAIL_FAST, out)


def end_all(state: RunState, running: Outcome, waiting: Outcome, out: Decisions, *, exit_too: bool) -> None:
    """End every task that is not over: in one way where an attempt of it is under way, in the other where none is.

    Nothing follows from it: what waits for these tasks ends with them. `exit_too`: those of `on_exit` as well.
    """
    for task in state.tasks.values():
        if task.phase.is_over or (task.node.is_exit and not exit_too):
            continue
        live = task.live
        if live is not None:
            end_attempt(state, task, live, running.phase, running.reason, running.message, out)
        _set_outcome(state, task, waiting if live is None else running, out)
    state.ready = [entry for entry in state.ready if entry[2] in state.tasks and state.tasks[entry[2]].is_ready]
    heapq.heapify(state.ready)


def time_out(state: RunState, out: Decisions) -> None:
    """The run's time is up: what runs is Failed, the rest is Omitted; `on_exit` is not cut by it."""
    state.timed_out = True
    _, state.reason, state.message = run_outcome(state)
    out.run_changed = out.is_urgent = True
    failed = Outcome(Phase.FAILED, state.reason, state.message)
    end_all(state, failed, failed._replace(phase=Phase.OMITTED), out, exit_too=False)


def cancel(state: RunState, out: Decisions) -> None:
    """Everything that is not over becomes Cancelled; its pods are deleted and their logs followed to the end.

    Then `on_exit` runs; unless the cancel is forced, or the run had not started: there is nothing to clean up.
    """
    cuts_exit = state.cancel_forced or state.started_at is None or state.phase is RunPhase.PENDING
    if state.phase is not RunPhase.CANCELLING:
        state.move_run(RunPhase.CANCELLING)
    reason = state.cancel_reason or "the run was cancelled"
    cancelled = Outcome(Phase.CANCELLED, "Cancelled", reason)
    end_all(state, cancelled, cancelled, out, exit_too=cuts_exit)
