"""Where a reader stands, and how that is written: a cursor.

    l<log>.<byte>[.<gaps>]                      in one container's logs, attempt after attempt: a log, a byte in it
    r<base>.<seq>.<byte>[.<gaps>[.<trailing>]]  in the logs of a run, in the order of commits: a commit, a byte of its log

Bytes stay where they are when blocks are put together, commits keep their number. `gaps` is how many of that log's gaps were
given; without it, all those before the byte. `base` is the newest log that there was when the reading began: which attempt was
"the last" is judged by it for as long as its cursors live.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.domain.errors import InvalidCursor
from app.domain.logs import LogGap

_LOG = re.compile(r"l(\d{1,18})\.(\d{1,18})(?:\.(\d{1,9}))?")
_RUN = re.compile(r"r(\d{1,18})\.(\d{1,18})\.(\d{1,18})(?:\.(\d{1,9})(?:\.(\d{1,9}))?)?")


@dataclass(slots=True)
class LogPosition:
    """In one container's logs, attempt after attempt."""

    log_id: int
    byte: int = 0
    gaps: int | None = None  #: of this log, given already; None: those before `byte`

    @classmethod
    def parse(cls, cursor: str) -> LogPosition:
        """Raises InvalidCursor."""
        match = _LOG.fullmatch(cursor)
        if not match:
            raise InvalidCursor(cursor)
        return cls(int(match[1]), int(match[2]), int(match[3]) if match[3] else None)

    @property
    def prefix(self) -> str:
        """A cursor without its byte."""
        return f"l{self.log_id}."

    def __str__(self) -> str:
        return f"{self.prefix}{self.byte}" + ("" if self.gaps is None else f".{self.gaps}")


@dataclass(slots=True)
class RunPosition:
    """In the logs of a run, in the order of commits."""

    base: int
    seq: int = 0
    byte: int = 0
    gaps: int | None = None
    trailing: int = 0  #: gaps at the ends of logs, given when all was over

    @classmethod
    def parse(cls, cursor: str) -> RunPosition:
        """Raises InvalidCursor."""
        match = _RUN.fullmatch(cursor)
        if not match:
            raise InvalidCursor(cursor)
        return cls(int(match[1]), int(match[2]), int(match[3]), int(match[4]) if match[4] else None, int(match[5] or 0))

    @property
    def prefix(self) -> str:
        """A cursor without its byte."""
        return f"r{self.base}.{self.seq}."

    def __str__(self) -> str:
        end = f".{self.gaps or 0}.{self.trailing}" if self.trailing else "" if self.gaps is None else f".{self.gaps}"
        return f"{self.prefix}{self.byte}{end}"


def gaps_before(gaps: Sequence[LogGap], byte: int) -> int:
    """How many of the gaps, which are in order, lie before a byte."""
    return sum(1 for gap in gaps if gap.at_byte < byte)
