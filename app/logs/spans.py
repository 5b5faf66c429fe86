"""Stretches of stored logs: found in the index, read from rows or objects, cut at bytes."""

from __future__ import annotations

import asyncio
from array import array
from collections import OrderedDict
from dataclasses import dataclass

from app.domain.logs import LogBlock, LogSummary, StoredBlock
from app.logs.errors import LogStoreUnavailable
from app.logs.port import LogIndex
from app.logs.store import LogStore

#: About so much of a log is gone through at a time: who is held up in the midst of it holds no more.
SPAN_BYTES = 64 * 1024
_PAGE_BLOCKS = 32
_TRIES = 5  # to read a block whose row is put together with others meanwhile
_PAGES = 32  # logs of which a reader of a whole run keeps what it read of the index


_Name = str | tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Span:
    """Some bytes of one log."""

    log: LogSummary
    first_byte: int
    text: bytes
    line: int  #: number of the line in which it starts
    times: array[int]  #: of each line that it touches
    starts_line: bool
    prefix: str = ""  #: of cursors in it

    @property
    def end_byte(self) -> int:
        """Offset behind its last byte."""
        return self.first_byte + len(self.text)


def cut_span(
    log: LogSummary, block: LogBlock, first_byte: int, end_byte: int, prefix: str = "", *, lines_before: int | None = None
) -> Span:
    """The bytes of a block from `first_byte` to `end_byte`, as far as they lie in it; of what is long, the first lines.

    `lines_before`: how many line feeds stand before `first_byte` in the block, where that is known.
    """
    start, end = max(0, first_byte - block.first_byte), min(len(block.text), end_byte - block.first_byte)
    end = _end_of_lines(block, start, end)
    if lines_before is None:
        lines_before = block.text.count(b"\n", 0, start)
    lines = lines_before + block.text.count(b"\n", start, end - 1) + 1
    starts_line = block.text[start - 1 : start] == b"\n" if start else not block.continues
    if block.continues:
        times = block.times[max(0, lines_before - 1) : lines - 1]
        if not lines_before:
            times = array("q", [block.continued_time, *times])
    else:
        times = block.times[lines_before:lines]
    return Span(
        log=log,
        first_byte=block.first_byte + start,
        text=block.text if end - start == len(block.text) else block.text[start:end],
        line=block.first_line + lines_before - (1 if block.continues else 0),
        times=times,
        starts_line=starts_line,
        prefix=prefix,
    )


def _end_of_lines(block: LogBlock, start: int, end: int) -> int:
    """Where a span ends that would be long: behind a line. At the same places for all readers, wherever they began."""
    most = (block.first_byte + start) // SPAN_BYTES * SPAN_BYTES + 2 * SPAN_BYTES - block.first_byte
    if end <= most:
        return end
    return block.text.rfind(b"\n", start, most) + 1 or block.text.find(b"\n", most, end) + 1 or end


class BlockCache:
    """Blocks in memory, the last used ones up to a size, so that many readers of one log read and decode it once."""

    def __init__(self, index: LogIndex, store: LogStore, max_bytes: int) -> None:
        self._index, self._store, self._max_bytes = index, store, max_bytes
        self._blocks: OrderedDict[_Name, LogBlock] = OrderedDict()
        self._bytes = 0
        self._reading: dict[_Name, asyncio.Lock] = {}

    async def read(self, stored: StoredBlock) -> LogBlock | None:
        """The block itself; None: its row is there no more. Raises LogStoreUnavailable, LogObjectDamaged."""
        if stored.block is not None:
            return stored.block
        # A log's number may come again when the log is deleted; its times do not.
        name = stored.object_name or (stored.log_id, stored.first_byte, stored.end_byte, stored.last_time)
        block = self._blocks.get(name)
        if block is None:
            lock = self._reading.setdefault(name, asyncio.Lock())
            try:
                async with lock:
                    block = self._blocks.get(name) or await self._read(stored)
                    if block is not None:
                        self._keep(name, block)
            finally:
                if not lock.locked():
                    self._reading.pop(name, None)
        else:
            self._blocks.move_to_end(name)
        return block

    async def _read(self, stored: StoredBlock) -> LogBlock | None:
        if stored.object_name is None:
            return await self._index.find_block(stored)
        return await self._store.get_block(stored.object_name)

    def _keep(self, name: _Name, block: LogBlock) -> None:
        if name not in self._blocks:
            self._blocks[name] = block
            self._bytes += _size(block)
        while self._bytes > self._max_bytes and self._blocks:
            self._bytes -= _size(self._blocks.popitem(last=False)[1])


def _size(block: LogBlock) -> int:
    return len(block.text) + 8 * len(block.times)


class BlockFinder:
    """Finds the block that holds a byte, a page of the index at a time. One reader's."""

    def __init__(self, index: LogIndex, cache: BlockCache) -> None:
        self._index, self._cache = index, cache
        self._pages: OrderedDict[int, list[StoredBlock]] = OrderedDict()
        self._counted: tuple[LogBlock, int, int] | None = None  # of the last block, up to an offset: its line feeds

    async def find(self, log_id: int, byte: int) -> LogBlock | None:
        """The block that holds the byte; None: it is not stored."""
        for tries in range(_TRIES):
            known = _holding(self._pages.get(log_id, ()), byte) if not tries else None
            found = known or _holding(await self._list(log_id, byte), byte)
            block = None if found is None else await self._cache.read(found)
            if found is None or block is not None:
                return block
        raise LogStoreUnavailable(f"the rows of log {log_id} were put together {_TRIES} times while they were read")

    async def _list(self, log_id: int, byte: int) -> list[StoredBlock]:
        page = self._pages[log_id] = await self._index.list_rows(log_id, byte, _PAGE_BLOCKS)
        self._pages.move_to_end(log_id)
        if len(self._pages) > _PAGES:
            self._pages.popitem(last=False)
        return page

    def cut(self, log: LogSummary, block: LogBlock, first_byte: int, end_byte: int, prefix: str = "") -> Span:
        """See `cut_span`. Lines are counted on from the span before."""
        offset, lines = 0, 0
        start = max(0, first_byte - block.first_byte)
        if self._counted is not None and self._counted[0] is block and self._counted[1] <= start:
            _, offset, lines = self._counted
        lines += block.text.count(b"\n", offset, start)
        self._counted = (block, start, lines)
        return cut_span(log, block, first_byte, end_byte, prefix, lines_before=lines)


def _holding(page: list[StoredBlock] | tuple[()], byte: int) -> StoredBlock | None:
    return next((row for row in page if row.first_byte <= byte < row.end_byte), None)


def nth_line_byte(block: LogBlock, line: int) -> int:
    """Where in the log the line starts that is number `line`, which starts in this block."""
    offset = block.text.index(b"\n") + 1 if block.continues else 0
    for _ in range(line - block.first_line):
        offset = block.text.index(b"\n", offset) + 1
    return block.first_byte + offset
