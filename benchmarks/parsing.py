"""What it costs to read and check a document: all that `POST /runs` does before it writes."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from app.domain.errors import Fault, InvalidBody
from app.domain.json_text import parse_json
from app.runs.documents import read_submission
from benchmarks.documents import SHAPES, Document, distinct_expressions, same_expression
from benchmarks.measuring import TIMES, best_cpu_seconds, print_table

LARGE, SMALL = 10_000, 1_000


class _Anywhere:
    """Pods that refuse nothing."""

    kind = "kubernetes"
    namespaces: Sequence[str] = ("default",)

    def refuse(self, document: Mapping[str, Any]) -> list[Fault]:
        """See runs.ports.Pods."""
        del document
        return []


def _validate(body: bytes) -> None:
    with contextlib.suppress(InvalidBody):
        read_submission(body, parse_json(body), _Anywhere())


def _bodies(make: Callable[[int], Document], count: int) -> list[bytes]:
    return [json.dumps({"workflow": make(count)}).encode() for _ in range(TIMES)]


def _cost(make: Callable[[int], Document], count: int) -> tuple[float, float]:
    """CPU seconds to validate, and of `json.loads` alone."""
    bodies = _bodies(make, count)
    return best_cpu_seconds(_validate, bodies), best_cpu_seconds(json.loads, bodies)


def measure_parsing() -> None:
    """Print what validation costs by shape, and what a distinct expression adds."""
    rows = []
    _validate(_bodies(distinct_expressions, 10)[0])  # what is loaded at first use
    for shape, make in SHAPES.items():
        (large, loads), (small, _) = _cost(make, LARGE), _cost(make, SMALL)
        microseconds = f"{large / LARGE * 1e6:.1f}"
        rows.append((shape, f"{large:.3f}", microseconds, f"{large / loads:.1f}", f"{large / small:.1f}"))
    print_table(
        f"Validating {LARGE:,} tasks",
        ("shape", "CPU s", "µs a task", "times json.loads", f"times {SMALL:,} tasks"),
        rows,
    )
    distinct, same = _cost(distinct_expressions, LARGE)[0], _cost(same_expression, LARGE)[0]
    print(f"\nA distinct expression adds {(distinct - same) / LARGE * 1e6:.1f} µs.")
