"""`python -m benchmarks.api.starting`: how long `podrun serve` takes until it takes runs, with 10,000 runs in the database.

500 of them are active: each has a pod that sleeps, a process of this machine. The limit is a process that imports the same
modules, which are those that a start of podrun's says it has imported, and ends.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.api.filling import fill_runs
from benchmarks.api.posting import ACTIVE
from benchmarks.api.processes import Rest, port_of, print_comparisons, temporary_folder, wait_until_answered
from benchmarks.comparison import Comparison, at_most_more
from benchmarks.stand import UNLIMITED
from tests.support.chromium import ROOT
from tests.support.service import ServiceProcess

_IMPORTED = re.compile(r"^import time:\s+\d+ \|\s+\d+ \|\s+(\S+)$", re.MULTILINE)
_PROGRAM = """
import importlib
for name in {names!r}:
    try:
        importlib.import_module(name)
    except ImportError:
        pass
"""


def measure_starting(*, pairs: int = 5, runs: int = 10_000, active: int = 500) -> list[Comparison]:
    """Seconds until /readyz says yes."""
    comparison = Comparison(
        name=f"from start to ready, with {runs:,} runs, {active:,} of them active", unit="s", goal=at_most_more(1.5)
    )
    with temporary_folder() as folder:
        fill_runs(folder / "podrun.db", runs - active, whole=True)
        service = ServiceProcess(folder, "local", settings=dict(UNLIMITED))
        service.start()
        try:
            _begin_active(Rest(port_of(service)), active)
            program = folder / "imports.py"
            program.write_text(_PROGRAM.format(names=_imported_modules(service)))
            _seconds_of_imports(program)
            for _ in range(pairs):
                limit = _seconds_of_imports(program)
                service.terminate()
                comparison.add(limit, _seconds_until_ready(service))
                _all_are_active(Rest(port_of(service)), active)
        finally:
            service.close()
    return [comparison]


def _begin_active(rest: Rest, count: int) -> None:
    runs = [rest.submit(ACTIVE) for _ in range(count)]
    for run_id in runs:
        rest.wait_until(run_id, "task_phases", {"Running": 1}, seconds=120)


def _all_are_active(rest: Rest, count: int) -> None:
    """What a start must not change: pods are adopted, and run on."""
    found = rest.count("Running")
    if found != count:
        raise RuntimeError(f"{found} runs are active after a start, and not {count}")


def _imported_modules(service: ServiceProcess) -> list[str]:
    """What a start imports, in its order."""
    service.terminate()
    before, program = len(service.text()), service.program
    service.program = ["-X", "importtime", *program]
    service.start()
    said = service.text()[before:]
    service.terminate()
    service.program = program
    service.start()
    return _IMPORTED.findall(said)


def _seconds_of_imports(program: Path) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, str(program)], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=True)
    return time.perf_counter() - began


def _seconds_until_ready(service: ServiceProcess) -> float:
    began = time.perf_counter()
    service.start(wait=False)
    wait_until_answered(None, port_of(service), "/readyz")
    return time.perf_counter() - began


if __name__ == "__main__":
    print_comparisons("Starting", measure_starting())
