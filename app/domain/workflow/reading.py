"""Reads the tasks of a document: each with its defaults, everything wrong with it, and the node that it makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import product
from typing import Any

from pydantic import ValidationError

from app.domain.errors import Fault
from app.domain.expressions.templates import source_alone, sources_in
from app.domain.pointers import shown, tokens, under
from app.domain.workflow.checks import defaults_faults, merged_task_faults, secrets_faults, written_task_faults
from app.domain.workflow.document import (
    MERGED_BY_KEY,
    STATIC_KEYS,
    Approval,
    Document,
    OutputSpec,
    Retries,
    SecretRef,
    Task,
    TaskDefaults,
)
from app.domain.workflow.document_faults import Loc, model_faults
from app.domain.workflow.expression_checks import ExpressionChecks
from app.domain.workflow.merging import is_overridden, merge_task
from app.domain.workflow.nodes import Foreach, Node
from app.domain.workflow.placeholders import Placed, Placeholders, may_hold_expressions
from app.domain.workflow.trigger_rules import TriggerRule

#: Keys that are evaluated for themselves, before what the pod is made of.
_EVALUATED_FIRST = ("when", "foreach", "max_parallel")
_LISTS = ("foreach", "max_parallel")
_DEFAULTS = "/task_defaults"
_NOTHING = Placeholders({})
_INNER: Mapping[str | int, type[Document]] = {
    "retries": Retries,
    "secrets": SecretRef,
    "approval": Approval,
    "outputs": OutputSpec,
}


def task_model_faults(model: type[Document], error: ValidationError) -> Iterator[Fault]:
    """What pydantic found wrong with a task, or with defaults."""

    def known_keys(loc: Loc) -> tuple[str, ...]:
        return tuple((_INNER.get(loc[0], model) if loc else model).model_fields)

    return model_faults(error, known_keys)


class Defaults:
    """The document's `task_defaults`."""

    def __init__(self, written: object) -> None:
        self.value: Mapping[str, Any] = written if isinstance(written, dict) else {}
        self.holds_expressions = may_hold_expressions(self.value)
        self.told: set[Placed] = set()  #: expressions that are wrong in some task, told once
        self._placeholders = Placeholders(self.value, static=STATIC_KEYS) if self.holds_expressions else _NOTHING
        self._written = written

    def faults(self, checks: ExpressionChecks) -> Iterator[Fault]:
        """What is wrong with them whatever task has them."""
        if self._written is None:
            return
        faults = list(defaults_faults(self.value))
        try:
            TaskDefaults.model_validate(self._written)
        except ValidationError as error:
            faults.extend(task_model_faults(TaskDefaults, error))
        yield from under(_DEFAULTS, self._placeholders.known(faults))
        yield from under(_DEFAULTS, self._placeholders.faults())
        for found in self._placeholders.found:
            for detail in checks.anywhere(found.source):
                yield Fault(_DEFAULTS + found.pointer, detail)


class TaskReader:
    """One task of `tasks` or `on_exit`. `index` is its place in the graph, `place` the pointer to it."""

    def __init__(self, written: dict[str, Any], defaults: Defaults, *, index: int, place: str, is_exit: bool) -> None:
        self._written, self._defaults = written, defaults
        self._index, self._place, self._is_exit = index, place, is_exit
        self._merged = merge_task(written, defaults.value, is_exit=is_exit)
        self._model: Task | None = None
        self._own = Placeholders(written, static=STATIC_KEYS) if may_hold_expressions(written) else _NOTHING
        self._all = self._own
        if defaults.holds_expressions and self._merged.inherited:
            self._all = Placeholders(self._merged.task, static=STATIC_KEYS)

    def faults(self, checks: ExpressionChecks) -> Iterator[Fault]:
        """Everything that is wrong with it, with pointers from the document's root."""
        own = [*written_task_faults(self._written, self._defaults.value), *secrets_faults(self._written.get("secrets"))]
        if any(isinstance(value := self._written.get(key), dict) and None in value.values() for key in MERGED_BY_KEY):
            own.extend(self._model_faults(self._written))  # merging has left the nulls' keys out
        if own:
            yield from under(self._place, self._own.known(own))
        merged = [*self._model_faults(self._merged.task), *merged_task_faults(self._merged.task)]
        if merged:
            yield from map(self._located, self._all.known(merged))
        if self._own is not _NOTHING:
            yield from under(self._place, self._own.faults())
        if self._all is not _NOTHING:
            yield from self._expression_faults(checks)

    def _model_faults(self, task: Mapping[str, Any]) -> Sequence[Fault]:
        try:
            self._model = Task.model_validate(task)
        except ValidationError as error:
            return list(task_model_faults(Task, error))
        return ()

    def _expression_faults(self, checks: ExpressionChecks) -> Iterator[Fault]:
        has_item = "foreach" in self._merged.task
        for found, is_inherited in self._expressions:
            scoped = self._scoped_faults(checks, found, has_item=has_item)
            if not is_inherited:
                details = (*checks.anywhere(found.source), *scoped)
                yield from (Fault(self._place + found.pointer, detail) for detail in details)
            elif scoped and found not in self._defaults.told:
                self._defaults.told.add(found)
                who = f" (in the task {shown(self._written.get('name'))}, and maybe more)"
                yield from (Fault(_DEFAULTS + found.pointer, detail + who) for detail in scoped)

    def _scoped_faults(self, checks: ExpressionChecks, found: Placed, *, has_item: bool) -> Sequence[str]:
        """What is wrong with an expression in just this task."""
        foreach = self._merged.task.get("foreach")
        if found.key in _LISTS:
            scoped = checks.of_list(found.source, self._index)
        else:
            scoped = checks.of_task(found.source, self._index, has_item=has_item)
            if isinstance(foreach, dict):
                scoped = [*scoped, *checks.of_item(found.source, foreach)]
        steps = 2 if found.key == "foreach" and isinstance(foreach, dict) else 1
        if found.pointer.count("/") != steps:  # it is part of an item
            return scoped
        return [*scoped, *checks.of_key(found.source, found.key)]

    @cached_property
    def _expressions(self) -> list[tuple[Placed, bool]]:
        """Each expression, and whether the defaults have it."""
        if self._all is _NOTHING:
            return []
        own = [(found, self._is_inherited(found.key, found.inner)) for found in self._all.found]
        return [*own, *((found, True) for found in Placeholders(self._merged.late).found)] if self._merged.late else own

    def _is_inherited(self, key: str, inner: str | None) -> bool:
        if key not in self._merged.inherited or key in self._merged.late:
            return False
        return not is_overridden(key, inner, self._written, self._defaults.value)

    def _located(self, fault: Fault) -> Fault:
        steps = tokens(fault.pointer)
        is_inherited = bool(steps) and self._is_inherited(steps[0], steps[1] if len(steps) > 1 else None)
        return Fault((_DEFAULTS if is_inherited else self._place) + fault.pointer, fault.detail)

    def node(self, position: int) -> Node:
        """The node that it makes; of a document without faults."""
        task = self._merged.task
        written = {key: value for key, value in task.items() if key not in _EVALUATED_FIRST}
        sources = [found.source for found, _ in self._expressions if found.key not in _EVALUATED_FIRST]
        spec: Task | None = None
        if not sources:
            spec, written = self._model or Task.model_validate(written), {}
        max_parallel = task.get("max_parallel")
        when = task.get("when", True)
        outputs = task.get("outputs", {})
        return Node(
            name=task["name"],
            position=position,
            is_exit=self._is_exit,
            depends_on=tuple(task.get("depends_on", ())),
            trigger_rule=TriggerRule(task.get("trigger_rule", TriggerRule.ALL_SUCCESS)),
            when=_source(when) if isinstance(when, str) else when,
            foreach=_foreach(task["foreach"]) if "foreach" in task else None,
            max_parallel=_source(max_parallel) if isinstance(max_parallel, str) else max_parallel,
            outputs={name: (about or {}).get("required") is not False for name, about in outputs.items()},
            spec=spec,
            written=written,
            late_defaults=self._merged.late,
            expressions=tuple(dict.fromkeys(sources)),
        )


def _source(text: str) -> str:
    source = source_alone(text)
    if source is None:
        raise AssertionError(f"{text!r} is checked to be one expression")
    return source


def _foreach(written: Any) -> Foreach:
    sources = dict.fromkeys(found.source for found in sources_in(written))
    return Foreach(items=None if sources else combinations(written), written=written, expressions=tuple(sources))


def combinations(lists: Any) -> tuple[Any, ...]:
    """The items of a fan-out: those of a list, or every combination of named lists, the last name's fastest."""
    if isinstance(lists, dict):
        return tuple(dict(zip(lists, values, strict=True)) for values in product(*lists.values()))
    return tuple(lists)
