"""The index of logs, read once for all who ask for the same at the same time: hundreds follow one log, all woken at once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from app.domain.logs import LogBlock, LogCommit, LogGap, LogSummary, StoredBlock
from app.logs.port import LogIndex
from app.runs.shared_reads import SharedReads


class SharedIndex:
    """A LogIndex before another one. What it gives may be given to others too: nobody changes it."""

    def __init__(self, index: LogIndex) -> None:
        self._index = index
        self._logs: SharedReads[Any, list[LogSummary]] = SharedReads(lambda asked: index.find_logs(*asked))
        self._some_logs: SharedReads[Any, list[LogSummary]] = SharedReads(index.list_logs)
        self._rows: SharedReads[Any, list[StoredBlock]] = SharedReads(lambda asked: index.list_rows(*asked))
        self._commits: SharedReads[Any, list[LogCommit]] = SharedReads(lambda asked: index.list_commits(*asked))

    async def find_logs(
        self, run_id: str, task: str | None = None, attempt: int | None = None, container: str | None = None
    ) -> list[LogSummary]:
        """See LogIndex."""
        return await self._logs.get((run_id, task, attempt, container))

    async def list_logs(self, log_ids: Collection[int]) -> list[LogSummary]:
        """See LogIndex."""
        return await self._some_logs.get(frozenset(log_ids))

    async def list_rows(self, log_id: int, from_byte: int, limit: int) -> list[StoredBlock]:
        """See LogIndex."""
        return await self._rows.get((log_id, from_byte, limit))

    async def find_block(self, stored: StoredBlock) -> LogBlock | None:
        """See LogIndex. Whoever reads many blocks has a cache of them."""
        return await self._index.find_block(stored)

    async def find_block_of_line(self, log_id: int, line: int) -> StoredBlock | None:
        """See LogIndex."""
        return await self._index.find_block_of_line(log_id, line)

    async def list_commits(self, run_id: str, after_seq: int, limit: int = 1000) -> list[LogCommit]:
        """See LogIndex."""
        return await self._commits.get((run_id, after_seq, limit))

    async def list_last_commits(self, run_id: str, before_seq: int | None, limit: int) -> list[LogCommit]:
        """See LogIndex."""
        return await self._index.list_last_commits(run_id, before_seq, limit)

    async def list_gaps(self, log_id: int) -> list[LogGap]:
        """See LogIndex. A list of the caller's own: it is put in order."""
        return await self._index.list_gaps(log_id)
