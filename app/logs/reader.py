"""Reads logs by cursor, afterwards and as they grow: from the index, the tail's rows, and objects. Never slows a collector.

`lines` gives frames of lines for JSON, `plain` the bytes as they were. Both end by themselves: without `follow` where the
stored log ends, with it when nothing more can come.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

from app.logs.frame_cache import FrameCache, is_shared
from app.logs.frames import End, Follow, Gap, Lines, LogFrame, LogLine, LogQuery, WakeUps
from app.logs.port import LogIndex
from app.logs.spans import BlockCache, Span
from app.logs.store import LogStore
from app.logs.walks import LogWalk, Pass, RunWalk, Walk

__all__ = ["End", "Follow", "Gap", "Lines", "LogFrame", "LogLine", "LogQuery", "LogReader", "WakeUps"]

FRAME_BYTES = 200_000  #: of text, and what each line adds to it as JSON
PIECE_BYTES = 40 * 1024  #: a longer line comes in several objects; as JSON each byte may become six
PLAIN_BYTES = 256 * 1024  #: of one chunk of plain text
_LINE_OVERHEAD_BYTES = 200
#: Of frames that followers of one log share: as far as they are apart from each other.
FRAME_CACHE_BYTES = 16 * 1024 * 1024
#: Followers read the index this often at most, and at least, in case a wake-up was lost.
PACE_SECONDS = 0.05
RECHECK_SECONDS = 5.0


class LogReader:
    """Reads any log; one for the process. Its cache holds the objects read last, `cache_bytes` at most."""

    def __init__(self, index: LogIndex, store: LogStore, *, cache_bytes: int = 64 * 1024 * 1024) -> None:
        self._index = index
        self._cache = BlockCache(index, store, cache_bytes)
        self._frames = FrameCache(FRAME_CACHE_BYTES)

    async def lines(self, query: LogQuery, follow: Follow | None = None) -> AsyncGenerator[LogFrame, None]:
        """Frames of lines and gaps, then `End`. Close it with `aclosing`.

        The unfinished last line of a log that still grows is held back until it goes on or the log is sealed. `grep` looks
        at each stored piece of a line by itself: only a line over 256 KiB has several.

        Raises: InvalidCursor, LogStoreUnavailable, LogObjectDamaged.
        """
        walk = self._walk(query)
        frame: list[LogLine] = []
        size, left = 0, query.limit if query.limit is not None else -1
        if not left:
            yield End(query.cursor or walk.cursor, complete=False)
            return
        filters = _Filters(query)
        async with aclosing(self._items(walk, follow)) as items:
            async for item in items:
                if isinstance(item, Span) and filters.are_none and is_shared(item):
                    if frame:
                        yield Lines(frame)
                        frame, size = [], 0
                    async for shared in self._shared_frames(item, filters, walk):
                        yield shared
                    continue
                if isinstance(item, Span):
                    for line in filters.lines(item, walk):
                        frame.append(line)
                        size += len(line.text) + _LINE_OVERHEAD_BYTES
                        left -= 0 if line.partial else 1
                        if not left:
                            yield Lines(frame)
                            yield End(line.cursor, complete=False)
                            return
                        if size >= FRAME_BYTES:
                            yield Lines(frame)
                            frame, size = [], 0
                    continue
                if frame:
                    yield Lines(frame)
                    frame, size = [], 0
                if item is not None:
                    yield item
        if frame:
            yield Lines(frame)
        yield End(walk.cursor)

    async def plain(
        self, query: LogQuery, follow: Follow | None = None, *, timestamps: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """The same as text: of one log the bytes as they were, of a run each line behind `[task] ` or `[task/container] `.

        With `timestamps` each line stands behind its time in RFC 3339 with nanoseconds. Gaps are not shown.
        """
        walk = self._walk(query)
        prefixed = isinstance(walk, RunWalk)
        if timestamps or query.grep is not None or query.limit is not None or query.from_line is not None:
            async for chunk in self._plain_lines(query, follow, timestamps, prefixed):
                yield chunk
            return
        shown = _Prefixes()
        async with aclosing(self._items(walk, follow)) as items:
            async for item in items:
                if isinstance(item, Span):
                    text = shown.text(item) if prefixed else item.text
                    for start in range(0, len(text), PLAIN_BYTES):
                        yield text[start : start + PLAIN_BYTES] if len(text) > PLAIN_BYTES else text

    async def _plain_lines(
        self, query: LogQuery, follow: Follow | None, timestamps: bool, prefixed: bool
    ) -> AsyncGenerator[bytes, None]:
        within: tuple[str, int, str] | None = None  # the log in whose unfinished line the output ends
        clock = _Clock()
        async for frame in self.lines(query, follow):
            if not isinstance(frame, Lines):
                continue
            parts: list[bytes] = []
            for line in frame.lines:
                source = (line.task, line.attempt, line.container)
                if within != source:
                    if within is not None and prefixed:
                        parts.append(b"\n")
                    parts.append(_label(line.task, line.container) if prefixed else b"")
                    parts.append(clock.stamp(line.time_ns) if timestamps else b"")
                parts.append(line.text)
                if line.ends_with_newline:
                    parts.append(b"\n")
                within = None if line.ends_with_newline else source
            yield b"".join(parts)

    async def _shared_frames(self, span: Span, filters: _Filters, walk: Walk) -> AsyncGenerator[Lines, None]:
        """The span's lines, as all who read it without a filter get them."""
        made = self._frames.find(span)
        if made is None:
            made, frame, size = [], list[LogLine](), 0
            for line in filters.lines(span, walk):
                frame.append(line)
                size += len(line.text) + _LINE_OVERHEAD_BYTES
                if size >= FRAME_BYTES:
                    made.append(Lines(frame))
                    yield made[-1]
                    frame, size = [], 0
            if frame:
                made.append(Lines(frame))
                yield made[-1]
            self._frames.keep(span, made)
            return
        for lines in made:
            yield lines

    def _walk(self, query: LogQuery) -> Walk:
        one_log = query.task is not None and query.container != "*"
        return LogWalk(query, self._index, self._cache) if one_log else RunWalk(query, self._index, self._cache)

    async def _items(self, walk: Walk, follow: Follow | None) -> AsyncGenerator[Span | Gap | None, None]:
        """Spans and gaps; None after each pass that left more to come."""
        loop = asyncio.get_running_loop()
        while True:
            if follow:
                follow.wake.clear()
            is_over = follow is not None and await follow.is_over()
            async with aclosing(walk.walk(Pass(follow=follow is not None and not is_over, final=is_over))) as items:
                async for item in items:
                    yield item
            if follow is None or is_over or walk.is_sealed:
                return
            yield None
            read_at = loop.time()
            await follow.wake.wait(RECHECK_SECONDS)
            await asyncio.sleep(max(0.0, read_at + PACE_SECONDS - loop.time()))


class _Filters:
    """Turns spans into the lines that were asked for. `are_none`: all lines are asked for."""

    def __init__(self, query: LogQuery) -> None:
        self._grep = None if query.grep is None else query.grep.encode()
        self._from_line = query.from_line or 0
        self.are_none = self._grep is None and not self._from_line and query.limit is None

    def lines(self, span: Span, walk: Walk) -> Iterator[LogLine]:
        """The lines of a span; its unfinished last line only where more of it, or nothing more at all, will come."""
        log, key = span.log, span.log.key
        byte, number = span.first_byte, span.line
        texts = span.text.split(b"\n")
        last = texts.pop()
        for text, time_ns in zip(texts, span.times, strict=False):
            byte += len(text) + 1
            if number >= self._from_line and (self._grep is None or self._grep in text):
                if len(text) <= PIECE_BYTES:
                    yield LogLine(
                        f"{span.prefix}{byte}", number, time_ns, key.task, key.attempt, key.container, text, False, True
                    )
                else:
                    yield from _pieces(span, byte - 1 - len(text), number, time_ns, text, newline=True)
            number += 1
        if not last:
            return
        goes_on = log.bytes > span.end_byte
        if not goes_on and not log.sealed and walk.hold_back(byte):
            return
        if number >= self._from_line and (self._grep is None or self._grep in last):
            partial = goes_on or not (log.sealed or walk.is_final)
            yield from _pieces(span, byte, number, span.times[-1], last, partial=partial)


def _pieces(
    span: Span, byte: int, number: int, time_ns: int, text: bytes, *, newline: bool = False, partial: bool = False
) -> Iterator[LogLine]:
    """A long line in several objects, none of which ends within a character."""
    key = span.log.key
    start = end = 0
    while end < len(text):
        start, end = end, _end_of_piece(text, end)
        is_last = end == len(text)
        yield LogLine(
            f"{span.prefix}{byte + end + (1 if is_last and newline else 0)}",
            number,
            time_ns,
            key.task,
            key.attempt,
            key.container,
            text[start:end],
            partial if is_last else True,
            is_last and newline,
        )


def _end_of_piece(text: bytes, start: int) -> int:
    end = min(len(text), start + PIECE_BYTES)
    for back in range(4):  # UTF-8 continues a character with at most three bytes 10xxxxxx
        if end == len(text) or text[end - back] & 0xC0 != 0x80:
            return end - (back if end < len(text) else 0)
    return end  # no UTF-8


class _Prefixes:
    """Puts the task's name before each line of a run's log."""

    def __init__(self) -> None:
        self._within: int | None = None  # the log in whose unfinished line the output ends

    def text(self, span: Span) -> bytes:
        """The span as it is shown."""
        label = _label(span.log.key.task, span.log.key.container)
        start = b"" if self._within == span.log.log_id else label
        if self._within not in (None, span.log.log_id):
            start = b"\n" + label
        finished = span.text.endswith(b"\n")
        self._within = None if finished else span.log.log_id
        body = span.text[:-1] if finished else span.text
        return b"".join([start, body.replace(b"\n", b"\n" + label), b"\n" if finished else b""])


def _label(task: str, container: str) -> bytes:
    return f"[{task}] ".encode() if container == "main" else f"[{task}/{container}] ".encode()


class _Clock:
    """Writes times as RFC 3339 with nanoseconds; lines of one second share its text."""

    def __init__(self) -> None:
        self._second, self._text = -1, ""

    def stamp(self, time_ns: int) -> bytes:
        """The time and a space."""
        second, nanos = divmod(time_ns, 1_000_000_000)
        if second != self._second:
            self._second, self._text = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._text}.{nanos:09d}Z ".encode()
