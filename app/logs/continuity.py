"""Whether lines may be missing from a log, which the kubelet never says. Pure.

The kubelet serves a follow from one file after the other, but a stream that is opened begins with the newest: what a rotation
takes away between two streams can't be read any more. It shows as the last line stored, which does not come again. Then lines
may be missing, unless what came before was complete:

- The follow ended by itself, while it was not behind. The kubelet does that at the end of a file once the container has ended,
  and the new file, which it does not look at, begins where that one ended. So what is new was printed before the follow ended;
  and a file in between would span as long as the kubelet takes to look for files to rotate, 10 s. But an API server that shuts
  down, or a proxy, may end a follow as cleanly while the container speaks: what is new was printed later then.
- The follow was cut since it was silent for long, a read found nothing either, and what the next follow brings first was
  printed just then: the container said nothing.

Two more things lose lines:

- Within one follow that is two rotations behind, the kubelet goes on with the newest file. It shows as stamps that jump by
  at least the time between two rotations though no time passed here, and while data was flowing: who waits for data is not
  behind, unless a kubelet on a busy machine pauses between two files: then most of the jump is the follower's delay. The file
  that is left out was begun after the stream was opened: a jump before that time is none.
  Each rotation that it has not heard of in time makes it begin the newest file once more: what is repeated is not stored.
- What was rotated away before the log was opened for the first time. It shows as a first line that was not printed right after
  the container's start, and in a log that grows so fast that a file may have been full by then.
"""

from __future__ import annotations

from array import array
from enum import Enum
from itertools import pairwise

from app.logs.resume import SECOND

#: A file that is lost as a whole spans at least the kubelet's 10 s between two looks; less, as its clock is not ours.
LOST_FILE_NANOS = 8 * SECOND
#: A follower is behind when the last line is older than this on arrival, beyond what the clocks differ.
BEHIND_NANOS = 2 * SECOND
#: So much more time lies between two lines than between their arrivals where a whole file was left out.
CAUGHT_UP_NANOS = 6 * SECOND
#: Waiting so long for data means that there was none: the follower was not behind.
FLOWING_SECONDS = 2.0
#: So long a kubelet may take at most, on a busy machine, to go on from a file's end to the next file.
PAUSE_SECONDS = 10.0
#: Less than this, without a pause, stands in the buffers of the connection: the kubelet was not held up by its reader.
HELD_UP_BYTES = 64 * 1024
#: Stamps go back by some milliseconds where streams meet; by so much, somebody has set the clock that makes them.
SET_BACK_NANOS = SECOND
#: Stamps of two streams go back by milliseconds, of a file that is begun again by more than this.
BEGUN_AGAIN_NANOS = SECOND // 2
#: Clocks that differ by more are not believed: an old log that is read late would look like a clock that is late.
_MAX_SKEW_NANOS = 10 * SECOND
#: The kubelet rotates a file of this size, ...
ROTATED_BYTES = 10 * 1024 * 1024
#: ... in which each line has a stamp and more.
_LINE_BYTES = 40
#: A log that is opened so late after its container's start may have been rotated, if it grew fast enough.
LATE_NANOS = 10 * SECOND
#: It may have grown faster before: so much is enough to suspect it.
_SUSPECT_BYTES = ROTATED_BYTES // 8


class End(Enum):
    """How a stream ended."""

    CLOSED = "it ended by itself"
    SILENT = "it was cut, as it said nothing while the container was over"
    QUIET = "it was cut, as it said nothing for long while the container ran"
    BROKEN = "it was cut off"


class Continuity:
    """What is known of how complete a log is. One for a collection.

    Times are in nanoseconds: of lines by the node's clock, of all else by ours.

    Args:
        started_at: when the container started, by the node's clock, to the second; None: not known, or the log is not empty.
        restarts: the container may be started again, with a new file.
    """

    def __init__(self, *, started_at: int | None, restarts: bool) -> None:
        self._restarts = restarts
        self._lag = Lag()
        self._beginning = Beginning(started_at)
        self._at_end = False  # all that was printed before the last stream's end is stored
        self._went_on = False  # and the container ran on
        self._was_quiet = False
        self._ended_at = 0
        self._closed_at = 0  # the last stream that ended by itself, and had all that was printed before

    def opened(self, now: int) -> None:
        """A stream is opened."""
        self._lag.opened(now)

    def ended(self, how: End, now: int, idle_seconds: float, *, follow: bool, seen: bool, was_over: bool = False) -> None:
        """The stream has ended, after so long without a word.

        `seen`: it brought the last line stored again, or new ones. `was_over`: the container was, before it was opened.
        """
        if was_over and how is End.BROKEN and not seen and not self._was_quiet:
            return  # it says nothing of what the stream before it brought, behind which nothing was printed
        complete = how is not End.BROKEN
        if follow and how is not End.QUIET:
            complete = complete and (idle_seconds >= FLOWING_SECONDS or (how is End.CLOSED and not self._lag.is_behind))
        self._at_end = complete and (seen or self._at_end)
        self._went_on = self._went_on and not seen
        self._was_quiet = how is End.QUIET or (self._was_quiet and not follow and not seen)
        self._ended_at = now
        if how is End.CLOSED and complete and seen:
            self._closed_at = now

    def went_on(self) -> None:
        """The container did not end with the stream that ended by itself."""
        self._went_on = True

    def finished(self, second: int) -> None:
        """The container is told to have ended within this second, by the node's clock.

        On a busy machine that is told long after its log was closed: where the second was over by then, it did not go on.
        """
        if self._went_on and self._lag.by_our_clock(second + SECOND) <= self._closed_at:
            self._went_on = False

    @property
    def is_complete(self) -> bool:
        """Whether everything is stored, if nothing can be read any more."""
        return self._at_end and not self._went_on

    def may_miss(self, last_time: int, first_new: int, now: int, waited_seconds: float, *, follow: bool) -> bool:
        """Whether lines may be missing behind the last one stored, which did not come again before the first new one."""
        if not self._at_end:
            return True
        if self._was_quiet:  # what was waited for did not stand there before, neither did the answer hang
            is_live = waited_seconds >= FLOWING_SECONDS and now - self._lag.by_our_clock(first_new) <= BEHIND_NANOS
            return not follow or not is_live
        if first_new - last_time >= LOST_FILE_NANOS:
            return True
        return not self._restarts and self._lag.by_our_clock(first_new) > self._ended_at

    def find_jump(self, times: array[int], size: int, now: int, waited_seconds: float) -> tuple[int, int] | None:
        """Count what a follow brought, of so many bytes; see `Lag.observe`."""
        return self._lag.observe(times, size, now, waited_seconds)

    def find_repetition(self, times: array[int], jump: tuple[int, int] | None = None) -> int | None:
        """The first of the lines that a follow brings for the second time; see `Lag.find_repetition`."""
        return self._lag.find_repetition(times, 0 if jump is None else times.index(jump[1]) + 1)

    def find_lost_beginning(self, times: array[int], size: int, now: int, waited_seconds: float) -> int | None:
        """Count what is new; see `Beginning.observe`."""
        return self._beginning.observe(times, size, now, waited_seconds)


class Lag:
    """How far a follower is behind, and where a follow may have lost whole files."""

    def __init__(self) -> None:
        self._skew = _MAX_SKEW_NANOS  # how much our clock is ahead, at most: the least that a line was old on arrival
        self._opened_at = 0
        self._last_time = 0  # in this stream; 0: none yet
        self._arrived_at = 0
        self._last_lag = 0
        self._flowed = 0  # bytes since data was last waited for
        self._jumped_to: int | None = None  # the first line of the newest file that this stream went on with

    def opened(self, now: int) -> None:
        """A stream is opened."""
        self._opened_at, self._last_time, self._last_lag, self._flowed = now, 0, 0, 0
        self._jumped_to = None

    @property
    def is_behind(self) -> bool:
        """Whether the stream's last line was old when it came."""
        return self._last_lag > BEHIND_NANOS

    def by_our_clock(self, time: int) -> int:
        """When that was by our clock, at the latest."""
        return time + self._skew

    def observe(self, times: array[int], size: int, now: int, waited_seconds: float) -> tuple[int, int] | None:
        """Count lines of so many bytes that came at `now`, after waiting so long for them.

        Returns the times of the lines around a jump where whole files may be missing, None where there is none.
        """
        if self._last_time and times[-1] < self._last_time - SET_BACK_NANOS:
            self._skew = now - times[-1] - self._last_lag  # the follower is as far behind as before
        is_flowing = self._is_flowing(times[0], waited_seconds)
        self._flowed = size + (self._flowed if is_flowing else 0)
        jump = None
        if self._flowed >= HELD_UP_BYTES and times[-1] >= self._opened_at - self._skew + LOST_FILE_NANOS:
            jump = self._find_jump(times, now, is_flowing=is_flowing)
            self._jumped_to = jump[1] if jump else self._jumped_to
        self._last_time, self._arrived_at = times[-1], now
        self._skew = min(self._skew, now - times[-1])
        self._last_lag = now - times[-1] - self._skew
        return jump

    def find_repetition(self, times: array[int], first: int) -> int | None:
        """The number of the line, from `first` on, with which the follow begins a file again that it has jumped to.

        None: it does not. Asked before lines are counted, and once more where a jump was found among them.
        """
        if self._jumped_to is None:
            return None
        last = times[first - 1] if first else self._last_time
        for number, time in enumerate(times[first:], start=first):
            if time == self._jumped_to or self._jumped_to < time < last - BEGUN_AGAIN_NANOS:
                return number
            last = max(last, time)
        return None

    def _is_flowing(self, first: int, waited_seconds: float) -> bool:
        """Whether the follower may not have had all that there was before this line, for which it has waited so long."""
        paused_between_files = waited_seconds < PAUSE_SECONDS and 2 * waited_seconds * SECOND < first - self._last_time
        return waited_seconds < FLOWING_SECONDS or paused_between_files

    def _find_jump(self, times: array[int], now: int, *, is_flowing: bool) -> tuple[int, int] | None:
        span = times[0] - self._last_time
        if self._last_time and is_flowing and span >= LOST_FILE_NANOS and span - (now - self._arrived_at) >= CAUGHT_UP_NANOS:
            return self._last_time, times[0]
        if times[-1] - times[0] < LOST_FILE_NANOS:
            return None
        return next(((before, after) for before, after in pairwise(times) if after - before >= LOST_FILE_NANOS), None)


class Beginning:
    """Whether files may have been rotated away before a log was opened for the first time.

    A log that is opened right after its container's start is only suspected where as much as a whole file was printed after
    its first line in the time that had passed before it. Later it is enough that it grows fast.
    """

    def __init__(self, started_at: int | None) -> None:
        self._started_at = started_at
        self._first: int | None = None
        self._is_late = False
        self._size = 0

    def observe(self, times: array[int], size: int, now: int, waited_seconds: float) -> int | None:
        """Count new lines, of so many bytes. Returns the first one's time where lines may be missing before it."""
        if self._started_at is None:
            return None
        if self._first is None:
            self._first = times[0]
            self._is_late = now - self._started_at >= LATE_NANOS
            # It was open before there was anything; or the answer hung, on a busy machine: then the line is old.
            if waited_seconds >= FLOWING_SECONDS and now - self._first <= BEHIND_NANOS:
                self._started_at = None
                return None
        self._size += size + _LINE_BYTES * len(times)
        before, behind = self._first - self._started_at, times[-1] - self._first
        found = self._size >= ROTATED_BYTES and behind <= before
        if self._is_late and self._size >= HELD_UP_BYTES and before > SECOND:  # it may be a second less
            found = found or self._size * (before - SECOND) >= _SUSPECT_BYTES * behind
        if found or behind > before or self._size >= ROTATED_BYTES:
            self._started_at = None
        return self._first if found else None
