"""Reads a workflow document: everything that is wrong with it, or the nodes that it stands for.

`parse_workflow` is called where a document comes in (the API, the CLI's lint) and where a stored one is taken up again (the
executor). It is pure. The models of the document are in `domain.document`, what comes of expressions' values in
`domain.rendering`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from pydantic import ValidationError

from app.domain.errors import Fault, InvalidWorkflow
from app.domain.faults import first_faults
from app.domain.json_values import first_json_faults
from app.domain.kubernetes.object_checks import is_templated
from app.domain.pointers import in_document_order, pointer, shown, tokens, under
from app.domain.workflow.checks import count_tasks
from app.domain.workflow.document import (
    POD_KEYS,
    ConcurrencySpec,
    Document,
    ParamSpec,
    ScheduleSpec,
    WorkflowDocument,
    WorkflowKeys,
)
from app.domain.workflow.document_faults import Loc, list_faults, model_faults
from app.domain.workflow.expression_checks import ExpressionChecks
from app.domain.workflow.graph import Graph
from app.domain.workflow.json_schema import workflow_json_schema
from app.domain.workflow.nodes import Concurrency, ConcurrencyPolicy, Overlap, Param, Schedule, Workflow
from app.domain.workflow.params import parse_params
from app.domain.workflow.placeholders import Placeholders, may_hold_expressions
from app.domain.workflow.reading import Defaults, TaskReader
from app.domain.workflow.rendering import expand_foreach, max_parallel_of, namespace_fault, render_task
from app.domain.workflow.schedule_checks import schedule_faults
from app.domain.workflow.sizes import size_faults
from app.domain.workflow.task_checks import MAX_TASKS

__all__ = [
    "POD_KEYS",
    "check_namespaces",
    "expand_foreach",
    "max_parallel_of",
    "parse_workflow",
    "render_task",
    "workflow_json_schema",
]

_SECTIONS = ("tasks", "on_exit")
_TASK_KEYS = (*_SECTIONS, "task_defaults")
#: Run-level texts in which expressions mean nothing, and are just text.
_PLAIN_TEXT = ("description",)
_MODELS: Mapping[str | int, type[Document]] = {"params": ParamSpec, "concurrency": ConcurrencySpec, "schedule": ScheduleSpec}


def parse_workflow(document: object) -> Workflow:
    """Read a posted document: check all of it, and merge the defaults into its tasks.

    Raises:
        InvalidWorkflow: with everything that is wrong, in document order, each thing once; see `faults` for how much that is.
    """
    faults, is_readable = first_json_faults(document)
    if not is_readable:
        raise InvalidWorkflow(in_document_order(document, faults))
    if not isinstance(document, dict):
        raise InvalidWorkflow(in_document_order(document, [*faults, Fault("", f"must be an object, not {shown(document)}")]))
    defaults = Defaults(document.get("task_defaults"))
    if too_large := first_faults(size_faults(defaults.value, {key: _tasks_of(document, key) for key in _SECTIONS})):
        raise InvalidWorkflow(in_document_order(document, [*faults, *too_large]))
    keys = _RunKeys(document)
    params, params_faults = parse_params(document.get("params"))
    graph = Graph(_tasks_of(document, "tasks"), _tasks_of(document, "on_exit"))
    checks = ExpressionChecks(params, graph)
    readers = list(_readers(document, defaults))
    found = chain(
        faults,
        under("/params", params_faults),
        keys.faults(checks),
        _sections_faults(document, defaults),
        defaults.faults(checks),
        graph.faults(),
        chain.from_iterable(reader.faults(checks) for reader in readers),
    )
    if told := first_faults(found):
        raise InvalidWorkflow(in_document_order(document, told))
    return keys.workflow(params, readers)


def _tasks_of(document: Mapping[str, Any], key: str) -> list[Any]:
    """The tasks of a section, without those that are too many: millions of them are not worth a fault each."""
    tasks = document.get(key)
    return tasks[:MAX_TASKS] if isinstance(tasks, list) else []


def _readers(document: Mapping[str, Any], defaults: Defaults) -> Iterator[TaskReader]:
    index = 0
    for section in _SECTIONS:
        for item, task in enumerate(_tasks_of(document, section)):
            if isinstance(task, dict):
                place = f"/{section}/{item}"
                yield TaskReader(task, defaults, index=index, place=place, is_exit=section == "on_exit")
            index += 1


def _sections_faults(document: Mapping[str, Any], defaults: Defaults) -> Iterator[Fault]:
    """Faults of the lists of tasks as lists."""
    if "tasks" not in document:
        yield Fault("", 'the key "tasks" is required')
    else:
        yield from under("/tasks", list_faults(document["tasks"], at_least=1, at_most=MAX_TASKS))
    if document.get("on_exit") is not None:
        yield from under("/on_exit", list_faults(document["on_exit"], at_least=0, at_most=MAX_TASKS))
    for section in _SECTIONS:
        for item, task in enumerate(_tasks_of(document, section)):
            if not isinstance(task, dict):
                yield Fault(f"/{section}/{item}", f"must be an object, not {shown(task)}")
    tasks = [task for section in _SECTIONS for task in _tasks_of(document, section)]
    count = count_tasks(tasks, defaults.value)
    if count > max(MAX_TASKS, len(_tasks_of(document, "tasks"))):
        detail = f"must have at most {MAX_TASKS:,} tasks in all, with the items of foreach and on_exit, not {count:,}"
        yield Fault("/tasks", detail)


class _RunKeys:
    """The document's keys but those that hold tasks."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._written = {key: value for key, value in document.items() if key not in _TASK_KEYS}
        self._model: WorkflowKeys | None = None

    def faults(self, checks: ExpressionChecks) -> Iterator[Fault]:
        faults = list(under("/schedule", schedule_faults(self._written.get("schedule"))))
        with_places = {key: value for key, value in self._written.items() if key not in (*_PLAIN_TEXT, "params")}
        try:
            self._model = WorkflowKeys.model_validate(self._written)
        except ValidationError as error:
            faults.extend(model_faults(error, _known_keys))
        if not may_hold_expressions(with_places):
            yield from faults
            return
        placeholders = Placeholders(with_places)
        yield from placeholders.faults()
        for found in placeholders.found:
            if _may_hold(found.pointer):
                yield from (Fault(found.pointer, detail) for detail in checks.of_run(found.source))
            else:
                yield Fault(found.pointer, "no expression may stand here: only in tasks, labels and concurrency.group")
        yield from placeholders.known(faults)

    def workflow(self, params: Mapping[str, Param], readers: Sequence[TaskReader]) -> Workflow:
        """The workflow that a document without faults stands for."""
        keys = self._model or self._validated()
        return Workflow(
            name=keys.name,
            description=keys.description or "",
            labels=keys.labels,
            namespace=keys.namespace,
            params=params,
            nodes=tuple(reader.node(position) for position, reader in enumerate(readers)),
            timeout_seconds=keys.timeout_seconds,
            fail_fast=keys.fail_fast,
            max_parallel_tasks=keys.max_parallel_tasks,
            concurrency=_concurrency(keys.concurrency),
            schedule=_schedule(keys.schedule),
        )

    def _validated(self) -> WorkflowKeys:
        """The keys where labels hold expressions: these are none yet."""
        model = WorkflowKeys.model_validate({key: value for key, value in self._written.items() if key != "labels"})
        labels = {key: value for key, value in self._written["labels"].items() if value is not None}
        return model.model_copy(update={"labels": labels})


def _may_hold(place: str) -> bool:
    steps = tokens(place)
    return (steps[0] == "labels" and len(steps) == 2) or steps == ["concurrency", "group"]  # /labels/KEY


def _known_keys(loc: Loc) -> tuple[str, ...]:
    return tuple((_MODELS[loc[0]] if loc else WorkflowDocument).model_fields)


def _concurrency(written: ConcurrencySpec | None) -> Concurrency | None:
    return Concurrency(group=written.group, policy=ConcurrencyPolicy(written.policy)) if written else None


def _schedule(written: ScheduleSpec | None) -> Schedule | None:
    if written is None:
        return None
    return Schedule(
        every_seconds=written.every_seconds,
        cron=written.cron,
        timezone=written.timezone or "UTC",
        overlap=Overlap(written.overlap),
        catchup=written.catchup,
    )


def check_namespaces(document: object, allowed: Sequence[str]) -> list[Fault]:
    """The namespaces written in a document that the service may not run pods in, at the keys that name them.

    Works on any document, valid or not; what is no text, or an expression, is passed over. `allowed` is not empty.
    """
    return [
        Fault(f"{place}/namespace", detail)
        for place, owner in _namespaced(document)
        if not is_templated(owner.get("namespace")) and (detail := namespace_fault(owner.get("namespace"), allowed))
    ]


def _namespaced(document: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(document, dict):
        return
    owners: list[tuple[str, object]] = [("", document), ("/task_defaults", document.get("task_defaults"))]
    for section in _SECTIONS:
        owners.extend((pointer(section, index), task) for index, task in enumerate(_tasks_of(document, section)))
    for place, owner in owners:
        if isinstance(owner, dict):
            yield place, owner
