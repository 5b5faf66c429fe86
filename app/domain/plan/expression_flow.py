"""What follows when expressions were evaluated: a fan-out is laid out, tasks may start. Part of the plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.errors import ExpressionFailed
from app.domain.phases import Phase
from app.domain.plan.decisions import Decisions
from app.domain.plan.evaluation import Evaluation, Prepared
from app.domain.plan.run_state import RunState, TaskState
from app.domain.plan.task_flow import Ending, Outcome, admit, consider, end_task, end_tasks, start
from app.domain.workflow.nodes import Node
from app.domain.workflow.parsing import expand_foreach, max_parallel_of
from app.domain.workflow.task_checks import MAX_TASKS


def lists_evaluated(state: RunState, node: Node, values: Mapping[str, Any] | ExpressionFailed, out: Decisions) -> None:
    """The lists of a fan-out are known: its items take the place of the one task that stood for them."""
    fan_out = state.nodes[node.name]
    waiting = fan_out.members[0]
    if fan_out.is_laid_out or waiting.phase.is_over:
        return
    try:
        if isinstance(values, ExpressionFailed):
            raise values
        items = expand_foreach(node.foreach, values) if node.foreach else []
        limit = max_parallel_of(node, values)
        _check_count(state, len(items))
    except ExpressionFailed as error:
        end_task(state, waiting, _failed(str(error)), out)
        return
    fan_out.max_parallel = limit
    if not items:
        fan_out.is_laid_out = True
        end_tasks(state, consider(state, fan_out, out), out)
        return
    out.gone_tasks.append(waiting.name)
    out.tasks.pop(waiting.name, None)
    out.new_tasks.pop(waiting.name, None)
    kept = {node.max_parallel: limit} if isinstance(node.max_parallel, str) else None
    for task in state.lay_out(node.name, items):
        task.values = dict(kept) if kept else None
        out.new_tasks[task.name] = task
    state.count_members(fan_out, before=1)
    out.run_changed = out.is_urgent = True
    end_tasks(state, admit(state, node, fan_out.members, out), out)


def _check_count(state: RunState, items: int) -> None:
    count = len(state.tasks) - 1 + items
    if count > MAX_TASKS:
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
    if found.values is not None:
        task.values = {**(task.values or {}), **found.values}
        out.task_changed(state, task, phase_moved=False)
    if found.failure is not None:
        return [(task, _failed(found.failure))]
    if not found.runs:
        return [(task, Outcome(Phase.SKIPPED, "WhenFalse", f"`when` is false: {task.node.when}"))]
    task.spec = found.spec
    return start(state, task, out)
