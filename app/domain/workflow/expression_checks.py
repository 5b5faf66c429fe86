"""What is wrong with the expressions of a workflow, each at its place: syntax, unknown names, tasks that are not upstream.

Each distinct source is checked once against all that any place may know; only one that names tasks or the item is looked at
again where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from app.domain.errors import ExpressionFailed
from app.domain.expressions.analysis import DYNAMIC, Scope, check_expression, references
from app.domain.pointers import shown
from app.domain.suggestions import CloseNames
from app.domain.workflow.graph import Graph
from app.domain.workflow.task_checks import MAX_PARALLEL

_FEW = 10  #: known names that a message lists
#: Of all distinct expressions of a document: to check them takes some seconds, and a stranger's must not take minutes.
MAX_SOURCES_BYTES: Final = 1024 * 1024
_TOO_MUCH = "the workflow's expressions may have at most 1 MiB in all; from this one on they were not checked"
#: What the expression of a key must give: in words, and CEL's types that may be it.
_WANTED: Final[Mapping[str, tuple[str, frozenset[str]]]] = {
    "when": ("true or false", frozenset({"BOOL", DYNAMIC})),
    "foreach": ("a list", frozenset({"LIST", DYNAMIC})),
    "max_parallel": ("a whole number", frozenset({"INT", "NULL", DYNAMIC})),
}
_KINDS: Final = {
    "INT": "an int", "UINT": "a uint", "DOUBLE": "a double", "STRING": "a string", "BOOL": "a bool", "LIST": "a list",
    "MAP": "a map", "NULL": "null", "BYTES": "bytes", "TIMESTAMP": "a timestamp", "DURATION": "a duration", "TYPE": "a type",
}  # fmt: skip
_WHOLE_NUMBER = re.compile(r"\s*-?[0-9]{1,18}\s*")
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
        self._seen: set[str] = set()
        self._bytes_left = MAX_SOURCES_BYTES
        self._first_beyond: str | None = None  #: the source that did not fit any more, until it is told of
        # Made once: a document may have ten thousand unknown names as well as ten thousand tasks.
        self._close_params, self._close_tasks = CloseNames(params), CloseNames(graph.index)

    def anywhere(self, source: str) -> Sequence[str]:
        """What is wrong with an expression in whatever task it stands."""
        faults = self._of(source).faults
        return (*faults, *self._beyond(source))

    def of_run(self, source: str) -> Sequence[str]:
        """What is wrong with an expression that only knows the params."""
        if source not in self._of_run:
            self._of_run[source] = self._checked(source, has_item=False, run=False).faults
        return (*self._of_run[source], *self._beyond(source))

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

    def of_key(self, source: str, key: str) -> Sequence[str]:
        """What an expression can't be where it is all of a task's key, by the type that it gives."""
        if key not in _WANTED or self._of(source).faults or not self._fits(source):
            return ()
        words, kinds = _WANTED[key]
        returns = references(source).returns
        if returns not in kinds:
            return (f"must give {words}, not {_KINDS.get(returns, returns.lower())}",)
        if key == "max_parallel" and _WHOLE_NUMBER.fullmatch(source) and not 1 <= int(source) <= MAX_PARALLEL:
            return (f"must be a whole number between 1 and {MAX_PARALLEL:,}, not {int(source)}",)
        return ()

    def of_item(self, source: str, names: Collection[str]) -> Sequence[str]:
        """What an expression asks of an item that has just these names."""
        if self._of(source).faults or not self._of(source).uses_item or "has(" in source:
            return ()
        asked = sorted({path[1] for path in references(source).paths if path[0] == "item" and len(path) > 1})
        return [_unknown("list in foreach named", name, CloseNames(names), names) for name in asked if name not in names]

    def _fits(self, source: str) -> bool:
        """Whether the expressions up to this one are not too much; only then they are looked at."""
        if source in self._seen:
            return True
        size = len(source.encode(errors="surrogatepass"))
        if self._bytes_left < size:
            if self._bytes_left >= 0:
                self._first_beyond = source
            self._bytes_left = -1
            return False
        self._bytes_left -= size
        self._seen.add(source)
        return True

    def _beyond(self, source: str) -> Sequence[str]:
        if source != self._first_beyond:
            return ()
        self._first_beyond = None
        return (_TOO_MUCH,)

    def _of(self, source: str) -> _Known:
        known = self._known.get(source)
        if known is None:
            known = self._known[source] = self._checked(source, has_item=True, run=True)
        return known

    def _checked(self, source: str, *, has_item: bool, run: bool) -> _Known:
        if not self._fits(source):
            return _Known(())
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
