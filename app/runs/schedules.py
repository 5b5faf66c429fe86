"""When a schedule's times come. Pure: the scheduler and the use cases of stored workflows ask, nobody waits here.

An interval's times are `anchor + n * every_seconds`, the first one n = 1, whatever the clocks of a time zone do. A cron's times
follow the clock on the wall of its zone, as in Debian's cron:

- A job at fixed times (neither minute nor hour begins with `*`) runs once a day on both days that the clocks change. A time
  that is skipped in spring comes at the first moment after the gap (02:30 is 03:00 then); one that is there twice in autumn
  comes the first time.
- A job whose minute or hour begins with `*` goes by elapsed time: `* * * * *` comes every minute, none left out or doubled; in
  spring there is nothing in the hour that is not there, in autumn it comes in both of the doubled hours.

Source: https://manpages.debian.org/bookworm/cron/cron.8.en.html (on daylight saving time)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from app.domain.workflow.nodes import Overlap, Schedule

#: With `catchup`, so many missed times get a run at most: the newest.
CATCHUP_LIMIT = 100
_MICROSECOND = timedelta(microseconds=1)
_FIRST_WINDOW = timedelta(hours=2)


class ScheduleUnusable(Exception):
    """The schedule's times can't be told; the message says why."""


@dataclass(frozen=True, slots=True)
class Due:
    """What of a schedule is due. `times` are to be run, oldest first, and never empty; `left_out` is the newest that is not."""

    times: tuple[datetime, ...]
    left_out: datetime | None


def schedule_json(schedule: Schedule) -> dict[str, Any]:
    """The schedule as it is stored and shown, all its keys written out."""
    if schedule.cron is None:
        timing: dict[str, Any] = {"every_seconds": schedule.every_seconds}
    else:
        timing = {"cron": schedule.cron, "timezone": schedule.timezone}
    return {**timing, "overlap": schedule.overlap.value, "catchup": schedule.catchup}


def read_schedule(stored: dict[str, Any]) -> Schedule:
    """The inverse of `schedule_json`. Raises ScheduleUnusable: another podrun stored it."""
    try:
        return Schedule(**{**stored, "overlap": Overlap(stored["overlap"])})
    except (TypeError, KeyError, ValueError) as error:
        raise ScheduleUnusable(f"the stored schedule can't be read: {error}") from error


def timing_of(stored: dict[str, Any] | None) -> dict[str, Any]:
    """What of a stored schedule decides its times: as long as it is the same, its anchor and its next time stay."""
    return {key: value for key, value in (stored or {}).items() if key in ("every_seconds", "cron", "timezone")}


def next_time(schedule: Schedule, *, anchor: datetime, after: datetime) -> datetime | None:
    """The first time of the schedule that is later than `after`, in UTC; None: none comes in the next fifty years.

    `anchor` is when the schedule was first stored: the origin of an interval. Raises ScheduleUnusable.
    """
    return next(_times(schedule, anchor=anchor, after=after), None)


def due_times(schedule: Schedule, *, anchor: datetime, first: datetime, now: datetime) -> Due:
    """What is to be run now, where `first` is the time that was waited for, and not later than now.

    Without `catchup` that is the newest time alone. Raises ScheduleUnusable.
    """
    wanted = CATCHUP_LIMIT if schedule.catchup else 1
    times = _latest(schedule, anchor=anchor, first=first, now=now, count=wanted + 1)
    return Due(times[-wanted:], times[-wanted - 1] if len(times) > wanted else None)


def _latest(schedule: Schedule, *, anchor: datetime, first: datetime, now: datetime, count: int) -> tuple[datetime, ...]:
    """The newest times from `first` to `now`, at least `count` where there are so many; `first` is always one of them.

    Looks at a window that doubles until it holds enough: a job of every minute may not have run for a year.
    """
    window = _FIRST_WINDOW if schedule.cron is not None else _interval(schedule) * count
    while True:
        reaches_first = now - first <= window
        after = first if reaches_first else now - window
        found = tuple(takewhile(lambda time: time <= now, _times(schedule, anchor=anchor, after=after)))
        if reaches_first:
            return (first, *found)
        if len(found) >= count:
            return found
        window *= 2


def _interval(schedule: Schedule) -> timedelta:
    try:
        return max(timedelta(seconds=schedule.every_seconds or 0), _MICROSECOND)
    except (OverflowError, ValueError):
        return timedelta.max / 200


def _times(schedule: Schedule, *, anchor: datetime, after: datetime) -> Iterator[datetime]:
    """The schedule's times later than `after`, in their order, in UTC."""
    try:
        if schedule.cron is None:
            interval = _interval(schedule)
            passed = (after - anchor) // interval  # less than 0: the clock was set back since the anchor was stored
            while True:
                passed += 1
                yield (anchor + passed * interval).astimezone(UTC)
        else:
            yield from _cron_times(schedule.cron, schedule.timezone, after)
    except OverflowError:  # beyond the year 9999
        return


def _cron_times(cron: str, timezone: str, after: datetime) -> Iterator[datetime]:
    try:
        # A zone that is not UTC itself: cronsim knows UTC by `timezone.utc` alone, and takes a short cut there.
        zone = UTC if timezone == "UTC" else ZoneInfo(timezone)
        times = CronSim(cron, after.astimezone(zone))
    except CronSimError as error:
        raise ScheduleUnusable(f"cron {cron!r}: {error}") from error
    except (OSError, ValueError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise ScheduleUnusable(f"timezone {timezone!r}: {error}") from error
    except KeyError as error:
        raise ScheduleUnusable(f"timezone {timezone!r} is not known here") from error
    last = after
    for found in times:
        time = found.astimezone(UTC)
        # In an hour that is there twice it begins with the first one, which may be over.
        if time > last:
            last = time
            yield time
