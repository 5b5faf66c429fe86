"""The graph of a workflow's tasks: what is wrong with it, who comes after whom, in which order.

Everything is linear in tasks and dependencies, and iterative: a chain of ten thousand tasks needs no deep stack. The checks
work on the document as posted, whatever else is wrong with it: what is no task, no name or no list is passed over here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import count, islice
from typing import Any, NamedTuple

from app.domain.errors import Fault
from app.domain.faults import MOST_FAULTS
from app.domain.pointers import shown
from app.domain.suggestions import CloseNames
from app.domain.workflow.task_checks import MAX_TASKS

_SHOWN_TASKS = 10  #: names of a cycle that a message repeats
_FEW_EDGES = 8  #: of a task, looked through before the sets of all its upstream tasks are made


class _Components(NamedTuple):
    """Strongly connected components: the number of each node's, and the numbers in an order in which upstream comes first."""

    of: list[int]
    order: list[int]


class Graph:
    """The tasks of a document as posted, by index: first those of `tasks`, then those of `on_exit`."""

    def __init__(self, tasks: Sequence[object], on_exit: Sequence[object] = ()) -> None:
        self._tasks = [*tasks, *on_exit]
        self._main = len(tasks)
        self.names = [_name(task) for task in self._tasks]
        self.index: dict[str, int] = {}  #: the first task of each name
        for index, name in enumerate(self.names):
            if name is not None:
                self.index.setdefault(name, index)
        self._upstream: list[list[int]] = [[] for _ in self._tasks]  #: of each task, those that it directly waits for
        self._items: dict[int, list[int]] = {}  #: where these stand in `depends_on`, if not one after the other from 0
        self._faults = [*self._name_faults(), *self._edge_faults()]
        self._component = _components(self._upstream)
        self._faults.extend(self._cycle_faults())

    def faults(self) -> list[Fault]:
        """Names used twice, unknown dependencies, dependencies given twice, on the task itself or across `on_exit`, and cycles.

        Pointers are from the document's root; a cycle is told at every `depends_on/N` that is part of it.
        """
        return self._faults

    def place(self, index: int) -> str:
        """The pointer to a task."""
        return f"/tasks/{index}" if index < self._main else f"/on_exit/{index - self._main}"

    def is_exit(self, index: int) -> bool:
        """Whether a task is one of `on_exit`."""
        return index >= self._main

    def is_upstream(self, name: str, index: int) -> bool:
        """Whether the task at `index` waits for the task of that name, directly or not. Those of `on_exit` wait for all others.

        Of tasks in a cycle of dependencies, and behind one, it says yes to everything in it.
        """
        upstream = self.index.get(name)
        if upstream is None or upstream == index:
            return False
        if self.is_exit(index) and not self.is_exit(upstream):
            return True
        if upstream in self._upstream[index][:_FEW_EDGES]:
            return True
        return bool(self._ancestors[index] >> upstream & 1)

    @cached_property
    def _ancestors(self) -> list[int]:
        """For each task a set of bits: those that it waits for, directly or not."""
        members: dict[int, list[int]] = {}
        for index, number in enumerate(self._component.of):
            members.setdefault(number, []).append(index)
        found = [0] * len(self._tasks)
        reached = [0] * len(self._tasks)  # the same, and the task itself
        for number in self._component.order:  # upstream first
            bits = 0
            for index in members[number]:
                for upstream in self._upstream[index]:
                    bits |= reached[upstream]
            if len(members[number]) > 1:
                bits |= sum(1 << index for index in members[number])
            for index in members[number]:
                found[index], reached[index] = bits, bits | 1 << index
        return found

    def _name_faults(self) -> Iterator[Fault]:
        for index, name in enumerate(self.names):
            if name is not None and (first := self.index[name]) != index:
                yield Fault(f"{self.place(index)}/name", f"{shown(name)} is the name of {self.place(first)[1:]} already")

    def _edge_faults(self) -> Iterator[Fault]:
        """Faults of single dependencies, as many as are told; those that lead to another task become edges."""
        close, told = CloseNames(self.index), 0
        for index, task in enumerate(self._tasks):
            written = task.get("depends_on") if isinstance(task, dict) else None
            if not isinstance(written, list) or not written:
                continue
            written = written[:MAX_TASKS]  # a longer one is told of as such
            if (upstream := self._all_right(index, written)) is not None:
                self._upstream[index] = upstream
                continue
            seen: set[str] = set()
            items = self._items[index] = []
            for item, name in enumerate(written):
                if not isinstance(name, str):
                    continue
                other = self.index.get(name)
                if name not in seen and other is not None and self._is_edge(index, other):
                    self._upstream[index].append(other)
                    items.append(item)
                elif told <= MOST_FAULTS:
                    detail = self._edge_detail(name, name in seen, index, other, close)
                    yield Fault(f"{self.place(index)}/depends_on/{item}", detail)
                    told += 1
                seen.add(name)

    def _all_right(self, index: int, names: list[Any]) -> list[int] | None:
        """Where the names lead to if nothing is wrong with any: what a million of them are looked up by."""
        try:
            found = [self.index[name] for name in names]
        except (KeyError, TypeError):
            return None
        if len(set(found)) < len(found) or index in found:
            return None
        is_inside = min(found) >= self._main if self.is_exit(index) else max(found) < self._main
        return found if is_inside else None

    def _is_edge(self, index: int, upstream: int) -> bool:
        return upstream != index and self.is_exit(upstream) == self.is_exit(index)

    def _edge_detail(self, name: str, is_repeated: bool, index: int, upstream: int | None, close: CloseNames) -> str:
        """What is wrong with a dependency that is no edge."""
        if is_repeated:
            return f"{shown(name)} is given twice: once is enough"
        if upstream is None:
            meant = close.find(name)
            return f"there is no task {shown(name)}" + (f": did you mean {shown(meant)}?" if meant else "")
        if upstream == index:
            return f"{shown(name)} depends on itself"
        if self.is_exit(upstream):
            return f"{shown(name)} is a task of on_exit, which runs when all others are over: nothing else can wait for it"
        return f"{shown(name)} is no task of on_exit: these run when all others are over, and depend only on each other"

    def _cycle_faults(self) -> Iterator[Fault]:
        component = self._component.of
        members: dict[int, list[int]] = {}
        for index, number in enumerate(component):
            members.setdefault(number, []).append(index)
        names = [name or "" for name in self.names]
        for number, tasks in members.items():
            if len(tasks) == 1:
                continue
            edges = sum(1 for _ in self._inside(tasks, number))
            is_one_path = edges == len(tasks) <= _SHOWN_TASKS
            upstream = {task: other for task, _, other in self._inside(tasks, number)} if is_one_path else {}
            detail = _cycle_detail(names, tasks, upstream)
            for task, item, _ in islice(self._inside(tasks, number), MOST_FAULTS + 1):
                yield Fault(f"{self.place(task)}/depends_on/{item}", detail)

    def _inside(self, tasks: Sequence[int], number: int) -> Iterator[tuple[int, int, int]]:
        """The edges inside a strongly connected component (task, item, upstream): part of a cycle, as no other edge is."""
        for task in tasks:
            for item, upstream in zip(self._items.get(task, count()), self._upstream[task], strict=False):
                if self._component.of[upstream] == number:
                    yield task, item, upstream


def graph_faults(tasks: Sequence[object], on_exit: Sequence[object] = ()) -> list[Fault]:
    """What is wrong with the graph of these values of `tasks` and `on_exit`, as posted."""
    return Graph(tasks, on_exit).faults()


def _name(task: object) -> str | None:
    name = task.get("name") if isinstance(task, dict) else None
    return name if isinstance(name, str) else None


def _cycle_detail(names: Sequence[str], tasks: Sequence[int], upstream: Mapping[int, int]) -> str:
    """What is said of a cycle; `upstream`: of each of its tasks, where they are one path and few."""
    if upstream:
        path = [tasks[0]]
        while len(path) <= len(tasks):
            path.append(upstream[path[-1]])
        return f"a cycle of dependencies: {' → '.join(names[task] for task in path)}"
    some = ", ".join(names[task] for task in tasks[:_SHOWN_TASKS])
    more = f" and {len(tasks) - _SHOWN_TASKS} more" if len(tasks) > _SHOWN_TASKS else ""
    return f"part of a cycle of dependencies among {len(tasks)} tasks: {some}{more}"


def _components(upstreams: Sequence[Sequence[int]]) -> _Components:
    """The strongly connected component of each node, as a number (Tarjan's algorithm with a stack of its own)."""
    order = [-1] * len(upstreams)
    low = [0] * len(upstreams)
    component = [-1] * len(upstreams)
    closed: list[int] = []
    open_nodes: list[int] = []
    number = 0
    for root in range(len(upstreams)):
        if order[root] >= 0:
            continue
        path = [(root, iter(upstreams[root]))]
        order[root] = low[root] = number
        number += 1
        open_nodes.append(root)
        while path:
            node, rest = path[-1]
            for neighbour in rest:
                if order[neighbour] < 0:
                    order[neighbour] = low[neighbour] = number
                    number += 1
                    open_nodes.append(neighbour)
                    path.append((neighbour, iter(upstreams[neighbour])))
                    break
                if component[neighbour] < 0:
                    low[node] = min(low[node], order[neighbour])
            else:
                path.pop()
                if path:
                    low[path[-1][0]] = min(low[path[-1][0]], low[node])
                if low[node] == order[node]:
                    _close(node, open_nodes, component)
                    closed.append(node)
    return _Components(component, closed)


def _close(root: int, open_nodes: list[int], component: list[int]) -> None:
    node = -1
    while node != root:
        node = open_nodes.pop()
        component[node] = root


def downstream_of(upstream: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Who waits for each task, in document order; of a valid workflow's `{task.name: task.depends_on}`."""
    found: dict[str, list[str]] = {name: [] for name in upstream}
    for name, names in upstream.items():
        for other in names:
            found[other].append(name)
    return {name: tuple(names) for name, names in found.items()}


def reachable_from(following: Mapping[str, Sequence[str]], starts: Iterable[str]) -> set[str]:
    """What comes after any of `starts`, directly or not; a start itself only where it comes after another one."""
    found: set[str] = set()
    waiting = [name for start in starts for name in following[start]]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(following[name])
    return found
