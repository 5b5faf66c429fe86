"""Checks a stored log against what was printed: each line once, in order, and what is missing inside a recorded gap.

What "inside a gap" means. A gap stands at a byte of what is stored. Between two gaps, what is stored is one unbroken
stretch of what was printed, byte for byte, and each stretch lies behind the one before. So lines are missing only at the
byte of a gap: those printed behind the last one stored before it and before the first one stored behind it. A gap may stand
within a line, whose rest is then missing. The times that it tells are those of the lines on its two sides (None: there is none
on that side), so that whatever is missing was printed between them.

A container prints `NumberedLines` by its `script`; what is stored goes piece by piece into a `LogCheck`, or as a whole into
`find_violations`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

#: More than these are not told one by one.
TOLD = 20
_SHOWN_BYTES = 60

#: The text of a line, in the container and here the same. Wide ones are of characters of two, three and four bytes.
_LINE = """
_FILL = b"".join(b"%x." % (n * 2654435761 % 65521) for n in range(65536)) * 6
_WIDE = "\\u00e4\\u20ac\\U0001f600".encode() * 200000
def line(key, number, size, wide=False):
    start, size = number * 7919 % 65536, size * (50 + number % 101) // 100
    text = _WIDE[: size // 9 * 9] if wide else _FILL[start : start + size]
    return b"%s%09d %s\\n" % (key, number, text)
"""
_made: dict[str, Any] = {}
exec(_LINE, _made)


class Gap(NamedTuple):
    """A gap of a stored log, as the index has it."""

    at_byte: int  #: offset of the first byte behind it
    from_at: datetime | None = None
    to_at: datetime | None = None


class Printed(Protocol):
    """Lines that were printed one after the other, each unlike all others."""

    count: int | None  #: how many; None: nobody knows, the container was killed while it printed

    def line(self, number: int) -> bytes:
        """Line `number`, from 0, with its line feed."""

    def number(self, text: bytes) -> int | None:
        """The number that this line has, by how it begins; None: it is the beginning of no line."""


class NumberedLines:
    """Lines of about `size` bytes, from half of that to one and a half, that begin with `key` and their number."""

    def __init__(self, count: int | None, size: int = 100, key: str = "", *, wide: bool = False) -> None:
        """`wide`: of characters of several bytes."""
        self.count, self.size, self.wide, self._key = count, size, wide, key.encode()

    def line(self, number: int) -> bytes:
        """See Printed."""
        text: bytes = _made["line"](self._key, number, self.size, self.wide)
        return text

    def number(self, text: bytes) -> int | None:
        """See Printed."""
        digits = text[len(self._key) : len(self._key) + 9]
        return int(digits) if text.startswith(self._key) and len(digits) == 9 and digits.isdigit() else None

    def text(self) -> bytes:
        """All of them."""
        assert self.count is not None
        return b"".join(self.line(number) for number in range(self.count))

    @property
    def script(self) -> str:
        """Python in which `line(KEY, number, SIZE, WIDE)` gives the same lines; the first `COUNT` are all."""
        return f"KEY, SIZE, WIDE, COUNT = {self._key!r}, {self.size}, {self.wide}, {self.count}\n{_LINE}"


class TextLines:
    """Any lines, as long as no two are equal and none is empty. Each without its line feed."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = [line.encode() + b"\n" for line in lines]
        self._numbers = {line: number for number, line in enumerate(self._lines)}
        self.count: int | None = len(lines)
        assert len(self._numbers) == self.count, "lines are equal: they can't be told apart"

    def line(self, number: int) -> bytes:
        """See Printed."""
        return self._lines[number]

    def number(self, text: bytes) -> int | None:
        """See Printed. The beginning of a line is not known here, only a whole one."""
        return self._numbers.get(text if text.endswith(b"\n") else text + b"\n")


class LogCheck:
    """Takes what is stored, or what a reader got, in its order, and notes what is wrong with it."""

    def __init__(self, printed: Printed) -> None:
        self.gaps = 0
        self.empty_gaps = 0  #: gaps at which nothing is missing
        self.missing = 0  #: lines that are missing, as a whole or in part, inside gaps
        self.stored = 0  #: lines
        self._printed = printed
        self._violations: list[str] = []
        self._untold = 0
        self._next = 0  # the line that comes next where nothing is missing
        self._held = b""  # of the line that has not ended yet
        self._at_gap = False  # a gap stands where `_held` begins
        self._cut_at: int | None = None  # of the line before that gap only so many bytes are stored
        self._rest: bytes | None = None  # the rest of a line, first behind a gap: of which one, the next line tells
        self._time: int | None = None  # of the last line, in microseconds; None: not told
        self._to_at: int | None = None  # what the last gap says of the line behind it
        self._checks_to_at = False

    @property
    def next_number(self) -> int:
        """The line that comes next where nothing is missing."""
        return self._next

    def take(self, frame: dict[str, Any]) -> None:
        """Take a frame of a stream, or a line of NDJSON."""
        if frame.get("type") == "gap":
            self.gap(frame["from"], frame["to"])
        elif frame.get("type") == "lines" or "text" in frame:
            for line in frame.get("lines", [frame]):
                self.add(line["text"].encode() + (b"" if line.get("partial") else b"\n"), line["time"])

    def add(self, data: bytes, time: str | datetime | None = None) -> None:
        """Take the next bytes. `time` is that of the line in which they begin, where it is known."""
        if time is not None:
            self._time = _microseconds(time)
            if self._checks_to_at and self._to_at != self._time:
                self._tell(f"the gap before line {self._next} or later ends at {self._to_at}, that line's time is {self._time}")
            self._checks_to_at = False
        *lines, self._held = (self._held + data).split(b"\n")
        for text in lines:
            self._line(text + b"\n")

    def gap(self, from_at: str | datetime | None = None, to_at: str | datetime | None = None) -> None:
        """A gap stands here. Its times are looked at where those of lines are known."""
        self.gaps += 1
        if self._time is not None and _microseconds(from_at) != self._time:
            self._tell(f"the gap before line {self._next} or later begins at {from_at}, not at the time of the line before")
        self._to_at, self._checks_to_at = _microseconds(to_at), self._time is not None or self.stored == 0
        if self._at_gap and not self._held:
            self.empty_gaps += 1  # two at the same byte
        self._end_stretch()
        self._at_gap = True

    def end(self) -> list[str]:
        """There is no more. Returns what is wrong: empty where each line is there once, or lies inside a gap."""
        at_end, is_open = self._at_gap and not self._held, self._printed.count is None
        self._end_stretch(is_end=True)
        if self._rest is not None:
            self._tell(f"not known of which line this is the rest: {_shown(self._rest)} behind line {self._next - 1}")
        elif not is_open and self._next < (self._printed.count or 0):
            self._lines_missing(self._printed.count or 0, at_gap=at_end)
        elif at_end and self._cut_at is None and not is_open:
            self.empty_gaps += 1
        return [*self._violations, *([f"and {self._untold} more"] if self._untold else [])]

    def _line(self, text: bytes) -> None:
        """One line to its end, or the rest of one behind a gap."""
        at_gap, self._at_gap = self._at_gap, False
        if not at_gap and self._rest is None and text == self._printed_line(self._next):
            self._next += 1
            self.stored += 1
            return
        number = self._printed.number(text)
        if number is None or self._printed_line(number) != text:
            if at_gap and number is None:
                self._rest = text
            else:
                self._tell(f"no line that was printed: {_shown(text)} behind line {self._next - 1}")
                self._next = max(self._next, self._next + 1 if number is None else number + 1)
            return
        self._whole(number, at_gap)

    def _whole(self, number: int, at_gap: bool) -> None:
        """A line that was printed as it stands here."""
        if self._rest is not None:
            rest, self._rest, at_gap = self._rest, None, True
            self._check_rest(rest, number)
        if number < self._next:
            self._tell(f"line {number} comes again, or too late: behind line {self._next - 1}")
            self.stored += 1
            return
        if number > self._next:
            self._lines_missing(number, at_gap=at_gap)
        elif at_gap and self._cut_at is None:
            self.empty_gaps += 1
        self._cut_at = None
        self._next = number + 1
        self.stored += 1

    def _check_rest(self, rest: bytes, number: int) -> None:
        """The rest of a line, behind a gap, with line `number` behind it."""
        line = self._printed_line(number - 1) if number else b""
        if not line.endswith(rest):
            self._tell(f"not the rest of a line: {_shown(rest)} before line {number}")
        elif number <= self._next:
            stored = len(line) if self._cut_at is None or number < self._next else self._cut_at
            if stored + len(rest) > len(line):
                self._tell(f"bytes of line {number - 1} come again: {_shown(rest)}")

    def _lines_missing(self, until: int, *, at_gap: bool) -> None:
        if at_gap:
            self.missing += until - self._next
        else:
            self._tell(f"lines {self._next} to {until - 1} are missing, and no gap stands there")

    def _end_stretch(self, *, is_end: bool = False) -> None:
        """The stored bytes before a gap, or before the end: a line that is not whole may be the last of them."""
        text, self._held = self._held, b""
        if not text:
            return
        number = self._next if self._printed_line(self._next).startswith(text) else self._printed.number(text)
        if number is None or not self._printed_line(number).startswith(text) or self._rest is not None:
            self._tell(f"no beginning of a line that was printed: {_shown(text)} behind line {self._next - 1}")
            return
        is_whole = self._printed_line(number).removesuffix(b"\n") == text and is_end  # readers put no feed behind a last line
        if is_end and not is_whole and self._printed.count is not None:
            self._tell(f"line {number} is cut: {_shown(text)}")
        self._whole(number, self._at_gap)
        if not is_whole:
            self.missing += 1
            self._cut_at = len(text)
        self._at_gap = False

    def _printed_line(self, number: int) -> bytes:
        is_printed = self._printed.count is None or number < self._printed.count
        return self._printed.line(number) if is_printed else b""

    def _tell(self, violation: str) -> None:
        if len(self._violations) < TOLD:
            self._violations.append(violation)
        else:
            self._untold += 1


def find_violations(printed: Printed, stored: bytes, gaps: Iterable[Gap] = (), *, may_be_empty: bool = False) -> list[str]:
    """What is wrong with a stored log; empty: each line is there once and in order, or lies inside a gap.

    `may_be_empty`: a gap may be recorded where nothing is missing.
    """
    check = LogCheck(printed)
    at_byte = 0
    for gap in sorted(gaps, key=lambda gap: gap.at_byte):
        check.add(stored[at_byte : gap.at_byte])
        check.gap(gap.from_at, gap.to_at)
        at_byte = gap.at_byte
    check.add(stored[at_byte:])
    violations = check.end()
    if check.empty_gaps and not may_be_empty:
        violations.append(f"{check.empty_gaps} gaps were recorded where nothing is missing")
    return violations


def _microseconds(time: str | datetime | None) -> int | None:
    """A time to the microsecond, which is what a gap tells; lines tell nanoseconds, which are cut."""
    if time is None:
        return None
    moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


def _shown(text: bytes) -> str:
    return f"{text[:_SHOWN_BYTES]!r} ({len(text)} bytes)"
