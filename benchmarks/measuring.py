"""How things are measured: CPU seconds, the least of several times, because everything else on the machine only adds to it."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

TIMES = 3
_PACKAGES = ("pydantic", "sqlalchemy", "msgspec", "orjson", "cel-expr-python", "uvloop", "uvicorn")


def best_cpu_seconds(measured: Callable[[Any], object], inputs: Iterable[Any]) -> float:
    """The least CPU time of this thread that a call took, one call for each input."""
    least = float("inf")
    for given in inputs:
        gc.collect()
        began = time.thread_time()
        kept = measured(given)
        least = min(least, time.thread_time() - began)
        del kept
    return least


def print_table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print it: the first column is text, the others are numbers."""
    print(f"\n{_head(title, head)}")
    for row in rows:
        print(_line(row), flush=True)


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The same as text."""
    return "\n".join([_head(title, head), *map(_line, rows), ""])


def _head(title: str, head: Sequence[str]) -> str:
    return f"## {title}\n\n{_line(head)}\n|---|{'---:|' * (len(head) - 1)}"


def _line(row: Sequence[object]) -> str:
    return f"| {' | '.join(str(cell) for cell in row)} |"


def machine_model() -> str:
    """What the processor calls itself."""
    return next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")), platform.machine()
    )


def describe_machine() -> str:
    """The machine and the versions, in a sentence or two."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} cores of {machine_model()}, {platform.system()} {platform.release()}, load {load}. "
        f"Python {platform.python_version()}, {versions}. The least of {TIMES} times each."
    )


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def resident_mebibytes(pid: int | str = "self") -> int:
    """How much memory a process has in use."""
    found = [line for line in _lines(f"/proc/{pid}/status") if line.startswith("VmRSS:")]
    return int(found[0].split()[1]) // 1024 if found else 0


def children(pid: int | str = "self") -> list[int]:
    """The processes that a process has started and that are not over."""
    return [int(child) for path in Path(f"/proc/{pid}/task").glob("*/children") for child in path.read_text().split()]


def descendants(pid: int) -> list[int]:
    """The same, and those that they have started."""
    found = children(pid)
    return found + [further for child in found for further in descendants(child)]
