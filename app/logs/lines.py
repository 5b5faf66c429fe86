r"""The kubelet's `timestamps=true` format, cut anywhere, into text and times. Pure; the hot path of every log byte.

    2026-11-22T19:40:35.123456789Z text of the line\n   →   text "text of the line\n", time 1795376435123456789

Lines are handled by the chunk: within one second the stamps differ in nine digits only, so that a chunk is split at
"line feed and second", and what is left costs about 300 ns a line.
"""

from __future__ import annotations

import re
from array import array
from calendar import timegm
from dataclasses import dataclass

#: An unfinished line is held back up to this size, then passed on in pieces.
PIECE_BYTES = 256 * 1024
_SECOND_BYTES = 20  # "2026-11-22T19:40:35."
_STAMP_BYTES = 31  # with nine digits, "Z" and the space
_NANOS = 1_000_000_000
#: Any RFC 3339 stamp and the space behind it: a node may be in another zone, a fraction may lack its last zeros.
_STAMP = re.compile(rb"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:Z|([+-])(\d\d):(\d\d)) ")
_STAMP_CHARACTERS = frozenset(b"0123456789-+:.TZ ")


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some text of one stream and the time of each line that starts in it, in nanoseconds since 1970."""

    text: bytes  #: never empty
    times: array[int]
    continues: bool = False  #: it starts within the line in which the last stretch ended


def line_offset(stretch: Stretch, number: int) -> int:
    """Where in its text the line begins whose time is `times[number]`."""
    offset = stretch.text.index(b"\n") + 1 if stretch.continues else 0
    for _ in range(number):
        offset = stretch.text.index(b"\n", offset) + 1
    return offset


def first_lines(stretch: Stretch, count: int | None) -> Stretch | None:
    """The stretch before its line `times[count]`; of None the whole. None: nothing of it."""
    if count is None:
        return stretch
    offset = line_offset(stretch, count)
    return Stretch(stretch.text[:offset], stretch.times[:count], continues=stretch.continues) if offset else None


class LineParser:
    """Parses one stream: `feed` each chunk, then `finish`.

    Args:
        last_time: the time of what has no valid stamp (which the kubelet never sends): that of the line before it.
        resumed: the stream was opened in the middle of a log. What stands before its first stamp is the rest of a line that
            began before the asked-for time, and is dropped: it was stored already.
    """

    def __init__(self, last_time: int = 0, *, resumed: bool = False) -> None:
        self.last_time = last_time
        self._skip_head = resumed
        self._held: list[bytes] = []  # the unfinished line, or what has not been passed on of it
        self._held_bytes = 0
        self._within_line = False  # a piece of the unfinished line has been passed on
        self._second, self._second_time = b"", 0  # the last second seen, with its dot, and its nanoseconds

    def feed(self, chunk: bytes) -> Stretch | None:
        """What is complete now; None: nothing."""
        end = chunk.rfind(b"\n") + 1
        if not end:
            self._held.append(chunk)
            self._held_bytes += len(chunk)
            return self._pass_on() if self._held_bytes >= PIECE_BYTES else None
        if self._held:
            self._held.append(chunk[:end])
            data = b"".join(self._held)
        else:
            data = chunk[:end] if end < len(chunk) else chunk
        self._held = [chunk[end:]] if end < len(chunk) else []
        self._held_bytes = len(chunk) - end
        return self._parse(data)

    def finish(self) -> Stretch | None:
        """What is left of an unfinished last line. A stamp that was cut off, or has no text yet, stands for nothing.

        It ends with a whole character; call `finish_character` next.
        """
        held = b"".join(self._held)
        if not self._within_line and not _STAMP.match(held) and _STAMP_CHARACTERS.issuperset(held):
            self._held, self._held_bytes = [], 0
            return None
        return self._pass_on() if held else None

    def finish_character(self) -> Stretch | None:
        """The bytes behind that, of a character that is not whole: to be stored only where no more of it will come."""
        return self._pass_on(whole_characters=False) if self._held else None

    def _pass_on(self, *, whole_characters: bool = True) -> Stretch | None:
        """The unfinished line as far as it has come; readers decode each piece by itself."""
        data, self._held, self._held_bytes = b"".join(self._held), [], 0
        time, start = (None, 0) if self._within_line else self._stamp(data)
        if time is None and not self._within_line and self._skip_head:
            return None
        end = len(data) - (_cut_character(data[start:]) if whole_characters else 0)
        if end == start:
            self._held, self._held_bytes = [data], len(data)
            return None
        if end < len(data):
            self._held, self._held_bytes = [data[end:]], len(data) - end
        if self._within_line:
            return Stretch(data[:end], array("q"), continues=True)
        self._skip_head, self._within_line = False, True
        return Stretch(data[start:end], array("q", [self._next(time)]))

    def _parse(self, data: bytes) -> Stretch | None:
        """Parse whole lines, the first of which may be the rest of a line that was passed on."""
        if not self._within_line:
            return self._parse_lines(data)
        self._within_line = False
        end = data.index(b"\n") + 1
        if end == len(data):
            return Stretch(data, array("q"), continues=True)
        rest = self._parse_lines(data[end:])
        return Stretch(data[:end] + (rest.text if rest else b""), rest.times if rest else array("q"), continues=True)

    def _parse_lines(self, data: bytes) -> Stretch | None:
        if self._skip_head:
            while self._stamp(data)[0] is None:
                data = data[data.index(b"\n") + 1 :]
                if not data:
                    return None
            self._skip_head = False
        if not data.startswith(self._second) or not self._second:
            self._stamp(data)
        return self._parse_second(data) or self._parse_any(data)

    def _parse_second(self, data: bytes) -> Stretch | None:
        """The usual case: all lines are of one second, with nine digits, in UTC. None: they are not."""
        second, base = self._second, self._second_time
        if not second or not data.startswith(second):
            return None
        lines = data[_SECOND_BYTES:-1].split(b"\n" + second)
        count = len(lines)
        if b"".join([line[9:11] for line in lines]) != b"Z " * count or data.count(b"\n") != count:
            return None
        try:
            times = array("q", [base + int(line[:9]) for line in lines])
        except ValueError:
            return None
        self.last_time = times[-1]
        lines = [line[11:] for line in lines]
        lines.append(b"")
        return Stretch(b"\n".join(lines), times)

    def _parse_any(self, data: bytes) -> Stretch:
        texts: list[bytes] = []
        times = array("q")
        for line in data.split(b"\n")[:-1]:
            time, start = self._stamp(line)
            times.append(self._next(time))
            texts.append(line[start:])
        texts.append(b"")
        return Stretch(b"\n".join(texts), times)

    def _next(self, time: int | None) -> int:
        if time is not None:
            self.last_time = time
        return self.last_time

    def _stamp(self, line: bytes) -> tuple[int | None, int]:
        """The stamp at the line's start and where the text behind it begins; None, 0: there is none."""
        if line[29:31] == b"Z " and line[:_SECOND_BYTES] == self._second and line[20:29].isdigit():
            return self._second_time + int(line[20:29]), _STAMP_BYTES
        match = _STAMP.match(line)
        if not match:
            return None, 0
        year, month, day, hour, minute, second = map(int, match.groups()[:6])
        fraction, sign, zone_hours, zone_minutes = match.groups()[6:]
        base = timegm((year, month, day, hour, minute, second)) * _NANOS
        if sign:
            offset = (int(zone_hours) * 60 + int(zone_minutes)) * 60 * _NANOS
            base += -offset if sign == b"+" else offset
        elif len(fraction or b"") == 9:
            self._second, self._second_time = line[:_SECOND_BYTES], base
        return base + int((fraction or b"").ljust(9, b"0")), match.end()


def _cut_character(data: bytes) -> int:
    """How many bytes at its end begin a character of UTF-8 that goes on behind them."""
    for back in range(1, min(3, len(data)) + 1):
        byte = data[-back]
        if byte & 0xC0 != 0x80:  # no byte that continues a character
            size = 2 if byte & 0xE0 == 0xC0 else 3 if byte & 0xF0 == 0xE0 else 4 if byte & 0xF8 == 0xF0 else 1
            return back if size > back else 0
    return 0
