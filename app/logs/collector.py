"""Follows one container's log into the store, from its first byte to its end.

    open (follow, or read once the container has ended) ─▶ LineParser ─▶ Skipper (what is stored already) ─▶ LogTail
      ▲                                                                                                       │
      └── the stream ended, was cut or failed: open again from `since`, until the container has ended ◀───────┘
          and a read brought nothing new

Nothing here decides a task's outcome. The executor runs one collection per container, under its run's epoch.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias, cast

import structlog

from app.domain.errors import LogUnavailable, OwnershipLost
from app.domain.logs import LogGap, LogKey, LogSummary, StoredBlock
from app.domain.pods import PodRef
from app.logs.errors import LogStoreUnavailable
from app.logs.lines import LineParser, Stretch, line_offset
from app.logs.port import LogSource, LogWriter
from app.logs.resume import FLOWING_SECONDS, LAST_LINES, LOST_FILE_NANOS, MAX_BACK_SECONDS, SECOND, Lag, Skipper, StoredEnd
from app.logs.store import LogStore
from app.logs.tail import LogTail

#: After a clean end of a follow: the container's end is waited for so long, then the log is opened again.
REOPEN_SECONDS = 1.0
RETRY_SECONDS = (0.2, 5.0)  #: first and longest pause when the log can't be read
#: Once the container has ended, its follow is cut when it was silent for so long: of a short log, of a long one.
SILENT_SECONDS, SILENT_LONG_SECONDS = 0.1, 2.0
_LONG_BYTES = 1024 * 1024
#: A follow that is silent for longer is opened again: its other end may be gone without a word.
QUIET_SECONDS = 300.0
#: The container is over and its log can't be read for so long: it is sealed as it is, with a gap.
GIVE_UP_SECONDS = 600.0
READ_SECONDS = 60.0  #: a read without follow that brings nothing for so long has failed
#: So many reads that end before the last line stored, and bring nothing: that line is gone, the reads were not cut off.
CONFIRM_READS = 3
_WATCH_SECONDS = 5.0
_ATTEMPTS = 12  # of a collection that fails without bringing anything: about 40 s
_LAST_SECONDS_NANOS = (MAX_BACK_SECONDS + 4) * SECOND

#: Sources are generators: closing one ends its request.
_Chunks: TypeAlias = AsyncGenerator[bytes, None]

_logger = structlog.get_logger(__name__)


class LogCollector:
    """Makes collections. Holds nothing but what it was given."""

    def __init__(
        self, source: LogSource, writer: LogWriter, store: LogStore, *, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._source, self._writer, self._store, self._clock = source, writer, store, clock

    async def collect(
        self, key: LogKey, epoch: int, ref: PodRef, ended: asyncio.Event, *, abandoned: asyncio.Event | None = None
    ) -> LogSummary:
        """Collect one container's log until it is sealed; safe to call again after a restart.

        Args:
            key: which log.
            epoch: the run's, under which everything is written.
            ref: the pod.
            ended: set by the caller when the container has terminated or the pod is gone.
            abandoned: set by the caller when the log will never be readable any more (the node is lost): what there is is
                sealed, with a gap.

        Cancelling it loses nothing that was committed; what was not is collected by the next call. Raises OwnershipLost, and
        what the index raises when it fails again and again.
        """
        failures, stored = 0, -1
        while True:
            collection = _Collection(
                self._source, self._writer, self._store, self._clock, (ended, abandoned or asyncio.Event())
            )
            try:
                return await collection.run(key, epoch, ref)
            except OwnershipLost:
                raise
            except LogStoreUnavailable as exc:  # what is stored can't be read just now: nothing is lost by waiting
                _logger.warning("collecting a log waits", run=key.run_id, task=key.task, reason=str(exc))
                await asyncio.sleep(RETRY_SECONDS[1])
            except Exception as exc:  # the index's errors have no base that is known here
                failures = 1 if collection.stored_bytes > stored else failures + 1
                stored = collection.stored_bytes
                if failures >= _ATTEMPTS:
                    raise
                _logger.warning("collecting a log starts again", run=key.run_id, task=key.task, error=repr(exc))
                await asyncio.sleep(_back_off(failures))


@dataclass(slots=True)
class _Opened:
    """How a stream went."""

    new_bytes: int = 0
    came_back: bool = False  #: the last line stored before came again
    clean: bool = False  #: it ended by itself, or was cut while it was silent
    gone: bool = False  #: there is nothing to read any more


class _Collection:
    """One log, for as long as this process collects it. Owned by `collect`."""

    def __init__(
        self,
        source: LogSource,
        writer: LogWriter,
        store: LogStore,
        clock: Callable[[], int],
        events: tuple[asyncio.Event, asyncio.Event],
    ) -> None:
        self._source, self._writer, self._store, self._clock = source, writer, store, clock
        self._ended, self._abandoned = events
        self._end = StoredEnd()
        self._lag = Lag()
        self._at_end = False  # the last stream had brought all that its file held
        self._waiting_since: float | None = None
        self.stored_bytes = 0

    async def run(self, key: LogKey, epoch: int, ref: PodRef) -> LogSummary:
        """Collect and seal."""
        summary = await self._writer.open_log(key, epoch)
        if summary.sealed:
            return summary
        self._ref, self._container, self.stored_bytes = ref, key.container, summary.bytes
        stored = await restore_end(self._end, summary, self._writer, self._store)
        self._tail = LogTail(
            self._writer,
            self._store,
            summary,
            epoch,
            within_line=self._end.unfinished_bytes > 0,
            last_time=self._end.last_time,
        )
        self._tail.adopt(stored)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._tail.run(), name=f"log tail of {key.task}")
                await self._read_to_end()
                self._tail.close()
        except BaseExceptionGroup as errors:
            raise _first(errors) from errors
        return await self._tail.seal()

    async def _read_to_end(self) -> None:
        failures, unconfirmed, failing_since = 0, 0, asyncio.get_running_loop().time()
        was_at_end = False
        while not self._abandoned.is_set():
            had_ended = self._ended.is_set()
            was_at_end = self._at_end if not unconfirmed else was_at_end
            opened = await self._open(follow=not had_ended, failures=failures)
            if opened.gone:
                break
            now = asyncio.get_running_loop().time()
            if opened.clean:
                if had_ended and not opened.new_bytes:
                    unconfirmed += 1
                    if opened.came_back or self._end.empty:
                        return
                    if unconfirmed >= CONFIRM_READS:
                        if not was_at_end:
                            await self._add_gap(None, "the last line stored did not come again: its file was rotated away")
                        return
                    await self._pause(RETRY_SECONDS[0])
                    continue
                failures, unconfirmed, failing_since = 0, 0, now
                await self._pause(0 if self._ended.is_set() else REOPEN_SECONDS)
                continue
            if opened.new_bytes or not had_ended:
                failing_since = now
            elif now - failing_since > GIVE_UP_SECONDS:
                break
            failures = 1 if opened.new_bytes else failures + 1
            await self._pause(_back_off(failures))
        if not self._at_end:
            await self._add_gap(None, "the log could not be read to its end: the pod or its node was gone")

    async def _pause(self, seconds: float) -> None:
        """Wait so long, less where the container ends meanwhile."""
        if self._ended.is_set():
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            pass

    async def _open(self, *, follow: bool, failures: int) -> _Opened:
        """Open the log from where the stored one ends, and store what is new until the stream ends.

        After failures from a second or more earlier: where a long line stands across the beginning of a second, the kubelet
        begins with its rest, without a stamp, which a backend can't tell from an excuse.
        """
        back = min(failures, MAX_BACK_SECONDS)
        since, before, opened = self._end.since(back), self._tail.end_byte, _Opened()
        from_at = None if since is None else datetime.fromtimestamp(since, UTC)
        open_log = self._source.follow_log if follow else self._source.read_log
        parser = LineParser(self._end.last_time, resumed=since is not None)
        skipper = self._end.skipper(back)
        self._lag.opened(self._clock())
        async with asyncio.TaskGroup() as group:
            cut = asyncio.timeout(None)
            try:
                async with cut, aclosing(cast("_Chunks", open_log(self._ref, self._container, from_at))) as chunks:
                    watcher = group.create_task(self._cut_when_silent(cut, follow), name="log silence")
                    try:
                        await self._store_all(chunks, parser, skipper, follow)
                    finally:
                        watcher.cancel()
                opened.clean = True
            except TimeoutError:
                if not cut.expired():
                    raise
                opened.clean = follow and not self._abandoned.is_set()
            except LogUnavailable as exc:
                opened.gone = exc.gone
        # Cut in the middle of storing a chunk: what the parser holds lies behind bytes that were not stored.
        rest = parser.finish() if self._waiting_since is not None else None
        if rest:
            await self._add(rest, skipper, 0.0, follow)
        opened.new_bytes, opened.came_back = self._tail.end_byte - before, skipper.came_back
        if not opened.new_bytes and skipper.some_came_back and not skipper.came_back:
            opened.clean = False  # it was cut off before the last line stored, however cleanly
        if not opened.gone:
            now = asyncio.get_running_loop().time()
            idle = 0.0 if self._waiting_since is None else now - self._waiting_since
            self._at_end = opened.clean and (not follow or not self._lag.is_behind or idle >= FLOWING_SECONDS)
        return opened

    async def _store_all(self, chunks: AsyncIterator[bytes], parser: LineParser, skipper: Skipper, follow: bool) -> None:
        loop = asyncio.get_running_loop()
        self._waiting_since = began = loop.time()
        async for chunk in chunks:
            self._waiting_since, waited = None, loop.time() - began
            stretch = parser.feed(chunk)
            if stretch:
                await self._add(stretch, skipper, waited, follow)
            self._waiting_since = began = loop.time()

    async def _add(self, stretch: Stretch, skipper: Skipper, waited: float, follow: bool) -> None:
        """Store what is new of the stretch, and record where lines may be missing."""
        is_first = skipper.first_new is None and not skipper.came_back
        new = skipper.feed(stretch)
        if new is None:
            return
        if is_first and skipper.first_new is not None and not skipper.came_back:
            whole_file = skipper.first_new - self._end.last_time >= LOST_FILE_NANOS
            if whole_file or not self._at_end:
                await self._add_gap(skipper.first_new, "the last line stored did not come again: its file was rotated away")
        if follow and new.times:
            jump = self._lag.observe(new.times, self._clock(), waited)
            if jump:
                offset = line_offset(new, new.times.index(jump[1]))
                reason = "the follower was behind, and the kubelet may have left out a whole file"
                await self._add_gap(jump[1], reason, last=jump[0], offset=offset)
        self._end.add(new.text, new.times, continues=new.continues)
        await self._tail.add(new)

    async def _add_gap(self, to_time: int | None, reason: str, *, last: int | None = None, offset: int = 0) -> None:
        from_time = last or (None if self._end.empty else self._end.last_time)
        at_byte = self._tail.end_byte + offset
        await self._tail.add_gap(LogGap(at_byte=at_byte, from_at=_at(from_time), to_at=_at(to_time), reason=reason))

    async def _cut_when_silent(self, cut: asyncio.Timeout, follow: bool) -> None:
        """End a stream that says nothing: the follow of a container that is over, or one whose other end may be gone."""
        loop = asyncio.get_running_loop()
        ended_at: float | None = None
        while True:
            limit = READ_SECONDS if not follow else QUIET_SECONDS
            silent = 0.0 if self._waiting_since is None else loop.time() - self._waiting_since
            if follow and self._ended.is_set():
                limit = SILENT_SECONDS if self._tail.end_byte < _LONG_BYTES else SILENT_LONG_SECONDS
                ended_at = ended_at or loop.time()
                silent = min(silent, loop.time() - ended_at)  # its last words may be on their way, however silent it was
            if silent >= limit or self._abandoned.is_set():
                cut.reschedule(loop.time())
                return
            await self._pause(min(max(limit - silent, 0.01), _WATCH_SECONDS))


async def restore_end(end: StoredEnd, summary: LogSummary, writer: LogWriter, store: LogStore) -> list[StoredBlock]:
    """Learn from the last stored blocks how far a log has come; returns them, newest first."""
    stored: list[StoredBlock] = []
    needed = 0
    for limit in (256, 4096) if summary.bytes else ():
        stored = await writer.list_last_blocks(summary.log_id, limit)
        needed = _count_back(stored)
        if needed < len(stored) or len(stored) < limit:
            break
    for number in reversed(range(needed)):
        row = stored[number]
        if number and not row.lines:  # in the middle of a very long line
            end.add_unfinished(row.end_byte - row.first_byte)
            continue
        block = row.block or await store.get_block(row.object_name or "")
        end.add(block.text, block.times, continues=block.continues)
    if needed:
        end.last_time = stored[0].last_time
    return stored


def _count_back(stored: list[StoredBlock]) -> int:
    """How many blocks hold every line that may come again (see `StoredEnd.since`), and the beginning of the last line.

    A log is opened again from seconds before the first of its last lines, which span long where it says little.
    """
    lines = 0
    first_time: int | None = None  # no later than that of the first of the last lines
    for number, row in enumerate(stored, start=1):
        if first_time is None and lines >= LAST_LINES:
            first_time = row.last_time
        if first_time is not None and row.last_time < first_time - _LAST_SECONDS_NANOS:
            return number
        lines += row.lines
    return len(stored)


def _at(time_ns: int | None) -> datetime | None:
    return (
        None
        if time_ns is None
        else datetime.fromtimestamp(time_ns // SECOND, UTC).replace(microsecond=time_ns % SECOND // 1000)
    )


def _back_off(failures: int) -> float:
    """Seconds before the next try, with jitter."""
    seconds: float = min(RETRY_SECONDS[1], RETRY_SECONDS[0] * 2.0 ** min(failures - 1, 10))
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311 - jitter


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """What really went wrong: a lost run before anything else."""
    leaves = list(_leaves(errors))
    return next((leaf for leaf in leaves if isinstance(leaf, OwnershipLost)), leaves[0])


def _leaves(errors: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
