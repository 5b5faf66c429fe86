"""Where a log's stream is opened again, and what of it is stored already. Pure.

A stream ends for many reasons, and each time the log is opened again "from a time". The kubelet cuts that time to whole
seconds, and serves the lines of that second and after in the order of its file, where the stamps of stdout and stderr go
back by some milliseconds now and then. So it is opened from one second before the smallest of the last stamps stored, and what
comes again is skipped by how many lines of each stamp are stored already, in whatever order they come. Of an unfinished
line, as many bytes are skipped as are stored.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from app.logs.lines import Stretch

SECOND = 1_000_000_000
#: The first of so many last lines is where a stream is opened again, and seconds before: stamps are not quite in order.
LAST_LINES = 16
MAX_BACK_SECONDS = 3
_KEPT_NANOS = (MAX_BACK_SECONDS + 3) * SECOND
_MIN_KEPT = 1024


class StoredEnd:
    """The end of what is stored of one log: enough to know it again. Grows with each stretch that is stored."""

    def __init__(self) -> None:
        self.last_time = 0
        self.empty = True
        self.unfinished_bytes = 0  #: of the last line, where it has no line feed yet
        self._times = array("q")  # of the last lines, in the order in which they are stored
        self._largest = 0
        self._trim_at = 2 * _MIN_KEPT

    def add(self, text: bytes, times: array[int], *, continues: bool) -> None:
        """Count a stretch that follows what is stored. `continues`: it starts in the line in which the stored ended."""
        self.empty = False
        end = text.rfind(b"\n") + 1
        within_line = self.unfinished_bytes if continues else 0
        self.unfinished_bytes = len(text) - end if end else within_line + len(text)
        if times:
            self.last_time = times[-1]
            self._largest = max(self._largest, times[-1])
            self._times.extend(times)
            if len(self._times) > self._trim_at:
                self._trim()

    def add_unfinished(self, size: int) -> None:
        """Count so many more bytes of the unfinished line, without looking at them."""
        self.unfinished_bytes += size

    def since(self, back_seconds: int = 0) -> int | None:
        """The second (since 1970) from which to open the log again, `MAX_BACK_SECONDS` earlier at most; None: its start."""
        if not self._times:
            return None
        return (min(self._times[-LAST_LINES:]) - SECOND) // SECOND - back_seconds

    def skipper(self, back_seconds: int = 0) -> Skipper:
        """What sorts out a stream that is opened from `since`."""
        since = (self.since(back_seconds) or 0) * SECOND
        counts = Counter(time for time in self._times if time >= since)
        return Skipper(counts, self.last_time, max(self._times, default=0) + SECOND, self.unfinished_bytes)

    def _trim(self) -> None:
        """Forget lines that `since` can't reach: they are older, and so is all before them, but for some milliseconds."""
        oldest = min(self._largest - _KEPT_NANOS, min(self._times[-LAST_LINES:]) - _KEPT_NANOS)
        low, high = 0, len(self._times) - _MIN_KEPT
        while low < high:
            middle = (low + high) // 2
            if self._times[middle] < oldest:
                low = middle + 1
            else:
                high = middle
        self._times = self._times[low:]
        self._trim_at = max(2 * _MIN_KEPT, 2 * len(self._times))


@dataclass(slots=True)
class Skipper:
    """Passes on what is new of a stream that was opened again."""

    counts: Counter[int]  #: lines stored, by stamp, that have not come again yet
    last_time: int  #: stamp of the last line stored
    horizon: int  #: from this stamp on, everything is new
    unfinished_bytes: int
    came_back: bool = False  #: the last line stored came again
    some_came_back: bool = False  #: any stored line came again: its file is still there, and so is the last one
    first_new: int | None = None  #: stamp of the first new line
    _in_skipped: bool = False
    _skip_bytes: int = 0  # of the piece that continues the unfinished line

    @property
    def done(self) -> bool:
        """All that follows is new."""
        return not self.counts and not self._in_skipped and not self._skip_bytes

    def feed(self, stretch: Stretch) -> Stretch | None:
        """What is new of it; None: nothing. With `continues`, it goes on with the line in which the stored log ends."""
        if self.done:
            return stretch
        texts: list[bytes] = []
        times = array("q")
        continues = False
        for number, (text, time) in enumerate(_split(stretch)):
            if time is None:
                kept = self._continued(text)
                continues = continues or (number == 0 and bool(kept))
            elif self._is_stored(time):
                kept = self._stored(text, time)
                continues = continues or bool(kept)
            else:
                kept = text
                self._in_skipped = False
                if self.first_new is None:
                    self.first_new = time
                times.append(time)
            texts.append(kept)
        new = b"".join(texts)
        return Stretch(new, times, continues=continues) if new else None

    def _is_stored(self, time: int) -> bool:
        if time >= self.horizon:
            self.counts.clear()
        if time not in self.counts:
            return False
        self.counts[time] -= 1
        if not self.counts[time]:
            del self.counts[time]
        return True

    def _stored(self, text: bytes, time: int) -> bytes:
        """A line that came again: what of it is new (only of the unfinished one)."""
        self.some_came_back = True
        is_last = time == self.last_time and time not in self.counts
        self._in_skipped = not text.endswith(b"\n")
        if not is_last:
            return b""
        self.came_back = True
        if not self.unfinished_bytes or self.first_new is not None:
            return b""
        return self._unfinished(text, self.unfinished_bytes)

    def _unfinished(self, text: bytes, stored: int) -> bytes:
        self._in_skipped = False
        self._skip_bytes = max(0, stored - len(text)) if not text.endswith(b"\n") else 0
        return text[stored:]

    def _continued(self, text: bytes) -> bytes:
        """A piece that continues the last line of the stream."""
        if self._in_skipped:
            self._in_skipped = not text.endswith(b"\n")
            return b""
        return self._unfinished(text, self._skip_bytes) if self._skip_bytes else text


def _split(stretch: Stretch) -> Iterable[tuple[bytes, int | None]]:
    """Each line with its line feed and its time; None: it continues one of the stretch before."""
    lines = stretch.text.split(b"\n")
    ends = [line + b"\n" for line in lines[:-1]]
    if lines[-1]:
        ends.append(lines[-1])
    times: list[int | None] = list(stretch.times)
    return zip(ends, [None, *times] if stretch.continues else times, strict=True)
