"""The index of one log in memory, behind the collector's port."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.domain.logs import LogBlock, LogGap, LogKey, LogSummary, StoredBlock


@dataclass
class MemoryIndex:
    """Implements LogWriter. What is appended is committed at once."""

    blocks: list[StoredBlock] = field(default_factory=list)
    gaps: list[LogGap] = field(default_factory=list)
    sealed: bool = False

    def __post_init__(self) -> None:
        self._grown = asyncio.Event()

    async def wait_for(self, size: int, seconds: float) -> None:
        """Wait until so many bytes are stored, for so long at most."""
        try:
            async with asyncio.timeout(seconds):
                while len(self.text) < size:
                    self._grown.clear()
                    await self._grown.wait()
        except TimeoutError:
            pass

    @property
    def times(self) -> list[int]:
        """Of its lines, in nanoseconds since 1970."""
        return [time for stored in self.blocks if stored.block is not None for time in stored.block.times]

    @property
    def text(self) -> bytes:
        """The log as stored."""
        return b"".join(stored.block.text for stored in self.blocks if stored.block is not None)

    def _summary(self, key: LogKey) -> LogSummary:
        last = self.blocks[-1] if self.blocks else None
        return LogSummary(
            log_id=1, key=key, bytes=last.end_byte if last else 0, lines=last.first_line + last.lines if last else 0,
            sealed=self.sealed, gaps=len(self.gaps),
        )  # fmt: skip

    async def open_log(self, key: LogKey, epoch: int) -> LogSummary:
        return self._summary(key)

    async def append_block(self, key: LogKey, log_id: int, epoch: int, block: LogBlock, object_name: str | None) -> None:
        assert object_name is None, "these logs are short"
        assert block.first_byte == len(self.text)
        self.blocks.append(_stored(block))
        self._grown.set()

    async def replace_blocks(
        self, key: LogKey, log_id: int, epoch: int, blocks: Sequence[StoredBlock], merged: LogBlock, object_name: str | None
    ) -> None:
        assert object_name is None, "these logs are short"
        first = self.blocks.index(blocks[0])
        self.blocks[first : first + len(blocks)] = [_stored(merged)]

    async def add_gap(self, key: LogKey, log_id: int, epoch: int, gap: LogGap) -> None:
        self.gaps.append(gap)

    async def seal_log(self, key: LogKey, log_id: int, epoch: int, last: LogBlock | None = None) -> LogSummary:
        if last is not None:
            await self.append_block(key, log_id, epoch, last, None)
        self.sealed = True
        return self._summary(key)

    async def list_blocks(self, log_id: int, from_byte: int = 0, limit: int = 1000) -> list[StoredBlock]:
        return [stored for stored in self.blocks if stored.end_byte > from_byte][:limit]

    async def list_last_blocks(self, log_id: int, limit: int) -> list[StoredBlock]:
        return self.blocks[::-1][:limit]


def _stored(block: LogBlock) -> StoredBlock:
    return StoredBlock(
        log_id=1, first_byte=block.first_byte, end_byte=block.end_byte, first_line=block.first_line, lines=len(block.times),
        continues=block.continues, continued_time=block.continued_time,
        last_time=block.times[-1] if block.times else block.continued_time, object_name=None, block=block,
    )  # fmt: skip
