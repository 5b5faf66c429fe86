"""`python -m benchmarks.api.memory`: how much memory the service has in use: idle, after many runs, with many tasks.

Local pods. The expression worker, a process of its own, has evaluated something. Runs that are over had a task without a pod;
of the 10,000 tasks that wait for a slot, all but one have none, because the service may have one pod at a time.
"""

from __future__ import annotations

import time
from pathlib import Path

from benchmarks.api.processes import Rest, podrun_service, print_comparisons, temporary_folder
from benchmarks.comparison import Comparison, at_most, value_at_most
from benchmarks.documents import roots
from benchmarks.measuring import resident_mebibytes

_TINY = {"name": "tiny", "tasks": [{"name": "nothing"}]}
_EVALUATING = {
    "name": "evaluating",
    "params": {"n": {"type": "integer", "default": 1}},
    "tasks": [{"name": "asks", "when": "${{ params.n + 1 == 2 }}"}],
}
_SLEEPING = {"image": "busybox:1", "command": ["sleep", "86400"]}
#: After a start or a run the service still tidies up: what it holds when it has nothing to do is meant.
IDLE_SECONDS = 2.0


def measure_memory(*, pairs: int = 1, runs: int = 2000, tasks: int = 10_000) -> list[Comparison]:
    """Resident memory in MiB, each time of a new service."""
    idle = Comparison(name="memory of the service, idle", unit="MiB", goal=value_at_most(200))
    worker = Comparison(name="memory of its expression worker", unit="MiB", goal=value_at_most(60))
    over = Comparison(name=f"memory after {runs:,} runs beside that after {runs // 4:,}", unit="MiB", goal=at_most(1.1))
    many = Comparison(name=f"memory with {tasks:,} active tasks", unit="MiB", goal=value_at_most(400))
    for _ in range(pairs):
        with temporary_folder() as folder, podrun_service(folder) as service:
            time.sleep(IDLE_SECONDS)
            idle.podrun.append(resident_mebibytes(service.pid))
            rest = service.rest()
            rest.wait_until(rest.submit(_EVALUATING), "phase", "Succeeded")
            worker.podrun.append(max(resident_mebibytes(pid) for pid in _expression_workers(service.pid)))
            _finish(rest, runs // 4)
            first = resident_mebibytes(service.pid)
            _finish(rest, runs - runs // 4)
            over.add(first, resident_mebibytes(service.pid))
        many.podrun.append(_with_tasks(tasks))
    return [idle, worker, over, many]


def _expression_workers(pid: int) -> list[int]:
    """The children of the service that evaluate."""
    lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    children = [int(child) for text in lists for child in text.split()]
    found = [child for child in children if b"app.expressions" in Path(f"/proc/{child}/cmdline").read_bytes()]
    if not found:
        raise RuntimeError("the service has no expression worker")
    return found


def _finish(rest: Rest, count: int) -> None:
    """Post so many runs, until the last of them is over."""
    posted = [rest.submit(_TINY) for _ in range(count)]
    for run_id in posted[-20:]:
        rest.wait_until(run_id, "is_finished", value=True)
    time.sleep(IDLE_SECONDS)


def _with_tasks(count: int) -> int:
    with temporary_folder() as folder, podrun_service(folder, settings={"MAX_PARALLEL_PODS": "1"}) as service:
        rest = service.rest()
        run_id = rest.submit(roots(count, _SLEEPING))
        rest.wait_until(run_id, "phase", "Running")
        time.sleep(IDLE_SECONDS)
        return resident_mebibytes(service.pid)


if __name__ == "__main__":
    print_comparisons("Memory", measure_memory())
