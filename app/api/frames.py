"""The frames of streams: what a websocket carries, and server-sent events alike. Each is encoded once.

A line is encoded when it comes from the reader, so that its size is known; a frame of lines is those bytes put together.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

import orjson

from app.logs.frames import End, Gap, Lines, LogFrame, LogLine
from app.runs.history import HistoryPage
from app.runs.views import time_text

#: As encoded; the contract's limit is 256 KiB.
MAX_FRAME_BYTES = 256 * 1024
_LINES_HEAD, _LINES_TAIL = b'{"type":"lines","lines":[', b"]}"
_NANOSECONDS = 1_000_000_000
#: What marks the id of a stream's end: who comes back with it has had everything.
END_MARK = "~end"


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, ready to be sent."""

    type: str  #: lines, event, gap, end, ping
    cursor: str | None  #: behind everything in it
    data: bytes  #: JSON


@dataclass(frozen=True, slots=True)
class EncodedLine:
    """One line's JSON, to be put into a frame with others."""

    cursor: str
    data: bytes


#: What a stream's source yields: lines, which are gathered into frames, and frames that stand for themselves.
Piece = Frame | list[EncodedLine]

PING = Frame("ping", None, b'{"type":"ping"}')


class LineGatherer:
    """Lines that wait for their frame. `add`, then `take` while it `is_full`, and what is left when its time has come."""

    def __init__(self) -> None:
        self._lines: list[EncodedLine] = []
        self._next = 0
        self._bytes = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits."""
        return self._next == len(self._lines)

    @property
    def is_full(self) -> bool:
        """Whether there is more than one frame takes."""
        return self._bytes > MAX_FRAME_BYTES - len(_LINES_HEAD) - len(_LINES_TAIL)

    def add(self, lines: list[EncodedLine]) -> None:
        """Put lines behind those that wait."""
        self._lines = self._lines[self._next :] + lines
        self._next = 0
        self._bytes += sum(len(line.data) + 1 for line in lines)

    def take(self) -> Frame:
        """The first waiting lines, as many as one frame takes, at least one."""
        size = len(_LINES_HEAD) + len(_LINES_TAIL)
        end = self._next
        while end < len(self._lines) and (end == self._next or size + len(self._lines[end].data) + 1 <= MAX_FRAME_BYTES):
            size += len(self._lines[end].data) + 1
            end += 1
        taken = self._lines[self._next : end]
        self._next = end
        self._bytes -= sum(len(line.data) + 1 for line in taken)
        return Frame("lines", taken[-1].cursor, _LINES_HEAD + b",".join(line.data for line in taken) + _LINES_TAIL)


@lru_cache(maxsize=1024)
def _second_text(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _nanosecond_text(time_ns: int) -> str:
    second, nanosecond = divmod(time_ns, _NANOSECONDS)
    return f"{_second_text(second)}.{nanosecond:09d}Z"


def encode_line(line: LogLine) -> EncodedLine:
    """A line's JSON. Bytes that are not UTF-8 are replaced."""
    view = {
        "cursor": line.cursor,
        "line": line.line,
        "time": _nanosecond_text(line.time_ns),
        "task": line.task,
        "attempt": line.attempt,
        "container": line.container,
        "text": line.text.decode("utf-8", "replace"),
    }
    if line.partial:
        view["partial"] = True
    # A copy: what orjson gives keeps the room in which it was made, four to twelve times its length.
    return EncodedLine(line.cursor, bytes(memoryview(orjson.dumps(view))))


def gap_frame(gap: Gap) -> Frame:
    """A gap: lines may be missing here."""
    view = {
        "type": "gap",
        "cursor": gap.cursor,
        "from": time_text(gap.from_at),
        "to": time_text(gap.to_at),
        "reason": gap.reason,
        "task": gap.task,
        "attempt": gap.attempt,
        "container": gap.container,
    }
    return Frame("gap", gap.cursor, orjson.dumps(view))


def end_frame(phase: str, cursor: str | None) -> Frame:
    """The end: nothing more will come. `phase` is that of the run or task."""
    return Frame("end", f"{cursor or ''}{END_MARK}", orjson.dumps({"type": "end", "phase": phase}))


async def log_pieces(
    source: AsyncGenerator[LogFrame, None], phase: Callable[[], Awaitable[str]]
) -> AsyncGenerator[Piece, None]:
    """A followed log as pieces, up to its end."""
    async with aclosing(source) as frames:
        async for frame in frames:
            if isinstance(frame, Gap):
                yield gap_frame(frame)
            elif isinstance(frame, End):
                yield end_frame(await phase(), frame.cursor)
                return
            elif frame.lines:
                yield _encoded(frame)


def _encoded(frame: Lines) -> list[EncodedLine]:
    """The lines' JSON: one encoding serves all who read them."""
    known: list[EncodedLine] | None = frame.memo.get("json")
    if known is None:
        known = frame.memo["json"] = [encode_line(line) for line in frame.lines]
    return known


async def event_pieces(source: AsyncGenerator[HistoryPage, None]) -> AsyncGenerator[Piece, None]:
    """A followed history as pieces, up to its end."""
    async with aclosing(source) as pages:
        async for page in pages:
            for frame in _event_frames(page):
                yield frame
            if page.end_phase is not None:
                yield end_frame(page.end_phase, page.cursor)
                return


def _event_frames(page: HistoryPage) -> list[Frame]:
    """The page's entries: one encoding serves all who read it."""
    known: list[Frame] | None = page.memo.get("frames")
    if known is None:
        known = page.memo["frames"] = [
            Frame("event", event["cursor"], orjson.dumps({"type": "event", "cursor": event["cursor"], "event": event}))
            for event in page.events
        ]
    return known


async def ndjson(
    source: AsyncGenerator[LogFrame, None], phase: Callable[[], Awaitable[str]] | None
) -> AsyncGenerator[bytes, None]:
    """A log as lines of JSON: one for each line, for each gap and, with `phase`, for the end."""
    async with aclosing(source) as frames:
        async for frame in frames:
            if isinstance(frame, Gap):
                yield gap_frame(frame).data + b"\n"
            elif isinstance(frame, End):
                if phase is not None:
                    yield end_frame(await phase(), frame.cursor).data + b"\n"
                return
            elif frame.lines:
                yield b"".join(line.data + b"\n" for line in _encoded(frame))
