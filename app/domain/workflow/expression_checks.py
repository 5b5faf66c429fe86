"""What is wrong with the expressions of a workflow, each at its place: syntax, unknown names, tasks that are not upstream.

Each distinct source is checked once against all that any place may know; only one that names tasks or the item is looked at
again where it stands.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from app.domain.errors import ExpressionFailed
from app.domain.expressions.analysis import Scope, check_expression, references
from app.domain.pointers import shown
from app.domain.suggestions import CloseNames
from app.domain.workflow.graph import Graph

_FEW = 10  #: known names that a message lists
_ITEM_IN_LIST = "`item` is one of what these lists give: it can't be used in them"


class _Known(NamedTuple):
    """What is known of a source wherever it stands."""

    faults: tuple[str, ...]
    params: frozenset[str] = frozenset()
    tasks: frozenset[str] = frozenset()
    uses_item: bool = False


class _Upstream(Collection[str]):
    """The names of the tasks that one waits for, as a question: they are counted out only if somebody insists."""

    def __init__(self, graph: Graph, index: int, unknown: Collection[str]) -> None:
        self._graph, self._index, self._unknown = graph, index, unknown

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._unknown or self._graph.is_upstream(name, self._index))

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._graph.index if self._graph.is_upstream(name, self._index))

    def __len__(self) -> int:
        return sum(1 for _ in self)


class _WithUnknown(Collection[str]):
    """Known names, and those of one expression that are told of as unknown already."""

    def __init__(self, known: Collection[str], unknown: Collection[str]) -> None:
        self._known, self._unknown = known, unknown

    def __contains__(self, name: object) -> bool:
        return name in self._known or name in self._unknown

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class ExpressionChecks:
    """Checks the expressions of one document. `params` are the names of its params."""

    def __init__(self, params: Collection[str], graph: Graph) -> None:
        self._params, self._graph = params, graph
        self._known: dict[str, _Known] = {}
        self._of_run: dict[str, Sequence[str]] = {}
        # Made once: a document may have ten thousand unknown names as well as ten thousand tasks.
        self._close_params, self._close_tasks = CloseNames(params), CloseNames(graph.index)

    def anywhere(self, source: str) -> Sequence[str]:
        """What is wrong with an expression in whatever task it stands."""
        return self._of(source).faults

    def of_run(self, source: str) -> Sequence[str]:
        """What is wrong with an expression that only knows the params."""
        if source not in self._of_run:
            self._of_run[source] = self._checked(source, has_item=False, run=False).faults
        return self._of_run[source]

    def of_task(self, source: str, index: int, *, has_item: bool) -> Sequence[str]:
        """What is wrong with an expression in one task, by its index in the graph, beyond what `anywhere` says."""
        known = self._of(source)
        is_known = all(self._graph.is_upstream(name, index) for name in known.tasks if name in self._graph.index)
        if is_known and (has_item or not known.uses_item):
            return ()
        unknown = [name for name in known.tasks if name not in self._graph.index]
        scope = Scope(
            params=_WithUnknown(self._params, known.params),
            upstream=_Upstream(self._graph, index, unknown),
            tasks=self._graph.index,
            has_item=has_item,
        )
        return [detail for detail in check_expression(source, scope) if detail not in known.faults]

    def of_list(self, source: str, index: int) -> Sequence[str]:
        """The same for an expression that gives a fan-out its lists."""
        found = [*self.of_task(source, index, has_item=True)]
        return [*found, _ITEM_IN_LIST] if self._of(source).uses_item else found

    def _of(self, source: str) -> _Known:
        known = self._known.get(source)
        if known is None:
            known = self._known[source] = self._checked(source, has_item=True, run=True)
        return known

    def _checked(self, source: str, *, has_item: bool, run: bool) -> _Known:
        try:
            names = references(source)
        except ExpressionFailed:
            return _Known(tuple(check_expression(source, Scope())))
        params = [name for name in sorted(names.params) if name not in self._params]
        tasks = [name for name in sorted(names.tasks) if name not in self._graph.index] if run else []
        faults = [_unknown("param", name, self._close_params, self._params) for name in params]
        faults += [_unknown("task", name, self._close_tasks, self._graph.index) for name in tasks]
        upstream = _WithUnknown(self._graph.index, tasks)
        scope = Scope(params=_WithUnknown(self._params, params), upstream=upstream, tasks=upstream, has_item=has_item, run=run)
        return _Known((*faults, *check_expression(source, scope)), names.params, names.tasks, names.uses_item)


def _unknown(kind: str, name: str, close: CloseNames, known: Collection[str]) -> str:
    if meant := close.find(name):
        return f"there is no {kind} {shown(name)}: did you mean {shown(meant)}?"
    few = f": there is {', '.join(known)}" if 0 < len(known) <= _FEW else ""
    return f"there is no {kind} {shown(name)}{few}"
