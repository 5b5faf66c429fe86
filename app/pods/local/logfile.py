"""A local pod's log: written in the very format in which a kubelet serves logs with `timestamps=true`. Standard library only.

Each line is a stamp (RFC 3339, UTC, nine digits), one space, the line's bytes, a line feed. A line is written when its line
feed has come, or in pieces of 16 KiB while it has not (the stamp stands before the first), or when the log ends. Stamps
strictly increase, so that a line can be known by its stamp, and go on evenly when somebody sets the machine's clock.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

PIECE_BYTES = 16 * 1024  #: what a container runtime waits for at most before it hands on a part of a line
_SECOND = 1_000_000_000
_BLOCK_BYTES = 64 * 1024


class EvenClock:
    """The clock on the wall as it was when this one was made, moved on by the monotonic clock."""

    def __init__(self, wall_ns: Callable[[], int] = time.time_ns, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._monotonic_ns = monotonic_ns
        self._zero = wall_ns() - monotonic_ns()

    def __call__(self) -> int:
        """The time, in nanoseconds since 1970."""
        return self._zero + self._monotonic_ns()


class LogWriter:
    """Stamps a stream of bytes into a file. Its owner is the pod's supervisor; one per file, from its first byte on."""

    def __init__(self, fd: int, clock: Callable[[], int]) -> None:
        self._fd = fd
        self._clock = clock
        self._held = b""  #: a line's beginning that is not written yet
        self._unwritten = memoryview(b"")
        self._in_line = False  #: the file ends within a line
        self._next_stamp = 0
        self._second = -1
        self._second_text = b""

    def feed(self, chunk: bytes) -> None:
        """Write all lines that are complete now, and whole pieces of one that is not.

        Raises:
            OSError: not all could be written; `flush` goes on from there, and comes before anything else is fed.
        """
        data = self._held + chunk if self._held else chunk
        cut = data.rfind(b"\n") + 1
        parts = self._stamp_lines(data[:cut]) if cut else []
        rest = data[cut:] if cut else data
        whole = len(rest) // PIECE_BYTES * PIECE_BYTES
        if whole:
            parts += self._open_line()
            parts.append(rest[:whole])
        self._held = rest[whole:]
        self._write(b"".join(parts))

    def finish(self) -> None:
        """Write what is left of an unfinished last line; no line feed is added. Raises OSError as `feed`."""
        held, self._held = self._held, b""
        if held:
            self._write(b"".join([*self._open_line(), held]))

    def _open_line(self) -> list[bytes]:
        if self._in_line:
            return []
        self._in_line = True
        return self._stamps(1)

    def _stamp_lines(self, lines: bytes) -> list[bytes]:
        parts = []
        if self._in_line:
            end = lines.index(b"\n") + 1
            parts.append(lines[:end])
            lines = lines[end:]
            self._in_line = False
        if lines:
            texts = lines.split(b"\n")
            texts.pop()
            parts.append(b"\n".join(map(bytes.__add__, self._stamps(len(texts)), texts)))
            parts.append(b"\n")
        return parts

    def _stamps(self, count: int) -> list[bytes]:
        first = max(self._clock(), self._next_stamp)
        second, nanos = divmod(first, _SECOND)
        if nanos + count > _SECOND:  # they stay within one second: less than a millisecond is made up
            second, nanos = second + 1, 0
        self._next_stamp = second * _SECOND + nanos + count
        if second != self._second:
            self._second = second
            self._second_text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode("ascii")
        text = self._second_text
        return [b"%b.%09dZ " % (text, nano) for nano in range(nanos, nanos + count)]

    def _write(self, data: bytes) -> None:
        self._unwritten = memoryview(data)
        self.flush()

    def flush(self) -> None:
        """Write what could not be written so far. Raises OSError where it still can't be."""
        while self._unwritten:
            self._unwritten = self._unwritten[os.write(self._fd, self._unwritten) :]


def find_line_since(fd: int, since_second: bytes) -> tuple[int, bool]:
    """Where the first line begins whose stamp is not before a second, written as `2026-11-22T19:40:35`.

    Returns the offset, and whether it lies within an older, unfinished line whose rest must be skipped as well.
    """
    size = os.fstat(fd).st_size
    low, high = 0, size
    while low < high:  # lines are in the order of their stamps: by halves
        middle = (low + high) // 2
        start = _next_line_start(fd, middle, size)
        if start is None or os.pread(fd, len(since_second), start) >= since_second:
            high = middle
        else:
            low = start + 1
    start = _next_line_start(fd, low, size)
    if start is not None:
        return start, False
    return size, size > 0 and os.pread(fd, 1, size - 1) != b"\n"


def _next_line_start(fd: int, offset: int, size: int) -> int | None:
    """The first byte of a line at or behind `offset`; None where no line starts there yet."""
    if offset == 0:
        return 0 if size else None
    at = offset - 1
    while at < size:
        block = os.pread(fd, min(_BLOCK_BYTES, size - at), at)
        found = block.find(b"\n")
        if found >= 0:
            start = at + found + 1
            return start if start < size else None
        at += len(block)
        if not block:
            break
    return None
