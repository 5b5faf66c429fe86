"""What the plan costs for tasks without pods: start, step and the rows to record, all in one step."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from app.domain.plan import plan
from app.domain.plan.decisions import Decisions
from app.domain.plan.run_state import RunState
from app.domain.workflow.parsing import parse_workflow
from app.executor.records import change_of
from benchmarks.documents import Document, chain, fan_out, layers, roots
from benchmarks.measuring import TIMES, best_cpu_seconds, print_table

_NOW = datetime(2026, 1, 31, tzinfo=UTC)
_SHAPES = {"fan-out over a list": fan_out, "chain": chain, "layers of 100, 20 upstream each": layers, "roots": roots}


def _lay_out(document: Document) -> RunState:
    return RunState(run_id="r", workflow=parse_workflow(document), created_at=_NOW, namespaces=("default",))


def _run(state: RunState) -> object:
    out = Decisions(_NOW)
    plan.start(state, out)
    plan.step(state, lambda: True, out)
    if not state.is_finished:
        raise RuntimeError("the run should have ended in one step")
    return change_of(state, out, 1, "")


def _cost(make: Callable[..., Document], count: int) -> float:
    return best_cpu_seconds(_run, (_lay_out(make(count, {})) for _ in range(TIMES)))


def measure_planning() -> None:
    """Print what a run of tasks without pods costs."""
    rows = []
    for shape, make in _SHAPES.items():
        large, small = _cost(make, 10_000), _cost(make, 1_000)
        rows.append(
            (shape, f"{small / 1_000 * 1e6:.1f}", f"{large / 10_000 * 1e6:.1f}", f"{large:.3f}", f"{large / small:.1f}")
        )
    head = ("shape", "µs a task of 1,000", "µs a task of 10,000", "CPU s of 10,000", "times 1,000 tasks")
    print_table("The plan and its rows, tasks without pods", head, rows)
