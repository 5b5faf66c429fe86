"""Large workflows of several shapes, sound and faulty."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

Document = dict[str, Any]
POD: Mapping[str, Any] = {"image": "busybox:1", "command": ["true"]}
LAYER, UPSTREAM = 100, 20
_salts = itertools.count()


def _task(number: int, more: Mapping[str, Any], *upstream: int) -> Document:
    return {"name": f"t{number}", "depends_on": [f"t{other}" for other in upstream], **more}


def chain(count: int, more: Mapping[str, Any] = POD) -> Document:
    """Each task waits for the one before it."""
    return {"name": "chain", "tasks": [_task(n, more, *((n - 1,) if n else ())) for n in range(count)]}


def layers(count: int, more: Mapping[str, Any] = POD) -> Document:
    """Layers of 100 tasks, each of which waits for 20 of the layer above."""

    def upstream(number: int) -> list[int]:
        above = number // LAYER * LAYER - LAYER
        return [above + (number + step) % LAYER for step in range(UPSTREAM)] if above >= 0 else []

    return {"name": "layers", "tasks": [_task(n, more, *upstream(n)) for n in range(count)]}


def roots(count: int, more: Mapping[str, Any] = POD) -> Document:
    """Tasks that wait for nothing."""
    return {"name": "roots", "tasks": [_task(n, more) for n in range(count)]}


def fan_out(count: int, more: Mapping[str, Any] = POD) -> Document:
    """One task for each item of a list."""
    items = [{"number": n, "file": f"part-{n:05}"} for n in range(count - 1)]
    return {"name": "fan-out", "tasks": [_task(0, more), {**_task(1, more, 0), "foreach": items}]}


def fan_out_by_expression(count: int, more: Mapping[str, Any] = POD) -> Document:
    """One task for each item of a list that an expression gives."""
    fan = {**_task(1, more, 0), "foreach": f"${{{{ lists.range({count - 1}) }}}}"}
    return {"name": "fan-out", "tasks": [_task(0, more), fan]}


def fan_out_with_condition(count: int, more: Mapping[str, Any] = POD) -> Document:
    """The same, with an expression for each item."""
    document = fan_out_by_expression(count, more)
    document["tasks"][1]["when"] = "${{ item % 2 == 0 }}"
    return document


def same_expression(count: int) -> Document:
    """Roots that all hold one expression, another one each time that this is called."""
    text = f"${{{{ string(params.n + {next(_salts)}) }}}}"
    return {**roots(count, {**POD, "args": [text]}), "params": {"n": {"type": "integer", "default": 1}}}


def distinct_expressions(count: int, written: str = "string(params.n + {} * {})") -> Document:
    """Roots with an expression of its own in each, other ones each time that this is called."""
    salt, document = next(_salts), same_expression(count)
    for number, task in enumerate(document["tasks"]):
        task["args"] = [f"${{{{ {written.format(salt, number)} }}}}"]
    return document


def unknown_params(count: int) -> Document:
    """An expression of its own in each task, which names a param that is not there."""
    return distinct_expressions(count, "string(params.m{}x{})")


def broken_expressions(count: int) -> Document:
    """An expression of its own in each task, which is no CEL."""
    return distinct_expressions(count, "string(params.n + {} * {}")


def faulty(make: Callable[[int, Mapping[str, Any]], Document]) -> Callable[[int], Document]:
    """Documents of that shape with a misspelt key, a wrong type and an unknown upstream task in each task."""

    def made(count: int) -> Document:
        document = make(count, {**POD, "imagee": "x", "timeout_seconds": "soon"})
        for number, task in enumerate(document["tasks"]):
            task["depends_on"].append(f"u{number}")
        return document

    return made


SHAPES: Mapping[str, Callable[[int], Document]] = {
    "fan-out over a list": fan_out,
    "fan-out by an expression": fan_out_by_expression,
    "chain": chain,
    "layers of 100, 20 upstream each": layers,
    "roots": roots,
    "roots, one expression in all": same_expression,
    "roots, one expression each": distinct_expressions,
    "fan-out, faulty": faulty(fan_out),
    "chain, three faults each": faulty(chain),
    "layers, three faults each": faulty(layers),
    "roots, three faults each": faulty(roots),
    "roots, an unknown param each": unknown_params,
    "roots, broken CEL each": broken_expressions,
}
