"""A run's clock, while the machine's clock is set, and when another process takes the run up."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from app.executor.clock import Clock

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


@dataclass
class Machine:
    """A machine whose clock can be set."""

    passed: timedelta = timedelta(days=3)  #: since it was started
    wall: datetime = START
    boot: str = "boot"

    def pass_time(self, duration: timedelta) -> None:
        self.passed += duration
        self.wall += duration

    def clock(self, kept: str | None = None, not_before: datetime = START - 24 * HOUR) -> Clock:
        return Clock(
            kept, not_before=not_before, wall=lambda: self.wall, boot=lambda: self.boot,
            monotonic_ns=lambda: round(self.passed.total_seconds() * 1e9),
        )  # fmt: skip


@pytest.mark.parametrize("step", [-HOUR, HOUR])
def test_now__the_machines_clock_is_set__goes_on_evenly(step: timedelta) -> None:
    machine = Machine()
    clock = machine.clock()
    machine.pass_time(10 * SECOND)
    assert clock.now() == START + 10 * SECOND
    machine.wall += step
    machine.pass_time(10 * SECOND)
    assert clock.now() == START + 20 * SECOND


@pytest.mark.parametrize("step", [-HOUR, HOUR])
def test_kept__taken_up_on_the_same_machine_after_its_clock_was_set__goes_on_evenly(step: timedelta) -> None:
    machine = Machine()
    kept = machine.clock().kept
    machine.wall += step
    machine.pass_time(10 * SECOND)
    taken_up = machine.clock(kept)
    assert (taken_up.now(), taken_up.kept) == (START + 10 * SECOND, kept)
    assert machine.clock().now() == START + step + 10 * SECOND  # of a run that begins then


@pytest.mark.parametrize("kept", [None, "", "boot", "before/17", "/17"])
def test_kept__from_another_boot_or_not_at_all__is_the_wall_clock(kept: str | None) -> None:
    assert Machine().clock(kept).now() == START


def test_kept__boot_that_is_not_known__is_never_the_same() -> None:
    machine = Machine(boot="")
    kept = machine.clock().kept
    machine.wall += HOUR
    assert machine.clock(kept).now() == START + HOUR


def test_not_before__wall_clock_is_behind__goes_on_from_there() -> None:
    machine = Machine()
    clock = machine.clock(not_before=START + HOUR)
    machine.pass_time(SECOND)
    assert clock.now() == START + HOUR + SECOND
    assert machine.clock(clock.kept).now() == clock.now()
