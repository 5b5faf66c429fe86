"""A container's log as stored: which log, its blocks of bytes with the time of each line, its gaps.

Text and times are kept apart, so that a log's bytes are exactly what the container wrote and byte offsets, which are the
cursors, count nothing else. `logs` makes and reads these values, `storage` keeps them.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class LogKey(NamedTuple):
    """One container's log in one attempt."""

    run_id: str
    task: str
    attempt: int
    container: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LogBlock:
    """A stretch of a log. Blocks of one log follow each other without holes in bytes and lines."""

    first_byte: int  #: offset of `text[0]` in the log
    text: bytes  #: never empty; as the container wrote it
    first_line: int  #: number, from 0, of the first line that starts in this block
    times: array[int]  #: one for each line that starts in this block: nanoseconds since 1970, UTC ("q")
    continues: bool = False  #: the block starts in the middle of line `first_line - 1`
    continued_time: int = 0  #: the time of that line, where `continues`

    @property
    def end_byte(self) -> int:
        """Offset behind the block's last byte."""
        return self.first_byte + len(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogGap:
    """A place where the kubelet may have dropped lines. `from_at` and `to_at` are the times of the lines around it."""

    at_byte: int  #: offset of the first byte behind the gap
    from_at: datetime | None  #: None: nothing came before
    to_at: datetime | None  #: None: nothing came after
    reason: str  #: a sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSummary:
    """What a reader is told of a log as a whole."""

    log_id: int
    key: LogKey
    bytes: int
    lines: int  #: lines that have started
    sealed: bool  #: nothing more will come
    gaps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredBlock:
    """A stretch of a log as the index has it: in the row itself (the open tail), or in an object of the log store."""

    log_id: int
    first_byte: int
    end_byte: int
    first_line: int  #: as in LogBlock
    lines: int  #: how many lines start in it
    continues: bool
    continued_time: int  #: nanoseconds since 1970
    last_time: int  #: time of the last line that starts in it (of the continued one where none does), nanoseconds
    object_name: str | None  #: its name in the log store; None: the bytes are in `block`
    block: LogBlock | None  #: None: the bytes are in the object, or were not asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class LogCommit:
    """One append to one log of a run, in the order in which the run's logs were committed."""

    seq: int  #: grows with each append to any log of the run, from 1
    log_id: int
    first_byte: int
    end_byte: int
