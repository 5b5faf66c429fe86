"""`podrun serve` that is killed at a failpoint: a program of its own, for nothing else may arm them.

    python -m tests.support.failing_serve PLAN

PLAN is a JSON file: `{"left": {name: how often it is passed before it kills}, "at": null}`. The process is killed, as `kill -9`
does it, at the first failpoint of `left` whose count is used up; its name is then in the file `PLAN.died`. Without any left
this is the service.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path

from app import failpoints


class Killer:
    """Counts what is passed; the event loop's thread and those of local pods pass failpoints."""

    def __init__(self, left: dict[str, int], died: Path) -> None:
        self._left, self._died = left, died
        self._passed: Counter[str] = Counter()
        self._lock = threading.Lock()

    def reached(self, name: str) -> None:
        with self._lock:
            self._passed[name] += 1
            if self._passed[name] == self._left.get(name):
                self._died.write_text(name)
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()


def main() -> None:
    plan = Path(sys.argv.pop(1))
    failpoints.arm(Killer(json.loads(plan.read_text()), plan.with_suffix(".died")).reached)
    from podrun.cli import main as cli

    sys.argv[0] = "podrun"
    cli()


if __name__ == "__main__":
    main()
