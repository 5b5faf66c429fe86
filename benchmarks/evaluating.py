"""What values of expressions cost: the first one, many, and the worker's memory."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from app.expressions.evaluator import Evaluator
from benchmarks.measuring import TIMES, children, print_table, resident_mebibytes

_ITEMS = list(range(10_000))
_CASES: dict[str, tuple[list[str], str | None]] = {
    "item * 2": (["item * 2"], None),
    "item % 2 == 0 as `when`, and two values": (["'part-' + string(item)", "item * 2"], "item % 2 == 0"),
    "a param and an upstream's output": (["params.n + size(tasks.a.outputs.files) + item"], None),
}
_CONTEXT: dict[str, Any] = {
    "params": {"n": 1},
    "run": {"id": "r", "workflow": "w", "created_at": "2026-01-31T12:00:00Z", "phase": "Running"},
    "tasks": {"a": {"phase": "Succeeded", "exit_code": 0, "outputs": {"files": [f"part-{n}" for n in range(1_000)]}}},
}


async def _measure() -> list[tuple[str, str]]:
    rows = []
    async with Evaluator() as evaluator:
        began, before = time.perf_counter(), set(children())
        await evaluator.evaluate(["1 + 1"], {})
        rows.append(("the first value, with the start of the worker, ms", f"{(time.perf_counter() - began) * 1e3:.0f}"))
        (worker,) = set(children()) - before
        idle = resident_mebibytes(worker)
        began = time.perf_counter()
        await evaluator.evaluate(["1 + 2"], {})
        rows.append(("a value, ms", f"{(time.perf_counter() - began) * 1e3:.1f}"))
        for name, (sources, condition) in _CASES.items():
            least = float("inf")
            for _ in range(TIMES):
                began = time.perf_counter()
                await evaluator.evaluate(sources, _CONTEXT, _ITEMS, condition)
                least = min(least, time.perf_counter() - began)
            rows.append((f"an item of 10,000, µs: {name}", f"{least / len(_ITEMS) * 1e6:.1f}"))
        rows.append(("the worker's memory, idle, MiB", f"{idle}"))
        rows.append(("the worker's memory, after all this, MiB", f"{resident_mebibytes(worker)}"))
    return rows


def measure_evaluating() -> None:
    """Print what the evaluator costs, by the wall clock: most of it is another process's."""
    print_table("Values of expressions", ("what", "wall clock"), asyncio.run(_measure()))
