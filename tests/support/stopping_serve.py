"""`podrun serve` that stops itself, as `kill -STOP` would, at a place that a test names: a program of its own.

    python -m tests.support.stopping_serve PLACE TIMES

PLACE is a failpoint ("before append log"), or a statement and where its transaction is then: "commit of INSERT INTO run_events"
is right before the commit of a transaction that has made such a statement, with all that it holds locked. It stops there the
TIMES-th time, once. Whoever wakes it finds it going on as if nothing had happened.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from sqlalchemy import Connection, Engine, event

from app import failpoints

_COMMIT = "commit of "


class Stopper:
    """Counts how often the place is passed; the event loop's thread and others pass places."""

    def __init__(self, place: str, times: int) -> None:
        self._place, self._left = place, times
        self._lock = threading.Lock()

    def reached(self, name: str) -> None:
        if name != self._place:
            return
        with self._lock:
            self._left -= 1
            is_there = self._left == 0
        if is_there:
            os.kill(os.getpid(), signal.SIGSTOP)

    def listen(self) -> None:
        """Notice the commits of transactions that have made the statement."""
        if not self._place.startswith(_COMMIT):
            return
        statement = self._place.removeprefix(_COMMIT)

        @event.listens_for(Engine, "before_cursor_execute")
        def executes(connection: Connection, _cursor: Any, text: str, *_more: Any) -> None:
            if text.startswith(statement):
                connection.info["made"] = True

        @event.listens_for(Engine, "commit")
        def commits(connection: Connection) -> None:
            if connection.info.pop("made", False):
                self.reached(self._place)


def main() -> None:
    place, times = sys.argv.pop(1), int(sys.argv.pop(1))
    stopper = Stopper(place, times)
    failpoints.arm(stopper.reached)
    stopper.listen()
    from podrun.cli import main as cli

    sys.argv[0] = "podrun"
    cli()


if __name__ == "__main__":
    main()
