"""What is wrong with a schedule: its cron expression, its time zone, keys that do not go together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from app.domain.errors import Fault
from app.domain.kubernetes.object_checks import one_of_faults
from app.domain.pointers import pointer, shown
from app.domain.suggestions import suggest_key

_LONGEST_CRON = 256
_FIELDS = 5
_SHORTHANDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


def cron_fault(text: str) -> str | None:
    """Why a text is no cron expression of five fields that ever comes, None if it is one.

    Source: https://man7.org/linux/man-pages/man5/crontab.5.html, and `L` (last), `LW` (last weekday) and `#` (nth) in the days.
    """
    if text.strip() in _SHORTHANDS:
        return f"{shown(text)} is no cron expression: write {shown(_SHORTHANDS[text.strip()])}"
    fields = f"{shown(text)} is no cron expression of five fields (minute, hour, day of month, month, day of week)"
    if len(text) > _LONGEST_CRON or not text.isascii() or len(text.split()) != _FIELDS:
        return fields
    try:
        times = CronSim(text, datetime(2024, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        return f"{fields}; {str(error)[:1].lower()}{str(error)[1:]}"
    except (ValueError, TypeError, AssertionError, IndexError):
        return fields
    try:
        next(times)
    except (StopIteration, OverflowError, ValueError):
        return f"{shown(text)} never comes"
    return None


@lru_cache(maxsize=1)
def _zones() -> tuple[str, ...]:
    return tuple(sorted(available_timezones()))


def timezone_fault(text: str) -> str | None:
    """Why a text is no time zone's name, None if it is one.

    Source: https://data.iana.org/time-zones/theory.html#naming
    """
    try:
        ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        meant = suggest_key(text, _zones())
        hint = f"did you mean {shown(meant)}?" if meant else 'IANA names them, as "Europe/Berlin" or "UTC"'
        return f"there is no time zone {shown(text)}: {hint}"
    return None


def schedule_faults(schedule: object) -> Iterator[Fault]:
    """Faults of a schedule's keys together, with pointers from it; what has the wrong type is passed over."""
    if not isinstance(schedule, dict):
        return
    yield from one_of_faults(schedule, ("every_seconds", "cron"))
    if schedule.get("timezone") is not None and schedule.get("cron") is None:
        yield Fault(pointer("timezone"), '"timezone" goes with "cron"')
