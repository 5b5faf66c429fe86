"""What a run asks the evaluator: which expressions, in which context. Pure: the executor carries question and answer.

plan ─▶ Evaluation ─▶ (evaluator: values) ─▶ prepare ─▶ Prepared ─▶ plan.evaluated ─▶ recorded, then used
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from app.domain.errors import ExpressionFailed
from app.domain.expressions.analysis import references
from app.domain.phases import Phase
from app.domain.plan.outcome import run_outcome
from app.domain.plan.run_state import NodeState, RunState, TaskState
from app.domain.workflow.document import Task
from app.domain.workflow.nodes import Node
from app.domain.workflow.parsing import max_parallel_of, render_task

#: So many items of a fan-out are asked at a time: the first ones start while the others are at the evaluator.
CHUNK = 100
#: What the expressions of a run may give in all, as JSON: each task keeps what it got, its pod and its row do too.
MAX_VALUES_BYTES = 64 * 1024 * 1024

_encode = msgspec.json.Encoder().encode

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
    shared: tuple[str, ...] = ()  #: sources that do not ask for `item`: their values are the same for all the tasks
    condition: str | None  #: the source of `when`: where it is false, the others are not evaluated
    context: Mapping[str, Any]  #: `params`, `run`, `tasks`, as far as the sources name them
    items: tuple[Any, ...] | None  #: one for each of `tasks`; None: there is no `item`


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What came of one task's expressions: their values and the task that they make, or what went wrong."""

    values: Mapping[str, Any] | None = None  #: the task's own
    shared: Mapping[str, Any] | None = None  #: those that the other items have, too
    size_bytes: int = 0  #: of all of them, as JSON
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
    shared = tuple(source for source in sources if not references(source).uses_item) if node.foreach else ()
    return [
        Evaluation(
            node=node,
            tasks=(chunk := tuple(tasks[start : start + CHUNK])),
            sources=tuple(source for source in sources if source not in shared),
            shared=shared,
            condition=condition,
            context=context,
            items=tuple(task.item for task in chunk) if node.foreach else None,
        )
        for start in range(0, len(tasks), CHUNK)
    ]


def prepare(
    node: Node,
    values: Mapping[str, Any] | ExpressionFailed,
    namespaces: Sequence[str],
    shared: Mapping[str, Any] | ExpressionFailed | None = None,
) -> Prepared:
    """From values to the task they make. Costs some 100 µs: of many, in a thread."""
    if isinstance(values, ExpressionFailed):
        return Prepared(failure=str(values))
    if runs_not(node, values):
        return Prepared(values=values, runs=False)
    if isinstance(shared, ExpressionFailed):
        return Prepared(values=values, failure=str(shared))
    together = {**(shared or {}), **values}
    size = len(_encode(together))
    if node.spec is not None:
        return Prepared(values=values, shared=shared, size_bytes=size, spec=node.spec)
    try:
        spec = render_task(node, together, namespaces)
    except ExpressionFailed as error:
        return Prepared(values=values, shared=shared, size_bytes=size, failure=str(error))
    return Prepared(values=values, shared=shared, size_bytes=size, spec=spec)


def runs_not(node: Node, values: Mapping[str, Any]) -> bool:
    """Whether `when` is an expression, and false."""
    return isinstance(node.when, str) and values[node.when] is False


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


def _task_context(node: NodeState) -> Mapping[str, Any]:
    """A node whose tasks are all over. Made once: it may have thousands of items, and thousands of others may name it."""
    if node.context is None:
        node.context = _make_context(node)
    return node.context


def _make_context(node: NodeState) -> dict[str, Any]:
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


def restore_values(state: RunState, node: NodeState) -> None:
    """The tasks that recorded values make, after a restart; none where they are not all there, or were refused."""
    if not node.node.needs_values:
        return
    for task in node.members:
        values = task.values or {}
        node.shared |= {source: value for source, value in values.items() if _is_shared(node.node, source)}
    for task in node.members:
        values = {**node.shared, **(task.values or {})}
        if task.values is None or task.spec is not None or not all(source in values for source in node.node.expressions):
            continue
        # What it was allowed when it began it goes on with.
        namespaces = {*state.namespaces, *(attempt.namespace for attempt in task.attempts)}
        prepared = prepare(node.node, values, sorted(namespaces))
        task.spec = prepared.spec
        state.values_bytes += prepared.size_bytes


def _is_shared(node: Node, source: str) -> bool:
    return node.foreach is not None and source in node.expressions and not references(source).uses_item


def restore_limit(node: NodeState) -> None:
    """How many items of a laid-out fan-out may run at a time: where expressions said so, its items remember."""
    limit = node.node.max_parallel
    if not isinstance(limit, str):
        return
    known = next((member.values for member in node.members if member.values and limit in member.values), None)
    if known is not None:
        node.max_parallel, node.is_laid_out = max_parallel_of(node.node, known), True
