"""`python -m benchmarks.language [parse] [plan] [evaluate] [loop]`: what the workflow language costs, as Markdown."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping

from app.main import GC_THRESHOLD
from benchmarks.evaluating import measure_evaluating
from benchmarks.holds import measure_holds
from benchmarks.measuring import describe_machine
from benchmarks.parsing import measure_parsing
from benchmarks.planning import measure_planning

_PARTS: Mapping[str, Callable[[], None]] = {
    "parse": measure_parsing,
    "plan": measure_planning,
    "evaluate": measure_evaluating,
    "loop": measure_holds,
}


def main() -> None:
    """Measure the parts that the command line names, or all."""
    wanted = sys.argv[1:] or list(_PARTS)
    if unknown := [name for name in wanted if name not in _PARTS]:
        sys.exit(f"there is no part {unknown[0]!r}: {', '.join(_PARTS)}")
    gc.set_threshold(*GC_THRESHOLD)  # as the service has it
    gc.freeze()
    print(f"# What the workflow language costs\n\n{describe_machine()}")
    for name in wanted:
        _PARTS[name]()


if __name__ == "__main__":
    main()
