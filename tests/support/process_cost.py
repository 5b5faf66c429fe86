"""What a process takes: its CPU time, and the memory that it had at most. Linux only."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Cost:
    """What was taken in a block."""

    cpu_seconds: float = 0.0
    memory_bytes: int = 0  #: by which it was larger at most than before


@contextmanager
def cost_of(pid: int) -> Iterator[Cost]:
    """What the process takes while the block runs; it is known when the block is over."""
    found, cpu_before = Cost(), cpu_seconds(pid)
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # from here on the peak is counted anew: proc(5)
    memory_before = _status_bytes(pid, "VmRSS")
    yield found
    found.cpu_seconds = cpu_seconds(pid) - cpu_before
    found.memory_bytes = max(_status_bytes(pid, "VmHWM") - memory_before, 0)


def cpu_seconds(pid: int) -> float:
    """All that its threads have taken so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status_bytes(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
