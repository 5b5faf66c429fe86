from __future__ import annotations

from array import array

import pytest

from app.logs.continuity import HELD_UP_BYTES, ROTATED_BYTES, Beginning, Continuity, End, Lag
from app.logs.lines import Stretch
from app.logs.resume import SECOND
from tests.unit.logs.test_lines import BASE

MS = 1_000_000
MUCH = HELD_UP_BYTES


def seconds(*times: float) -> array[int]:
    return array("q", [BASE + int(time * SECOND) for time in times])


def lines_of(times: array[int], size: int = MUCH) -> Stretch:
    """Lines of so many bytes in all."""
    first = b"x" * max(0, size - len(times))
    return Stretch(first + b"\n" * len(times), times)


def lag_of(opened_at: float = 0) -> Lag:
    """A follower whose clock is the node's."""
    lag = Lag()
    lag.opened(BASE + int(opened_at * SECOND))
    return lag


def observe(lag: Lag, times: array[int], at: float, waited: float = 0.0, size: int = MUCH) -> tuple[int, int] | None:
    jump = lag.observe(lines_of(times, size), 0, BASE + int(at * SECOND), waited)
    return None if jump is None else (jump.before, jump.after)


def test_lag__jump_of_a_whole_file_while_behind__found() -> None:
    lag = lag_of()
    observe(lag, seconds(0), 0)
    assert not lag.is_behind
    assert observe(lag, seconds(1), 20) is None
    assert lag.is_behind
    assert observe(lag, seconds(15), 20) == (BASE + SECOND, BASE + 15 * SECOND)


def test_lag__jump_inside_a_chunk_while_behind__found() -> None:
    lag = lag_of()
    observe(lag, seconds(0), 0)
    assert observe(lag, seconds(1, 12), 20) == (BASE + SECOND, BASE + 12 * SECOND)


def test_lag__jump_after_a_start_that_was_behind__found_though_the_clocks_are_not_known() -> None:
    lag = lag_of(9)
    observe(lag, seconds(0), 9)
    assert observe(lag, seconds(4), 13.5) is None
    assert observe(lag, seconds(17), 18) == (BASE + 4 * SECOND, BASE + 17 * SECOND)


def test_lag__jump_while_behind_after_a_pause_of_the_kubelet__found() -> None:
    lag = lag_of()
    observe(lag, seconds(0), 0)
    observe(lag, seconds(1), 20)
    assert observe(lag, seconds(18), 23, 3.0, size=4096) == (BASE + SECOND, BASE + 18 * SECOND)


def test_lag__silent_container_whose_last_line_came_late__no_jump() -> None:
    lag = lag_of()
    observe(lag, seconds(0), 0)
    observe(lag, seconds(1), 7)
    assert observe(lag, seconds(18), 18, 11.0) is None


def test_lag__silent_container__no_jump() -> None:
    lag = lag_of()
    observe(lag, seconds(0), 0)
    assert observe(lag, seconds(3600), 3600, 3600.0) is None
    assert not lag.is_behind


def test_lag__reader_that_stood_still_while_little_was_said__no_jump() -> None:
    lag = lag_of()
    observe(lag, seconds(0), 0, size=100)
    assert [observe(lag, seconds(time), 60, size=100) for time in (10, 20, 30)] == [None] * 3


def test_lag__old_log_read_late__no_jump() -> None:
    lag = lag_of(7200)
    assert observe(lag, seconds(0, 1800, 3600), 7200) is None
    assert observe(lag, seconds(7260), 7260, 60.0) is None


@pytest.mark.parametrize("step", [-3600, -20, 20, 3600])
def test_lag__clock_that_stamps_is_set_and_set_right_again__not_behind(step: int) -> None:
    lag = lag_of()
    for number in range(60):
        stamped = number + (step if 20 <= number < 40 else 0)
        assert observe(lag, seconds(stamped), number, 1.0, size=100) is None
        assert not lag.is_behind


def test_lag__clock_that_stamps_is_set_back_while_behind__still_behind() -> None:
    lag = lag_of()
    observe(lag, seconds(0), 0)
    observe(lag, seconds(1), 20)
    observe(lag, seconds(-3600), 20)
    assert lag.is_behind


def test_lag__clocks_that_differ__not_behind() -> None:
    lag = lag_of()
    observe(lag, seconds(-5), 0)
    observe(lag, seconds(-4), 1, 1.0)
    assert not lag.is_behind


def jumped() -> Lag:
    """A follow that has jumped to a file that begins at 15 s, of which it has brought 2 s."""
    lag = lag_of()
    observe(lag, seconds(0), 0)
    observe(lag, seconds(1), 20)
    assert observe(lag, seconds(15, 16, 17), 20) is not None
    return lag


@pytest.mark.parametrize(
    ("times", "first"),
    [
        ((17.1, 17.2), None),
        ((16.995, 17.2), None),  # two streams
        ((15, 16), 0),
        ((17.1, 15, 16), 1),
        ((15.2, 15.4), 0),  # its first line came without a stamp
        ((12, 13), None),  # the node's clock was set back
    ],
)
def test_lag__newest_file_begun_again_after_a_jump__found(times: tuple[float, ...], first: int | None) -> None:
    assert jumped().find_repetition(seconds(*times)) == first


def test_lag__begun_again_within_the_chunk_of_the_jump__found_though_little_was_in_the_file() -> None:
    lag = lag_of()
    observe(lag, seconds(0), 0)
    times = seconds(1, 15, 15.1, 15, 15.1)
    assert lag.find_repetition(times) == 3
    assert observe(lag, times[:3], 20) == (BASE + SECOND, BASE + 15 * SECOND)
    assert lag.find_file_left_out(times[3]) is None  # it is recorded


def test_lag__no_jump__stamps_that_go_back_are_no_repetition() -> None:
    lag = lag_of()
    observe(lag, seconds(0, 10), 10)
    assert lag.find_repetition(seconds(1, 2)) is None


def test_lag__begun_again_behind_a_pause_that_was_too_short_for_a_jump__the_file_was_left_out_there() -> None:
    lag = lag_of()
    observe(lag, seconds(0), 0)
    assert lag.observe(lines_of(seconds(0.1, 3, 3.1), 100), 7000, BASE + 20 * SECOND, 0.0) is None
    assert lag.find_repetition(seconds(3.2, 3.1)) is None
    assert lag.find_repetition(seconds(3.2, 3, 3.1)) == 1
    left_out = lag.find_file_left_out(seconds(3)[0])
    assert left_out is not None
    assert (left_out.before, left_out.after, left_out.at_byte) == (*seconds(0.1, 3), 7000 + 98)
    assert lag.find_file_left_out(seconds(3)[0]) is None


def printed(lag: Lag, rate: int, until: float, *, lines: int = 10) -> None:
    """A container prints so many bytes a second, which are read as they come, from 0 on, ten times a second."""
    for number in range(round(until * 10)):
        observe(lag, seconds(*[(number + part / lines) / 10 for part in range(lines)]), number / 10 + 0.1, 0.01, rate // 10)


@pytest.mark.parametrize(
    ("rate", "lines", "span", "is_lost"),
    [
        (2_000_000, 200, 5.4, True),  # looks for files to rotate that came late and then in time
        (2_000_000, 200, 3.0, False),  # in which it can't be filled
        (5_000_000, 500, 3.0, True),
        (50_000_000, 500, 1.5, False),  # a container that had no processor for a while
        (1_000_000, 10_000, 6.0, True),  # with its stamps a line of 10 bytes has 50
        (1_000_000, 10, 6.0, False),
    ],
)
def test_lag__jump_that_is_shorter_than_8_s__found_where_a_file_may_have_been_filled(
    rate: int, lines: int, span: float, *, is_lost: bool
) -> None:
    lag = lag_of()
    printed(lag, rate, 4.0, lines=lines // 10 or 1)
    assert observe(lag, seconds(4.0), 30.0, 20.0) is None  # it stood still
    assert observe(lag, seconds(4.1), 30.0) is None
    assert (observe(lag, seconds(4.1 + span), 30.1) is not None) is is_lost


def followed(how: End, *, last: float = 0.0, ended: float, idle: float = 0.0, restarts: bool = False) -> Continuity:
    """A follow that brought a line as it was printed, and ended."""
    known = Continuity(started_at=None, restarts=restarts)
    known.opened(BASE)
    known.find_jump(lines_of(seconds(last), 100), 0, BASE + int(last * SECOND) + 3 * MS, 1.0)
    known.ended(how, BASE + int(ended * SECOND), idle, follow=True, seen=True)
    return known


@pytest.mark.parametrize(
    ("how", "ended", "idle", "first", "arrived", "waited", "may_miss"),
    [
        (End.CLOSED, 1.0, 0.9, 0.2, 1.0, 0.0, False),  # the kubelet closes when the container is over
        (End.CLOSED, 1.0, 0.9, 1.2, 2.0, 0.0, True),  # it spoke on: an API server closed
        (End.CLOSED, 20.0, 20.0, 9.0, 20.0, 0.0, True),  # a whole file may lie in between
        (End.BROKEN, 1.0, 0.9, 0.2, 1.0, 0.0, True),
        (End.SILENT, 2.5, 2.5, 0.2, 2.5, 0.0, False),
        (End.SILENT, 0.3, 0.1, 0.2, 0.3, 0.0, True),
        (End.QUIET, 30.0, 30.0, 90.0, 90.0, 60.0, False),  # still silent, in a new file
        (End.QUIET, 30.0, 30.0, 29.0, 30.1, 0.1, True),  # it was not silent: the follow was dead
        (End.QUIET, 30.0, 30.0, 29.0, 40.0, 10.0, True),  # and the next one hung for a while
    ],
)
def test_continuity__last_line_does_not_come_again__lines_may_be_missing(
    how: End, ended: float, idle: float, first: float, arrived: float, waited: float, *, may_miss: bool
) -> None:
    known = followed(how, ended=ended, idle=idle)
    known.opened(BASE + int(ended * SECOND))
    now = BASE + int(arrived * SECOND)
    assert known.may_miss(BASE, BASE + int(first * SECOND), now, waited, follow=True) is may_miss


def test_continuity__read_after_a_quiet_follow__empty_says_that_it_was_silent_and_new_lines_that_it_was_dead() -> None:
    known = followed(End.QUIET, ended=30.0, idle=30.0)
    assert known.may_miss(BASE, BASE + 25 * SECOND, BASE + 30 * SECOND, 5.0, follow=False)
    known.ended(End.CLOSED, BASE + 30 * SECOND, 0.0, follow=False, seen=False)
    assert not known.may_miss(BASE, BASE + 90 * SECOND, BASE + 90 * SECOND, 60.0, follow=True)


def test_continuity__sidecar_that_was_started_again__its_new_file_is_no_sign() -> None:
    assert not followed(End.CLOSED, ended=1.0, restarts=True).may_miss(
        BASE, BASE + 2 * SECOND, BASE + 2 * SECOND, 0.0, follow=True
    )


def test_continuity__follower_that_is_behind__not_complete_though_closed() -> None:
    known = followed(End.CLOSED, ended=1.0)
    known.opened(BASE)
    known.find_jump(lines_of(seconds(2)), 0, BASE + 9 * SECOND, 0.0)
    known.ended(End.CLOSED, BASE + 10 * SECOND, 0.0, follow=True, seen=True)
    assert not known.is_complete


def test_continuity__nothing_seen_since_it_was_cut_off__stays_incomplete() -> None:
    known = followed(End.BROKEN, ended=1.0)
    for how in (End.CLOSED, End.QUIET):
        known.ended(how, BASE + 60 * SECOND, 30.0, follow=True, seen=False)
        assert not known.is_complete
        assert known.may_miss(BASE, BASE + 70 * SECOND, BASE + 70 * SECOND, 30.0, follow=True)
    known.ended(End.CLOSED, BASE + 80 * SECOND, 1.0, follow=True, seen=True)
    assert known.is_complete


@pytest.mark.parametrize(
    ("how", "was_over", "is_complete"),
    [(End.CLOSED, True, True), (End.CLOSED, False, False), (End.QUIET, True, False), (End.BROKEN, True, False)],
)
def test_continuity__read_that_failed_behind_a_whole_stream__complete_where_the_container_was_over(
    how: End, was_over: bool, is_complete: bool
) -> None:
    known = followed(how, ended=1.0)
    known.ended(End.BROKEN, BASE + 2 * SECOND, 0.1, follow=False, seen=False, was_over=was_over)
    assert known.is_complete is is_complete


def test_continuity__container_that_ran_on_behind_a_closed_follow__not_complete_until_seen_again() -> None:
    known = followed(End.CLOSED, ended=1.0)
    assert known.is_complete
    known.went_on()
    assert not known.is_complete
    known.ended(End.CLOSED, BASE + 3 * SECOND, 1.0, follow=True, seen=False)
    assert not known.is_complete
    known.ended(End.CLOSED, BASE + 4 * SECOND, 0.0, follow=False, seen=True)
    assert known.is_complete


@pytest.mark.parametrize(("finished", "is_complete"), [(-1, True), (0, False), (5, False)])
def test_continuity__end_that_is_told_late__complete_where_it_was_before_the_follow_was_closed(
    finished: int, is_complete: bool
) -> None:
    known = followed(End.CLOSED, ended=1.0)
    known.went_on()
    known.finished(BASE // SECOND * SECOND + finished * SECOND)
    assert known.is_complete is is_complete


def beginning(started: float | None, opened: float, first: float, rate: int, *, waited: float = 0.0) -> bool:
    """Whether a log that grows by so many bytes a second, read at once, is suspected to lack its beginning."""
    watched = Beginning(None if started is None else BASE + int(started * SECOND))
    for number in range(2000):
        time = first + number * 32_768 / rate
        found = watched.observe(seconds(time), 32_768, BASE + int(max(opened, time) * SECOND), 0.0 if number else waited)
        if found is not None:
            assert found == seconds(first)[0]
            return True
    return False


@pytest.mark.parametrize(
    ("started", "opened", "first", "rate", "waited", "is_lost"),
    [
        (0, 25, 20, 1_000_000, 0.0, True),  # the service was away for two rotations
        (0, 25, 20, 100_000, 0.0, True),  # 2 MB before: it may have been 10
        (0, 25, 20, 20_000, 0.0, False),
        (0, 25, 0.5, 1_000_000, 0.0, False),  # its first line is there
        (0, 25, 0.5, 50_000_000, 0.0, True),  # a file may have been full within half a second
        (0, 25, 26, 1_000_000, 3.0, False),  # it was open before the first line
        (0, 25, 20, 1_000_000, 3.0, True),  # the answer hung
        (0, 1, 0.9, 50_000_000, 0.0, True),
        (0, 1, 0.9, 5_000_000, 0.0, False),
        (0, 3, 2.9, 2_000_000, 0.0, False),
        (None, 25, 20, 1_000_000, 0.0, False),
    ],
)
def test_beginning__first_opened_when_a_file_may_have_been_full__suspected(
    started: float | None, opened: float, first: float, rate: int, waited: float, *, is_lost: bool
) -> None:
    assert beginning(started, opened, first, rate, waited=waited) is is_lost


def test_beginning__many_lines_at_once_and_then_silence__not_suspected() -> None:
    watched = Beginning(BASE)
    burst = seconds(*[0.9 + number / 100_000 for number in range(5000)])
    assert watched.observe(burst, 5_000_000, BASE + SECOND, 0.0) is None
    assert watched.observe(seconds(5), ROTATED_BYTES, BASE + 5 * SECOND, 3.0) is None
