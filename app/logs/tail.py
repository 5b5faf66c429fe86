"""The growing end of one stored log: gathers what was collected into blocks, commits them, turns small rows into objects.

    add ─▶ gathered bytes ─▶ block ─┬─ less than 1 MiB ─▶ row of the index (the tail) ─ 1 MiB or 128 rows ─┐
                                    └─ 1 to 8 MiB ─▶ object, then its name in the index ◀──────────────────┘

What a reader can see is committed. While a block is being committed the next one gathers, up to a bound; then `add` waits.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Sequence

import structlog

from app.domain.logs import LogBlock, LogGap, LogSummary, StoredBlock
from app.logs.errors import LogStoreUnavailable
from app.logs.lines import Stretch
from app.logs.port import LogWriter
from app.logs.store import LogStore

OBJECT_BYTES = 1024 * 1024  #: what is at least as large becomes an object
MAX_BLOCK_BYTES = 8 * 1024 * 1024  #: the largest object, and what may wait in memory
TAIL_ROWS = 128  #: so many rows are put together
SEALED_OBJECT_BYTES = 64 * 1024  #: of a log that is over, what is smaller stays in a row
#: Without the log store, the tail grows in rows up to this size; then collecting waits.
MAX_TAIL_BYTES = 32 * 1024 * 1024
GATHER_SECONDS = 0.050
#: A log that talks fast gathers longer, so that it goes into an object at once.
GATHER_FAST_SECONDS = 0.250
_FAST_BYTES = 128 * 1024
_RETRY_SECONDS = (0.5, 15.0)  # first and longest pause while the log store can't be reached
_SEAL_PATIENCE_SECONDS = 60.0  # then a tail is sealed in its rows

_logger = structlog.get_logger(__name__)


class LogTail:
    """Appends to one log. `run` must run beside `add`, until `finish` was called; its errors are the collection's end.

    Args:
        summary: of the log as stored.
        within_line: the stored log ends in an unfinished line, ...
        last_time: ... and this is the time of its last line.
    """

    def __init__(
        self, writer: LogWriter, store: LogStore, summary: LogSummary, epoch: int, *, within_line: bool, last_time: int
    ) -> None:
        self._writer, self._store = writer, store
        self._key, self._log_id, self._epoch = summary.key, summary.log_id, epoch
        self._parts: list[bytes] = []
        self._size = 0
        self._times = array("q")
        self._first_byte, self._first_line = summary.bytes, summary.lines
        self._within_line, self._last_time = within_line, last_time
        self._continues, self._continued_time = within_line, last_time
        self._tail_start = summary.bytes
        self._tail_rows = 0
        self._store_retry_at, self._store_pause = 0.0, _RETRY_SECONDS[0]
        self._arrived, self._enough, self._room, self._idle = (asyncio.Event() for _ in range(4))
        self._room.set()
        self._idle.set()
        self._closing = False

    def adopt(self, stored: Sequence[StoredBlock]) -> None:
        """Go on with the rows that an earlier collector left: those without object at the end of `stored` (newest first)."""
        for block in stored:
            if block.object_name is not None:
                break
            self._tail_start = block.first_byte
            self._tail_rows += 1

    @property
    def end_byte(self) -> int:
        """Where the log ends, gathered bytes included."""
        return self._first_byte + self._size

    async def add(self, stretch: Stretch) -> None:
        """Append; waits while as much is waiting as may."""
        times = stretch.times
        if not self._size:
            self._continues, self._continued_time = self._within_line, self._last_time
        if self._within_line and not stretch.continues:  # the line's rest is lost: no bytes are made up to end it
            if not self._size:
                self._continued_time = times[0]
            times = times[1:]
        elif stretch.continues and not self._within_line:  # a rest without beginning: a line of its own
            times = array("q", [self._last_time, *times])
        self._parts.append(stretch.text)
        self._size += len(stretch.text)
        self._times.extend(times)
        self._within_line = not stretch.text.endswith(b"\n")
        if stretch.times:
            self._last_time = stretch.times[-1]
        self._idle.clear()
        self._arrived.set()
        if self._size >= OBJECT_BYTES:
            self._enough.set()
            if self._size >= MAX_BLOCK_BYTES:
                self._room.clear()
                await self._room.wait()

    async def drain(self) -> None:
        """Wait until all that was added is committed."""
        self._enough.set()
        await self._idle.wait()

    async def add_gap(self, gap: LogGap) -> None:
        """Record a gap at the log's end, behind all that was added."""
        await self.drain()
        await self._writer.add_gap(self._key, self._log_id, self._epoch, gap)

    async def run(self) -> None:
        """Commit what is added, until `finish`. Raises OwnershipLost, and what the index raises."""
        while True:
            await self._arrived.wait()
            if self._size:
                await self._gather()
                if self._closing and self._is_short:
                    return  # it is sealed in the same transaction
                await self._append(self._take())
            if not self._size:
                self._arrived.clear()
                self._idle.set()
                if self._closing:
                    return
            await self._settle()

    def close(self) -> None:
        """Let `run` commit what there is and return."""
        self._closing = True
        self._enough.set()
        self._arrived.set()

    async def seal(self) -> LogSummary:
        """Say that the log is complete. Call it when `run` has returned."""
        last = self._take() if self._size else None
        await self._settle_last()
        return await self._writer.seal_log(self._key, self._log_id, self._epoch, last)

    @property
    def _is_short(self) -> bool:
        """Whether what was gathered is the whole log, as that of most pods, and stays in a row."""
        return not self._first_byte and self._size < SEALED_OBJECT_BYTES

    async def _gather(self) -> None:
        for seconds in (GATHER_SECONDS, GATHER_FAST_SECONDS - GATHER_SECONDS):
            try:
                async with asyncio.timeout(seconds):
                    await self._enough.wait()
            except TimeoutError:
                pass
            if self._enough.is_set() or self._size < _FAST_BYTES:
                return

    def _take(self) -> LogBlock:
        block = LogBlock(
            first_byte=self._first_byte,
            text=self._parts[0] if len(self._parts) == 1 else b"".join(self._parts),
            first_line=self._first_line,
            times=self._times,
            continues=self._continues,
            continued_time=self._continued_time if self._continues else 0,
        )
        self._first_byte, self._first_line = block.end_byte, block.first_line + len(block.times)
        self._parts, self._size, self._times = [], 0, array("q")
        self._enough.clear()
        self._room.set()
        return block

    async def _append(self, block: LogBlock) -> None:
        name = None
        if len(block.text) >= OBJECT_BYTES and (not self._tail_rows or await self._merge(SEALED_OBJECT_BYTES)):
            name = await self._put(block)
        await self._writer.append_block(self._key, self._log_id, self._epoch, block, name)
        if name is None:
            self._tail_rows += 1
        else:
            self._tail_start, self._tail_rows = block.end_byte, 0

    async def _put(self, block: LogBlock) -> str | None:
        """Make an object of it; None: the log store can't be reached."""
        if self._store_pause_left() > 0:
            return None
        try:
            name = await self._store.put_block(self._key, block)
        except LogStoreUnavailable as exc:
            _logger.warning("log kept in the database for now", run=self._key.run_id, task=self._key.task, reason=str(exc))
            self._store_retry_at = asyncio.get_running_loop().time() + self._store_pause
            self._store_pause = min(2 * self._store_pause, _RETRY_SECONDS[1])
            return None
        self._store_pause = _RETRY_SECONDS[0]
        return name

    def _store_pause_left(self) -> float:
        """Seconds until the log store may be asked again; 0 or less: now."""
        return self._store_retry_at - asyncio.get_running_loop().time()

    async def _settle(self) -> None:
        """Turn the tail into an object where it is large enough, or put its rows together where they are many."""
        if self._tail_bytes < OBJECT_BYTES and self._tail_rows <= TAIL_ROWS:
            return
        while not await self._merge(OBJECT_BYTES):
            if self._tail_rows > TAIL_ROWS:
                await self._merge(None)
            if self._tail_bytes < MAX_TAIL_BYTES:
                return
            await asyncio.sleep(max(self._store_pause_left(), 0.01))

    async def _settle_last(self) -> None:
        """Settle the tail of a log that is over; while the log store can't be reached, wait for it a while."""
        deadline = asyncio.get_running_loop().time() + _SEAL_PATIENCE_SECONDS
        while self._tail_rows > 1 or (self._tail_rows and self._tail_bytes >= SEALED_OBJECT_BYTES):
            if await self._merge(SEALED_OBJECT_BYTES) or asyncio.get_running_loop().time() >= deadline:
                return
            await asyncio.sleep(max(self._store_pause_left(), 0.01))

    @property
    def _tail_bytes(self) -> int:
        return self._first_byte - self._tail_start

    async def _merge(self, least_bytes: int | None) -> bool:
        """Put the tail's rows together: objects of what has so many bytes (None: no objects), else one row.

        Returns whether that was done; False: the log store can't be reached, and some rows are as they were.
        """
        if least_bytes is not None and self._tail_bytes >= least_bytes and self._store_pause_left() > 0:
            return False
        rows = await self._writer.list_blocks(self._log_id, self._tail_start)
        for group in _groups(rows, MAX_BLOCK_BYTES if least_bytes is not None else OBJECT_BYTES):
            merged = merge_blocks([row.block for row in group if row.block])
            if least_bytes is not None and len(merged.text) >= least_bytes:
                name = await self._put(merged)
                if name is None:
                    return False
                await self._writer.replace_blocks(self._key, self._log_id, self._epoch, group, merged, name)
                self._tail_start = merged.end_byte
                self._tail_rows -= len(group)
            elif len(group) > 1:
                await self._writer.replace_blocks(self._key, self._log_id, self._epoch, group, merged, None)
                self._tail_rows -= len(group) - 1
        return True


def merge_blocks(blocks: Sequence[LogBlock]) -> LogBlock:
    """One block in place of neighbours."""
    times = array("q")
    for block in blocks:
        times.extend(block.times)
    return LogBlock(
        first_byte=blocks[0].first_byte,
        text=b"".join(block.text for block in blocks),
        first_line=blocks[0].first_line,
        times=times,
        continues=blocks[0].continues,
        continued_time=blocks[0].continued_time,
    )


def _groups(rows: Sequence[StoredBlock], most_bytes: int) -> list[list[StoredBlock]]:
    """Neighbours that fit into one block, in which each line has one time: not across a gap within a line."""
    groups: list[list[StoredBlock]] = []
    for row in rows:
        goes_on = bool(groups) and not (row.continues and row.continued_time != groups[-1][-1].last_time)
        if goes_on and row.end_byte - groups[-1][0].first_byte <= most_bytes:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups
