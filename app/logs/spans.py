"""Stretches of stored logs: found in the index, read from rows or objects, cut at bytes."""

from __future__ import annotations

import asyncio
from array import array
from collections import OrderedDict
from dataclasses import dataclass

from app.domain.logs import LogBlock, LogSummary, StoredBlock
from app.logs.port import LogIndex
from app.logs.store import LogStore

_PAGE_BLOCKS = 32
_PAGES = 32  # logs of which a reader of a whole run keeps what it read of the index


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


def cut_span(log: LogSummary, block: LogBlock, first_byte: int, end_byte: int, prefix: str = "") -> Span:
    """The bytes of a block from `first_byte` to `end_byte`, as far as they lie in it."""
    start, end = max(0, first_byte - block.first_byte), min(len(block.text), end_byte - block.first_byte)
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


class BlockCache:
    """Decoded objects, the last used ones up to a size, so that many readers of one log decode it once."""

    def __init__(self, store: LogStore, max_bytes: int) -> None:
        self._store, self._max_bytes = store, max_bytes
        self._blocks: OrderedDict[str, LogBlock] = OrderedDict()
        self._bytes = 0
        self._reading: dict[str, asyncio.Lock] = {}

    async def read(self, stored: StoredBlock) -> LogBlock:
        """The block itself. Raises LogStoreUnavailable, LogObjectDamaged."""
        if stored.block is not None:
            return stored.block
        name = stored.object_name or ""
        block = self._blocks.get(name)
        if block is None:
            lock = self._reading.setdefault(name, asyncio.Lock())
            try:
                async with lock:
                    block = self._blocks.get(name) or await self._store.get_block(name)
                    self._keep(name, block)
            finally:
                if not lock.locked():
                    self._reading.pop(name, None)
        else:
            self._blocks.move_to_end(name)
        return block

    def _keep(self, name: str, block: LogBlock) -> None:
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

    async def find(self, log_id: int, byte: int) -> LogBlock | None:
        """The block that holds the byte; None: it is not stored."""
        found = _holding(self._pages.get(log_id, ()), byte)
        if found is None:
            page = await self._index.list_blocks(log_id, byte, _PAGE_BLOCKS)
            self._pages[log_id] = page
            self._pages.move_to_end(log_id)
            if len(self._pages) > _PAGES:
                self._pages.popitem(last=False)
            found = _holding(page, byte)
        return None if found is None else await self._cache.read(found)


def _holding(page: list[StoredBlock] | tuple[()], byte: int) -> StoredBlock | None:
    return next((row for row in page if row.first_byte <= byte < row.end_byte), None)


def nth_line_byte(block: LogBlock, line: int) -> int:
    """Where in the log the line starts that is number `line`, which starts in this block."""
    offset = block.text.index(b"\n") + 1 if block.continues else 0
    for _ in range(line - block.first_line):
        offset = block.text.index(b"\n", offset) + 1
    return block.first_byte + offset
