"""`python -m benchmarks.performance [PART...]`: all that podrun costs, beside the limit; about an hour.

Prints each part's table, and writes docs/generated/benchmark.md with its plots. With PARTs only those are measured, and take
the place of what the report had of them.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from benchmarks.api.listing import measure_listing
from benchmarks.api.memory import measure_memory
from benchmarks.api.polling import measure_polling
from benchmarks.api.posting import measure_posting
from benchmarks.api.starting import measure_starting
from benchmarks.api.waiting import measure_waiting
from benchmarks.cluster.logs import measure_full_speed, measure_many_logs, measure_slow_lines, measure_steady
from benchmarks.cluster.requests import measure_requests
from benchmarks.cluster.stages import measure_stages
from benchmarks.cluster.workloads import (
    Bench,
    measure_fan_out,
    measure_hand_over,
    measure_many_runs,
    measure_real_chain,
    measure_real_fan_out,
    measure_scale,
)
from benchmarks.comparison import HEAD, Comparison
from benchmarks.measuring import describe_machine, print_table
from benchmarks.report import REPORT, RESULTS, keep, keep_stages, write
from benchmarks.stand import POSTGRESQL, SQLITE, is_complete, service_on
from tests.support.chromium import ROOT


def _on_cluster(
    *measures: Callable[[Bench], Coroutine[Any, Any, list[Comparison]]], databases: Sequence[str] = (SQLITE,)
) -> list[Comparison]:
    """These, one after the other, with a new service for each database."""
    found = []
    for database in databases:
        with service_on(database) as service:
            for measure in measures:
                found += asyncio.run(measure(Bench(service=service, database=database)))
    return found


_BOTH = (SQLITE, POSTGRESQL)
PARTS: Mapping[str, Callable[[], list[Comparison]]] = {
    "hand-over": lambda: _on_cluster(measure_hand_over, databases=_BOTH),
    "real node": lambda: _on_cluster(measure_real_chain, measure_real_fan_out),
    "fan-out": lambda: _on_cluster(measure_fan_out),
    "many runs": lambda: _on_cluster(measure_many_runs, databases=_BOTH),
    "scale": lambda: _on_cluster(measure_scale),
    "requests": lambda: _on_cluster(measure_requests),
    "logs": lambda: _on_cluster(measure_full_speed, measure_steady, measure_slow_lines),
    "many logs": lambda: _on_cluster(measure_many_logs),
    "posting": measure_posting,
    "polling": measure_polling,
    "waiting": measure_waiting,
    "listing": measure_listing,
    "memory": measure_memory,
    "start": measure_starting,
}


#: It has no goal: it says where the time of a hand-over goes.
STAGES = "stages"


def _measure_stages() -> None:
    found = {database: asyncio.run(measure_stages(database)) for database in _BOTH}
    keep_stages(found)
    print_table(STAGES, ("ms", *_BOTH), [(stage, *(f"{found[one][stage]:.2f}" for one in _BOTH)) for stage in found[SQLITE]])


def main() -> None:
    """Measure the parts that the command line names, or all."""
    wanted = sys.argv[1:] or [*PARTS, STAGES]
    if unknown := [name for name in wanted if name not in PARTS and name != STAGES]:
        sys.exit(f"there is no part {unknown[0]!r}: {', '.join([*PARTS, STAGES])}")
    if not is_complete("make bench"):
        return
    print(f"# What podrun costs beside the limit\n\n{describe_machine()}", flush=True)
    for name in wanted:
        if name == STAGES:
            _measure_stages()
            continue
        began = time.monotonic()
        found = PARTS[name]()
        print_table(f"{name} ({time.monotonic() - began:.0f} s)", HEAD, [one.cells() for one in found])
        keep(name, found)
    if RESULTS.exists():
        write()
    print(f"written to {REPORT.relative_to(ROOT)}", file=sys.stderr)


if __name__ == "__main__":
    main()
