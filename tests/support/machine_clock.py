"""A clock on the wall that a test may set while processes run by it: libfaketime in front of the C library.

The monotonic clock is the machine's, as it is where somebody sets a real clock. An interpreter of the tests' own carries it, so
that what a process starts by `sys.executable`, with whatever environment, has the same clock.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

#: Debian's package `faketime` has it, in the folder of the machine's architecture.
_LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
_WRAPPER = """#!/bin/bash
export {variables}
exec -a "$0" {python} "$@"
"""


class MachineClock:
    """`interpreter` runs Python by this clock; what pods run has the real one."""

    def __init__(self, folder: Path) -> None:
        if not _LIBRARIES:
            pytest.skip("libfaketime is not on this machine (Debian's package `faketime`)")
        self._file = folder / "clock"
        self._offset = timedelta()
        self.set(timedelta())
        #: What gives a process this clock.
        self.environment = {
            "LD_PRELOAD": str(_LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",  # seconds: to read the file at each look at the clock costs more than the service
            **dict.fromkeys(("FAKETIME_DONT_FAKE_MONOTONIC", "DONT_FAKE_MONOTONIC", "NO_FAKE_STAT"), "1"),
        }
        self.interpreter = _make_interpreter(folder, self.environment)

    def set(self, offset: timedelta) -> None:
        """Let the clock be so much ahead of the real one. Processes that run see it within a second."""
        scratch = self._file.with_suffix(".new")
        scratch.write_text(f"{offset.total_seconds():+.3f}\n")
        scratch.replace(self._file)
        self._offset = offset

    def now(self) -> datetime:
        """What it says."""
        return datetime.now(UTC) + self._offset


def _make_interpreter(folder: Path, environment: Mapping[str, str]) -> Path:
    """A virtual environment like the one of the tests, whose interpreter is a script."""
    prefix = folder / "python"
    (prefix / "bin").mkdir(parents=True)
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", prefix)
    (prefix / "lib").symlink_to(Path(sys.prefix) / "lib")
    interpreter = prefix / "bin" / "python"
    variables = " ".join(f"{name}={value}" for name, value in environment.items())
    interpreter.write_text(_WRAPPER.format(variables=variables, python=sys.executable))
    interpreter.chmod(0o755)
    return interpreter
