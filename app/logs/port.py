"""The port to the index of logs: rows that say which bytes of which log are where. `storage.logs` implements it.

An object of the log store that no row names does not exist. Rows are written under the run's epoch: a collector whose
executor lost the run gets OwnershipLost and stops.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from datetime import datetime
from typing import Protocol

from app.domain.logs import LogBlock, LogCommit, LogGap, LogKey, LogSummary, StoredBlock
from app.domain.pods import PodRef


class LogSource(Protocol):
    """Where a container's log comes from: the part of `pods.port.PodBackend` that a collector needs, described there."""

    def follow_log(self, ref: PodRef, container: str, since: datetime | None) -> AsyncIterator[bytes]:
        """The log as it grows, in the kubelet's `timestamps=true` format, cut anywhere. Raises LogUnavailable."""

    def read_log(self, ref: PodRef, container: str, since: datetime | None) -> AsyncIterator[bytes]:
        """What is there now, then the end."""


class LogWriter(Protocol):
    """The collector's side."""

    async def open_log(self, key: LogKey, epoch: int) -> LogSummary:
        """The log of that container; its row is made if it is missing."""

    async def append_block(self, key: LogKey, log_id: int, epoch: int, block: LogBlock, object_name: str | None) -> None:
        """Add the next block: into a row, or as a reference to an object that holds it already. Wakes readers.

        Waits at most 10 ms for company, then commits (group commit). Raises OwnershipLost.
        """

    async def replace_blocks(
        self, key: LogKey, log_id: int, epoch: int, blocks: Sequence[StoredBlock], merged: LogBlock, object_name: str | None
    ) -> None:
        """Put one block where several neighbours (the open tail) stood, in one transaction. No reader notices."""

    async def add_gap(self, key: LogKey, log_id: int, epoch: int, gap: LogGap) -> None:
        """Record that lines may be missing. Wakes readers."""

    async def seal_log(self, key: LogKey, log_id: int, epoch: int, last: LogBlock | None = None) -> LogSummary:
        """Say that nothing more will come, behind a last block that goes into a row. Wakes readers."""

    async def list_blocks(self, log_id: int, from_byte: int = 0, limit: int = 1000) -> list[StoredBlock]:
        """Blocks in order, from the one that holds `from_byte`."""

    async def list_last_blocks(self, log_id: int, limit: int) -> list[StoredBlock]:
        """The last blocks, newest first: where a collector finds how far the log had come."""


class LogIndex(Protocol):
    """The reader's side."""

    async def find_logs(
        self, run_id: str, task: str | None = None, attempt: int | None = None, container: str | None = None
    ) -> list[LogSummary]:
        """The logs of a run that match, by task in document order, attempt, container."""

    async def list_logs(self, log_ids: Collection[int]) -> list[LogSummary]:
        """The logs of these ids, in no order; those that are gone are left out."""

    async def list_rows(self, log_id: int, from_byte: int, limit: int) -> list[StoredBlock]:
        """Blocks in order, from the one that holds `from_byte`, without their bytes: many readers hold these rows."""

    async def find_block(self, stored: StoredBlock) -> LogBlock | None:
        """The bytes of a block that is in its row; None: it has been put together with others since it was listed."""

    async def find_block_of_line(self, log_id: int, line: int) -> StoredBlock | None:
        """The block in which that line starts."""

    async def list_commits(self, run_id: str, after_seq: int, limit: int = 1000) -> list[LogCommit]:
        """The appends to the run's logs behind `after_seq`, in order."""

    async def list_last_commits(self, run_id: str, before_seq: int | None, limit: int) -> list[LogCommit]:
        """The last appends before `before_seq` (None: of all), newest first."""

    async def list_gaps(self, log_id: int) -> list[LogGap]:
        """The log's gaps, in order."""
