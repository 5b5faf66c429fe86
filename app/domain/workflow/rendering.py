"""From the values of a node's expressions to what they make: the task, the items of a fan-out, how many at a time.

What was checked when the workflow was posted is checked again here, with the values in it. Pure: the same values give the same
task after a restart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import ValidationError

from app.domain.errors import ExpressionFailed, Fault
from app.domain.expressions.templates import Found, added_characters, as_text, render, sources_in
from app.domain.pointers import either, pointer, shown, tokens
from app.domain.workflow.checks import merged_task_faults, secrets_faults, written_task_faults
from app.domain.workflow.document import MERGED_BY_KEY, Task
from app.domain.workflow.merging import merge_maps
from app.domain.workflow.nodes import Foreach, Node
from app.domain.workflow.reading import combinations, task_model_faults
from app.domain.workflow.task_checks import MAX_ITEMS_BYTES, MAX_PARALLEL, items_fault, static_count

_FAULTS_SHOWN = 3  #: that a message tells of
#: Characters that expressions may put into one task, each as often as it stands there: no pod and no command takes more.
MAX_ADDED: Final = 4 * 1024 * 1024
#: Begins what is said where text is wanted and something else stands.
_WANTS_TEXT = "must be a string, not "


def render_task(node: Node, values: Mapping[str, Any], namespaces: Sequence[str]) -> Task:
    """The task of a node, with the values of its expressions in it.

    Args:
        node: as parsed; one without expressions is its `spec` as it is.
        values: of each of `node.expressions`, by source.
        namespaces: where pods may run.

    Raises:
        ExpressionFailed: what came of it is not what a task may be; the message tells the first few things that are wrong.
    """
    if node.spec is not None:
        return node.spec
    if added_characters([node.written, node.late_defaults], values) > MAX_ADDED:
        raise ExpressionFailed(f"its expressions put more than {MAX_ADDED // 2**20} MiB into the task")
    task = _rendered(node, values)
    model, faults = _checked(task)
    wanting = {fault.pointer for fault in faults if fault.detail.startswith(_WANTS_TEXT)}
    if places := [found for found in sources_in(node.written) if found.alone and found.pointer in wanting]:
        for found in places:
            _put_text(task, found)
        model, faults = _checked(task)
    if model is not None and (fault := namespace_fault(model.namespace, namespaces)):
        faults.append(Fault("/namespace", fault))
    if faults or model is None:
        raise ExpressionFailed(_message(faults))
    return model


def namespace_fault(name: object, allowed: Sequence[str]) -> str | None:
    """Why pods may not run in a namespace, None if they may, and where no name is given."""
    if not isinstance(name, str) or name in allowed:
        return None
    return f"pods must not run in namespace {shown(name)} here, only in {either(allowed)}"


def _rendered(node: Node, values: Mapping[str, Any]) -> dict[str, Any]:
    task: dict[str, Any] = render(node.written, values)
    for key, default in node.late_defaults.items():
        base, own = render(default, values), task.get(key)
        if isinstance(base, dict) and isinstance(own, dict):
            task[key] = merge_maps(base, own)
    task = {key: value for key, value in task.items() if value is not None}
    for key in MERGED_BY_KEY & task.keys():
        if isinstance(task[key], dict):
            task[key] = {name: as_text(value) for name, value in task[key].items()}
    for key in ("command", "args"):
        if isinstance(task.get(key), list):
            task[key] = [as_text(value) for value in task[key]]
    return task


def _checked(task: dict[str, Any]) -> tuple[Task | None, list[Fault]]:
    model: Task | None = None
    faults = [*written_task_faults(task, {}), *secrets_faults(task.get("secrets")), *merged_task_faults(task)]
    try:
        model = Task.model_validate(task)
    except ValidationError as error:
        faults.extend(task_model_faults(Task, error))
    return model, list(dict.fromkeys(faults))


def _put_text(task: dict[str, Any], found: Found) -> None:
    """Where an expression is alone and text is wanted, put in its value as text."""
    owner: Any = task
    *steps, last = tokens(found.pointer)
    for step in steps:
        owner = owner[int(step) if isinstance(owner, list) else step]
    key = int(last) if isinstance(owner, list) else last
    owner[key] = as_text(owner[key])


def _message(faults: Sequence[Fault]) -> str:
    told = [f"{fault.pointer[1:]}: {fault.detail}" if fault.pointer else fault.detail for fault in faults[:_FAULTS_SHOWN]]
    more = f"; and {len(faults) - _FAULTS_SHOWN} more" if len(faults) > _FAULTS_SHOWN else ""
    return f"with its expressions evaluated the task is not valid: {'; '.join(told)}{more}"


def expand_foreach(foreach: Foreach, values: Mapping[str, Any]) -> list[Any]:
    """The items of a fan-out, in order; of named lists every combination, the last name's fastest.

    Args:
        foreach: as parsed.
        values: of each of its `expressions`, by source.

    Raises:
        ExpressionFailed: a value is no list, or there are more items than a workflow may have tasks, or they are too large.
    """
    if foreach.items is not None:
        return list(foreach.items)
    if added_characters(foreach.written, values) > MAX_ITEMS_BYTES:
        raise ExpressionFailed(f"foreach: its items may have {MAX_ITEMS_BYTES // 2**20} MiB in all")
    lists = render(foreach.written, values)
    for place, items in lists.items() if isinstance(lists, dict) and isinstance(foreach.written, dict) else [("", lists)]:
        if not isinstance(items, list):
            what = pointer("foreach", *([place] if place else []))[1:]
            raise ExpressionFailed(f"{what}: must be a list, not {shown(items)}")
    if fault := items_fault(lists, static_count(lists) or 0):
        raise ExpressionFailed(f"foreach: {fault}")
    return list(combinations(lists))


def max_parallel_of(node: Node, values: Mapping[str, Any]) -> int | None:
    """How many items of a fan-out may be under way, None for all.

    Raises:
        ExpressionFailed: it is no whole number of at least 1.
    """
    if not isinstance(node.max_parallel, str):
        return node.max_parallel
    value = values[node.max_parallel]
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_PARALLEL:
        raise ExpressionFailed(f"max_parallel: must be a whole number between 1 and {MAX_PARALLEL:,}, not {shown(value)}")
    return value
