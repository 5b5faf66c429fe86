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
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias, cast

import structlog

from app.cancelling import stop_if_cancelled
from app.domain.errors import LogUnavailable, OwnershipLost
from app.domain.logs import LogGap, LogKey, LogSummary
from app.domain.pods import PodRef
from app.logs.continuity import FLOWING_SECONDS, Continuity, End, Pause
from app.logs.errors import LogStoreUnavailable
from app.logs.lines import LineParser, Stretch, first_lines
from app.logs.port import LogSource, LogWriter
from app.logs.restore import restore_end
from app.logs.resume import MAX_BACK_SECONDS, SECOND, Skipper, StoredEnd
from app.logs.signs import ContainerSigns
from app.logs.store import LogStore
from app.logs.tail import LogTail

#: A container that is over by then is read, and not followed first: that would be one more connection to the API server.
FIRST_SECONDS = 0.3
#: The log of a container that is over is in no hurry, as what comes after its task is: both want the same API server.
YIELD_SECONDS = 0.02
#: After a clean end of a follow: the container's end is waited for so long, then the log is opened again.
REOPEN_SECONDS = 1.0
RETRY_SECONDS = (0.2, 5.0)  #: first and longest pause when the log can't be read
#: Once the container has ended, its follow is cut when it was silent for so long: of a short log, of a long one.
SILENT_SECONDS, SILENT_LONG_SECONDS = 0.1, 2.0
_LONG_BYTES = 1024 * 1024
#: Of a pod that is gone, whose container nobody saw end: it may speak until the kubelet has killed it. For so long at most.
SILENT_ORPHAN_SECONDS, ORPHAN_SECONDS = 5.0, 60.0
#: A follow that is silent for longer is opened again: its other end may be gone without a word. Of a log that is mostly silent,
#: several times as long as it mostly is; the longest.
QUIET_SECONDS, QUIET_TIMES, QUIET_MOST_SECONDS = 30.0, 4.0, 300.0
#: The container is over and its log can't be read for so long: it is sealed as it is, with a gap.
GIVE_UP_SECONDS = 600.0
READ_SECONDS = 60.0  #: a read without follow that brings nothing for so long has failed
#: So many reads that end before the last line stored, and bring nothing: that line is gone, the reads were not cut off.
CONFIRM_READS = 3
_WATCH_SECONDS = 5.0
_ROTATED = "the last line stored did not come again: its file was rotated away"
_LEFT_OUT = "the follower was behind, and the kubelet may have left out a whole file"
_ATTEMPTS = 12  # of a collection that fails without bringing anything: about 40 s

#: Sources are generators: closing one ends its request.
_Chunks: TypeAlias = AsyncGenerator[bytes, None]

_logger = structlog.get_logger(__name__)


class LogCollector:
    """Makes collections. Holds nothing but what it was given."""

    def __init__(
        self, source: LogSource, writer: LogWriter, store: LogStore, *, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._source, self._writer, self._store, self._clock = source, writer, store, clock

    async def collect(self, key: LogKey, epoch: int, ref: PodRef, signs: ContainerSigns) -> LogSummary:
        """Collect one container's log until it is sealed; safe to call again after a restart.

        Args:
            key: which log.
            epoch: the run's, under which everything is written.
            ref: the pod.
            signs: what is known of the container, as the caller learns it.

        Cancelling it loses nothing that was committed; what was not is collected by the next call. Raises OwnershipLost, and
        what the index raises when it fails again and again.
        """
        failures, stored = 0, -1
        while True:
            collection = _Collection(self._source, self._writer, self._store, self._clock, signs)
            try:
                return await collection.run(key, epoch, ref)
            except OwnershipLost:
                raise
            except LogStoreUnavailable as exc:  # what is stored can't be read just now: nothing is lost by waiting
                stop_if_cancelled()
                _logger.warning("collecting a log waits", run=key.run_id, task=key.task, reason=str(exc))
                await asyncio.sleep(RETRY_SECONDS[1])
            except Exception as exc:  # the index's errors have no base that is known here
                stop_if_cancelled()
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
    how: End = End.BROKEN  #: how it ended
    gone: bool = False  #: there is nothing to read any more

    @property
    def clean(self) -> bool:
        """It ended by itself, or was cut while it was silent."""
        return self.how is not End.BROKEN


class _BegunAgain(Exception):
    """A follow brings lines that it has brought before."""


class _Collection:
    """One log, for as long as this process collects it. Owned by `collect`."""

    def __init__(
        self,
        source: LogSource,
        writer: LogWriter,
        store: LogStore,
        clock: Callable[[], int],
        signs: ContainerSigns,
    ) -> None:
        self._source, self._writer, self._store = source, writer, store
        # The clock on the wall may be set meanwhile: how far this follower is behind must not jump with it.
        self._began_at, self._began_ns = asyncio.get_running_loop().time(), clock()
        self._signs, self._ended, self._abandoned = signs, signs.ended, signs.abandoned
        self._end = StoredEnd()
        self._waiting_since: float | None = None
        self._cut_off: Stretch | None = None  # a part of a character at the end of the last stream, which may go on
        self._mostly_silent = 0.0  # seconds: the longest of the last waits
        self._opened_from: int | None = None  # the second from which the last stream was opened
        self.stored_bytes = 0

    async def run(self, key: LogKey, epoch: int, ref: PodRef) -> LogSummary:
        """Collect and seal."""
        summary = await self._writer.open_log(key, epoch)
        if summary.sealed:
            return summary
        self._ref, self._container, self.stored_bytes = ref, key.container, summary.bytes
        started_at = None if summary.bytes or self._signs.started_at is None else self._signs.started_at.timestamp()
        self._continuity = Continuity(
            started_at=None if started_at is None else int(started_at) * SECOND, restarts=self._signs.restarts
        )
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
                tail = group.create_task(self._tail.run(), name=f"log tail of {key.task}")
                trouble = await self._read_to_end()
                if self._cut_off is not None:
                    await self._tail.add(self._cut_off)
                if trouble is not None:
                    await self._add_gap(None, trouble)
                self._tail.close()
                await asyncio.wait([tail])  # in the block: see stop_if_cancelled
        except BaseExceptionGroup as errors:
            raise _first(errors) from errors
        return await self._tail.seal()

    def _now(self) -> int:
        return self._began_ns + round((asyncio.get_running_loop().time() - self._began_at) * SECOND)

    async def _read_to_end(self) -> str | None:
        """Collect until nothing more comes; returns why something may be missing at the end, None: nothing is."""
        failures, unconfirmed, failing_since = 0, 0, asyncio.get_running_loop().time()
        was_quiet = False
        if not self._ended.is_set():
            await self._pause(FIRST_SECONDS)
        if self._ended.is_set():
            await asyncio.sleep(YIELD_SECONDS)
        while not self._abandoned.is_set():
            had_ended = self._ended.is_set()
            # A follow may be as silent as the one before, and as dead: a read says whether there is anything.
            opened = await self._open(follow=not had_ended and not was_quiet, failures=failures, was_over=had_ended)
            if opened.gone:
                break
            now = asyncio.get_running_loop().time()
            if opened.clean:
                if had_ended and not opened.new_bytes:
                    unconfirmed += 1
                    if opened.came_back or self._end.empty:
                        return None
                    if unconfirmed >= CONFIRM_READS:
                        return None if self._is_complete else _ROTATED
                    await self._pause(RETRY_SECONDS[0])
                    continue
                failures, unconfirmed, failing_since = 0, 0, now
                if opened.how is End.CLOSED and not was_quiet:
                    await self._pause(0 if self._ended.is_set() else REOPEN_SECONDS)
                    if not self._ended.is_set():
                        self._continuity.went_on()
                was_quiet = opened.how is End.QUIET
                continue
            if opened.new_bytes or not had_ended:
                failing_since = now
            elif now - failing_since > GIVE_UP_SECONDS:
                break
            failures = 1 if opened.new_bytes else failures + 1
            await self._pause(_back_off(failures))
        return None if self._is_complete else "the log could not be read to its end: the pod or its node was gone"

    @property
    def _is_complete(self) -> bool:
        finished_at = self._signs.finished_at
        if finished_at is not None:
            self._continuity.finished(int(finished_at.timestamp()) * SECOND)
        return self._continuity.is_complete

    async def _pause(self, seconds: float) -> None:
        """Wait so long, less where the container ends meanwhile."""
        if self._ended.is_set():
            await asyncio.sleep(seconds)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._ended.wait()

    async def _open(self, *, follow: bool, failures: int, was_over: bool) -> _Opened:
        """Open the log from where the stored one ends, and store what is new until the stream ends.

        After failures from a second or more earlier: where a long line stands across the beginning of a second, the kubelet
        begins with its rest, without a stamp, which a backend can't tell from an excuse. And never from where the last one
        was opened: what was cut off as if it was at its end may be cut off there again, and would seem to be confirmed.
        """
        back = min(failures, MAX_BACK_SECONDS)
        if self._end.since(back) == self._opened_from and back < MAX_BACK_SECONDS:
            back += 1
        since = self._opened_from = self._end.since(back)
        before, opened = self._tail.end_byte, _Opened()
        from_at = None if since is None else datetime.fromtimestamp(since, UTC)
        open_log = self._source.follow_log if follow else self._source.read_log
        parser = LineParser(self._end.last_time, resumed=since is not None)
        skipper = self._end.skipper(back)
        self._continuity.opened(self._now())
        async with asyncio.TaskGroup() as group:
            cut = asyncio.timeout(None)
            try:
                async with cut, aclosing(cast("_Chunks", open_log(self._ref, self._container, from_at))) as chunks:
                    watcher = group.create_task(self._cut_when_silent(cut, follow), name="log silence")
                    try:
                        await self._store_all(chunks, parser, skipper, follow)
                    finally:
                        watcher.cancel()
                opened.how = End.CLOSED
            except TimeoutError:
                if not cut.expired():
                    raise
                opened.how = self._how_cut(follow)
            except _BegunAgain:
                pass  # the next stream goes on behind what is stored
            except LogUnavailable as exc:
                opened.gone = exc.gone
        # Cut in the middle of storing a chunk: what the parser holds lies behind bytes that were not stored.
        if self._waiting_since is not None:
            rest = parser.finish()
            if rest:
                with suppress(_BegunAgain):
                    await self._add(rest, skipper, 0.0, follow)
            cut_off = parser.finish_character()
            if cut_off or skipper.came_back or self._tail.end_byte > before:
                self._cut_off = skipper.feed(cut_off) if cut_off else None
        opened.new_bytes, opened.came_back = self._tail.end_byte - before, skipper.came_back
        if not opened.new_bytes and skipper.some_came_back and not skipper.came_back:
            opened.how = End.BROKEN  # it was cut off before the last line stored, however cleanly
        if not opened.gone:
            now = asyncio.get_running_loop().time()
            idle = 0.0 if self._waiting_since is None else now - self._waiting_since
            seen = opened.came_back or bool(opened.new_bytes) or self._end.empty
            self._continuity.ended(opened.how, self._now(), idle, follow=follow, seen=seen, was_over=was_over)
            if opened.how is End.QUIET and not opened.new_bytes:
                self._mostly_silent = max(self._mostly_silent, idle / 2)  # the next one may be silent for twice as long
        return opened

    def _how_cut(self, follow: bool) -> End:
        """What it means that the stream was cut by `_cut_when_silent`."""
        if not follow or self._abandoned.is_set() or self._signs.is_orphan:
            return End.BROKEN
        return End.SILENT if self._ended.is_set() else End.QUIET

    async def _store_all(self, chunks: AsyncIterator[bytes], parser: LineParser, skipper: Skipper, follow: bool) -> None:
        loop = asyncio.get_running_loop()
        self._waiting_since = began = loop.time()
        async for chunk in chunks:
            self._waiting_since, waited = None, loop.time() - began
            self._mostly_silent = max(waited, 0.9 * self._mostly_silent)
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
            between = self._end.last_time, skipper.first_new
            if self._continuity.may_miss(*between, self._now(), waited, follow=follow):
                await self._add_gap(skipper.first_new, _ROTATED)
        repeated = self._continuity.find_repetition(new.times) if follow else None
        kept = first_lines(new, repeated)
        if kept is not None:
            if kept.times:
                await self._find_lost_files(kept, waited, follow)
            self._end.add(kept.text, kept.times, continues=kept.continues)
            await self._tail.add(kept)
        if repeated is not None:
            await self._add_jump(self._continuity.find_file_left_out(new.times[repeated]))
            raise _BegunAgain

    async def _find_lost_files(self, new: Stretch, waited: float, follow: bool) -> None:
        """Record where files may have been left out, for which only the times of lines speak."""
        now = self._now()
        if follow:
            await self._add_jump(self._continuity.find_jump(new, self._tail.end_byte, now, waited))
        first = self._continuity.find_lost_beginning(new.times, len(new.text), now, waited)
        if first is not None:
            reason = "the log was first opened when its beginning may have been rotated away"
            await self._tail.add_gap(LogGap(at_byte=0, from_at=None, to_at=_at(first), reason=reason))

    async def _add_jump(self, jump: Pause | None) -> None:
        if jump is not None:
            gap = LogGap(at_byte=jump.at_byte, from_at=_at(jump.before), to_at=_at(jump.after), reason=_LEFT_OUT)
            await self._tail.add_gap(gap)

    async def _add_gap(self, to_time: int | None, reason: str) -> None:
        from_time = None if self._end.empty else self._end.last_time
        gap = LogGap(at_byte=self._tail.end_byte, from_at=_at(from_time), to_at=_at(to_time), reason=reason)
        await self._tail.add_gap(gap)

    async def _cut_when_silent(self, cut: asyncio.Timeout, follow: bool) -> None:
        """End a stream that says nothing: the follow of a container that is over, or one whose other end may be gone."""
        loop = asyncio.get_running_loop()
        ended_at: float | None = None
        while True:
            silent = 0.0 if self._waiting_since is None else loop.time() - self._waiting_since
            if follow and self._ended.is_set():
                ended_at = ended_at or loop.time()
                silent = min(silent, loop.time() - ended_at)  # its last words may be on their way, however silent it was
                if self._signs.is_orphan and loop.time() - ended_at >= ORPHAN_SECONDS:
                    silent = ORPHAN_SECONDS
            limit = self._silence_limit() if follow else READ_SECONDS
            if silent >= limit or self._abandoned.is_set():
                cut.reschedule(loop.time())
                return
            await self._pause(min(max(limit - silent, 0.01), _WATCH_SECONDS))

    def _silence_limit(self) -> float:
        """For how many seconds a follow may be silent."""
        if not self._ended.is_set():
            return min(max(QUIET_SECONDS, QUIET_TIMES * self._mostly_silent), QUIET_MOST_SECONDS)
        if self._signs.is_orphan:
            return SILENT_ORPHAN_SECONDS
        if self._signs.pod_leaves:
            return FLOWING_SECONDS
        return SILENT_SECONDS if self._tail.end_byte < _LONG_BYTES else SILENT_LONG_SECONDS


def _at(time_ns: int | None) -> datetime | None:
    if time_ns is None:
        return None
    return datetime.fromtimestamp(time_ns // SECOND, UTC).replace(microsecond=time_ns % SECOND // 1000)


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
