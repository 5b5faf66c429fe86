"""What time it is in a run: aware UTC that goes on evenly, also when somebody sets the machine's clock.

What a run measures, its timeouts and its back-off, are differences between times that are recorded of it. So one clock tells
them all: the wall clock as it was when the run began, moved on by the monotonic clock. How far these two are apart is recorded
with the run: a process that takes it up later, on the same machine and since the same boot, goes on by the same clock,
whatever was done to the wall clock meanwhile. Elsewhere the wall clock is all there is; but no run's time ever goes back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from app.pods.local.folders import boot_id

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock:
    """One run's clock. Durations are exact by it; times are as right as the wall clock was when the run began."""

    def __init__(
        self,
        kept: str | None,
        *,
        not_before: datetime,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        boot: Callable[[], str] = boot_id,
    ) -> None:
        """`kept`: what was recorded of the run's clock, None where the run begins; `not_before`: its newest time so far."""
        self._monotonic_ns = monotonic_ns
        self._boot = boot()
        zero = _read(kept, self._boot)
        if zero is None:
            zero = _microseconds(wall()) - monotonic_ns() // 1000
        self._zero = max(zero, _microseconds(not_before) - monotonic_ns() // 1000)

    @property
    def kept(self) -> str:
        """What to record, so that another process can go on by this clock."""
        return f"{self._boot}/{self._zero}"

    def now(self) -> datetime:
        """The time, aware, UTC."""
        return _EPOCH + timedelta(microseconds=self._zero + self._monotonic_ns() // 1000)


def _read(kept: str | None, boot: str) -> int | None:
    """The microseconds since 1970 at the monotonic clock's zero; None: they were recorded in another boot, or not at all."""
    recorded_boot, _, zero = (kept or "").rpartition("/")
    return int(zero) if recorded_boot and recorded_boot == boot else None


def _microseconds(time: datetime) -> int:
    return (time - _EPOCH) // _MICROSECOND
