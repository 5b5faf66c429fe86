"""The graph of a workflow's tasks: what is wrong with it, who comes after whom, in which order.

Everything is linear in tasks and dependencies, and iterative: a chain of ten thousand tasks needs no deep stack. The checks
work on the document as posted, whatever else is wrong with it: what is no task, no name or no list is passed over here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from app.domain.errors import Fault
from app.domain.pointers import pointer, shown
from app.domain.suggestions import CloseNames

_SHOWN_TASKS = 10  #: names of a cycle that a message repeats


class _Edge(NamedTuple):
    """Task `task` depends on task `upstream` (both by index), as written at `depends_on/item`."""

    task: int
    item: int
    upstream: int


def graph_faults(tasks: Sequence[object]) -> Iterator[Fault]:
    """Names used twice, unknown dependencies, dependencies given twice or on the task itself, and cycles.

    Args:
        tasks: the value of `tasks` as posted.

    Yields:
        Faults with pointers from the document's root; a cycle at every `depends_on/N` that is part of it.
    """
    first: dict[str, int] = {}
    for index, name in enumerate(map(_name, tasks)):
        if name is None:
            continue
        if first.setdefault(name, index) != index:
            yield Fault(pointer("tasks", index, "name"), f"{shown(name)} is the name of tasks/{first[name]} already")
    close = CloseNames(first)
    edges: list[list[_Edge]] = []
    for index, task in enumerate(tasks):
        edges.append([])
        yield from _edge_faults(index, task, first, close, edges[-1])
    yield from _cycle_faults([_name(task) or "" for task in tasks], edges)


def _name(task: object) -> str | None:
    name = task.get("name") if isinstance(task, dict) else None
    return name if isinstance(name, str) else None


def _edge_faults(index: int, task: object, first: Mapping[str, int], close: CloseNames, edges: list[_Edge]) -> Iterator[Fault]:
    """Faults of one task's dependencies; those that lead to another task are added to `edges`."""
    written = task.get("depends_on") if isinstance(task, dict) else None
    seen: set[str] = set()
    for item, name in enumerate(written if isinstance(written, list) else ()):
        if not isinstance(name, str):
            continue
        upstream = first.get(name)
        if name not in seen and upstream is not None and upstream != index:
            edges.append(_Edge(index, item, upstream))
        else:
            detail = _edge_detail(name, name in seen, upstream, close)
            yield Fault(pointer("tasks", index, "depends_on", item), detail)
        seen.add(name)


def _edge_detail(name: str, is_repeated: bool, upstream: int | None, close: CloseNames) -> str:
    if is_repeated:
        return f"{shown(name)} is given twice: once is enough"
    if upstream is not None:
        return f"{shown(name)} depends on itself"
    meant = close.find(name)
    return f"there is no task {shown(name)}" + (f": did you mean {shown(meant)}?" if meant else "")


def _cycle_faults(names: Sequence[str], edges: Sequence[Sequence[_Edge]]) -> Iterator[Fault]:
    component = _components([[edge.upstream for edge in of_task] for of_task in edges])
    members: dict[int, list[int]] = {}
    for index, number in enumerate(component):
        members.setdefault(number, []).append(index)
    for number, tasks in members.items():
        if len(tasks) == 1:
            continue
        # An edge inside a strongly connected component is part of a cycle, and no other edge is.
        inside = [edge for task in tasks for edge in edges[task] if component[edge.upstream] == number]
        detail = _cycle_detail(names, tasks, inside)
        for edge in inside:
            yield Fault(pointer("tasks", edge.task, "depends_on", edge.item), detail)


def _cycle_detail(names: Sequence[str], tasks: Sequence[int], inside: Sequence[_Edge]) -> str:
    if len(inside) == len(tasks) <= _SHOWN_TASKS:
        upstream = {edge.task: edge.upstream for edge in inside}
        path = [tasks[0]]
        while len(path) <= len(tasks):
            path.append(upstream[path[-1]])
        return f"a cycle of dependencies: {' → '.join(names[task] for task in path)}"
    some = ", ".join(names[task] for task in tasks[:_SHOWN_TASKS])
    more = f" and {len(tasks) - _SHOWN_TASKS} more" if len(tasks) > _SHOWN_TASKS else ""
    return f"part of a cycle of dependencies among {len(tasks)} tasks: {some}{more}"


def _components(upstreams: Sequence[Sequence[int]]) -> list[int]:
    """The strongly connected component of each node, as a number (Tarjan's algorithm with a stack of its own)."""
    order = [-1] * len(upstreams)
    low = [0] * len(upstreams)
    component = [-1] * len(upstreams)
    open_nodes: list[int] = []
    count = 0
    for root in range(len(upstreams)):
        if order[root] >= 0:
            continue
        path = [(root, iter(upstreams[root]))]
        order[root] = low[root] = count
        count += 1
        open_nodes.append(root)
        while path:
            node, rest = path[-1]
            for neighbour in rest:
                if order[neighbour] < 0:
                    order[neighbour] = low[neighbour] = count
                    count += 1
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
    return component


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
