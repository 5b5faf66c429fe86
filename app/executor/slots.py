"""The service's slots, one for each pod that is not over, handed out fairly: round-robin over the runs that wait for one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable


class Slots:
    """Who may have how many pods. Single-threaded: the event loop's.

    While nobody waits, a run takes what is free. Once somebody waits, each slot that comes free goes to the run that has
    waited longest, one at a time, whatever it could use: a run of 10,000 tasks does not starve one of a single task.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit  # below zero where pods of an earlier process were adopted
        self._waiting: dict[str, Callable[[], None]] = {}  # in the order in which they came
        self._reserved: Counter[str] = Counter()

    def take(self, run_id: str) -> bool:
        """Take a slot for the run; False: there is none for it now, so ask with `wait`."""
        if self._reserved[run_id] > 0:
            self._reserved[run_id] -= 1
            return True
        if self._free > 0 and not self._waiting:
            self._free -= 1
            return True
        return False

    def occupy(self, count: int) -> None:
        """Count pods that are there already, however many slots there are."""
        self._free -= count

    def wait(self, run_id: str, granted: Callable[[], None]) -> None:
        """Call `granted` once, when a slot is kept for the run; then take it. Waiting twice counts once."""
        self._waiting.setdefault(run_id, granted)
        self._grant()

    def release(self, count: int = 1) -> None:
        """Give back slots of pods that are over."""
        self._free += count
        self._grant()

    def forget(self, run_id: str) -> None:
        """The run takes no more: what was kept for it goes to others."""
        self._waiting.pop(run_id, None)
        self.release(self._reserved.pop(run_id, 0))

    def _grant(self) -> None:
        while self._free > 0 and self._waiting:
            run_id = next(iter(self._waiting))
            granted = self._waiting.pop(run_id)
            self._free -= 1
            self._reserved[run_id] += 1
            granted()
