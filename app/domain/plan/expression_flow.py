"""What follows when expressions were evaluated: a fan-out is laid out, tasks may start. Part of the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.errors import ExpressionFailed
from app.domain.phases import Phase
from app.domain.plan.decisions import Decisions
from app.domain.plan.evaluation import MAX_VALUES_BYTES, Evaluation, Prepared
from app.domain.plan.run_state import NodeState, RunState, TaskState
from app.domain.plan.task_flow import Ending, Outcome, consider, end_tasks, start
from app.domain.workflow.nodes import Node
from app.domain.workflow.parsing import expand_foreach, max_parallel_of
from app.domain.workflow.task_checks import MAX_TASKS


def lists_evaluated(state: RunState, node: Node, values: Mapping[str, Any] | ExpressionFailed, out: Decisions) -> None:
    """The lists of a fan-out are known: its items take the place of the one task that stood for them."""
    fan_out = state.nodes[node.name]
    waiting = [task for task in fan_out.members if not task.phase.is_over]
    if fan_out.is_laid_out or not waiting:
        return
    try:
        if isinstance(values, ExpressionFailed):
            raise values
        items = expand_foreach(node.foreach, values) if node.foreach else []
        limit = max_parallel_of(node, values)
        _check_count(state, len(items) - len(fan_out.members))
    except ExpressionFailed as error:
        end_tasks(state, [(task, _failed(str(error))) for task in waiting], out)
        return
    if items and waiting[0].index is None:
        _lay_out(state, fan_out, items, out)
    fan_out.max_parallel, fan_out.is_laid_out = limit, True
    if isinstance(node.max_parallel, str) and items:
        for task in fan_out.members:
            task.values = {**(task.values or {}), node.max_parallel: limit}
            out.task_changed(state, task, phase_moved=False)
    end_tasks(state, consider(state, fan_out, out), out)


def _lay_out(state: RunState, fan_out: NodeState, items: list[Any], out: Decisions) -> None:
    (waiting,) = fan_out.members
    out.gone_tasks.append(waiting.name)
    out.tasks.pop(waiting.name, None)
    out.new_tasks.pop(waiting.name, None)
    for task in state.lay_out(fan_out.node.name, items):
        out.new_tasks[task.name] = task
    state.count_members(fan_out, before=1)
    out.run_changed = out.is_urgent = True


def _check_count(state: RunState, more: int) -> None:
    count = len(state.tasks) + more
    if more > 0 and count > MAX_TASKS:
        items = more + 1  # one task stood for them
        raise ExpressionFailed(f"foreach gives {items:,} items: the run would have {count:,} tasks, and may have {MAX_TASKS:,}")


def _failed(message: str) -> Outcome:
    return Outcome(Phase.FAILED, "ExpressionError", message)


def tasks_evaluated(state: RunState, asked: Evaluation, prepared: Sequence[Prepared], out: Decisions) -> None:
    """The expressions of tasks are known: record their values, and start them."""
    endings: list[Ending] = []
    for task, found in zip(asked.tasks, prepared, strict=True):
        if state.tasks.get(task.name) is task and task.evaluating:
            endings += _use(state, task, found, out)
    end_tasks(state, endings, out)


def _use(state: RunState, task: TaskState, found: Prepared, out: Decisions) -> list[Ending]:
    task.evaluating = False
    node = state.nodes[task.node.name]
    state.values_bytes += found.size_bytes
    if state.values_bytes > MAX_VALUES_BYTES:
        return [(task, _failed(f"the expressions of this run give more than {MAX_VALUES_BYTES // 2**20} MiB in all"))]
    if found.values is not None:
        task.values = {**(task.values or {}), **found.values}
        if found.shared and not node.shared:  # recorded once
            node.shared = dict(found.shared)
            task.values |= node.shared
        out.task_changed(state, task, phase_moved=False)
    if found.failure is not None:
        return [(task, _failed(found.failure))]
    if not found.runs:
        return [(task, Outcome(Phase.SKIPPED, "WhenFalse", f"`when` is false: {task.node.when}"))]
    task.spec = found.spec
    return start(state, task, out)
