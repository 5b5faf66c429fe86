"""What a run asks the evaluator: which expressions, in which context. Pure: the executor carries question and answer.

plan ─▶ Evaluation ─▶ (evaluator: values) ─▶ prepare ─▶ Prepared ─▶ plan.evaluated ─▶ recorded, then used
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.errors import ExpressionFailed
from app.domain.expressions.analysis import references
from app.domain.phases import Phase
from app.domain.plan.outcome import run_outcome
from app.domain.plan.run_state import NodeState, RunState, TaskState
from app.domain.workflow.document import Task
from app.domain.workflow.nodes import Node
from app.domain.workflow.parsing import max_parallel_of, render_task

#: So many items of a fan-out are asked at a time: the first ones start while the others are at the evaluator.
CHUNK = 250

#: Of a fan-out: the first of these that one of its items is in.
_GRAVEST_FIRST = (
    Phase.RUNNING, Phase.PENDING, Phase.FAILED, Phase.ERROR, Phase.CANCELLED, Phase.OMITTED, Phase.SUCCEEDED, Phase.SKIPPED,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Expressions to evaluate: those of some tasks of a node, or (`tasks` empty) those that lay out a fan-out."""

    node: Node
    tasks: tuple[TaskState, ...]
    sources: tuple[str, ...]
    condition: str | None  #: the source of `when`: where it is false, the others are not evaluated
    context: Mapping[str, Any]  #: `params`, `run`, `tasks`, as far as the sources name them
    items: tuple[Any, ...] | None  #: one for each of `tasks`; None: there is no `item`


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What came of one task's expressions: their values and the task that they make, or what went wrong."""

    values: Mapping[str, Any] | None = None
    spec: Task | None = None
    runs: bool = True  #: False: `when` is false
    failure: str | None = None


def evaluation_of_list(state: RunState, node: NodeState) -> Evaluation:
    """What lays out a fan-out."""
    sources = node.node.list_expressions
    context = _context(state, node.node, sources)
    return Evaluation(node=node.node, tasks=(), sources=sources, condition=None, context=context, items=None)


def evaluations_of_tasks(state: RunState, node: Node, tasks: Sequence[TaskState]) -> list[Evaluation]:
    """What must be known before these tasks of a node can start."""
    condition = node.when if isinstance(node.when, str) else None
    sources = tuple(source for source in node.expressions if source != condition)
    named = sources if condition is None else (condition, *sources)
    context = _context(state, node, named)
    return [
        Evaluation(
            node=node,
            tasks=(chunk := tuple(tasks[start : start + CHUNK])),
            sources=sources,
            condition=condition,
            context=context,
            items=tuple(task.item for task in chunk) if node.foreach else None,
        )
        for start in range(0, len(tasks), CHUNK)
    ]


def prepare(node: Node, values: Mapping[str, Any] | ExpressionFailed, namespaces: Sequence[str]) -> Prepared:
    """From values to the task they make. Costs some 100 µs: of many, in a thread."""
    if isinstance(values, ExpressionFailed):
        return Prepared(failure=str(values))
    if isinstance(node.when, str) and values[node.when] is False:
        return Prepared(values=values, runs=False)
    if node.spec is not None:
        return Prepared(values=values, spec=node.spec)
    try:
        return Prepared(values=values, spec=render_task(node, values, namespaces))
    except ExpressionFailed as error:
        return Prepared(values=values, failure=str(error))


def run_context(run_id: str, workflow: str, created_at: str, phase: str) -> dict[str, str]:
    """`run` in expressions."""
    return {"id": run_id, "workflow": workflow, "created_at": created_at, "phase": phase}


def _context(state: RunState, node: Node, sources: Sequence[str]) -> dict[str, Any]:
    names = [references(source) for source in sources]
    tasks = {name for one in names for name in one.tasks}
    phase = run_outcome(state)[0].value if node.is_exit else "Running"
    created_at = state.created_at.isoformat().replace("+00:00", "Z")
    return {
        "params": dict(state.params),
        "run": run_context(state.run_id, state.workflow.name, created_at, phase),
        "tasks": {name: _task_context(state.nodes[name]) for name in sorted(tasks)},
    }


def _task_context(node: NodeState) -> dict[str, Any]:
    if node.node.foreach is None:
        (task,) = node.members
        return {"phase": task.phase.value, "exit_code": _exit_code(task), "outputs": task.outputs or {}}
    items = [] if node.members[0].index is None else node.members
    names = dict.fromkeys(name for task in items for name in task.outputs or ())
    names |= dict.fromkeys(node.node.outputs)
    phases = {task.phase for task in node.members}
    return {
        "phase": next(phase for phase in _GRAVEST_FIRST if phase in phases).value,
        "exit_code": [_exit_code(task) for task in items],
        "outputs": {name: [(task.outputs or {}).get(name) for task in items] for name in names},
    }


def _exit_code(task: TaskState) -> int | None:
    recent = task.recent_attempts
    return recent[-1].exit_code if recent else None


def restore_spec(state: RunState, task: TaskState) -> None:
    """The task that its recorded values make, after a restart; none where they are not all there, or were refused."""
    values = task.values or {}
    if not all(source in values for source in task.node.expressions):
        return
    # What it was allowed when it began it goes on with.
    namespaces = {*state.namespaces, *(attempt.namespace for attempt in task.attempts)}
    task.spec = prepare(task.node, values, sorted(namespaces)).spec


def restore_limit(node: NodeState) -> None:
    """How many items of a laid-out fan-out may run at a time: where expressions said so, its items remember."""
    values = node.members[0].values
    if isinstance(node.node.max_parallel, str) and values and node.node.max_parallel in values:
        node.max_parallel = max_parallel_of(node.node, values)
