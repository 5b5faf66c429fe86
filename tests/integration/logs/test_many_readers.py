"""Many who follow one log: what they share, and what each of them holds."""

from __future__ import annotations

import asyncio
import tracemalloc
from array import array
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, cast

from app.api.frames import encode_line
from app.domain.logs import LogBlock, LogSummary
from app.logs.frames import Follow, Lines, LogFrame, LogLine, LogQuery
from app.logs.reader import LogReader
from app.logs.spans import SPAN_BYTES, cut_span
from app.runs.shared_index import SharedIndex
from app.storage.broker import logs_topic
from tests.integration.logs.conftest import KEY, RUN, Logs

READERS = 40
COMMITS = 10
LINE = b"x" * 199 + b"\n"


class Counting:
    """An index that counts how often it is asked."""

    def __init__(self, index: Any) -> None:
        self._index = index
        self.asked: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def ask(*arguments: Any, **named: Any) -> Any:
            self.asked[name] += 1
            return await getattr(self._index, name)(*arguments, **named)

        return ask


async def _append(logs: Logs, log: LogSummary, first_line: int, lines: int) -> None:
    times = array("q", range(first_line, first_line + lines))
    block = LogBlock(first_byte=first_line * len(LINE), text=LINE * lines, first_line=first_line, times=times)
    await logs.rows.append_block(KEY, log.log_id, 1, block, None)


async def test_lines__many_follow_one_log__it_is_read_and_made_into_lines_once_for_all(logs: Logs) -> None:
    index = Counting(logs.rows)
    reader = LogReader(SharedIndex(cast("Any", index)), logs.store)
    log = await logs.rows.open_log(KEY, 1)
    got: list[list[Lines]] = [[] for _ in range(READERS)]

    async def follow(into: list[Lines]) -> None:
        with logs.broker.subscribe(logs_topic(RUN)) as wake:
            query = LogQuery(run_id=RUN, task="a")
            source = cast("AsyncGenerator[LogFrame, None]", reader.lines(query, Follow(wake=wake, is_over=logs.all_sealed)))
            async with aclosing(source) as frames:
                into += [frame async for frame in frames if isinstance(frame, Lines)]

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for into in got:
            group.create_task(follow(into))
        for number in range(COMMITS):
            await asyncio.sleep(0.1)
            await _append(logs, log, 100 * number, 100)
        await logs.rows.seal_log(KEY, log.log_id, 1)
    for frames in got:
        assert [line.line for frame in frames for line in frame.lines] == list(range(100 * COMMITS))
    assert index.asked.total() < READERS * COMMITS, index.asked
    assert len({id(frame) for frames in got for frame in frames}) < READERS * COMMITS / 2


def test_cut_span__of_a_long_block__ends_behind_a_line_and_at_the_same_places_for_all() -> None:
    lines = 10 * SPAN_BYTES // len(LINE)
    block = LogBlock(first_byte=0, text=LINE * lines, first_line=0, times=array("q", range(lines)))
    log = LogSummary(log_id=1, key=KEY, bytes=block.end_byte, lines=lines, sealed=True, gaps=0)

    def ends(byte: int) -> list[int]:
        found = []
        while byte < block.end_byte:
            span = cut_span(log, block, byte, block.end_byte)
            assert span.text.endswith(b"\n")
            assert len(span.text) <= 2 * SPAN_BYTES
            byte = span.end_byte
            found.append(byte)
        return found

    assert ends(0)[-3:] == ends(3 * len(LINE))[-3:] == ends(SPAN_BYTES // len(LINE) * len(LINE) * 3)[-3:]


def test_cut_span__of_a_line_longer_than_a_span__is_that_line() -> None:
    text = b"y" * (5 * SPAN_BYTES) + b"\nz\n"
    block = LogBlock(first_byte=0, text=text, first_line=0, times=array("q", [1, 2]))
    log = LogSummary(log_id=1, key=KEY, bytes=len(text), lines=2, sealed=True, gaps=0)
    span = cut_span(log, block, 0, len(text))
    assert span.text == text[:-2]
    assert cut_span(log, block, span.end_byte, len(text)).text == b"z\n"


def test_encode_line__kept__takes_no_more_memory_than_its_bytes() -> None:
    line = LogLine("l1.1", 0, 1, "a", 1, "main", b"x" * 1000, False, True)
    encode_line(line)
    tracemalloc.start()
    kept = [encode_line(line) for _ in range(100)]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 1.5 * sum(len(one.data) for one in kept)
