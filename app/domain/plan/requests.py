"""What users ask of a run that is under way, or finished: cancel, suspend, resume, retry. Part of the plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from app.domain.events import EventType
from app.domain.phases import Phase, RunPhase
from app.domain.plan import task_flow
from app.domain.plan.decisions import Decisions
from app.domain.plan.run_state import NodeState, RunState, TaskState
from app.domain.workflow.graph import reachable_from


def cancel(state: RunState, reason: str, out: Decisions, *, force: bool) -> None:
    """Cancel the run. Asked again, only `force` is new: it cuts `on_exit` too."""
    if state.phase.is_over or (state.cancel_reason is not None and (state.cancel_forced or not force)):
        return
    state.cancel_forced = state.cancel_forced or force
    if state.cancel_reason is None:
        state.cancel_reason = reason
    task_flow.cancel(state, out)
    state.reason, state.message = "Cancelled", state.cancel_reason
    out.run_changed = out.is_urgent = True
    out.say(state, EventType.RUN, phase=state.phase.value, reason=state.reason, message=state.message)


def suspend(state: RunState, out: Decisions, *, suspended: bool) -> None:
    """Start nothing new, or go on."""
    state.suspended = suspended
    out.run_changed = True


def wait_for_group(state: RunState, out: Decisions) -> None:
    """Other runs of the concurrency group go first. Said once, not anew for each of them: there may be thousands."""
    if state.reason != "WaitingForGroup":
        state.reason = "WaitingForGroup"
        state.message = "waits until the runs of its concurrency group that came before it are finished"
        out.run_changed = True
        out.say(state, EventType.RUN, phase=state.phase.value, reason=state.reason, message=state.message)


def retry(state: RunState, names: Sequence[str] | None, out: Decisions) -> None:
    """Run failed tasks (or those of these names) and all that is downstream of them once more, and `on_exit`.

    The run goes back to Pending; what was, stays: attempts and their logs, tasks that succeeded. Of a run that is not over it
    does nothing.
    """
    if state.phase in (RunPhase.RUNNING, RunPhase.CANCELLING):
        return
    chosen = _chosen(state, names)
    whole = reachable_from({node.node.name: node.downstream for node in state.nodes.values()}, {t.node.name for t in chosen})
    for task in chosen:
        state.nodes[task.node.name].shared = {}
        if task.node.name not in whole:
            _reset(task, out, kept=_limit_of(task))
    for node in state.nodes.values():
        if node.node.is_exit or node.node.name in whole:
            _reset_all(state, node, out)
    state.phase = RunPhase.PENDING
    state.reason = state.message = ""
    state.cancel_reason, state.cancel_forced = None, False
    state.finished_at, state.is_finished, state.suspended = None, False, False
    state.values_bytes = 0
    state.failing_fast = state.has_stopped = state.timed_out = state.exit_begun = False
    state.left_behind.clear()
    state.recount()
    out.run_changed = out.is_urgent = True
    out.say(state, EventType.RUN, phase=state.phase.value)
    for task in out.tasks.values():
        out.say(state, EventType.TASK, task, phase=task.phase.value)


def _chosen(state: RunState, names: Sequence[str] | None) -> list[TaskState]:
    if names is None:
        return [task for task in state.tasks.values() if task.phase.is_failure and not task.node.is_exit]
    found: list[TaskState] = []
    for name in names:
        found.extend(state.nodes[name].members if name in state.nodes else _items_named(state, name))
    return [task for task in found if not task.node.is_exit]


def _items_named(state: RunState, name: str) -> Iterable[TaskState]:
    return [state.tasks[name]] if name in state.tasks else []


def _reset_all(state: RunState, node: NodeState, out: Decisions) -> None:
    """Begin a whole node anew. A fan-out whose list comes from expressions is laid out anew: its list may be another."""
    node.asks_list, node.shared = False, {}
    node.is_laid_out = not node.node.list_expressions
    comes_anew = node.node.foreach is not None and node.node.foreach.items is None
    if not comes_anew or node.members[0].index is None:  # one task that still stands for all items stays, too
        for task in node.members:
            _reset(task, out)
        return
    for task in node.members:
        out.gone_tasks.append(task.name)
        if task.attempts:
            state.former[task.name] = task.attempts
    for task in state.lay_out(node.node.name, None):
        out.new_tasks[task.name] = task


def _reset(task: TaskState, out: Decisions, *, kept: Mapping[str, Any] | None = None) -> None:
    task.phase = Phase.PENDING
    task.reason = task.message = ""
    task.started_at = task.finished_at = task.retry_at = None
    task.outputs, task.values = None, dict(kept) if kept else None
    task.spec = task.node.spec
    task.evaluating = task.is_ready = False
    task.attempts_before = len(task.attempts)
    out.tasks[task.name] = task


def _limit_of(task: TaskState) -> Mapping[str, Any]:
    """How many items of its fan-out may run at a time, where an expression says it: its other items run by that, too."""
    limit = task.node.max_parallel
    return {limit: task.values[limit]} if task.values and isinstance(limit, str) and limit in task.values else {}
