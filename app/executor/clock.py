"""What time it is, for the plan: aware UTC that goes on evenly, also when somebody sets the machine's clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class Clock:
    """Wall-clock time at its making, moved on by the monotonic clock: timeouts are durations, and must not jump."""

    def __init__(self) -> None:
        self._start = datetime.now(UTC)
        self._started = time.monotonic()

    def now(self) -> datetime:
        """The time, aware, UTC."""
        return self._start + timedelta(seconds=time.monotonic() - self._started)
