"""A workflow as it is run: its nodes, with the defaults merged in, and what of them only expressions can tell.

`parsing` makes these of a valid document; the plan, the executor and the use cases read them. All are values: nothing
here changes after it was made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from app.domain.workflow.document import Task
from app.domain.workflow.trigger_rules import TriggerRule


class ParamType(StrEnum):
    """The type of a param's values."""

    STRING = "string"
    NUMBER = "number"  #: a double: a whole number that is given becomes one
    INTEGER = "integer"
    BOOLEAN = "boolean"
    ARRAY = "array"
    OBJECT = "object"


@dataclass(frozen=True, slots=True, kw_only=True)
class Param:
    """A param that a run gives a value."""

    type: ParamType
    is_required: bool  #: it has no default
    default: Any = None
    enum: tuple[Any, ...] | None = None
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreach:
    """Over what a fan-out goes."""

    items: tuple[Any, ...] | None  #: known from the document; None: `expressions` give them
    written: Any  #: as in the document: a list, an object of lists, or an expression; a list may itself be an expression
    expressions: tuple[str, ...] = ()  #: sources of the lists


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A task of the document. In a run it is one task, or with `foreach` one for each item."""

    name: str
    position: int  #: in the document; the tasks of `on_exit` come after all others
    is_exit: bool = False  #: of `on_exit`
    depends_on: tuple[str, ...] = ()
    trigger_rule: TriggerRule = TriggerRule.ALL_SUCCESS
    when: bool | str = True  #: a str is the source of an expression
    foreach: Foreach | None = None
    max_parallel: int | str | None = None  #: of the items; a str is the source of an expression
    outputs: Mapping[str, bool] = field(default_factory=dict)  #: names that it hands on, and whether each is required
    spec: Task | None = None  #: all there is to know of the pod; None where `expressions` must be evaluated first
    written: Mapping[str, Any] = field(default_factory=dict)  #: where there is no `spec`: the task's JSON, defaults merged in
    #: Beside `written`: what the defaults have for a key that merges by key, where only values tell whether both are objects.
    late_defaults: Mapping[str, Any] = field(default_factory=dict)
    expressions: tuple[str, ...] = ()  #: sources in `written` and `late_defaults`, each once

    @property
    def needs_values(self) -> bool:
        """Whether something must be evaluated before a task of this node can start."""
        return isinstance(self.when, str) or bool(self.expressions)

    @property
    def list_expressions(self) -> tuple[str, ...]:
        """Sources to evaluate before a fan-out can be laid out, each once."""
        found = list(self.foreach.expressions) if self.foreach else []
        if isinstance(self.max_parallel, str) and self.max_parallel not in found:
            found.append(self.max_parallel)
        return tuple(found)


class ConcurrencyPolicy(StrEnum):
    """What a new run of a concurrency group does to the others."""

    QUEUE = "queue"  #: it waits until they are finished, first in first out
    CANCEL_RUNNING = "cancel_running"  #: it cancels them: the newest wins


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """Runs of one group are one at a time."""

    group: str  #: may hold expressions over params
    policy: ConcurrencyPolicy


class Overlap(StrEnum):
    """What a schedule does when its last run is not finished at the next one's time."""

    ALLOW = "allow"  #: it runs beside it
    FORBID = "forbid"  #: it is left out
    REPLACE = "replace"  #: the last one is cancelled


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a stored workflow runs by itself: `every_seconds`, or `cron` in `timezone`."""

    every_seconds: float | None = None
    cron: str | None = None
    timezone: str = "UTC"  #: IANA's name
    overlap: Overlap = Overlap.ALLOW
    catchup: bool = False  #: whether each missed time gets a run (100 at most), not only the last


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A valid workflow."""

    name: str
    description: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)  #: values may hold expressions over params
    namespace: str | None = None
    params: Mapping[str, Param] = field(default_factory=dict)
    nodes: tuple[Node, ...]  #: in document order, those of `on_exit` last
    timeout_seconds: float | None = None
    fail_fast: bool = False
    max_parallel_tasks: int | None = None
    concurrency: Concurrency | None = None
    schedule: Schedule | None = None

    @property
    def exit_nodes(self) -> Sequence[Node]:
        """The tasks of `on_exit`."""
        return [node for node in self.nodes if node.is_exit]
