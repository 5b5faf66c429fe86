"""Walks over stored logs: from a position on, span by span and gap by gap, as far as there is anything now."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from app.domain.errors import InvalidCursor
from app.domain.logs import LogBlock, LogCommit, LogGap, LogSummary
from app.logs.cursors import LogPosition, RunPosition, gaps_before
from app.logs.frames import Gap, LogQuery
from app.logs.port import LogIndex
from app.logs.spans import BlockCache, BlockFinder, Span, cut_span, nth_line_byte

_PAGE_COMMITS = 500


@dataclass(slots=True)
class Pass:
    """One go over what there is."""

    follow: bool  #: there will be more
    final: bool  #: nothing more will be written, sealed or not


class Walk(Protocol):
    """A reader's way. One reader's; not for concurrent use."""

    @property
    def cursor(self) -> str:
        """Where it stands."""

    @property
    def is_sealed(self) -> bool:
        """All that was asked for was given, whatever the run does."""

    def walk(self, this: Pass) -> AsyncGenerator[Span | Gap, None]:
        """What there is from where it stands; stands behind each when the next is asked for."""

    def hold_back(self, byte: int) -> bool:
        """Stand at an earlier byte of the log's last span, whose rest is not for now. False: it can't be held back."""

    @property
    def is_final(self) -> bool:
        """Nothing more will be written."""


class LogWalk:
    """One container's logs of one task, attempt after attempt."""

    def __init__(self, query: LogQuery, index: LogIndex, cache: BlockCache) -> None:
        self._query, self._index = query, index
        self._finder = BlockFinder(index, cache)
        self._cache = cache
        self._position = LogPosition.parse(query.cursor) if query.cursor else None
        self._first_pass = self._position is None
        self._sealed = False
        self.is_final = False
        self._gaps: list[LogGap] = []
        self._gaps_of: tuple[int, int] = (0, 0)
        self._given: int | None = None  # how many gaps were given before the last span

    @property
    def cursor(self) -> str:
        """See Walk. Before anything is there: a position before everything."""
        return str(self._position or LogPosition(0))

    @property
    def is_sealed(self) -> bool:
        """See Walk."""
        return self._sealed and isinstance(self._query.attempt, int)

    def hold_back(self, byte: int) -> bool:
        """See Walk."""
        if self._position is None or self.is_final:
            return False
        self._position.byte, self._position.gaps = byte, self._given
        return True

    async def walk(self, this: Pass) -> AsyncGenerator[Span | Gap, None]:
        """See Walk."""
        query, self.is_final = self._query, this.final
        attempt = query.attempt if isinstance(query.attempt, int) else None
        logs = await self._index.find_logs(query.run_id, query.task, attempt, query.container)
        if logs and (self._position is None or not self._position.log_id):
            await self._begin(logs)
        self._first_pass = False
        position = self._position
        if position is None or not logs:
            return
        place = next((number for number, log in enumerate(logs) if log.log_id == position.log_id), None)
        if place is None or position.byte > logs[place].bytes:
            raise InvalidCursor(str(position))
        for number, log in enumerate(logs[place:], start=place):
            if log.log_id != position.log_id:
                position.log_id, position.byte, position.gaps = log.log_id, 0, None
            async for span in self._walk_log(log, position):
                yield span
            self._sealed = log.sealed and number + 1 == len(logs)
            if position.byte < log.bytes or (not log.sealed and this.follow):
                return

    async def _walk_log(self, log: LogSummary, position: LogPosition) -> AsyncGenerator[Span | Gap, None]:
        if self._gaps_of != (log.log_id, log.gaps):
            self._gaps = await self._index.list_gaps(log.log_id) if log.gaps else []
            self._gaps.sort(key=lambda gap: gap.at_byte)
            self._gaps_of = (log.log_id, log.gaps)
        while True:
            given = gaps_before(self._gaps, position.byte) if position.gaps is None else position.gaps
            if given < len(self._gaps) and self._gaps[given].at_byte <= position.byte:
                position.gaps = given + 1
                yield gap_frame(self._gaps[given], log, str(position))
                continue
            end = self._gaps[given].at_byte if given < len(self._gaps) else log.bytes
            if position.byte >= min(end, log.bytes):
                return
            block = await self._finder.find(log.log_id, position.byte)
            if block is None:
                return
            span = self._finder.cut(log, block, position.byte, min(end, log.bytes), position.prefix)
            self._given = given
            position.byte, position.gaps = span.end_byte, None if given == gaps_before(self._gaps, span.end_byte) else given
            yield span
            if position.byte < span.end_byte:  # held back
                return

    async def _begin(self, logs: list[LogSummary]) -> None:
        query = self._query
        log = logs[-1] if query.attempt is None and self._first_pass else logs[0]
        self._position = LogPosition(log.log_id)
        if not self._first_pass:
            return
        line = query.from_line
        if line is None and query.tail is not None:
            missing = query.tail
            line = 0
            for candidate in reversed(logs) if query.attempt == "all" else (log,):
                log = candidate
                if log.lines >= missing:
                    line = log.lines - missing
                    break
                missing -= log.lines
            self._position.log_id = log.log_id
            if not missing:
                self._position.byte = log.bytes
                return
        if line:
            stored = await self._index.find_block_of_line(log.log_id, line)
            block = await self._cache.read(stored) if stored else None
            self._position.byte = nth_line_byte(block, line) if block else log.bytes


class RunWalk:
    """The logs of a run, or all containers of a task, in the order in which they were committed."""

    def __init__(self, query: LogQuery, index: LogIndex, cache: BlockCache) -> None:
        self._query, self._index = query, index
        self._finder = BlockFinder(index, cache)
        self._position = RunPosition.parse(query.cursor) if query.cursor else None
        self._is_first_pass = True
        self.is_final = False
        self._logs: dict[int, LogSummary] = {}
        self._last_attempts: dict[str, int] = {}
        self._gaps: dict[int, tuple[int, list[LogGap]]] = {}

    @property
    def cursor(self) -> str:
        """See Walk."""
        return str(self._position or RunPosition(0))

    @property
    def is_sealed(self) -> bool:
        """See Walk."""
        return False

    def hold_back(self, byte: int) -> bool:  # noqa: ARG002 - Walk's signature
        """See Walk. Others' lines may stand behind it."""
        return False

    async def walk(self, this: Pass) -> AsyncGenerator[Span | Gap, None]:
        """See Walk."""
        self.is_final = this.final
        if self._is_first_pass or not this.follow:
            await self._read_all_logs()
        if self._is_first_pass and self._position:
            await self._check(self._position)
        self._is_first_pass = False
        position = self._position = self._position or await self._begin()
        while True:
            commits = await self._index.list_commits(self._query.run_id, position.seq - 1, _PAGE_COMMITS)
            is_last = len(commits) < _PAGE_COMMITS
            if commits and commits[0].seq == position.seq and position.byte >= commits[0].end_byte:
                del commits[0]
            await self._read_logs_of(commits)
            for commit in commits:
                if commit.seq != position.seq:
                    position.seq, position.byte, position.gaps = commit.seq, commit.first_byte, None
                log = self._log_of(commit)
                if log is None:
                    position.byte = commit.end_byte
                    continue
                async for span in self._walk_commit(commit, log, position):
                    yield span
            if is_last:
                break
        if not this.follow:
            async for gap in self._trailing(position):
                yield gap

    async def _walk_commit(self, commit: LogCommit, log: LogSummary, position: RunPosition) -> AsyncGenerator[Span | Gap, None]:
        gaps = await self._gaps_of(log)
        position.byte = max(position.byte, commit.first_byte)
        while position.byte < commit.end_byte:
            given = gaps_before(gaps, position.byte) if position.gaps is None else position.gaps
            if given < len(gaps) and gaps[given].at_byte <= position.byte:
                position.gaps = given + 1
                yield gap_frame(gaps[given], log, str(position))
                continue
            end = min(commit.end_byte, gaps[given].at_byte if given < len(gaps) else commit.end_byte)
            block = await self._finder.find(log.log_id, position.byte)
            if block is None:
                return
            span = self._finder.cut(log, block, position.byte, end, position.prefix)
            position.byte, position.gaps = span.end_byte, None if given == gaps_before(gaps, span.end_byte) else given
            yield span

    async def _trailing(self, position: RunPosition) -> AsyncGenerator[Gap, None]:
        """Gaps at the very ends of logs: no commit stands behind them."""
        found: list[tuple[LogGap, LogSummary]] = []
        for log in sorted(self._logs.values(), key=lambda log: log.log_id):
            if self._wants(log):
                found += [(gap, log) for gap in await self._gaps_of(log) if gap.at_byte >= log.bytes]
        for gap, log in found[position.trailing :]:
            position.trailing += 1
            yield gap_frame(gap, log, str(position))

    async def _gaps_of(self, log: LogSummary) -> list[LogGap]:
        if not log.gaps:
            return []
        known = self._gaps.get(log.log_id)
        if known is None or known[0] != log.gaps:
            gaps = sorted(await self._index.list_gaps(log.log_id), key=lambda gap: gap.at_byte)
            known = self._gaps[log.log_id] = (log.gaps, gaps)
        return known[1]

    async def _check(self, position: RunPosition) -> None:
        """Raise InvalidCursor where the query's cursor is of no commit of this run."""
        if position.seq:
            found = await self._index.list_commits(self._query.run_id, position.seq - 1, 1)
            if not found or found[0].seq != position.seq or not found[0].first_byte <= position.byte <= found[0].end_byte:
                raise InvalidCursor(str(position))

    async def _read_all_logs(self) -> None:
        """What the query means, and, in the end, which logs have gaps behind their last commit: a run has thousands of logs."""
        logs = await self._index.find_logs(self._query.run_id, self._query.task)
        self._logs = {log.log_id: log for log in logs}
        if self._query.attempt is None:
            base = self._position.base if self._position else max(self._logs, default=0)
            self._last_attempts = {}
            for log in logs:
                if log.log_id <= base:
                    task, attempt = log.key.task, log.key.attempt
                    self._last_attempts[task] = max(attempt, self._last_attempts.get(task, 0))

    async def _read_logs_of(self, commits: Sequence[LogCommit]) -> None:
        """Know the commits' logs as they were at their commits or later."""
        if commits:
            found = await self._index.list_logs({commit.log_id for commit in commits})
            self._logs.update((log.log_id, log) for log in found)

    def _log_of(self, commit: LogCommit) -> LogSummary | None:
        """The commit's log; None: not asked for, or deleted."""
        log = self._logs.get(commit.log_id)
        return log if log is not None and log.bytes >= commit.end_byte and self._wants(log) else None

    def _wants(self, log: LogSummary) -> bool:
        attempt: int | Literal["all"] | None = self._query.attempt
        if self._query.container not in ("*", log.key.container) or self._query.task not in (None, log.key.task):
            return False
        if attempt is None:
            return log.key.attempt >= self._last_attempts.get(log.key.task, 0)
        return attempt == "all" or log.key.attempt == attempt

    async def _begin(self) -> RunPosition:
        """The run's first commit, or that of the first of the last `tail` lines."""
        position = RunPosition(max(self._logs, default=0) if self._query.attempt is None else 0)
        missing = self._query.tail
        if missing is None or self._query.from_line is not None:
            return position
        before: int | None = None
        while True:
            commits = await self._index.list_last_commits(self._query.run_id, before, _PAGE_COMMITS)
            await self._read_logs_of(commits)
            for commit in commits:
                if before is None:
                    position.seq, position.byte = commit.seq, commit.end_byte
                before = commit.seq
                log = self._log_of(commit)
                if log is None or not missing:
                    continue
                starts = await self._line_starts(log, commit)
                position.seq, position.byte = commit.seq, commit.first_byte
                if len(starts) >= missing:
                    position.byte = starts[len(starts) - missing]
                    return position
                missing -= len(starts)
            if len(commits) < _PAGE_COMMITS or not missing:
                return position

    async def _line_starts(self, log: LogSummary, commit: LogCommit) -> list[int]:
        """Where lines start in a commit."""
        starts: list[int] = []
        byte = commit.first_byte
        while byte < commit.end_byte:
            block: LogBlock | None = await self._finder.find(log.log_id, byte)
            if block is None:
                break
            span = cut_span(log, block, byte, commit.end_byte)
            offset = 0 if span.starts_line else span.text.find(b"\n") + 1
            while (offset or span.starts_line) and offset < len(span.text):
                starts.append(byte + offset)
                offset = span.text.find(b"\n", offset) + 1
                if not offset:
                    break
            byte = span.end_byte
        return starts


def gap_frame(gap: LogGap, log: LogSummary, cursor: str) -> Gap:
    """What a reader is told of a gap."""
    key = log.key
    return Gap(cursor, gap.from_at, gap.to_at, gap.reason, key.task, key.attempt, key.container)
