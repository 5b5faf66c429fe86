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
  at least the time in which a file is filled though no time passed here, and while data was flowing: who waits for data is not
  behind, unless a kubelet on a busy machine pauses between two files: then most of the jump is the follower's delay. The file
  that is left out was begun after the stream was opened: a jump before that time is none.
  Each rotation that it has not heard of in time makes it begin the newest file once more, once it has come to its end. What is
  repeated is not stored; and it is certain then that a file was left out, however short the jump before it was.
- What was rotated away before the log was opened for the first time. It shows as a first line that was not printed right after
  the container's start, and in a log that grows so fast that a file may have been full by then.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass
from enum import Enum

from app.logs.lines import Stretch, line_offset
from app.logs.resume import SECOND

#: A file that is lost as a whole spans the kubelet's 10 s between two looks; less, as its clock is not ours.
LOST_FILE_NANOS = 8 * SECOND
#: And less by far where a look came late, on a busy machine, and the next one in time; if it can be filled in that time.
SHORTEST_FILE_NANOS = 2 * SECOND
#: So much of a full file is expected in it, at the fastest rate that was seen.
FULL_SHARE = 0.75
#: A rate is that of so much time at least, by the lines' stamps.
RATE_NANOS = SECOND
#: Stamps that go on by so much may be those of two files between which one was left out. So many places are remembered.
PAUSE_NANOS = SECOND // 2
_PAUSES = 64
#: A follower is behind when the last line is older than this on arrival, beyond what the clocks differ.
BEHIND_NANOS = 2 * SECOND
#: Of the time of a file that was left out, so much lies between two lines and not between their arrivals.
CAUGHT_UP_SHARE = 0.75
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
        if first_new - last_time >= self._lag.shortest_file:
            return True
        return not self._restarts and self._lag.by_our_clock(first_new) > self._ended_at

    def find_jump(self, new: Stretch, first_byte: int, now: int, waited_seconds: float) -> Pause | None:
        """Count what a follow brought; see `Lag.observe`."""
        return self._lag.observe(new, first_byte, now, waited_seconds)

    def find_repetition(self, times: array[int]) -> int | None:
        """The first of the lines that a follow brings for the second time; see `Lag.find_repetition`."""
        return self._lag.find_repetition(times)

    def find_file_left_out(self, repeated: int) -> Pause | None:
        """Before which line a file is missing for certain; see `Lag.find_file_left_out`."""
        return self._lag.find_file_left_out(repeated)

    def find_lost_beginning(self, times: array[int], size: int, now: int, waited_seconds: float) -> int | None:
        """Count what is new; see `Beginning.observe`."""
        return self._beginning.observe(times, size, now, waited_seconds)


@dataclass(slots=True)
class Pause:
    """A place in a follow where a line was printed long after the one before it: perhaps as a file was left out there."""

    before: int  #: the times of the two lines
    after: int
    at_byte: int  #: where the second one begins
    is_gap: bool = False  #: it is recorded that lines may be missing there


class Lag:
    """How far a follower is behind, and where a follow may have lost whole files."""

    def __init__(self) -> None:
        self._skew = _MAX_SKEW_NANOS  # how much our clock is ahead, at most: the least that a line was old on arrival
        self._opened_at = 0
        self._last_time = 0  # in this stream; 0: none yet
        self._arrived_at = 0
        self._last_lag = 0
        self._flowed = 0  # bytes since data was last waited for
        self._pauses: deque[Pause] = deque(maxlen=_PAUSES)  # in this stream
        self._jump: Pause | None = None  # the last of them that is taken for a file that was left out
        self._fastest = 0.0  # bytes a second, by the lines' times
        self._rated_from, self._rated_bytes = 0, 0

    def opened(self, now: int) -> None:
        """A stream is opened."""
        self._opened_at, self._last_time, self._last_lag, self._flowed = now, 0, 0, 0
        self._pauses.clear()
        self._jump = None
        self._rated_from = 0

    @property
    def is_behind(self) -> bool:
        """Whether the stream's last line was old when it came."""
        return self._last_lag > BEHIND_NANOS

    @property
    def shortest_file(self) -> int:
        """Nanoseconds: the least time between the lines around a file that was left out."""
        if not self._fastest:
            return LOST_FILE_NANOS
        return min(max(round(FULL_SHARE * ROTATED_BYTES / self._fastest * SECOND), SHORTEST_FILE_NANOS), LOST_FILE_NANOS)

    def by_our_clock(self, time: int) -> int:
        """When that was by our clock, at the latest."""
        return time + self._skew

    def observe(self, new: Stretch, first_byte: int, now: int, waited_seconds: float) -> Pause | None:
        """Count lines that came at `now`, after waiting so long for them. The log holds `first_byte` bytes before them.

        Returns the jump where whole files may be missing, which its caller records; None: there is none.
        """
        times, size = new.times, len(new.text)
        if self._last_time and times[-1] < self._last_time - SET_BACK_NANOS:
            self._skew = now - times[-1] - self._last_lag  # the follower is as far behind as before
        is_flowing = self._is_flowing(times[0], waited_seconds)
        self._flowed = size + (self._flowed if is_flowing else 0)
        self._rate(times, size)
        pauses = self._find_pauses(new, first_byte)
        self._pauses.extend(pauses)
        jump = None
        if self._flowed >= HELD_UP_BYTES and times[-1] >= self._opened_at - self._skew + self.shortest_file:
            jump = self._find_jump(pauses, times[0], now, is_flowing=is_flowing)
        if jump is not None:
            jump.is_gap = True
            self._jump = jump
        self._last_time, self._arrived_at = times[-1], now
        self._skew = min(self._skew, now - times[-1])
        self._last_lag = now - times[-1] - self._skew
        return jump

    def find_repetition(self, times: array[int]) -> int | None:
        """The number of the line with which the follow begins the newest file again; None: it does not.

        Asked before the lines are counted. A file that has begun behind a pause is known by the time of its first line; one
        that has begun behind a jump also where that line came without its stamp.
        """
        last, jump = self._last_time, self._jump
        if times[0] >= last and sorted(times) == times.tolist() and (jump is None or jump.after != times[0]):
            return None  # the usual case: they are in order
        began = {pause.after for pause in self._pauses}
        before = last or times[0]
        for number, time in enumerate(times):
            if time < last and time in began:
                return number
            if jump is not None and (time == jump.after or jump.after < time < last - BEGUN_AGAIN_NANOS):
                return number
            if time - before >= PAUSE_NANOS:
                began.add(time)
            before, last = time, max(last, time)
        return None

    def find_file_left_out(self, repeated: int) -> Pause | None:
        """The place where a file was left out, as the one behind it begins again with a line of this time.

        None: it is recorded already.
        """
        pause = next((pause for pause in reversed(self._pauses) if pause.after == repeated), None)
        if pause is None or pause.is_gap:
            return None
        pause.is_gap = True
        return pause

    def _rate(self, times: array[int], size: int) -> None:
        """Note how fast the container prints, the kubelet's stamps included."""
        if not self._rated_from or times[-1] < self._rated_from:
            self._rated_from, self._rated_bytes = times[0], 0
        self._rated_bytes += size + _LINE_BYTES * len(times)
        elapsed = times[-1] - self._rated_from
        if elapsed >= RATE_NANOS:
            self._fastest = max(self._fastest, self._rated_bytes / elapsed * SECOND)
            self._rated_from, self._rated_bytes = times[-1], 0

    def _is_flowing(self, first: int, waited_seconds: float) -> bool:
        """Whether the follower may not have had all that there was before this line, for which it has waited so long."""
        paused_between_files = waited_seconds < PAUSE_SECONDS and 2 * waited_seconds * SECOND < first - self._last_time
        return waited_seconds < FLOWING_SECONDS or paused_between_files

    def _find_pauses(self, new: Stretch, first_byte: int) -> list[Pause]:
        before, found = self._last_time or new.times[0], []
        if new.times[-1] - before < PAUSE_NANOS:
            return []
        for number, time in enumerate(new.times):
            if time - before >= PAUSE_NANOS:
                found.append(Pause(before, time, first_byte + line_offset(new, number)))
            before = time
        return found[-_PAUSES:]

    def _find_jump(self, pauses: list[Pause], first: int, now: int, *, is_flowing: bool) -> Pause | None:
        shortest = self.shortest_file
        for pause in pauses:
            span = pause.after - pause.before
            if span < shortest:
                continue
            if pause.after != first or pause.before != self._last_time:
                return pause  # both lines came at once
            if is_flowing and span - (now - self._arrived_at) >= CAUGHT_UP_SHARE * shortest:
                return pause
        return None


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
