from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from app.domain.workflow.nodes import Overlap, Schedule
from app.runs.schedules import (
    CATCHUP_LIMIT,
    ScheduleUnusable,
    due_times,
    next_time,
    read_schedule,
    schedule_json,
    timing_of,
)

ANCHOR = datetime(2026, 1, 1, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
#: The clocks went from 02:00 to 03:00, and from 03:00 to 02:00.
SPRING, AUTUMN = datetime(2026, 3, 29, tzinfo=BERLIN), datetime(2026, 10, 25, tzinfo=BERLIN)


def cron(text: str, timezone: str = "Europe/Berlin", **options: object) -> Schedule:
    return Schedule(cron=text, timezone=timezone, **options)


def times_from(schedule: Schedule, after: datetime, count: int) -> list[datetime]:
    """The next times, each asked for as the scheduler does: after the one before."""
    found: list[datetime] = []
    for _ in range(count):
        time = next_time(schedule, anchor=ANCHOR, after=found[-1] if found else after)
        assert time is not None
        found.append(time)
    return found


def on_the_wall(times: list[datetime], zone: ZoneInfo = BERLIN) -> list[str]:
    return [time.astimezone(zone).strftime("%d. %H:%M%z") for time in times]


def test_next_time__fixed_time_in_the_hour_that_is_not_there__comes_right_after_it() -> None:
    assert on_the_wall(times_from(cron("30 2 * * *"), SPRING - timedelta(days=1), 3)) == [
        "28. 02:30+0100", "29. 03:00+0200", "30. 02:30+0200",
    ]  # fmt: skip


def test_next_time__fixed_time_in_the_doubled_hour__comes_once_the_first_time() -> None:
    assert on_the_wall(times_from(cron("30 2 * * *"), AUTUMN - timedelta(days=1), 3)) == [
        "24. 02:30+0200", "25. 02:30+0200", "26. 02:30+0100",
    ]  # fmt: skip


def test_next_time__asked_in_the_second_of_the_doubled_hours__does_not_go_back() -> None:
    second = datetime(2026, 10, 25, 2, 10, fold=1, tzinfo=BERLIN)
    assert on_the_wall(times_from(cron("30 2 * * *"), second, 1)) == ["26. 02:30+0100"]


@pytest.mark.parametrize("day", [SPRING, AUTUMN])
@pytest.mark.parametrize("text", ["* * * * *", "*/1 0-23 * * *"])
def test_next_time__every_minute_when_the_clocks_change__no_minute_is_missing_or_doubled(day: datetime, text: str) -> None:
    start = day.astimezone(UTC)
    found = times_from(cron(text), start, 5 * 60)
    assert {later - earlier for earlier, later in pairwise([start, *found])} == {timedelta(minutes=1)}


def test_next_time__star_in_the_doubled_hour__comes_in_both() -> None:
    assert on_the_wall(times_from(cron("*/30 2 * * *"), AUTUMN, 4)) == [
        "25. 02:00+0200", "25. 02:30+0200", "25. 02:00+0100", "25. 02:30+0100",
    ]  # fmt: skip
    assert on_the_wall(times_from(cron("*/30 2 * * *"), SPRING, 1)) == ["30. 02:00+0200"]


def test_next_time__other_zones__are_their_own() -> None:
    assert next_time(cron("0 0 * * *", "UTC"), anchor=ANCHOR, after=ANCHOR) == datetime(2026, 1, 2, tzinfo=UTC)
    kolkata = next_time(cron("0 0 * * *", "Asia/Kolkata"), anchor=ANCHOR, after=ANCHOR)
    assert kolkata == datetime(2026, 1, 1, 18, 30, tzinfo=UTC)


def test_next_time__interval__is_counted_from_the_anchor_whatever_is_asked() -> None:
    schedule = Schedule(every_seconds=90)
    assert times_from(schedule, ANCHOR, 2) == [ANCHOR + timedelta(seconds=90), ANCHOR + timedelta(seconds=180)]
    just_before = ANCHOR + timedelta(seconds=179, microseconds=999_999)
    assert next_time(schedule, anchor=ANCHOR, after=just_before) == ANCHOR + timedelta(seconds=180)
    long_before = ANCHOR - timedelta(days=90)  # the clock was set back
    assert next_time(schedule, anchor=ANCHOR, after=long_before) == long_before + timedelta(seconds=90)


@pytest.mark.parametrize("schedule", [Schedule(every_seconds=1e300), Schedule(every_seconds=1e12), cron("0 0 * 2 MON#5 ")])
def test_next_time__hardly_ever__is_none_or_far(schedule: Schedule) -> None:
    found = next_time(schedule, anchor=ANCHOR, after=ANCHOR)
    assert found is None or found.year > 2030


@pytest.mark.parametrize(
    "schedule",
    [cron("0 0 31 2 *"), cron("0 0 30 2 *"), cron("x"), cron("* * * * *", "Mars/Olympus"), cron("* * * * *", "../x")],
)
def test_next_time__unusable__says_so(schedule: Schedule) -> None:
    with pytest.raises(ScheduleUnusable):
        next_time(schedule, anchor=ANCHOR, after=ANCHOR)


def test_due_times__one_is_due__is_that_one() -> None:
    schedule = cron("0 * * * *", "UTC")
    first = ANCHOR + timedelta(hours=1)
    due = due_times(schedule, anchor=ANCHOR, first=first, now=first + timedelta(seconds=2))
    assert (due.times, due.left_out) == ((first,), None)


def test_due_times__missed_ones_without_catchup__leave_only_the_latest() -> None:
    schedule = cron("0 * * * *", "UTC")
    now = ANCHOR + timedelta(hours=5, minutes=10)
    due = due_times(schedule, anchor=ANCHOR, first=ANCHOR + timedelta(hours=1), now=now)
    assert (due.times, due.left_out) == ((ANCHOR + timedelta(hours=5),), ANCHOR + timedelta(hours=4))


@pytest.mark.parametrize("schedule", [cron("0 * * * *", "UTC", catchup=True), Schedule(every_seconds=3600, catchup=True)])
def test_due_times__missed_ones_with_catchup__are_all_there_to_the_limit(schedule: Schedule) -> None:
    first = ANCHOR + timedelta(hours=1)
    few = due_times(schedule, anchor=ANCHOR, first=first, now=ANCHOR + timedelta(hours=3, minutes=1))
    assert (few.times, few.left_out) == (tuple(ANCHOR + timedelta(hours=hour) for hour in (1, 2, 3)), None)
    many = due_times(schedule, anchor=ANCHOR, first=first, now=ANCHOR + timedelta(hours=500))
    assert many.times == tuple(ANCHOR + timedelta(hours=hour) for hour in range(501 - CATCHUP_LIMIT, 501))
    assert many.left_out == ANCHOR + timedelta(hours=500 - CATCHUP_LIMIT)


@pytest.mark.parametrize("schedule", [cron("* * * * *"), Schedule(every_seconds=0.001), cron("0 0 1 1 *")])
def test_due_times__years_of_downtime__are_told_at_once(schedule: Schedule) -> None:
    now = ANCHOR + timedelta(days=3653, minutes=1)
    first = next_time(schedule, anchor=ANCHOR, after=ANCHOR)
    assert first is not None
    due = due_times(schedule, anchor=ANCHOR, first=first, now=now)
    assert len(due.times) == 1
    assert due.times[0] <= now < (next_time(schedule, anchor=ANCHOR, after=due.times[0]) or now)


def test_due_times__first_is_no_time_of_the_schedule__counts_all_the_same() -> None:
    due = due_times(cron("0 0 1 1 *", "UTC"), anchor=ANCHOR, first=ANCHOR + timedelta(days=3), now=ANCHOR + timedelta(days=4))
    assert due.times == (ANCHOR + timedelta(days=3),)


@pytest.mark.parametrize(
    "schedule",
    [cron("0 2 * * *", overlap=Overlap.FORBID), Schedule(every_seconds=1.5, catchup=True, overlap=Overlap.REPLACE)],
)
def test_read_schedule__of_what_was_stored__is_the_same(schedule: Schedule) -> None:
    assert read_schedule(schedule_json(schedule)) == schedule


def test_read_schedule__of_another_podrun__says_so() -> None:
    with pytest.raises(ScheduleUnusable):
        read_schedule({"every_seconds": 3, "overlap": "sometimes", "catchup": False})
    with pytest.raises(ScheduleUnusable):
        read_schedule({"moon": "full", "overlap": "allow", "catchup": False})


def test_timing_of__overlap_and_catchup__are_no_part_of_it() -> None:
    plain = schedule_json(cron("0 2 * * *"))
    assert timing_of(plain) == timing_of(schedule_json(cron("0 2 * * *", overlap=Overlap.FORBID, catchup=True)))
    assert timing_of(plain) != timing_of(schedule_json(cron("0 2 * * *", "UTC")))
    assert timing_of(None) == {}
